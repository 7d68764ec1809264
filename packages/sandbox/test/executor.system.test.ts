import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { openSandbox } from "../src/open.ts";
import type { RunRequest, RunResult, Sandbox } from "../src/port.ts";
import { sandboxContract } from "./contract.ts";
import { startExecutorProcess, type ExecutorProcess } from "./executor-process.ts";

// The executor as a process, in namespaces of its own: what it promises, and that nothing of a run is left for the next.
let executor: ExecutorProcess;
let sandbox: Sandbox;
beforeAll(async () => {
  executor = await startExecutorProcess();
  sandbox = await openSandbox(executor.url);
});
afterAll(() => executor.stop());
const shell = (code: string, more: Partial<RunRequest> = {}): Promise<RunResult> =>
  sandbox.run({ language: "shell", files: { main: code }, entry: "main", ...more });
/** An executor for one test, which it will not survive. */
async function another(): Promise<{ readonly its: Sandbox; readonly process: ExecutorProcess }> {
  const process = await startExecutorProcess();
  onTestFinished(() => process.stop());
  return { its: await openSandbox(process.url), process };
}

sandboxContract(() => sandbox);

test("processes, files and shared memory of a run are gone before the next, whatever was done to keep them", async () => {
  const left = [
    "setsid -f sleep 86399 >/dev/null 2>&1 </dev/null",
    "sleep 86399 >/dev/null 2>&1 </dev/null &",
    "mkdir shut; echo x > shut/x; chmod 0 shut",
    // Deeper than a path is long.
    "d=$(printf %0250d 0); i=0; while [ $i -lt 40 ]; do mkdir $d && cd $d; i=$((i+1)); done; cd /",
    "ipcmk --shmem 4096 >/dev/null",
  ];
  expect(await shell(left.join("\n"))).toMatchObject({ end: "exited", exitCode: 0 });
  const after = "ls -A | grep -vx main; grep -l 86399 /proc/[0-9]*/cmdline; tail -n +2 /proc/sysvipc/shm; echo done";
  expect((await shell(after)).stdout).toBe("done\n");
});

test("too many processes and a full workspace are ended, and the next run is none the worse", async () => {
  // A true fork bomb wants the container's own limit of processes: tests/supervision has one.
  const many = await shell("for i in $(seq 400); do sleep 86399 & done; wait", { limits: { wallMs: 30_000 } });
  expect(many.end).toBe("pids_exceeded");
  const limits = { workspaceBytes: 1024 * 1024 };
  const full = await shell("i=0; while :; do head -c 500000 /dev/zero > f$i; i=$((i+1)); done", { limits });
  expect(full.end).toBe("out_of_memory");
  expect(await shell("echo well")).toMatchObject({ end: "exited", stdout: "well\n" });
});

test("whoever a run leaves is buried before the next: the dead, too, take a container's places", async () => {
  for (let round = 0; round < 30; round++) {
    expect(await shell("for i in $(seq 50); do sleep 86399 & done")).toMatchObject({ end: "exited", exitCode: 0 });
    expect((await shell("grep -l '^State:.Z' /proc/[0-9]*/status; echo done")).stdout).toBe("done\n");
  }
});

test("one at a time: eight wait, the next is refused, and who leaves makes room", async () => {
  const leaving = new AbortController();
  const left = Array.from({ length: 9 }, () =>
    shell("sleep 1000", { limits: { wallMs: 60_000 }, signal: leaving.signal }),
  );
  const refused = async (): Promise<boolean> => {
    const ended = await shell("true", { signal: AbortSignal.timeout(200) }).catch((error: unknown) => error);
    return (ended as { code?: string }).code === "queue_full";
  };
  await expect.poll(refused, { timeout: 20_000 }).toBe(true);
  leaving.abort();
  expect((await Promise.all(left)).map(({ end }) => end)).toEqual(left.map(() => "aborted"));
  expect(await shell("echo room")).toMatchObject({ stdout: "room\n" });
});

test("what is more than the container has is refused", async () => {
  const refused = { code: "argument_invalid" };
  await expect(shell("true", { network: "granted" })).rejects.toMatchObject(refused);
  await expect(shell("true", { limits: { memoryBytes: 2 ** 40 } })).rejects.toMatchObject(refused);
  await expect(shell("true", { limits: { wallMs: 600_000 } })).rejects.toMatchObject(refused);
});

test("a run that kills the server, or stops it, ends the container; its caller is told, and the next ones too", async () => {
  for (const signal of ["KILL", "STOP"]) {
    const { its, process } = await another();
    const code = `kill -9 1; kill -${signal} $(cut -d' ' -f4 /proc/$PPID/stat); sleep 1000`;
    const run = its.run({ language: "shell", files: { main: code }, entry: "main", limits: { wallMs: 60_000 } });
    expect(await run).toMatchObject({ end: "signalled", signal: "SIGKILL", stdout: "" });
    await process.ended;
    await expect(its.run({ language: "shell", files: { main: "true" }, entry: "main" })).rejects.toMatchObject({
      code: "service_unavailable",
      retryable: true,
    });
  }
});

test("the environment of everything that is there has no secret", async () => {
  const { stdout } = await shell("cat /proc/*/environ | tr '\\0' '\\n' | cut -d= -f1 | sort -u");
  const known = new Set(["HOME", "LANG", "PATH", "PWD", "OLDPWD", "SHLVL", "TMPDIR", "_", "READY_FILE"]);
  const names = stdout.split("\n").filter((name) => name !== "");
  expect(names.filter((name) => !known.has(name) && !name.startsWith("SANDBOX_"))).toEqual([]);
});

test("outside of a container it does not start", () => {
  const main = fileURLToPath(new URL("../src/executor/main.ts", import.meta.url));
  const { status, stderr } = spawnSync(process.execPath, ["--conditions=@flashloan/source", main], {
    env: {},
    encoding: "utf8",
  });
  expect([status, stderr]).toEqual([1, expect.stringContaining("a container of its own")]);
});
