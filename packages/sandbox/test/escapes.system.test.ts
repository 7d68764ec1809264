import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket as NetSocket } from "node:net";
import { createSocket } from "node:dgram";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { RunResult } from "../src/port.ts";
import { openSandbox } from "../src/open.ts";
import type { EscapeCase, World } from "./escapes/case.ts";
import { files } from "./escapes/files.ts";
import { network } from "./escapes/network.ts";
import { processes } from "./escapes/processes.ts";
import { resources } from "./escapes/resources.ts";

// The escape set: each case tries for real, and what it aims at is watched from outside. The same cases without walls
// must get out, or the watch is blind.
const cases: readonly EscapeCase[] = [...network, ...files, ...processes, ...resources];
const DEADLINE_MS = 60_000;
const SECRET = "canary-5b1f0a7d93";
const SLEEP_S = "86399.73125";
const OUT = "outside";

const sandbox = await openSandbox("bwrap:");
const base = mkdtempSync(join(tmpdir(), "flashloan-escape-"));
const folder = join(base, OUT);
const servers: Server[] = [];
const heard: string[] = [];
const udp = createSocket("udp4");
let victim: ChildProcess;
let world: World;

/** Somebody else's process: a secret in its variables, its arguments and a file that it has open; it notes signals. */
async function startVictim(): Promise<void> {
  const secret = openSync(join(folder, "secret-token"), "r");
  victim = spawn(
    process.execPath,
    [
      "-e",
      'for(const s of ["SIGTERM","SIGUSR2","SIGINT","SIGHUP"])process.on(s,()=>process.stdout.write(s));setInterval(()=>{},1e9);process.stdout.write("ready")',
      SECRET,
    ],
    { cwd: folder, env: { SECRET }, stdio: ["ignore", "pipe", "inherit", secret] },
  );
  await once(victim.stdout as NodeJS.ReadableStream, "data");
  victim.stdout?.on("data", (chunk: Buffer) => heard.push(`signal ${chunk.toString()}`));
  victim.once("exit", (_, signal) => heard.push(`victim ended by ${signal}`));
  world = { ...world, victimPid: victim.pid ?? 0 };
}

function resetFolder(): void {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  writeFileSync(join(folder, "secret-token"), SECRET);
  writeFileSync(join(folder, "kept"), "kept\n", { mode: 0o644 });
}

const listing = (): string =>
  readdirSync(folder)
    .sort()
    .map((name) => {
      const { mode, nlink, size } = statSync(join(folder, name));
      return `${name} ${mode.toString(8)} ${nlink} ${size}`;
    })
    .join("; ");

const leftBehind = (): number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        if (readFileSync(`/proc/${pid}/cmdline`, "utf8") === `sleep\0${SLEEP_S}\0`) return true;
        const uid = Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
        return uid >= 61_000 && uid < 62_000;
      } catch {
        return false;
      }
    });

async function until(reached: () => boolean): Promise<boolean> {
  const deadline = performance.now() + DEADLINE_MS / 10;
  while (!reached() && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
  return reached();
}

/** What fired, seen from outside; then everything is as before. */
async function fired(result: Pick<RunResult, "stdout" | "stderr" | "changed">, isConfined: boolean): Promise<string[]> {
  // Whatever was sent before has arrived once this has.
  const probe = Buffer.from("probe");
  udp.send(probe, world.udpPort, "127.0.0.1");
  await until(() => heard.includes("udp probe"));
  await until(() => !isConfined || leftBehind().length === 0);
  const alarms = heard.splice(0).filter((what) => what !== "udp probe");
  if (JSON.stringify([result.stdout, result.stderr, result.changed]).includes(SECRET)) alarms.push("secret seen");
  if (/\bESCAPED\b/.test(result.stdout)) alarms.push(`said ${result.stdout.slice(0, 100)}`);
  if (listing() !== expectedListing) alarms.push(`folder: ${listing()}`);
  const left = leftBehind();
  for (const pid of left) process.kill(pid, "SIGKILL");
  if (left.length > 0) alarms.push(`${left.length} processes left behind`);
  const pid = victim.pid ?? 0;
  if (victim.exitCode === null && victim.signalCode === null) {
    if (/^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))) alarms.push("victim stopped");
    if (/core file size\s+4096/.test(readFileSync(`/proc/${pid}/limits`, "utf8")))
      alarms.push("victim's limit changed");
  }
  if (alarms.length > 0) {
    resetFolder();
    if (victim.exitCode === null && victim.signalCode === null) {
      victim.kill("SIGKILL");
      await once(victim, "exit");
    }
    await startVictim();
    heard.splice(0);
  }
  return alarms;
}

