import { kill } from "node:process";
import { afterAll, beforeAll, expect, onTestFailed, test } from "vitest";
import { z } from "zod";
import { connectWebSocket, type JsonRpc } from "@flashloan/evm/json-rpc";
import {
  HftExecutorServiceService as Executor,
  ExecutionMode,
  ExecutionState,
} from "@flashloan/proto/executor/v1/executor";
import { openEventBus } from "@flashloan/shared/adapters/open";
import type { CloudEvent, EventBus } from "@flashloan/shared/ports/event-bus";
import { systemClock } from "@flashloan/shared/clock";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { SERVICES, SPANS } from "@flashloan/shared/telemetry/declarations";
import { addressSchema } from "@flashloan/evm/hex";
import { CONTAINER_FAULTS, inContainers } from "../supervision/container-faults.ts";
import { runFaults } from "../supervision/faults.ts";
import { audit } from "../support/audit.ts";
import { LedgerLoad } from "../support/ledger-load.ts";
import { anonymousBytes, Stack } from "../support/stack.ts";

// The compose file as users start it, on a real engine: up, trading, watched, crashed one by one, its servers taken away.
const POLL = { timeout: 180_000, interval: 500 };
const OUTAGE_MS = 10_000;
/** What the whole is allowed, later services included. */
const ANONYMOUS_BYTES_MAX = 4e9;
/** Every event of the platform goes to this test's own group too, and waits in its queue while it is not there. */
const EVENTS = { group: "compose-test", pattern: "flashloan.#" };

let stack: Stack;
let [services, jobs]: [string[], string[]] = [[], []];
let [executor, checkpoint]: [RpcClient, RpcClient] = [] as never;
let chain: JsonRpc;
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const seconds = (sinceMs: number): string => ((performance.now() - sinceMs) / 1_000).toFixed(1);

beforeAll(async () => {
  stack = await Stack.create("flashloan-test", {
    FLASHLOAN_IMAGE: "flashloan/platform:test",
    DEVNET_WHALE_ACTIVITY: "0.7",
    // It trades without a pause: the default budget is spent after a quarter of an hour of that.
    RISK_GAS_BUDGET_HOUR_WEI: String(10n * 10n ** 18n),
    // The double that stands in for Jaeger where no image can be pulled reads no protobuf.
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
  });
  await stack.remove();
  ({ services, jobs } = await stack.services());
  const buildMs = performance.now();
  await stack.compose("build");
  say(`built in ${seconds(buildMs)} s`);
  const upMs = performance.now();
  await stack.compose("up", "--wait", "--wait-timeout", "600");
  say(`healthy in ${seconds(upMs)} s`);
  executor = new RpcClient(`127.0.0.1:${stack.port("EXECUTOR_PORT")}`);
  checkpoint = new RpcClient(`127.0.0.1:${stack.port("CHECKPOINT_PORT")}`);
  chain = await connectWebSocket(`ws://127.0.0.1:${stack.port("DEVNET_PORT")}`);
}, 1_200_000);
afterAll(async () => {
  await Promise.all([executor, checkpoint, chain].map((part) => part?.stop()));
  await stack.remove();
}, 300_000);

const settled = async (): Promise<number> => Number((await executor.unary(Executor.getStatus, {})).tradesSettled);
async function tradesOn(more: number): Promise<void> {
  const before = await settled();
  await expect.poll(settled, POLL).toBeGreaterThanOrEqual(before + more);
}
async function getJson<T>(url: string, schema: z.ZodType<T>): Promise<T> {
  return schema.parse(await (await fetch(url)).json());
}
function showLogsOnFailure(service: string): void {
  onTestFailed(async () => say(await stack.compose("logs", "--tail", "60", service)));
}

test("every service of the file is healthy, every job has ended well, and nobody runs as more than it must", async () => {
  for (const job of jobs) expect([job, await stack.health(job)]).toEqual([job, "exited 0"]);
  for (const service of services) {
    showLogsOnFailure(service);
    expect([service, await stack.health(service)]).toEqual([service, expect.stringMatching(/^(healthy|running)$/)]);
  }
  expect(services).toEqual(
    expect.arrayContaining([...SERVICES, "supervisor", "engine-proxy", "postgres", "redis", "rabbitmq", "etcd"]),
  );
  const look = ["sh", "-c", "id -u; touch /app/x 2>&1; grep CapEff /proc/1/status"];
  for (const service of [...SERVICES, "engine-proxy"]) {
    const user = service === "engine-proxy" ? 0 : 1000;
    const expected = new RegExp(`^${user}\\n.*Read-only file system\\nCapEff:\\s+0+$`);
    expect(await stack.compose("exec", "-T", service, ...look)).toMatch(expected);
  }
});

