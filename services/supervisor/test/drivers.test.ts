import { afterEach, expect, test, vi } from "vitest";
import { systemClock } from "@flashloan/shared/clock";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { createLogger } from "@flashloan/shared/log";
import { createRandom } from "@flashloan/shared/random";
import type { UnitDriver } from "../src/driver.ts";
import { createDockerDriver } from "../src/drivers/docker.ts";
import { declarationOf } from "../src/drivers/labels.ts";
import { createSwarmDriver } from "../src/drivers/swarm.ts";
import { startFakeProxy, type FakeProxy } from "./fake-proxy.ts";

const NOW = Date.parse("2026-11-26T08:00:00Z");
const at = (seconds: number): string => new Date(NOW + seconds * 1_000).toISOString();

const lifecycles: Lifecycle[] = [];
afterEach(async () => {
  await Promise.all(lifecycles.splice(0).map((lifecycle) => lifecycle.stop()));
});

interface Setup {
  readonly driver: UnitDriver;
  readonly proxy: FakeProxy;
  readonly lines: string[];
}

async function setUp(create: typeof createDockerDriver, answers: Record<string, unknown>): Promise<Setup> {
  const lifecycle = new Lifecycle();
  lifecycles.push(lifecycle);
  const proxy = lifecycle.add("proxy", await startFakeProxy(answers));
  const lines: string[] = [];
  const log = createLogger("test", "info", { write: (line) => void lines.push(line) });
  const clock = { ...systemClock, now: () => NOW };
  const driver = lifecycle.add("driver", create({ url: proxy.url, clock, random: createRandom(1), log }));
  return { driver, proxy, lines };
}

const labels = (unit: string): Record<string, string> => ({ "flashloan.unit": unit, "flashloan.group": "trading" });

test("labels declare a unit; those of a second container of one service are told apart", () => {
  const declared = {
    ...labels("checkpoint"),
    "flashloan.depends-on": "postgres,etcd",
    "flashloan.speaks": "grpc",
    "flashloan.address": "checkpoint:7001",
    "flashloan.order": "1",
  };
  expect(declarationOf(declared)).toEqual({
    id: "checkpoint",
    group: "trading",
    dependsOn: ["postgres", "etcd"],
    speaks: "grpc",
    address: "checkpoint:7001",
    order: 1,
  });
  expect(declarationOf(declared, 2)).toMatchObject({ id: "checkpoint-2" });
  expect(declarationOf(labels("redis"))).toEqual({
    id: "redis",
    group: "trading",
    dependsOn: [],
    speaks: "nothing",
    address: undefined,
    order: 100,
  });
  expect(declarationOf({ "flashloan.unit": "Not A Name", "flashloan.order": "x" })).toEqual({
    fault: expect.stringMatching(/^id: .*group: .*order: /) as string,
  });
});

const container = (id: string, unit: string, state: string, created = 1, more: Record<string, string> = {}) => ({
  Id: id,
  Created: created,
  State: state,
  Labels: { ...labels(unit), ...more },
});
const inspected = (id: string, status: string, finishedS = -100, exitCode = 0, health?: string) => ({
  Id: id,
  RestartCount: 0,
  State: {
    Status: status,
    Paused: status === "paused",
    OOMKilled: false,
    ExitCode: exitCode,
    StartedAt: at(-200),
    FinishedAt: at(finishedS),
    Health: health === undefined ? undefined : { Status: health },
  },
  Config: { Labels: {} },
});

