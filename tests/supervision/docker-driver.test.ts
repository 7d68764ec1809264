import { kill } from "node:process";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startEngineProxy, type EngineProxy } from "@flashloan/engine-proxy/proxy";
import { systemClock } from "@flashloan/shared/clock";
import { createLogger } from "@flashloan/shared/log";
import { createRandom } from "@flashloan/shared/random";
import type { UnitDriver, UnitSighting } from "@flashloan/supervisor/driver";
import { createDockerDriver } from "@flashloan/supervisor/drivers/docker";
import { docker } from "../support/stack.ts";

// The driver and the engine's proxy against a real engine: small containers that crash, freeze, hang and run out of memory.
const PROJECT = "flashloan-driver-test";
const IMAGE = "node:24-trixie-slim";
const POLL = { timeout: 60_000, interval: 100 };
const GRACE_MS = 1_000;

let proxy: EngineProxy;
let driver: UnitDriver;
const log = createLogger("test", "silent");
const startProxy = (port: number): Promise<EngineProxy> =>
  startEngineProxy({
    log,
    config: {
      ENGINE_PROXY_HOST: "127.0.0.1",
      ENGINE_PROXY_PORT: port,
      ENGINE_PROXY_SOCKET: "/var/run/docker.sock",
      ENGINE_PROXY_SCOPE: "compose",
      ENGINE_PROXY_PROJECT: PROJECT,
    },
  });

beforeAll(async () => {
  await removeAll();
  proxy = await startProxy(0);
  driver = createDockerDriver({
    url: `http://${proxy.address}`,
    clock: systemClock,
    random: createRandom(1),
    log,
  });
});
afterEach(removeAll);
afterAll(async () => {
  await driver?.stop();
  await proxy?.stop();
});

async function removeAll(): Promise<void> {
  const ids = await docker(["ps", "--all", "--quiet", "--filter", `label=com.docker.compose.project=${PROJECT}`]);
  if (ids !== "") await docker(["rm", "--force", "--volumes", ...ids.split("\n")]);
}

const SLEEPER = ["sleep", "infinity"];
const OPTIONS = ["--detach", "--init", "--network", "none", "--stop-timeout", "1"];
const labels = (entries: Record<string, string>): string[] =>
  Object.entries({ "com.docker.compose.project": PROJECT, "com.docker.compose.oneoff": "False", ...entries }).flatMap(
    ([name, value]) => ["--label", `${name}=${value}`],
  );

/** What `docker compose run` adds to its service's labels. */
const ONE_OFF = { "flashloan.supervised": "true", "com.docker.compose.oneoff": "True" };

/** Runs a container that is a unit; its id. */
function runUnit(unit: string, command: readonly string[] = SLEEPER, options: readonly string[] = []): Promise<string> {
  const declared = labels({
    "flashloan.supervised": "true",
    "flashloan.unit": unit,
    "flashloan.group": "test",
    "flashloan.depends-on": "etcd, rabbitmq",
    "flashloan.speaks": "grpc",
    "flashloan.address": `${unit}:7000`,
    "flashloan.order": "7",
  });
  return docker(["run", ...OPTIONS, ...declared, ...options, IMAGE, ...command]);
}
async function sighting(unit: string): Promise<UnitSighting | undefined> {
  return (await driver.sightings()).find(({ declaration }) => declaration.id === unit);
}
async function see(unit: string, what: Partial<UnitSighting>): Promise<UnitSighting> {
  await expect.poll(() => sighting(unit), POLL).toMatchObject(what);
  return (await sighting(unit)) as UnitSighting;
}
/** Restarts a unit, and sees that it runs anew. */
async function heal(unit: string, before: UnitSighting): Promise<UnitSighting> {
  await driver.restart(unit, GRACE_MS);
  const after = await see(unit, { state: "running" });
  expect(after.incarnation).not.toBe(before.incarnation);
  expect(after.startedAtMs).toBeGreaterThan(before.startedAtMs);
  return after;
}
async function pidOf(id: string): Promise<number> {
  return Number(await docker(["inspect", "--format", "{{.State.Pid}}", id]));
}
/** The next hint that comes. */
function hint(): Promise<void> {
  return new Promise((resolve) => driver.onHint(resolve));
}

