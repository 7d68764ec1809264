import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { z } from "zod";
import { deploymentSchema } from "@flashloan/devnet/deployment";
import { isAlive } from "@flashloan/devnet/anvil";
import { FlashloanError } from "@flashloan/shared/errors";
import type { PastFailure } from "@flashloan/supervisor/driver";
import { FAULTS } from "@flashloan/supervisor/unit";

/** How much of the log's end is searched for a service's lines. */
const LOG_TAIL_BYTES = 256 * 1024;

/** Where the services of a running platform listen; what the command line reads. */
export const endpointsSchema = z.object({
  pid: z.number(),
  checkpoint: z.string(),
  marketPredictor: z.string(),
  riskManager: z.string(),
  hftExecutor: z.string(),
  quantumEngine: z.string(),
  /** The engine's REST server. */
  quantumRest: z.string(),
  /** Absent where the services run unsupervised. */
  supervisor: z.string().optional(),
  chain: z.string(),
  /** Where each service serves /metrics and /ready. */
  metrics: z.object({
    checkpoint: z.string(),
    marketPredictor: z.string(),
    riskManager: z.string(),
    hftExecutor: z.string(),
    quantumEngine: z.string(),
    supervisor: z.string().optional(),
  }),
});
/** @see endpointsSchema */
export type Endpoints = z.infer<typeof endpointsSchema>;

const chainRecordSchema = z.object({
  pid: z.number(),
  port: z.number(),
  genesisHash: z.string(),
  deployment: deploymentSchema,
});
/** The chain that belongs to a data folder: the process that runs (or ran) it, and what is deployed on it. */
export type ChainRecord = z.infer<typeof chainRecordSchema>;

const pastFailureSchema = z.object({
  atMs: z.number(),
  unit: z.string(),
  fault: z.enum(FAULTS),
  reason: z.string(),
}) satisfies z.ZodType<PastFailure>;

/** Everything that the embedded platform keeps on disk, in one folder, used by one process at a time. */
export class DataFolder {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Opens and locks a folder, making it if need be.
   * @throws FlashloanError data_folder_unusable, data_folder_locked
   */
  static open(path: string): DataFolder {
    const folder = new DataFolder(resolve(path));
    try {
      makeFolder(folder.path);
      folder.#lock();
    } catch (error) {
      if (error instanceof FlashloanError) throw error;
      throw new FlashloanError(
        "data_folder_unusable",
        `the data folder ${folder.path} can't be used (${(error as Error).message}): make it readable and writable, or choose another with --data-dir`,
        { cause: error },
      );
    }
    return folder;
  }

  get ledgerPath(): string {
    return join(this.path, "ledger");
  }
  get supervisorPath(): string {
    return join(this.path, "supervisor");
  }
  /** Where the chain writes its state on a clean exit. */
  get chainStatePath(): string {
    return join(this.path, "chain-state.json");
  }
  get logPath(): string {
    return join(this.path, "platform.log");
  }
  get chainLogPath(): string {
    return join(this.path, "anvil.log");
  }
  /** Where a process that is about to end writes why. */
  get pastFailurePath(): string {
    return join(this.path, "past-failure.json");
  }
  hasChainState(): boolean {
    return existsSync(this.chainStatePath);
  }
  hasLedger(): boolean {
    return existsSync(this.ledgerPath);
  }

  /** The chain that this folder last used. */
  readChain(): ChainRecord | undefined {
    return readJson(join(this.path, "chain.json"), chainRecordSchema);
  }
  writeChain(record: ChainRecord): void {
    writeJson(join(this.path, "chain.json"), record);
  }
  writeEndpoints(endpoints: Endpoints): void {
    writeJson(join(this.path, "endpoints.json"), endpoints);
  }

  writePastFailure(failure: PastFailure): void {
    writeJson(this.pastFailurePath, failure);
  }
  /** Why the process before this one ended, if it could say so; told once. */
  takePastFailure(): PastFailure | undefined {
    const failure = readJson(this.pastFailurePath, pastFailureSchema);
    rmSync(this.pastFailurePath, { force: true });
    return failure;
  }

  /** Moves the ledger away, and the chain's files too unless they are in use; returns where to, if there was a ledger. */
  archive(stamp: string, what: "ledger" | "ledger and chain"): string | undefined {
    const target = join(this.path, "archive", stamp.replaceAll(/[:.]/g, "-"));
    const names = what === "ledger" ? ["ledger"] : ["ledger", "chain.json", "chain-state.json"];
    const parts = names.filter((name) => existsSync(join(this.path, name)));
    if (parts.length > 0) mkdirSync(target, { recursive: true });
    for (const name of parts) renameSync(join(this.path, name), join(target, name));
    return parts.includes("ledger") ? target : undefined;
  }

  /** The newest log lines of a service, oldest first. */
  readLog(service: string, lines: number): readonly string[] {
    if (!existsSync(this.logPath)) return [];
    const file = openSync(this.logPath, "r");
    try {
      const { size } = fstatSync(file);
      const length = Math.min(size, LOG_TAIL_BYTES);
      const tail = Buffer.alloc(length);
      readSync(file, tail, 0, length, size - length);
      const own = `"service":"${service}"`;
      return tail
        .toString("utf8")
        .split("\n")
        .filter((line) => line.includes(own))
        .slice(-lines);
    } finally {
      closeSync(file);
    }
  }

  /** Unlocks; the folder may be used by another process. */
  close(): void {
    rmSync(join(this.path, "endpoints.json"), { force: true });
    rmSync(this.#lockPath, { force: true });
  }

  get #lockPath(): string {
    return join(this.path, "platform.lock");
  }

  #lock(): void {
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        writeFileSync(this.#lockPath, String(process.pid), { flag: "wx" });
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
      const pid = Number(readFileSync(this.#lockPath, "utf8"));
      if (Number.isInteger(pid) && pid > 0 && pid !== process.pid && isAlive(pid))
        throw new FlashloanError(
          "data_folder_locked",
          `the platform with process id ${pid} uses ${this.path} already: stop it, or choose another folder with --data-dir`,
          { details: { pid } },
        );
      // Its process is gone (a crash): the lock is ours.
      rmSync(this.#lockPath, { force: true });
    }
    throw new FlashloanError(
      "data_folder_locked",
      `another process is just starting in ${this.path}: try again, or choose another folder with --data-dir`,
    );
  }
}

/**
 * Makes a folder and those above it that are missing. Not mkdir's own `recursive`: where a file system answers ENOENT
 * although the parent is there (/proc does), Node's goes round for ever.
 */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" && statSync(path).isDirectory()) return;
    if (code !== "ENOENT" || existsSync(dirname(path))) throw error;
    makeFolder(dirname(path));
    mkdirSync(path);
  }
}

/** The endpoints of the platform that runs in a folder, or undefined when none does. */
export function readEndpoints(path: string): Endpoints | undefined {
  const endpoints = readJson(join(resolve(path), "endpoints.json"), endpointsSchema);
  return endpoints && isAlive(endpoints.pid) ? endpoints : undefined;
}

function readJson<T>(path: string, schema: z.ZodType<T>): T | undefined {
  try {
    const parsed = schema.safeParse(JSON.parse(readFileSync(path, "utf8")));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/** Written beside and renamed, so that a crash leaves the old file or the new one, never half of one. */
function writeJson(path: string, value: unknown): void {
  writeFileSync(`${path}.new`, JSON.stringify(value, null, 2));
  renameSync(`${path}.new`, path);
}