test("docker: states, health and exits are what the engine says; its own restarts have some seconds", async () => {
  const second = { "com.docker.compose.container-number": "2" };
  const { driver, lines } = await setUp(createDockerDriver, {
    "GET /containers/json": [
      container("a", "healthy", "running"),
      container("b", "sick", "running"),
      container("c", "starting", "running"),
      container("d", "frozen", "paused"),
      container("e", "returning", "restarting"),
      container("f", "looping", "restarting"),
      container("g", "old", "exited", 1),
      container("h", "old", "running", 2),
      container("i", "healthy", "exited", 1, second),
      container("j", "never", "created"),
      container("k", "gone", "running"),
      container("l", "BAD", "running"),
    ],
    "GET /containers/a/json": inspected("a", "running", -300, 0, "healthy"),
    "GET /containers/b/json": inspected("b", "running", -300, 0, "unhealthy"),
    "GET /containers/c/json": inspected("c", "running", -300, 0, "starting"),
    "GET /containers/d/json": inspected("d", "paused", -300, 0, "healthy"),
    "GET /containers/e/json": inspected("e", "restarting", -2, 1),
    "GET /containers/f/json": inspected("f", "restarting", -8, 1),
    "GET /containers/h/json": inspected("h", "running"),
    "GET /containers/i/json": inspected("i", "exited", -1, 9),
  });
  const seen = await driver.sightings();
  const exit = (code: number): object => ({ code, outOfMemory: false });
  expect(seen.map(({ declaration, state, health, lastExit }) => [declaration.id, state, health, lastExit])).toEqual([
    ["healthy", "running", "healthy", undefined],
    ["sick", "running", "unhealthy", undefined],
    ["starting", "running", "unknown", undefined],
    ["frozen", "frozen", "healthy", undefined],
    ["returning", "running", "unknown", exit(1)],
    ["looping", "ended", "unknown", exit(1)],
    ["old", "running", "unknown", undefined],
    ["healthy-2", "ended", "unknown", exit(9)],
  ]);
  expect(seen[6]?.incarnation).toBe(`h@${at(-200)}`);
  await driver.sightings();
  expect(lines.filter((line) => line.includes("unit_labels_unusable"))).toHaveLength(1);
});

test("docker: a restart goes to the unit's container with a bounded grace", async () => {
  const { driver, proxy } = await setUp(createDockerDriver, {
    "GET /containers/json": [container("a", "x", "exited")],
    "POST /containers/a/restart?t=2": 204,
    "POST /containers/a/restart?t=120": 204,
    "GET /containers/a/logs?tail=1000": { lines: ["one"] },
  });
  await driver.restart("x", 1_001);
  await driver.restart("x", 900_000);
  expect(await driver.logs("x", 5_000)).toEqual(["one"]);
  await expect(driver.restart("y", 1)).rejects.toMatchObject({ code: "not_found" });
  expect(proxy.asked.filter((asked) => asked.startsWith("POST"))).toEqual([
    "POST /containers/a/restart?t=2",
    "POST /containers/a/restart?t=120",
  ]);
});

test.each([
  [403, "not_found"],
  [404, "not_found"],
  [429, "service_unavailable"],
  [502, "service_unavailable"],
  [503, "service_unavailable"],
  [504, "deadline_exceeded"],
])("what the proxy answers with %i is %s", async (status, code) => {
  const { driver } = await setUp(createDockerDriver, {
    "GET /containers/json": [container("a", "x", "exited")],
    "POST /containers/a/restart?t=1": status,
  });
  await expect(driver.restart("x", 1_000)).rejects.toMatchObject({ code });
});

test("an answer that is not what it should be is an outage", async () => {
  const { driver } = await setUp(createDockerDriver, { "GET /containers/json": { no: "list" } });
  await expect(driver.sightings()).rejects.toMatchObject({ code: "service_unavailable" });
});

