import { once } from "node:events";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, expect, test } from "vitest";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { createLogger } from "@flashloan/shared/log";
import { startEngineProxy } from "../src/proxy.ts";
import { startFakeEngine, type Answers, type FakeEngine } from "./fake-engine.ts";

const OURS = "a".repeat(64);
const UNLABELLED = "b".repeat(64);
const OTHER_PROJECT = "c".repeat(64);
const UNSUPERVISED = "d".repeat(64);
const ONE_OFF = "e".repeat(64);
const GONE = "f".repeat(64);
const SERVICE = "s".repeat(25);
const OTHER_SERVICE = "t".repeat(25);

const LABELS = {
  "flashloan.supervised": "true",
  "flashloan.unit": "checkpoint",
  "com.docker.compose.project": "flashloan",
  "com.docker.compose.oneoff": "False",
  "com.docker.compose.service": "checkpoint",
};
const labelsOf: Record<string, Record<string, string>> = {
  [OURS]: { ...LABELS, "org.example.secret": "label-secret" },
  [UNLABELLED]: {},
  [OTHER_PROJECT]: { ...LABELS, "com.docker.compose.project": "flashloan2" },
  [UNSUPERVISED]: { ...LABELS, "flashloan.supervised": "false" },
  [ONE_OFF]: { ...LABELS, "com.docker.compose.oneoff": "True" },
};
const inspected = (id: string): unknown => ({
  Id: id,
  Path: "node",
  RestartCount: 2,
  HostConfig: { Binds: ["/etc/secret:/x"] },
  Mounts: [{ Source: "mount-secret" }],
  NetworkSettings: { Networks: { secret: {} } },
  State: {
    Status: "running",
    Paused: false,
    OOMKilled: false,
    ExitCode: 0,
    Pid: 4242,
    StartedAt: "2026-11-26T07:00:00Z",
    FinishedAt: "0001-01-01T00:00:00Z",
    Health: { Status: "healthy", Log: [{ Output: "probe-secret" }] },
  },
  Config: { Tty: false, Env: ["KEY=env-secret"], Cmd: ["--password=secret"], Labels: labelsOf[id] },
});
const summary = (id: string): unknown => ({
  Id: id,
  Created: 1,
  State: "running",
  Command: "secret",
  Labels: labelsOf[id],
  Mounts: [{ Source: "secret" }],
});
const frame = (line: string): Buffer => {
  const head = Buffer.alloc(8);
  head[0] = 1;
  head.writeUInt32BE(Buffer.byteLength(line), 4);
  return Buffer.concat([head, Buffer.from(line)]);
};
const service = (id: string, labels: Record<string, string>): Record<string, unknown> => ({
  ID: id,
  CreatedAt: "2026-11-26T07:00:00Z",
  Version: { Index: 17 },
  Spec: {
    Name: "flashloan_hft-executor",
    Labels: labels,
    Mode: { Replicated: { Replicas: 1 } },
    UpdateConfig: { Order: "stop-first" },
    TaskTemplate: {
      ForceUpdate: 4,
      ContainerSpec: { Env: ["KEY=env-secret"], Secrets: ["secret"], Healthcheck: { Test: ["CMD", "secret.sh"] } },
    },
  },
});
const STACK = { "flashloan.supervised": "true", "flashloan.unit": "x", "com.docker.stack.namespace": "flashloan" };
const ANSWERS: Answers = {
  "GET /_ping": Buffer.from("OK"),
  // A filter that an engine ignores must not matter.
  "GET /containers/json": Object.keys(labelsOf).map(summary),
  ...Object.fromEntries(Object.keys(labelsOf).map((id) => [`GET /containers/${id}/json`, inspected(id)])),
  [`GET /containers/${OURS}/logs`]: Buffer.concat([frame("one\ntw"), frame("o\nthree\n"), frame("four")]),
  [`POST /containers/${OURS}/restart`]: 204,
  [`POST /containers/${OURS}/start`]: 304,
  "GET /services": [service(SERVICE, STACK), service(OTHER_SERVICE, { ...STACK, "com.docker.stack.namespace": "x" })],
  [`GET /services/${SERVICE}`]: service(SERVICE, STACK),
  [`GET /services/${OTHER_SERVICE}`]: service(OTHER_SERVICE, {}),
  [`GET /services/${SERVICE}/logs`]: frame("hello\n"),
  [`POST /services/${SERVICE}/update`]: {},
  "GET /tasks": [SERVICE, OTHER_SERVICE].map((id) => ({
    ID: `task-of-${id}`,
    ServiceID: id,
    CreatedAt: "2026-11-26T07:00:00Z",
    DesiredState: "running",
    Spec: { ContainerSpec: { Env: ["env-secret"] } },
    Status: { State: "running", Timestamp: "2026-11-26T07:00:01Z", ContainerStatus: { ContainerID: "secret" } },
  })),
  "GET /nodes": [
    {
      ID: "node",
      Spec: { Availability: "active", Labels: { secret: "secret" } },
      Status: { State: "ready", Addr: "secret" },
      Description: { Hostname: "secret" },
    },
  ],
};

