import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { WebSocketServer } from "ws";

// `flashloan doctor` on machines that lack things: each fault is named with its cure, and what is well is not.
const ROOT = join(import.meta.dirname, "..", "..");
const COMPOSE_FILE = "docker-compose.advanced-langchain.yml";
const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

type Found = { name: string; result: "ok" | "warn" | "fail"; message: string };

/** A machine: an empty folder with a compose file, and a `docker` of which only the words are known. */
function newMachine(dockerScript?: string, composeText = 'ports: ["127.0.0.1:${GRAFANA_PORT:-64999}:3000"]'): string {
  const folder = mkdtempSync(join(tmpdir(), "flashloan-doctor-"));
  folders.push(folder);
  writeFileSync(join(folder, COMPOSE_FILE), composeText);
  mkdirSync(join(folder, "bin"));
  if (dockerScript !== undefined) {
    writeFileSync(join(folder, "bin", "docker"), `#!/bin/sh\n${dockerScript}\n`);
    chmodSync(join(folder, "bin", "docker"), 0o755);
  }
  return folder;
}

async function doctor(
  folder: string,
  environment: Record<string, string> = {},
  args: string[] = [],
): Promise<{ code: number | null; ok: boolean; found: (name: string) => string | undefined }> {
  const main = join(ROOT, "packages/cli/src/main.ts");
  // Beside our docker only what `sh` scripts need: a docker of this machine is not to be seen.
  const path = [join(folder, "bin"), "/usr/sbin", "/sbin"].join(delimiter);
  const child = spawn(process.execPath, ["--conditions=@flashloan/source", main, "doctor", "--json", ...args], {
    cwd: folder,
    env: { PATH: path, ...environment },
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 60_000,
  });
  let out = "";
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  const { ok, checks } = JSON.parse(out) as { ok: boolean; checks: Found[] };
  const found = (name: string): string | undefined => {
    const check = checks.find((candidate) => candidate.name === name);
    return check && `${check.result}: ${check.message}`;
  };
  return { code, ok, found };
}

const ENGINE = 'case "$*" in version*) echo 28.0.1;; "compose version"*) echo 2.39.1;; info*) echo /;; ';

test("a machine without an engine: a warning, since only containers need it", async () => {
  const { code, ok, found } = await doctor(newMachine());
  expect(found("engine")).toMatch(/^warn: no docker command: .*install Docker Engine/);
  expect(found("node")).toMatch(/^ok: v2\d/);
  expect([code, ok]).toEqual([0, true]);
});

test("an engine that does not answer, and one without Compose v2", async () => {
  const down = await doctor(newMachine('echo "Cannot connect to the Docker daemon" >&2; exit 1'));
  expect(down.found("engine")).toMatch(/^warn: .*\(Cannot connect to the Docker daemon\): start it/);
  const old = await doctor(
    newMachine('case "$1" in version) echo 20.10.24;; *) echo "not a docker command" >&2; exit 1;; esac'),
  );
  expect(old.found("engine")).toBe("ok: Docker 20.10.24");
  expect(old.found("compose")).toMatch(/^warn: Compose v2 is not there \(not a docker command\): install its plugin/);
});

test("a port of the compose file that is taken, by its default or by its variable", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  const machine = newMachine(`${ENGINE} *) ;; esac`);
  const taken = await doctor(machine, { GRAFANA_PORT: String(port) });
  expect(taken.found("port")).toBe(
    `fail: ${port} is taken by another process: stop it, or set GRAFANA_PORT to a free port`,
  );
  expect([taken.code, taken.ok]).toEqual([1, false]);
  server.close();
  const free = await doctor(machine, { GRAFANA_PORT: String(port) });
  expect(free.found("port")).toBeUndefined();
  expect(free.found("ports")).toBe("ok: 1 ports are free");
});

