// Runs the forge tests offline, on the committed artifact and the protocols' bytecode from npm.
//   node tools/test.ts [forge test flags]    also fails if a gas figure differs from snapshots/
//   node tools/test.ts --update              writes the gas figures to snapshots/
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import process from "node:process";
import { executorArtifact } from "../src/artifact.ts";
import { packageDir, sourceHash } from "./compilation.ts";
import { writeFixtures } from "./fixtures.ts";

/** The forge binary for this machine, an optional dependency of @foundry-rs/forge. */
function forgeBinary(): string {
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  const platform = process.platform === "win32" ? "win32" : process.platform;
  const name = `@foundry-rs/forge-${platform}-${architecture}`;
  const launcher = createRequire(import.meta.url).resolve("@foundry-rs/forge/package.json");
  const manifest = createRequire(launcher).resolve(`${name}/package.json`);
  return join(dirname(manifest), "bin", process.platform === "win32" ? "forge.exe" : "forge");
}

if (executorArtifact().sourceHash !== sourceHash()) {
  process.stderr.write("artifacts/FlashLoanExecutor.json is stale: run node tools/build.ts first\n");
  process.exit(1);
}
writeFixtures(executorArtifact().bytecode);

const update = process.argv.includes("--update");
const flags = process.argv.slice(2).filter((flag) => flag !== "--update");
const snapshotFlags = update
  ? ["--gas-snapshot-emit", "true", "--gas-snapshot-check", "false"]
  : ["--gas-snapshot-emit", "false", "--gas-snapshot-check", "true"];
const run = spawnSync(forgeBinary(), ["test", ...snapshotFlags, ...flags], {
  cwd: packageDir,
  stdio: "inherit",
  // The wrapper of solc starts under this node, whichever the PATH has.
  env: {
    ...process.env,
    PATH: `${dirname(process.execPath)}:${process.env["PATH"] ?? ""}`,
    FOUNDRY_DISABLE_NIGHTLY_WARNING: "1",
  },
});
process.exit(run.status ?? 1);