test("three trades settle, live, and the operator's command inside a container shows them", async () => {
  showLogsOnFailure("hft-executor");
  await expect.poll(settled, POLL).toBeGreaterThanOrEqual(3);
  expect((await executor.unary(Executor.getStatus, {})).mode).toBe(ExecutionMode.EXECUTION_MODE_LIVE);
  const said = await stack.compose("exec", "-T", "hft-executor", "flashloan", "status");
  expect(said).toMatch(/^mode\s+LIVE$/m);
  expect(said).toMatch(/^trades\s+\d+ settled/m);
});

test("one trace leads from the block through every service, RabbitMQ included, to the settled trade", async () => {
  const jaegerSchema = z.object({
    data: z.array(
      z.object({
        spans: z.array(z.object({ spanID: z.string(), operationName: z.string(), processID: z.string() })),
        processes: z.record(z.string(), z.object({ serviceName: z.string() })),
      }),
    ),
  });
  const wanted = Object.entries(SPANS).map(([name, { service }]) => `${service} ${name}`);
  const url = `http://127.0.0.1:${stack.port("JAEGER_PORT")}/api/traces?service=hft-executor&limit=1000`;
  const complete = async (): Promise<number> => {
    const { data } = await getJson(url, jaegerSchema);
    return data.filter(({ spans, processes }) => {
      const found = new Set(spans.map((span) => `${processes[span.processID]?.serviceName} ${span.operationName}`));
      return wanted.every((span) => found.has(span));
    }).length;
  };
  await expect.poll(complete, POLL).toBeGreaterThanOrEqual(1);
});

test("Prometheus scrapes everything that it is told of, and no alert is left firing", async () => {
  const base = `http://127.0.0.1:${stack.port("PROMETHEUS_PORT")}`;
  const targetsSchema = z.object({
    data: z.object({ activeTargets: z.array(z.object({ labels: z.object({ job: z.string() }), health: z.string() })) }),
  });
  const targets = async (): Promise<string[]> => {
    const { data } = await getJson(`${base}/api/v1/targets?state=active`, targetsSchema);
    return data.activeTargets.map(({ labels, health }) => `${labels.job} ${health}`).sort();
  };
  const watched = [
    "alertmanager",
    "etcd",
    "grafana",
    "jaeger",
    "prometheus",
    "rabbitmq",
    "rabbitmq-queues",
    ...SERVICES,
  ];
  await expect.poll(targets, POLL).toEqual(watched.map((name) => `${name} up`).sort());
  const alertsSchema = z.object({
    data: z.object({ alerts: z.array(z.object({ state: z.string(), labels: z.record(z.string(), z.string()) })) }),
  });
  // One that fired while the stack was coming up ends with the next evaluations.
  const firing = async (): Promise<unknown[]> => {
    const { data } = await getJson(`${base}/api/v1/alerts`, alertsSchema);
    return data.alerts.filter(({ state }) => state === "firing").map(({ labels }) => labels);
  };
  await expect.poll(firing, POLL).toEqual([]);
});

test("Grafana and Alertmanager answer on their ports", async () => {
  for (const path of [`${stack.port("GRAFANA_PORT")}/api/health`, `${stack.port("ALERTMANAGER_PORT")}/-/healthy`])
    expect((await fetch(`http://127.0.0.1:${path}`)).status).toBe(200);
});

test("the memory of all containers is within what the README says", async () => {
  const bytes = new Map<string, number>();
  for (const service of services) {
    const { Id: id, State: state } = await stack.inspect(service);
    bytes.set(service, anonymousBytes(id, state.Pid));
  }
  const total = [...bytes.values()].reduce((sum, each) => sum + each, 0);
  const megabytes = (each: number): string => `${(each / 1e6).toFixed(0)} MB`;
  say([...bytes].map(([service, each]) => `${service} ${megabytes(each)}`).join(", "));
  say(`anonymous memory: ${megabytes(total)} in ${services.length} containers`);
  expect(total).toBeLessThan(ANONYMOUS_BYTES_MAX);
});

test(
  "a service that hangs, leaks or answers wrongly is noticed and healed, and nobody else is touched",
  { timeout: 900_000 },
  async () => {
    for (const service of ["supervisor", "risk-manager"]) showLogsOnFailure(service);
    const supervisor = new RpcClient(`127.0.0.1:${stack.port("SUPERVISOR_PORT")}`);
    try {
      const units = ["risk-manager"];
      const healed = await runFaults(inContainers(stack, supervisor), units, CONTAINER_FAULTS, say);
      expect(healed.map(({ fault }) => fault)).toEqual(CONTAINER_FAULTS);
    } finally {
      await supervisor.stop();
    }
    await tradesOn(1);
  },
);

test("each container that is killed comes back by itself, and trading goes on", { timeout: 1_800_000 }, async () => {
  for (const service of services) {
    showLogsOnFailure(service);
    const before = await stack.inspect(service);
    const startedMs = performance.now();
    // From outside, as the kernel does it when memory runs out: `docker kill` would count as an operator's stop.
    kill(before.State.Pid, "SIGKILL");
    await expect.poll(async () => (await stack.inspect(service)).RestartCount, POLL).toBe(before.RestartCount + 1);
    await expect.poll(() => stack.health(service), POLL).toMatch(/^(healthy|running)$/);
    const backS = seconds(startedMs);
    await tradesOn(1);
    say(`${service} killed: serving again after ${backS} s, the next trade settled after ${seconds(startedMs)} s`);
  }
  for (const service of services)
    expect([service, await stack.health(service)]).toEqual([service, expect.stringMatching(/^(healthy|running)$/)]);
});