test("a unit is what its labels declare, and what was never started is none", async () => {
  await runUnit("declared");
  await docker([
    "create",
    ...labels({ "flashloan.supervised": "true", "flashloan.unit": "created", "flashloan.group": "test" }),
    IMAGE,
  ]);
  expect(await driver.sightings()).toEqual([
    {
      declaration: {
        id: "declared",
        group: "test",
        dependsOn: ["etcd", "rabbitmq"],
        speaks: "grpc",
        address: "declared:7000",
        order: 7,
      },
      state: "running",
      incarnation: expect.stringMatching(/^[0-9a-f]{12}@/),
      startedAtMs: expect.any(Number),
      lastExit: undefined,
      health: "unknown",
    },
  ]);
});

test("a crashed unit is seen ended with its exit code, at a hint's notice, and restarted", async () => {
  const id = await runUnit("crashes");
  const before = await see("crashes", { state: "running" });
  const hinted = hint();
  kill(await pidOf(id), "SIGKILL");
  await hinted;
  await see("crashes", {
    state: "ended",
    lastExit: { code: 137, outOfMemory: false },
    incarnation: before.incarnation,
  });
  const after = await heal("crashes", before);
  expect(after.lastExit).toEqual({ code: 137, outOfMemory: false });
});

test("a unit that ended by itself keeps its exit code", async () => {
  await runUnit("exits", ["sh", "-c", "echo bye; exit 3"]);
  const before = await see("exits", { state: "ended", lastExit: { code: 3, outOfMemory: false } });
  expect(await driver.logs("exits", 10)).toEqual(["bye"]);
  // Starts, and ends again.
  await driver.restart("exits", GRACE_MS);
  await expect.poll(async () => (await sighting("exits"))?.incarnation, POLL).not.toBe(before.incarnation);
  await expect.poll(() => driver.logs("exits", 10), POLL).toEqual(["bye", "bye"]);
  expect(await driver.logs("exits", 1)).toEqual(["bye"]);
});

test("a paused unit is seen frozen, and a restart thaws it", async () => {
  const id = await runUnit("freezes");
  await docker(["pause", id]);
  const before = await see("freezes", { state: "frozen" });
  expect((await heal("freezes", before)).state).toBe("running");
});

test("a unit whose process is stopped looks as if it ran, and is restarted although it takes no signal", async () => {
  const id = await runUnit("hangs");
  const before = await see("hangs", { state: "running" });
  kill(await pidOf(id), "SIGSTOP");
  expect(await sighting("hangs")).toMatchObject({ state: "running", incarnation: before.incarnation });
  await heal("hangs", before);
});

test("a unit that does not end when it is told to is killed after its grace", async () => {
  const stubborn = "process.on('SIGTERM', () => console.log('no')); setInterval(() => 0, 1000); console.log('deaf');";
  await runUnit("stays", ["node", "-e", stubborn]);
  await expect.poll(() => driver.logs("stays", 1), POLL).toEqual(["deaf"]);
  const before = await see("stays", { state: "running" });
  const startedMs = performance.now();
  await heal("stays", before);
  expect(performance.now() - startedMs).toBeGreaterThan(GRACE_MS * 0.9);
});

test("a unit that ran out of memory is known by that, and so it stays once it runs again", async () => {
  const eat = "const all = []; for (;;) all.push(Buffer.alloc(1e6, 1));";
  const wait = "sleep 1; [ -e /tmp/eaten ] && exec sleep infinity; touch /tmp/eaten;";
  await runUnit("eats", ["sh", "-c", `${wait} exec node -e '${eat}'`], ["--memory", "64m", "--memory-swap", "64m"]);
  const before = await see("eats", { state: "ended", lastExit: { code: 137, outOfMemory: true } });
  const after = await heal("eats", before);
  expect(after.lastExit).toEqual({ code: 137, outOfMemory: true });
});

