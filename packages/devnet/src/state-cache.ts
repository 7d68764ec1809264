import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { executorArtifact } from "@flashloan/contracts/artifact";
import { connectWebSocket } from "@flashloan/evm/json-rpc";
import { FlashloanError } from "@flashloan/shared/errors";
import { startAnvil } from "./anvil.ts";
import { deployProtocols } from "./deploy.ts";
import { deploymentSchema, type Deployment } from "./deployment.ts";

/** A chain state with everything deployed, ready to be loaded. */
export interface CachedState {
  readonly stateFile: string;
  readonly deployment: Deployment;
}

/** Where cached states live unless told otherwise: beside the installed packages, so that a clean install forgets them. */
const DEFAULT_FOLDER = fileURLToPath(new URL("../../../.cache/devnet", import.meta.url));

/** Changes whenever a deployment would come out differently: our own sources, our contract and the protocol versions. */
function cacheKey(): string {
  const hash = createHash("sha256").update(executorArtifact().bytecode);
  const sources = new URL(".", import.meta.url);
  for (const name of ["anvil.ts", "artifacts.ts", "deploy.ts", "deployer.ts", "deployment.ts"]) {
    const file = [new URL(name, sources), new URL(name.replace(/\.ts$/, ".js"), sources)].find((candidate) =>
      existsSync(candidate),
    );
    if (file) hash.update(readFileSync(file));
  }
  hash.update(
    readFileSync(
      new URL(import.meta.url.includes("/dist/") ? "../../package.json" : "../package.json", import.meta.url),
    ),
  );
  return hash.digest("hex").slice(0, 16);
}

/**
 * The state of a chain with everything deployed: from the cache, or deployed now (some seconds) and cached.
 * @throws FlashloanError devnet_failed
 */
export async function ensureDeployedState(
  progress: (what: string) => void = () => undefined,
  folder = DEFAULT_FOLDER,
): Promise<CachedState> {
  const key = cacheKey();
  const cached = readCached(folder, key);
  if (cached) return cached;
  mkdirSync(folder, { recursive: true });
  const building = join(folder, `${key}.${process.pid}.state.json`);
  const anvil = await startAnvil({ dumpState: building });
  let deployment: Deployment;
  try {
    const rpc = await connectWebSocket(anvil.url);
    try {
      deployment = await deployProtocols(rpc, progress);
    } finally {
      await rpc.stop();
    }
  } finally {
    await anvil.stop();
  }
  if (!existsSync(building))
    throw new FlashloanError(
      "devnet_failed",
      `anvil left no state in ${folder}: is the disk full or the folder read-only?`,
    );
  // Old states of other versions go; the deployment is written last, since its presence makes the pair valid.
  for (const name of readdirSync(folder)) if (!name.startsWith(key)) rmSync(join(folder, name), { force: true });
  renameSync(building, join(folder, `${key}.state.json`));
  const description = join(folder, `${key}.${process.pid}.deployment.json`);
  writeFileSync(description, JSON.stringify(deployment, null, 2));
  renameSync(description, join(folder, `${key}.deployment.json`));
  return { stateFile: join(folder, `${key}.state.json`), deployment };
}

function readCached(folder: string, key: string): CachedState | undefined {
  const stateFile = join(folder, `${key}.state.json`);
  const description = join(folder, `${key}.deployment.json`);
  if (!existsSync(stateFile) || !existsSync(description)) return undefined;
  const parsed = deploymentSchema.safeParse(JSON.parse(readFileSync(description, "utf8")));
  return parsed.success ? { stateFile, deployment: parsed.data } : undefined;
}