test(
  "RabbitMQ, Redis, etcd and PostgreSQL gone for ten seconds each under load: nothing acknowledged is lost, and it reconciles",
  {
    timeout: 1_800_000,
  },
  async () => {
    // It would bring back what is to be away.
    await stack.compose("stop", "supervisor");
    const left = SERVICES.filter((service: string) => service !== "supervisor");
    for (const service of left) showLogsOnFailure(service);
    const restarts = (): Promise<number[]> =>
      Promise.all(left.map(async (service) => (await stack.inspect(service)).RestartCount));
    const restartsBefore = await restarts();
    const publishedBefore = await quiesce();
    // A durable group of this test's own, made while nothing is under way and read when all is over.
    await (await listen(() => undefined)).stop();
    await resume();

    const load = new LedgerLoad(checkpoint, 16);
    for (const server of ["rabbitmq", "redis", "etcd", "postgres"]) {
      await tradesOn(1);
      await stack.compose("stop", server);
      await systemClock.sleep(OUTAGE_MS);
      await stack.compose("start", server);
      const backMs = performance.now();
      for (const service of [server, ...left]) await expect.poll(() => stack.health(service), POLL).toBe("healthy");
      await tradesOn(1);
      say(`${server} away for ${OUTAGE_MS / 1_000} s: the next trade settled ${seconds(backMs)} s after its start`);
    }
    await load.stop();
    const published = (await quiesce()) - publishedBefore;
    expect(await restarts()).toEqual(restartsBefore);
    const acknowledged = [...load.acknowledged.values()].reduce((sum, count) => sum + count, 0);
    expect(await load.faults()).toEqual([]);
    expect(load.failures).toBeGreaterThan(0);

    const { contract } = await executor.unary(Executor.getStatus, {});
    const found = await audit(checkpoint, executor, chain, addressSchema.parse(contract));
    expect([found.faults, [...found.open]]).toEqual([[], []]);

    const seen = new Map<string, number>();
    const bus = await listen(({ source, id }) => {
      if (source === "/hft-executor") seen.set(id, (seen.get(id) ?? 0) + 1);
    });
    await expect.poll(() => seen.size, POLL).toBe(published);
    expect([...seen.values()].filter((times) => times !== 1)).toEqual([]);
    expect(await bus.deadLetters()).toEqual([]);
    await bus.stop();
    say(
      `${acknowledged} appends acknowledged (${load.failures} asked again), 0 lost; ${published} events acknowledged, 0 lost; ${found.settled} trades, net ${found.netWei} wei, reconciled`,
    );
  },
);

/** The broker's address is the container's own, which a restart may change. */
async function listen(onEvent: (event: CloudEvent) => void): Promise<EventBus> {
  const url = new URL(await stack.read("hft-executor", "/run/secrets/rabbitmq/url"));
  url.hostname = await stack.addressOf("rabbitmq", "control");
  const bus = await openEventBus(url.href);
  await bus.subscribe(EVENTS, async (event) => onEvent(event));
  return bus;
}

/** Has everything that is signed end and no new block considered; returns how many of the executor's events were acknowledged. */
async function quiesce(): Promise<number> {
  await executor.unary(Executor.setState, { state: ExecutionState.EXECUTION_STATE_PAUSED, reason: "the test counts" });
  await expect.poll(async () => (await executor.unary(Executor.getStatus, {})).inFlight, POLL).toBe(0);
  await stack.compose("pause", "market-predictor");
  const published = async (): Promise<number> => {
    const address = await stack.addressOf("hft-executor", "observation");
    const text = await (await fetch(`http://${address}:9464/metrics`)).text();
    const waiting = /^flashloan_bus_waiting\{[^}]*\} (\d+)/m.exec(text)?.[1];
    const count = /^flashloan_bus_published_total\{[^}]*outcome="acknowledged"[^}]*\} (\d+)/m.exec(text)?.[1];
    if (count === undefined) throw new Error(`the executor does not say what it has published: ${text}`);
    return waiting === "0" ? Number(count) : Number.NaN;
  };
  let before = await published();
  await expect
    .poll(
      async () => {
        const now = await published();
        const still = now === before;
        before = now;
        return still;
      },
      { ...POLL, interval: 3_000 },
    )
    .toBe(true);
  return before;
}

async function resume(): Promise<void> {
  await stack.compose("unpause", "market-predictor");
  await executor.unary(Executor.setState, { state: ExecutionState.EXECUTION_STATE_ACTIVE, reason: "the test goes on" });
}