const lifecycles: Lifecycle[] = [];
afterEach(async () => {
  await Promise.all(lifecycles.splice(0).map((lifecycle) => lifecycle.stop()));
});

interface Setup {
  readonly engine: FakeEngine;
  readonly address: string;
  readonly ask: (method: string, target: string) => Promise<{ status: number; body: unknown; text: string }>;
}

async function setUp(scope = "compose", socketPath?: string): Promise<Setup> {
  const lifecycle = new Lifecycle();
  lifecycles.push(lifecycle);
  const engine = lifecycle.add("engine", await startFakeEngine({ ...ANSWERS }));
  const config = {
    ENGINE_PROXY_HOST: "127.0.0.1",
    ENGINE_PROXY_PORT: 0,
    ENGINE_PROXY_SOCKET: socketPath ?? engine.socketPath,
    ENGINE_PROXY_SCOPE: scope,
    ENGINE_PROXY_PROJECT: "flashloan",
  } as const;
  const log = createLogger("test", "silent");
  const { address } = lifecycle.add("proxy", await startEngineProxy({ config: config as never, log }));
  const ask: Setup["ask"] = async (method, target) => {
    const reply = await raw(address, `${method} ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    return { ...reply, text: reply.body, body: reply.body === "" ? undefined : JSON.parse(reply.body) };
  };
  return { engine, address, ask };
}

/** Sends the very bytes: a client library would tidy the target up. */
async function raw(address: string, bytes: string): Promise<{ status: number; body: string }> {
  const [host, port] = address.split(":");
  const socket = connect(Number(port), host);
  await once(socket, "connect");
  socket.write(bytes);
  const [head = "", ...rest] = (await text(socket)).split("\r\n\r\n");
  const body = rest.join("\r\n\r\n");
  const chunked = /transfer-encoding: chunked/i.test(head);
  return { status: Number(head.split(" ")[1]), body: chunked ? (body.split("\r\n")[1] ?? "") : body };
}

const REFUSED_EVERYWHERE: readonly (readonly [string, string])[] = [
  ["GET", "/"],
  ["GET", "/info"],
  ["GET", "/version"],
  ["GET", "/images/json"],
  ["GET", "/networks"],
  ["GET", "/volumes"],
  ["GET", "/secrets"],
  ["GET", "/configs"],
  ["GET", "/swarm"],
  ["GET", "/system/df"],
  ["POST", "/build"],
  ["POST", "/images/create?fromImage=x"],
  ["POST", "/containers/create"],
  ["POST", "/containers/prune"],
  ["POST", "/volumes/create"],
  ["POST", "/networks/create"],
  ["POST", "/services/create"],
  ["POST", "/swarm/init"],
  ["POST", "/session"],
  ["POST", "/auth"],
  ["POST", "/commit"],
  ["HEAD", "/_ping"],
  ["OPTIONS", "*"],
  ["GET", "/v1.41/containers/json"],
];
const REFUSED_IN_COMPOSE: readonly (readonly [string, string])[] = [
  ...["stop", "kill", "pause", "unpause", "exec", "attach", "rename", "update", "resize", "wait", "copy"].map(
    (deed) => ["POST", `/containers/${OURS}/${deed}`] as const,
  ),
  ["DELETE", `/containers/${OURS}`],
  ["PUT", `/containers/${OURS}/archive`],
  ["GET", `/containers/${OURS}/archive`],
  ["GET", `/containers/${OURS}/export`],
  ["GET", `/containers/${OURS}/top`],
  ["GET", `/containers/${OURS}/attach/ws`],
  ["GET", `/containers/${OURS}/restart`],
  ["POST", `/containers/${OURS}/json`],
  // Ids are whole, lower-case and hexadecimal.
  ["POST", "/containers/checkpoint/restart"],
  ["POST", `/containers/${OURS.slice(1)}/restart`],
  ["POST", `/containers/${OURS}a/restart`],
  ["POST", `/containers/${OURS.toUpperCase()}/restart`],
  // Nothing is decoded, and nothing is normalised.
  ["POST", `/containers/${OURS}/../${UNLABELLED}/restart`],
  ["POST", `/containers/%61${OURS.slice(1)}/restart`],
  ["POST", `/containers/${OURS}/restart/`],
  ["POST", `/containers/${OURS}/restart/../kill`],
  ["POST", `/containers/${OURS}%2f..%2f${UNLABELLED}/restart`],
  ["POST", `//containers/${OURS}/restart`],
  ["POST", `/./containers/${OURS}/restart`],
  ["POST", `http://engine/containers/${OURS}/restart`],
  ["POST", `/containers/${OURS}/restart#x`],
  ["POST", `/containers/${OURS}/restart;t=1`],
  ["GET", "/containers/json/"],
  ["GET", `/services`],
  ["GET", `/tasks`],
  ["GET", `/nodes`],
  ["POST", `/services/${SERVICE}/restart`],
];
const REFUSED_IN_SWARM: readonly (readonly [string, string])[] = [
  ["GET", "/containers/json"],
  ["GET", `/containers/${OURS}/json`],
  ["POST", `/containers/${OURS}/restart`],
  ["POST", `/services/${SERVICE}/update?version=17`],
  ["DELETE", `/services/${SERVICE}`],
  ["GET", `/services/${SERVICE}`],
  ["GET", `/tasks/${SERVICE}`],
  ["POST", "/nodes/node/update"],
  ["POST", `/services/flashloan_hft-executor/restart`],
];

test.each([
  ...REFUSED_EVERYWHERE.flatMap(([method, target]) => [
    ["compose", method, target] as const,
    ["swarm", method, target] as const,
  ]),
  ...REFUSED_IN_COMPOSE.map(([method, target]) => ["compose", method, target] as const),
  ...REFUSED_IN_SWARM.map(([method, target]) => ["swarm", method, target] as const),
])("%s: %s %s is refused, and the engine never hears of it", async (scope, method, target) => {
  const { engine, ask } = await setUp(scope);
  const { status, body } = await ask(method, target);
  expect(status).toBe(403);
  // An answer to HEAD has no body, whatever it is.
  const said = { code: "not_allowed", message: expect.any(String) as string };
  expect(body).toEqual(method === "HEAD" ? undefined : said);
  expect(engine.asked).toEqual([]);
});

test.each([
  ["GET", '/containers/json?filters={"label":[]}'],
  ["GET", "/containers/json?all=1"],
  ["GET", "/containers/json?"],
  ["GET", `/containers/${OURS}/json?size=1`],
  ["GET", `/containers/${OURS}/logs?tail=all`],
  ["GET", `/containers/${OURS}/logs?tail=1001`],
  ["GET", `/containers/${OURS}/logs?tail=1&follow=1`],
  ["POST", `/containers/${OURS}/restart?t=121`],
  ["POST", `/containers/${OURS}/restart?t=-1`],
  ["POST", `/containers/${OURS}/restart?t=1&t=9`],
  ["POST", `/containers/${OURS}/restart?t=1&signal=SIGKILL`],
  ["POST", `/containers/${OURS}/restart?t=1?t=2`],
  ["POST", `/containers/${OURS}/start?detachKeys=x`],
  ["GET", "/events?since=0"],
])("%s %s: a query that is not exactly the one allowed is refused", async (method, target) => {
  const { engine, ask } = await setUp();
  expect(await ask(method, target)).toMatchObject({ status: 400, body: { code: "argument_invalid" } });
  expect(engine.asked).toEqual([]);
});

test.each([
  ["unlabelled", UNLABELLED],
  ["of another project", OTHER_PROJECT],
  ["labelled as not supervised", UNSUPERVISED],
  ["of docker compose run", ONE_OFF],
])("a container %s is neither shown, started, restarted nor read", async (_, id) => {
  const { engine, ask } = await setUp();
  const asks: [string, string][] = [
    ["GET", "json"],
    ["GET", "logs"],
    ["POST", "start"],
    ["POST", "restart?t=1"],
  ];
  for (const [method, path] of asks) {
    const { status, text: said } = await ask(method, `/containers/${id}/${path}`);
    expect([status, said]).toEqual([403, expect.stringContaining("not_allowed")]);
  }
  expect([...new Set(engine.asked)]).toEqual([`GET /containers/${id}/json?`]);
});

test("the list has the forced filter, shows our own alone, and nothing but the fields that a driver needs", async () => {
  const { engine, ask } = await setUp();
  const { body, text: said } = await ask("GET", "/containers/json");
  const { "org.example.secret": _, ...shown } = labelsOf[OURS] as Record<string, string>;
  const { "com.docker.compose.project": __, "com.docker.compose.oneoff": ___, ...labels } = shown;
  expect(body).toEqual([{ Id: OURS, Created: 1, State: "running", Labels: labels }]);
  expect(said).not.toContain("secret");
  const url = new URL(`http://engine${engine.asked[0]?.split(" ")[1]}`);
  expect(Object.fromEntries(url.searchParams)).toEqual({ all: "1", filters: expect.any(String) });
  expect(JSON.parse(url.searchParams.get("filters") ?? "")).toEqual({
    label: ["flashloan.supervised=true", "com.docker.compose.project=flashloan", "com.docker.compose.oneoff=False"],
  });
});

test("what is shown of a container has no environment, mount, command, network or probe's output", async () => {
  const { ask } = await setUp();
  const { body, text: said } = await ask("GET", `/containers/${OURS}/json`);
  expect(said).not.toContain("secret");
  expect(body).toEqual({
    Id: OURS,
    RestartCount: 2,
    State: {
      Status: "running",
      Paused: false,
      OOMKilled: false,
      ExitCode: 0,
      StartedAt: "2026-11-26T07:00:00Z",
      FinishedAt: "0001-01-01T00:00:00Z",
      Health: { Status: "healthy" },
    },
    Config: {
      Labels: {
        "flashloan.supervised": "true",
        "flashloan.unit": "checkpoint",
        "com.docker.compose.service": "checkpoint",
      },
    },
  });
});

test("a supervised container is restarted with the grace that was asked for, after its labels were looked at", async () => {
  const { engine, ask } = await setUp();
  expect((await ask("POST", `/containers/${OURS}/restart?t=7`)).status).toBe(204);
  expect((await ask("POST", `/containers/${OURS}/restart`)).status).toBe(204);
  expect((await ask("POST", `/containers/${OURS}/start`)).status).toBe(204);
  const look = `GET /containers/${OURS}/json?`;
  const deeds = ["restart?t=7", "restart?t=10", "start?"].map((deed) => `POST /containers/${OURS}/${deed}`);
  expect(engine.asked).toEqual(deeds.flatMap((deed) => [look, deed]));
});

test("logs are the newest lines, bounded", async () => {
  const { engine, ask } = await setUp();
  expect((await ask("GET", `/containers/${OURS}/logs?tail=3`)).body).toEqual({ lines: ["two", "three", "four"] });
  expect(engine.asked.at(-1)).toBe(`GET /containers/${OURS}/logs?stdout=1&stderr=1&tail=3`);
  expect((await ask("GET", `/containers/${OURS}/logs`)).body).toEqual({ lines: ["one", "two", "three", "four"] });
});

test("a service is restarted by its own specification and one number more; the client has no say in it", async () => {
  const { engine, ask } = await setUp("swarm");
  expect((await ask("POST", `/services/${SERVICE}/restart`)).status).toBe(204);
  expect(engine.asked).toEqual([`GET /services/${SERVICE}?`, `POST /services/${SERVICE}/update?version=17`]);
  const { Spec: spec } = service(SERVICE, STACK) as { Spec: { TaskTemplate: object } };
  expect(engine.bodies).toEqual([{ ...spec, TaskTemplate: { ...spec.TaskTemplate, ForceUpdate: 5 } }]);
  expect((await ask("POST", `/services/${OTHER_SERVICE}/restart`)).status).toBe(403);
  expect((await ask("GET", `/services/${OTHER_SERVICE}/logs`)).status).toBe(403);
  expect(engine.bodies).toHaveLength(1);
});

test("of a Swarm the stack's labelled services, their tasks and the nodes are shown, without what they are made of", async () => {
  const { ask } = await setUp("swarm");
  const replies = await Promise.all(["/services", "/tasks", "/nodes"].map((path) => ask("GET", path)));
  expect(replies.map(({ text: said }) => said).join()).not.toContain("secret");
  expect(replies.map(({ body }) => body)).toMatchObject([
    [{ ID: SERVICE, Spec: { Labels: STACK, TaskTemplate: { ContainerSpec: { Healthcheck: { Test: ["CMD"] } } } } }],
    [{ ID: `task-of-${SERVICE}`, Status: { State: "running" } }],
    [{ ID: "node", Status: { State: "ready" } }],
  ]);
  expect(replies[1]?.body).toHaveLength(1);
  expect((await ask("GET", `/services/${SERVICE}/logs?tail=5`)).body).toEqual({ lines: ["hello"] });
});

test("events of our own containers are passed on, without their attributes; the stream ends with its reader", async () => {
  const { engine, address } = await setUp();
  const reading = new AbortController();
  const answer = await fetch(`http://${address}/events`, { signal: reading.signal });
  const upstream = engine.eventReaders[0];
  if (!upstream) throw new Error("the engine was not asked");
  const event = (id: string, type: string): string =>
    JSON.stringify({
      Type: type,
      Action: "die",
      Actor: { ID: id, Attributes: { ...labelsOf[id], exitCode: "137", image: "secret" } },
      timeNano: 5,
    });
  const own = event(OURS, "container");
  upstream.write(`not json\n${event(UNLABELLED, "container")}\n${event(OURS, "image")}\n${own.slice(0, 20)}`);
  upstream.write(`${own.slice(20)}\n`);
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  const first = await reader?.read();
  expect(JSON.parse(first?.value ?? "")).toEqual({
    Action: "die",
    Actor: { ID: OURS, Attributes: { exitCode: "137" } },
    timeNano: 5,
  });
  expect(decodeURIComponent(engine.asked[0] ?? "")).toContain("flashloan.supervised=true");
  const closed = once(upstream, "close");
  reading.abort();
  await closed;
});

test("no request with a body is taken, no tunnel is opened, no pipelined second request is smuggled in", async () => {
  const { engine, address } = await setUp();
  const path = `POST /containers/${OURS}/restart?t=1 HTTP/1.1\r\nhost: x\r\n`;
  const hidden = `POST /containers/${UNLABELLED}/restart HTTP/1.1\r\n\r\n`;
  expect((await raw(address, `${path}content-length: ${hidden.length}\r\n\r\n${hidden}`)).status).toBe(413);
  expect((await raw(address, `${path}transfer-encoding: chunked\r\n\r\n0\r\n\r\n`)).status).toBe(413);
  const both = `${path}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`;
  expect((await raw(address, both)).status).toBe(400);
  const upgrade = "GET /_ping HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: tcp\r\n\r\n";
  expect((await raw(address, upgrade)).status).toBe(403);
  expect((await raw(address, "CONNECT engine:80 HTTP/1.1\r\nhost: x\r\n\r\n")).status).toBe(403);
  const long = `GET /_ping HTTP/1.1\r\nhost: x\r\nx: ${"y".repeat(20_000)}\r\n\r\n`;
  expect((await raw(address, long)).status).toBe(431);
  expect(engine.asked).toEqual([]);
});

test("what goes wrong at the engine is said without the engine's words", async () => {
  const { engine, ask } = await setUp();
  expect(await ask("POST", `/containers/${GONE}/restart`)).toMatchObject({ status: 404, body: { code: "not_found" } });
  engine.answers[`POST /containers/${OURS}/restart`] = 500;
  const refused = await ask("POST", `/containers/${OURS}/restart`);
  expect(refused).toMatchObject({ status: 502, body: { code: "engine_refused" } });
  expect(refused.text).not.toContain("secret");
  engine.answers["GET /containers/json"] = { not: "a list" };
  expect(await ask("GET", "/containers/json")).toMatchObject({ status: 502 });
  const { ask: askNobody } = await setUp("compose", "/nowhere/engine.sock");
  for (const path of ["/_ping", "/containers/json", "/events"])
    expect(await askNobody("GET", path)).toMatchObject({ status: 503, body: { code: "engine_unreachable" } });
});

test("readers of events are bounded", async () => {
  const { address, ask } = await setUp();
  const reading = new AbortController();
  const answers = await Promise.all(
    Array.from({ length: 4 }, () => fetch(`http://${address}/events`, { signal: reading.signal })),
  );
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  expect(await ask("GET", "/events")).toMatchObject({ status: 429, body: { code: "queue_full" } });
  reading.abort();
});