test("a stack that is up: every container by its state and health", async () => {
  const containers = [
    { Service: "postgres", State: "running", Health: "healthy" },
    { Service: "migrate", State: "exited", ExitCode: 0 },
    { Service: "checkpoint", State: "running", Health: "unhealthy" },
    { Service: "jaeger", State: "exited", ExitCode: 137 },
  ];
  const lines = containers.map((container) => `echo '${JSON.stringify(container)}'`).join("; ");
  const { code, found } = await doctor(newMachine(`${ENGINE} *" ps "*) ${lines};; esac`));
  expect(found("container postgres")).toBe("ok: healthy");
  expect(found("container migrate")).toBe("ok: done");
  expect(found("container checkpoint")).toMatch(/^fail: running but not ready: see docker compose .* logs checkpoint/);
  expect(found("container jaeger")).toMatch(/^fail: exited, exit code 137: see/);
  expect(code).toBe(1);
});

test("the key: in the environment, unreadable, no key, open to others, right; its value is never shown", async () => {
  const folder = newMachine();
  const file = join(folder, "key");
  const key = `0x${"ab".repeat(32)}`;
  const inPlain = await doctor(folder, { EXECUTOR_PRIVATE_KEY: key });
  expect(inPlain.found("key")).toMatch(/^warn: EXECUTOR_PRIVATE_KEY stands in the environment/);
  expect(inPlain.found("key")).not.toContain("abab");
  const asFile = { EXECUTOR_PRIVATE_KEY_FILE: file };
  expect((await doctor(folder, asFile)).found("key")).toMatch(/^fail: .*key can't be read/);
  writeFileSync(file, "my key", { mode: 0o600 });
  expect((await doctor(folder, asFile)).found("key")).toMatch(/^fail: .*does not hold a private key/);
  writeFileSync(file, `${key}\n`);
  chmodSync(file, 0o644);
  expect((await doctor(folder, asFile)).found("key")).toBe(`warn: others can read ${file}: chmod 600 ${file}`);
  chmodSync(file, 0o600);
  expect((await doctor(folder, asFile)).found("key")).toBe(`ok: from ${file}`);
});

test("the chain: unreachable, another id, a head that is old, a clock that is behind", async () => {
  const folder = newMachine();
  let timestamp = Math.floor(Date.now() / 1000);
  const node = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  await new Promise((resolve) => node.once("listening", resolve));
  node.on("connection", (socket) =>
    socket.on("message", (data: Buffer) => {
      const { id, method } = JSON.parse(data.toString()) as { id: number; method: string };
      const hash = `0x${"11".repeat(32)}`;
      const head = {
        number: "0x10",
        hash,
        parentHash: hash,
        timestamp: `0x${timestamp.toString(16)}`,
        gasUsed: "0x0",
        gasLimit: "0x1c9c380",
      };
      socket.send(JSON.stringify({ jsonrpc: "2.0", id, result: method === "eth_chainId" ? "0x1" : head }));
    }),
  );
  const url = `ws://127.0.0.1:${(node.address() as AddressInfo).port}`;
  const right = await doctor(folder, { CHAIN_URL: url, EXECUTOR_CHAIN_ID: "1" });
  expect(right.found("chain")).toBe(`ok: ${url} is chain 1, at block 16`);
  expect(right.found("head")).toMatch(/^ok: \d+ s old/);
  expect(right.found("chain id")).toBeUndefined();
  const wrong = await doctor(folder, { CHAIN_URL: url, EXECUTOR_CHAIN_ID: "10" });
  expect(wrong.found("chain id")).toBe(`fail: ${url} is chain 1, but 10 is configured: correct one of them`);
  timestamp -= 3_600;
  expect((await doctor(folder, { CHAIN_URL: url })).found("head")).toMatch(/^fail: the newest block is 36\d\d s old/);
  timestamp += 7_200;
  expect((await doctor(folder, { CHAIN_URL: url })).found("head")).toMatch(
    /^fail: .* s in the future: set this machine/,
  );
  for (const client of node.clients) client.terminate();
  await new Promise((resolve) => node.close(resolve));
  const gone = await doctor(folder, { CHAIN_URL: url });
  expect(gone.found("chain")).toMatch(/^fail: can't connect to the chain/);
  expect(gone.code).toBe(1);
});

test("a platform that is not there, where an address was given", async () => {
  const { found, code } = await doctor(newMachine(), {}, ["--predictor", "127.0.0.1:1", "--checkpoint", "127.0.0.1:1"]);
  expect(found("service")).toMatch(/^fail: 127\.0\.0\.1:1 can't be reached/);
  expect(code).toBe(1);
});
