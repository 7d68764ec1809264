import { statSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openCoordination } from "@flashloan/shared/adapters/open";
import type { Coordination } from "@flashloan/shared/ports/coordination";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { SERVICES, type ServiceName } from "@flashloan/shared/telemetry/declarations";
import { ServiceProcess } from "../support/platform-process.ts";
import { ServiceFleet } from "../support/service-fleet.ts";

// The services as containers run them: a process each, on the real servers.
const POLL = { timeout: 60_000, interval: 100 };
const DEADLINE_MS = 60_000;
let fleet: ServiceFleet;
let coordination: Coordination;

beforeAll(async () => {
  fleet = await ServiceFleet.open();
  coordination = await openCoordination(fleet.etcd.url);
});
afterAll(async () => {
  await coordination.stop();
  await fleet.stop();
});

const addressOf = (service: ServiceName): string => fleet.addressOf(service);
const processOf = (service: ServiceName): ServiceProcess => fleet.processOf(service);
const readyFileOf = (service: ServiceName): string => fleet.readyFileOf(service);

async function readinessOf(service: ServiceName): Promise<string> {
  const { status, text } = await fleet.ask(service, "/ready");
  return `${status} ${text.trim()}`;
}

async function isServing(service: ServiceName): Promise<boolean> {
  const client = new RpcClient(addressOf(service));
  try {
    return await client.isServing();
  } finally {
    await client.stop();
  }
}

const ready = (event: { readonly event: string }): boolean => event.event === "ready";

test("a service that is started before what it needs waits, is seen waiting, and then is ready", async () => {
  fleet.start("hft-executor");
  await processOf("hft-executor").waitFor((event) => event.event === "start_waits", DEADLINE_MS);
  expect(await readinessOf("hft-executor")).toBe("503 not ready: start");
  expect(() => statSync(readyFileOf("hft-executor"))).toThrow("ENOENT");
  for (const service of SERVICES) if (service !== "hft-executor") fleet.start(service);
  // Only the one-shot job makes the ledger's tables.
  const waits = await processOf("checkpoint").waitFor((event) => event.event === "start_waits", DEADLINE_MS);
  expect(waits["error"]).toMatchObject({
    message: expect.stringContaining(
      'lacks 0001_ledger, 0002_group_commit, 0003_rollback, 0004_compaction, 0005_updates_in_place: run "flashloan migrate"',
    ),
  });
  expect(await fleet.migrate()).toEqual([
    { event: "migrated", schemas: { checkpoint: "0005_updates_in_place", supervisor: "0001_supervisor" } },
  ]);
  await Promise.all(SERVICES.map((service) => processOf(service).waitFor(ready, DEADLINE_MS)));
  for (const service of SERVICES) {
    expect([service, await readinessOf(service), await isServing(service)]).toEqual([service, "200 ready", true]);
    await expect.poll(() => Date.now() - statSync(readyFileOf(service)).mtimeMs, POLL).toBeLessThan(3_000);
    await expect
      .poll(async () => (await coordination.instances(service)).map(({ address }) => address), POLL)
      .toEqual([addressOf(service)]);
  }
});

test("without its database the checkpoint is not ready, nor is who needs it; nobody exits, and both come back", async () => {
  const counts = SERVICES.map((service) => processOf(service).events.length);
  await fleet.postgres.stop();
  await expect.poll(() => readinessOf("checkpoint"), POLL).toBe("503 not ready: database");
  await expect.poll(() => readinessOf("hft-executor"), POLL).toBe("503 not ready: checkpoint");
  expect([await isServing("checkpoint"), await isServing("hft-executor"), await isServing("risk-manager")]).toEqual([
    false,
    false,
    true,
  ]);
  const ageMs = (): number => Date.now() - statSync(readyFileOf("checkpoint")).mtimeMs;
  await expect.poll(ageMs, POLL).toBeGreaterThan(3_000);
  await fleet.postgres.start();
  for (const [index, service] of SERVICES.entries())
    if (service === "checkpoint" || service === "hft-executor")
      await processOf(service).waitFor(ready, DEADLINE_MS, counts[index]);
  await expect.poll(ageMs, POLL).toBeLessThan(3_000);
  expect(await Promise.all(SERVICES.map(readinessOf))).toEqual(SERVICES.map(() => "200 ready"));
});

test("an outage of RabbitMQ or etcd does not take readiness away, and is seen in the metrics", async () => {
  await Promise.all([fleet.rabbit.stop(), fleet.etcd.stop()]);
  const scrape = async (): Promise<string[]> => {
    const { text } = await fleet.ask("hft-executor", "/metrics");
    return text.split("\n").filter((line) => /^flashloan_(bus_connected|coordination_reachable|ready)\{/.test(line));
  };
  const lines = (bus: number, registry: number): string[] => [
    'flashloan_ready{service="hft-executor"} 1',
    `flashloan_bus_connected{service="hft-executor"} ${bus}`,
    `flashloan_coordination_reachable{service="hft-executor"} ${registry}`,
  ];
  await expect.poll(scrape, POLL).toEqual(lines(0, 0));
  await Promise.all([fleet.rabbit.start(), fleet.etcd.start()]);
  await expect.poll(scrape, POLL).toEqual(lines(1, 1));
  for (const service of SERVICES)
    await expect
      .poll(async () => (await coordination.instances(service)).map(({ address }) => address), POLL)
      .toEqual([addressOf(service)]);
});

test("a signal ends each with code 0, out of the registry, its ready file gone", async () => {
  for (const service of SERVICES.toReversed()) {
    processOf(service).kill("SIGTERM");
    expect(await processOf(service).exitWithin(DEADLINE_MS)).toEqual({ code: 0, signal: null });
    expect(await coordination.instances(service)).toEqual([]);
    expect(() => statSync(readyFileOf(service))).toThrow("ENOENT");
  }
});

test("a start that can't succeed ends with code 1 and says why", async () => {
  const run = async (environment: Readonly<Record<string, string>>): Promise<unknown> => {
    const service = new ServiceProcess("risk-manager", { PATH: process.env["PATH"] ?? "", ...environment });
    expect(await service.exitWithin(DEADLINE_MS)).toEqual({ code: 1, signal: null });
    return service.events.at(-1);
  };
  expect(await run({ RISK_PORT: "70000", METRICS_PORT: "x", GRPC_TLS_FOLDER: "" })).toMatchObject({
    level: "fatal",
    event: "start_failed",
    error: {
      code: "config_invalid",
      message: expect.stringMatching(/2 fault.*METRICS_PORT is "x".*RISK_PORT is "70000"/s),
    },
  });
  expect(await run({ READY_FILE: "/proc/none/ready" })).toMatchObject({
    error: { code: "config_invalid", message: expect.stringContaining('READY_FILE is "/proc/none/ready"') },
  });
});
