// Arguments are grouped by what they are for.
/* oxlint-disable unicorn/no-useless-spread */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** An executor on this machine, with as much of a container around it as bubblewrap gives. */
export interface ExecutorProcess {
  /** What openSandbox takes. */
  readonly url: string;
  readonly log: readonly string[];
  /** When the whole of it has ended. */
  readonly ended: Promise<unknown>;
  stop(): Promise<void>;
}

/** Starts an executor as its container does: the keeper as first process, which starts the server. */
export async function startExecutorProcess(): Promise<ExecutorProcess> {
  const base = mkdtempSync(join(tmpdir(), "flashloan-executor-"));
  const workspace = join(base, "workspace");
  mkdirSync(workspace);
  const socket = join(base, "executor.sock");
  const variables = { SANDBOX_SOCKET: socket, SANDBOX_WORKSPACE: workspace, READY_FILE: join(base, "ready") };
  const child = spawn(
    "/usr/bin/bwrap",
    [
      ...["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-net", "--as-pid-1", "--die-with-parent"],
      ...["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--bind", base, base],
      ...["--size", String(16 * 1024 * 1024), "--tmpfs", workspace, "--clearenv"],
      ...Object.entries(variables).flatMap(([name, value]) => ["--setenv", name, value]),
      ...["--chdir", ROOT, "--", "/bin/bash", "infra/docker/keeper.sh", process.execPath],
      ...["--disable-warning=ExperimentalWarning", "--conditions=@flashloan/source"],
      "packages/sandbox/src/executor/main.ts",
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  const ended = once(child, "exit");
  const log: string[] = [];
  const lines = createInterface(child.stderr);
  lines.on("line", (line) => log.push(line));
  await new Promise<void>((resolve, reject) => {
    lines.on("line", (line) => line.includes('"service_started"') && resolve());
    child.once("exit", () => reject(new Error(log.join("\n"))));
  });
  return {
    url: `unix:${socket}`,
    log,
    ended,
    stop: async () => {
      child.kill("SIGKILL");
      await ended;
      rmSync(base, { recursive: true, force: true });
    },
  };
}
