// Runs on any Node from 20 on, with nothing installed: brings pnpm, the dependencies and Node 24, then hands over.
// The only plain-JavaScript file of the repository: everything after it is TypeScript under Node 24.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const node24 = join(root, "node_modules/node/bin/node");
/** Exact, so that every machine resolves and links alike. Not the `packageManager` field: pnpm would manage itself by it. */
const PNPM = "pnpm@12.21.0";
const stampFile = join(root, "node_modules/.flashloan-install");

/** The command that each name runs, under Node 24. */
const COMMANDS = {
  start: ["packages/cli/src/main.ts", "start"],
  flashloan: ["packages/cli/src/main.ts"],
  test: ["tools/test.ts"],
  check: ["tools/check.ts"],
  generate: ["tools/generate.ts"],
  bench: ["tools/bench.ts"],
  campaign: ["tests/campaign.ts"],
};

/** Changes whenever what has to be installed changes. */
function installStamp() {
  const hash = createHash("sha256");
  const manifests = ["package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", "tests/package.json"];
  for (const folder of ["packages", "services"])
    for (const name of readdirSync(join(root, folder))) manifests.push(`${folder}/${name}/package.json`);
  for (const file of manifests) if (existsSync(join(root, file))) hash.update(readFileSync(join(root, file)));
  return hash.digest("hex");
}

/** Starts a child that shares our terminal, passes signals on, and resolves to its exit code. */
function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: "inherit", ...options });
    // A terminal's Ctrl-C reaches the child by itself; a signal sent to us alone must be handed on.
    const forward = { SIGINT: () => {}, SIGTERM: () => child.kill("SIGTERM"), SIGHUP: () => child.kill("SIGHUP") };
    if (!process.stdin.isTTY) forward.SIGINT = () => child.kill("SIGINT");
    for (const [signal, handler] of Object.entries(forward)) process.on(signal, handler);
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      for (const [name, handler] of Object.entries(forward)) process.off(name, handler);
      resolve(signal ? 128 + ({ SIGINT: 2, SIGKILL: 9, SIGTERM: 15 }[signal] ?? 1) : code);
    });
  });
}

async function install() {
  const stamp = installStamp();
  if (existsSync(stampFile) && existsSync(node24) && readFileSync(stampFile, "utf8") === stamp) return;
  process.stderr.write(`Installing dependencies and Node 24 with ${PNPM} (first run only)…\n`);
  const started = Date.now();
  // Progress goes to stderr: stdout belongs to the command's own output.
  const code = await run("npx", ["--yes", PNPM, "install", "--frozen-lockfile"], { stdio: ["ignore", 2, 2] });
  if (code !== 0) {
    process.stderr.write(
      `The installation failed (exit ${code}). Check that the npm registry can be reached and that this folder is writable, then run the same command again.\n`,
    );
    process.exit(code);
  }
  writeFileSync(stampFile, stamp);
  process.stderr.write(`Installed in ${((Date.now() - started) / 1000).toFixed(0)} s.\n`);
}

const [name, ...rest] = process.argv.slice(2);
const command = COMMANDS[name];
if (!command) {
  process.stderr.write(`Unknown command "${name ?? ""}". Known: ${Object.keys(COMMANDS).join(", ")}.\n`);
  process.exit(2);
}
await install();
const args = ["--disable-warning=ExperimentalWarning", "--conditions=@flashloan/source", ...command, ...rest];
process.exitCode = await run(node24, args, {
  env: { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH}` },
});
