import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { afterAll, beforeAll, expect, onTestFailed, test } from "vitest";
import { attemptConfined, cases, Lane, SECRET } from "@flashloan/sandbox/escapes/lane";
import { openSandbox } from "@flashloan/sandbox/open";
import type { RunResult, Sandbox } from "@flashloan/sandbox/port";
import { docker, Stack } from "../support/stack.ts";

// The sandbox's container as the compose file has it, on a real engine, asked by its socket: the whole escape set, and
// what a run might do to the container itself. The watch over the set is proven without walls in packages/sandbox.
const PROJECT = "flashloan-test-sandbox";
const SERVICE = "sandbox-executor";
const POLL = { timeout: 60_000, interval: 100 };
/** Whoever runs in there is user 1000, as others are: what is left behind is told by its command line. */
const NOBODY = { first: -1, count: 0 };
const base = mkdtempSync(join(tmpdir(), "flashloan-executor-"));
let stack: Stack;
let socket: string;
let lane: Lane;

beforeAll(async () => {
  process.env["SECRET"] = SECRET;
  stack = await Stack.create(PROJECT, { FLASHLOAN_IMAGE: "flashloan/platform:test-sandbox" });
  await stack.remove();
  await stack.compose("build");
  await stack.compose("up", "--no-deps", "--wait", SERVICE);
  const mount = await docker(["volume", "inspect", "--format", "{{.Mountpoint}}", `${PROJECT}_sandbox-socket`]);
  socket = `unix:${mount}/executor.sock`;
  lane = await Lane.open(base, 0, NOBODY);
}, 600_000);
afterAll(async () => {
  delete process.env["SECRET"];
  lane?.close();
  rmSync(base, { recursive: true, force: true });
  await stack.remove();
}, 120_000);

/** The executor, once it serves: a run may have ended it. */
async function serving(): Promise<Sandbox> {
  let sandbox: Sandbox | undefined;
  const isServing = async (): Promise<boolean> => {
    sandbox = await openSandbox(socket).catch(() => undefined);
    return sandbox !== undefined;
  };
  await expect.poll(isServing, POLL).toBe(true);
  return sandbox as Sandbox;
}
async function shell(code: string): Promise<RunResult> {
  return (await serving()).run({ language: "shell", files: { main: code }, entry: "main" });
}

test("the container has no network, no capability, nothing to write to but the workspace, and no way to more", async () => {
  const inspectSchema = z.tuple([
    z.object({
      Config: z.object({ User: z.string() }),
      HostConfig: z.object({
        NetworkMode: z.literal("none"),
        ReadonlyRootfs: z.literal(true),
        CapDrop: z.tuple([z.literal("ALL")]),
        SecurityOpt: z.tuple([z.literal("no-new-privileges:true")]),
        Memory: z.literal(512 * 2 ** 20),
        PidsLimit: z.literal(128),
      }),
    }),
  ]);
  const id = await stack.compose("ps", "--quiet", SERVICE);
  const [{ Config: config }] = inspectSchema.parse(JSON.parse(await docker(["inspect", id])));
  expect(config.User).toBe("1000:1000");
  const { stdout } = await shell(
    "id -u; grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status; ls /sys/class/net; env | cut -d= -f1 | sort",
  );
  const [uid, caps, privileges, seccomp, ...rest] = stdout.trim().split(/\s*\n\s*/);
  expect([uid, caps, privileges, seccomp]).toEqual([
    "1000",
    expect.stringMatching(/^CapEff:\s+0+$/),
    expect.stringMatching(/1$/),
    expect.stringMatching(/2$/),
  ]);
  expect(rest).toEqual(["lo", "HOME", "LANG", "PATH", "PWD", "TMPDIR"]);
});

test.each(cases)("confined: $name", async (one) => {
  onTestFailed(async () => void process.stdout.write(await stack.compose("logs", "--tail", "20", SERVICE)));
  expect(await attemptConfined(lane, await serving(), one)).toEqual([]);
});

test("a run can't write where its caller's answers come from, nor look into the server", async () => {
  const server = "$(cut -d' ' -f4 /proc/$PPID/stat)";
  const attempts = [
    "touch /run/sandbox/x",
    "rm -f /run/sandbox/executor.sock && ! test -e /run/sandbox/executor.sock",
    "echo x > /dev/shm/x",
    "echo x > /run/flashloan/x",
    `cat /proc/${server}/environ`,
    `ls /proc/${server}/fd/3`,
    `head -c1 /proc/${server}/maps | grep -q .`,
  ];
  const { stdout } = await shell(
    attempts.map((code) => `(${code}) >/dev/null 2>&1 && echo '${code.slice(0, 30)}'`).join("\n"),
  );
  expect(stdout).toBe("");
});

test(
  "a server that a run kills or stops comes back with its container, and serves the next",
  { timeout: 120_000 },
  async () => {
    for (const signal of ["KILL", "STOP"]) {
      const { RestartCount: before } = await stack.inspect(SERVICE);
      const code = `kill -9 1; kill -${signal} $(cut -d' ' -f4 /proc/$PPID/stat); sleep 1000`;
      const sandbox = await serving();
      const limits = { wallMs: 60_000 };
      const run = await sandbox.run({ language: "shell", files: { main: code }, entry: "main", limits });
      expect(run).toMatchObject({ end: "signalled", stdout: "" });
      await expect.poll(async () => (await stack.inspect(SERVICE)).RestartCount, POLL).toBe(before + 1);
      expect(await shell("echo well")).toMatchObject({ end: "exited", stdout: "well\n" });
    }
    await expect.poll(() => stack.health(SERVICE), POLL).toBe("healthy");
  },
);

test("it stops when it is told to", async () => {
  const startedMs = performance.now();
  await stack.compose("stop", SERVICE);
  // Sooner than the engine would kill it, and without a fault.
  expect(performance.now() - startedMs).toBeLessThan(15_000);
  expect(await stack.health(SERVICE)).toBe("exited 0");
});