/** The same code as a plain process, with what such a process has: our variables, and results read as they come. */
async function runUnconfined(one: EscapeCase): Promise<Pick<RunResult, "stdout" | "stderr" | "changed">> {
  const workspace = mkdtempSync(join(base, "workspace-"));
  const entry = join(workspace, one.language === "typescript" ? "main.mts" : "main");
  writeFileSync(entry, one.code(world));
  const program = one.language === "shell" ? "sh" : process.execPath;
  const child = spawn(program, [entry], {
    cwd: workspace,
    env: { ...process.env, SECRET },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: DEADLINE_MS,
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  await once(child, "close");
  const changed: Record<string, string> = {};
  for (const name of readdirSync(workspace))
    if (!name.startsWith("main") && statSync(join(workspace, name)).isFile())
      changed[name] = readFileSync(join(workspace, name), "utf8");
  rmSync(workspace, { recursive: true });
  return { stdout, stderr, changed };
}

let expectedListing = "";
beforeAll(async () => {
  resetFolder();
  expectedListing = listing();
  const listen = async (what: string, ...args: [number, string] | [string]): Promise<Server> => {
    const server = createServer((socket: NetSocket) => {
      heard.push(what);
      socket.on("error", () => undefined);
      socket.end("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    });
    servers.push(server);
    await new Promise<void>((resolve) => {
      if (args.length === 2) server.listen(args[0], args[1], resolve);
      else server.listen(args[0], resolve);
    });
    return server;
  };
  const tcp = await listen("tcp", 0, "0.0.0.0");
  const unixSocket = join(base, "socket");
  const abstractSocket = `flashloan-escape-${process.pid}`;
  await listen("unix", unixSocket);
  await listen("abstract unix", `\0${abstractSocket}`);
  await new Promise<void>((resolve) => {
    udp.bind(0, "127.0.0.1", resolve);
  });
  udp.on("message", (message) => heard.push(message.toString() === "probe" ? "udp probe" : "udp"));
  world = {
    folder,
    secretFile: join(folder, "secret-token"),
    tcpPort: (tcp.address() as { port: number }).port,
    udpPort: udp.address().port,
    unixSocket,
    abstractSocket,
    victimPid: 0,
    sleepS: SLEEP_S,
  };
  await startVictim();
  process.env["SECRET"] = SECRET;
});
afterAll(async () => {
  delete process.env["SECRET"];
  victim.kill("SIGKILL");
  for (const server of servers) server.close();
  udp.close();
  rmSync(base, { recursive: true, force: true });
});

test("the set has at least 40 cases, each with a name of its own", () => {
  expect(cases.length).toBeGreaterThanOrEqual(40);
  expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
});

test.each(cases)("confined: $name", async (one) => {
  const freeBefore = Number(
    execFileSync("df", ["--output=avail", "-B1048576", base], { encoding: "utf8" }).split("\n")[1],
  );
  const entry = one.language === "typescript" ? "main.mts" : "main";
  const result = await sandbox.run({
    language: one.language,
    files: { [entry]: one.code(world) },
    entry,
    limits: { wallMs: 10_000, ...one.limits },
  });
  expect(await fired(result, true)).toEqual([]);
  expect(
    one.bounds?.(result) ?? true,
    JSON.stringify({ ...result, stdout: result.stdout.slice(0, 200), stderr: result.stderr.slice(0, 200) }),
  ).toBe(true);
  expect(result.wallMs).toBeLessThan(DEADLINE_MS);
  const freeAfter = Number(
    execFileSync("df", ["--output=avail", "-B1048576", base], { encoding: "utf8" }).split("\n")[1],
  );
  expect(freeBefore - freeAfter).toBeLessThan(512);
});

test.each(cases.filter(({ harmful }) => !harmful))("without walls it does get out: $name", async (one) => {
  expect((await fired(await runUnconfined(one), false)).length).toBeGreaterThan(0);
});