test("the engine's own health check is seen, and a restart heals what it minds", async () => {
  const check = ["--health-cmd", "test ! -e /tmp/sick", "--health-interval", "1s", "--health-retries", "1"];
  const id = await runUnit("sickens", SLEEPER, [...check, "--tmpfs", "/tmp"]);
  await see("sickens", { health: "healthy" });
  await docker(["exec", id, "touch", "/tmp/sick"]);
  const before = await see("sickens", { state: "running", health: "unhealthy" });
  const after = await heal("sickens", before);
  expect((await see("sickens", { health: "healthy" })).incarnation).toBe(after.incarnation);
});

test("what the engine restarts by its own policy is never seen ended, but anew", async () => {
  const id = await runUnit("returns", SLEEPER, ["--restart", "unless-stopped"]);
  const before = await see("returns", { state: "running" });
  const states = new Set<string>();
  kill(await pidOf(id), "SIGKILL");
  await expect
    .poll(async () => {
      const seen = await sighting("returns");
      states.add(seen?.state ?? "gone");
      return seen?.incarnation;
    }, POLL)
    .not.toBe(before.incarnation);
  expect([...states]).toEqual(["running"]);
  await see("returns", { lastExit: { code: 137, outOfMemory: false } });
});

test("what is not labelled is not seen, and the proxy refuses to touch it", async () => {
  const own = await runUnit("own");
  const others = [
    await docker(["run", ...OPTIONS, ...labels({}), IMAGE, ...SLEEPER]),
    await docker(["run", ...OPTIONS, ...labels({ "flashloan.supervised": "false" }), IMAGE, ...SLEEPER]),
    await docker(["run", ...OPTIONS, ...labels(ONE_OFF), IMAGE, ...SLEEPER]),
  ];
  expect((await driver.sightings()).map(({ declaration }) => declaration.id)).toEqual(["own"]);
  const ask = async (method: string, path: string): Promise<number> =>
    (await fetch(`http://${proxy.address}${path}`, { method })).status;
  for (const id of others) {
    const started = await docker(["inspect", "--format", "{{.State.StartedAt}}", id]);
    expect(await ask("GET", `/containers/${id}/json`)).toBe(403);
    expect(await ask("GET", `/containers/${id}/logs`)).toBe(403);
    expect(await ask("POST", `/containers/${id}/restart?t=1`)).toBe(403);
    expect(await docker(["inspect", "--format", "{{.State.StartedAt}}", id])).toBe(started);
  }
  for (const deed of ["stop", "kill", "exec", "pause"])
    expect(await ask("POST", `/containers/${own}/${deed}`)).toBe(403);
  expect(await ask("POST", "/containers/create")).toBe(403);
  expect(await ask("GET", "/images/json")).toBe(403);
  await expect(driver.restart("nobody", GRACE_MS)).rejects.toMatchObject({ code: "not_found" });
});

test("while the proxy is away the driver says so; it hears of events again by itself when the proxy is back", async () => {
  const id = await runUnit("outlives");
  const port = Number(proxy.address.split(":")[1]);
  await proxy.stop();
  await expect(driver.sightings()).rejects.toMatchObject({ code: "service_unavailable" });
  await expect(driver.restart("outlives", GRACE_MS)).rejects.toMatchObject({ code: "service_unavailable" });
  const back = hint();
  proxy = await startProxy(port);
  await back;
  await see("outlives", { state: "running" });
  const hinted = hint();
  kill(await pidOf(id), "SIGKILL");
  await hinted;
  await see("outlives", { state: "ended" });
});