test("docker: events are hints, tell how a unit ended, and are followed anew when they are cut", async () => {
  const { driver, proxy } = await setUp(createDockerDriver, {
    "GET /containers/json": [container("a", "x", "running")],
    "GET /containers/a/json": inspected("a", "running"),
  });
  let hints = 0;
  driver.onHint(() => hints++);
  await vi.waitUntil(() => proxy.readers.length === 1 && hints === 1);
  const event = (action: string, attributes = {}): string =>
    `${JSON.stringify({ Action: action, Actor: { ID: "a", Attributes: attributes }, timeNano: 1 })}\n`;
  proxy.readers[0]?.write(`\n${event("oom")}${event("die", { exitCode: "137" }).slice(0, 30)}`);
  proxy.readers[0]?.write(`${event("die", { exitCode: "137" }).slice(30)}\n`);
  await vi.waitUntil(() => hints === 3);
  expect((await driver.sightings())[0]?.lastExit).toEqual({ code: 137, outOfMemory: true });
  proxy.readers[0]?.destroy();
  await vi.waitUntil(() => proxy.readers.length === 2 && hints === 4, { timeout: 20_000 });
  proxy.readers[1]?.write(event("die", { exitCode: "1" }));
  await vi.waitUntil(() => hints === 5);
  expect((await driver.sightings())[0]?.lastExit).toEqual({ code: 1, outOfMemory: false });
});

const service = (id: string, unit: string, replicas = 1, test: string[] = ["CMD"]) => ({
  ID: id,
  CreatedAt: at(-1_000),
  Spec: {
    Labels: labels(unit),
    Mode: { Replicated: { Replicas: replicas } },
    TaskTemplate: { ContainerSpec: { Healthcheck: { Test: test } } },
  },
});
const task = (id: string, of: string, createdS: number, state: string, desired: string, more: object = {}) => ({
  ID: id,
  ServiceID: of,
  NodeID: "up",
  CreatedAt: at(createdS),
  DesiredState: desired,
  Status: { State: state, Timestamp: at(createdS + 5), ContainerStatus: { ExitCode: 137 } },
  ...more,
});

test("swarm: a unit is a service, seen by its tasks", async () => {
  const { driver } = await setUp(createSwarmDriver, {
    "GET /services": [
      service("s1", "serving"),
      service("s2", "replaced", 2, []),
      service("s3", "given-up"),
      service("s4", "taken-out", 0),
      service("s5", "node-lost"),
      service("s6", "coming"),
    ],
    "GET /tasks": [
      task("t1", "s1", -100, "running", "running"),
      task("t2", "s2", -100, "failed", "shutdown"),
      task("t3", "s2", -300, "running", "running"),
      task("t4", "s2", -90, "running", "running"),
      task("t5", "s3", -100, "failed", "shutdown"),
      task("t6", "s5", -100, "running", "running", { NodeID: "down" }),
      task("t7", "s6", -10, "preparing", "running"),
      task("t8", "s6", -20, "shutdown", "shutdown"),
    ],
    "GET /nodes": [
      { ID: "up", Spec: { Availability: "active" }, Status: { State: "ready" } },
      { ID: "down", Spec: { Availability: "active" }, Status: { State: "down" } },
    ],
  });
  const seen = await driver.sightings();
  const exit = { code: 137, outOfMemory: false };
  expect(seen.map((each) => [each.declaration.id, each.state, each.incarnation, each.health, each.lastExit])).toEqual([
    ["serving", "running", "t1", "healthy", undefined],
    ["replaced", "running", "t4", "unknown", exit],
    ["given-up", "ended", "t5", "unknown", exit],
    ["node-lost", "ended", "t6", "unknown", undefined],
    ["coming", "running", "t7", "unknown", exit],
  ]);
  expect(seen[0]?.startedAtMs).toBe(NOW - 95_000);
});

test("swarm: a restart is asked for by the service's id", async () => {
  const { driver, proxy } = await setUp(createSwarmDriver, {
    "GET /services": [service("s1", "hft-executor")],
    "POST /services/s1/restart": 204,
    "GET /services/s1/logs?tail=2": { lines: ["one", "two"] },
  });
  await driver.restart("hft-executor", 5_000);
  expect(await driver.logs("hft-executor", 2)).toEqual(["one", "two"]);
  expect(proxy.asked).toContain("POST /services/s1/restart");
  await expect(driver.logs("none", 2)).rejects.toMatchObject({ code: "not_found" });
});
