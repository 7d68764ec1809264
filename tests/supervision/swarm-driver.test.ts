import { afterAll, beforeAll, expect, test } from "vitest";
import { startEngineProxy, type EngineProxy } from "@flashloan/engine-proxy/proxy";
import { systemClock } from "@flashloan/shared/clock";
import { createLogger } from "@flashloan/shared/log";
import { createRandom } from "@flashloan/shared/random";
import type { UnitDriver, UnitSighting } from "@flashloan/supervisor/driver";
import { createSwarmDriver } from "@flashloan/supervisor/drivers/swarm";
import { docker } from "../support/stack.ts";

// The driver and the engine's proxy against a real Swarm of one node, with services that only sleep.
const STACK = "flashloan-driver-test";
const IMAGE = "node:24-trixie-slim";
const POLL = { timeout: 120_000, interval: 500 };
const SERVICES = ["own", "ends", "other"].map((name) => `${STACK}-${name}`);

/** A Swarm that was there before is left as it was. */
let joined = false;
let proxy: EngineProxy;
let driver: UnitDriver;

beforeAll(async () => {
  if ((await docker(["info", "--format", "{{.Swarm.LocalNodeState}}"])) !== "active") {
    await docker(["swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:0"]);
    joined = true;
  }
  await removeAll();
  const log = createLogger("test", "silent");
  proxy = await startEngineProxy({
    log,
    config: {
      ENGINE_PROXY_HOST: "127.0.0.1",
      ENGINE_PROXY_PORT: 0,
      ENGINE_PROXY_SOCKET: "/var/run/docker.sock",
      ENGINE_PROXY_SCOPE: "swarm",
      ENGINE_PROXY_PROJECT: STACK,
    },
  });
  driver = createSwarmDriver({ url: `http://${proxy.address}`, clock: systemClock, random: createRandom(1), log });
});
afterAll(async () => {
  await driver?.stop();
  await proxy?.stop();
  await removeAll();
  if (joined) await docker(["swarm", "leave", "--force"]);
});

async function removeAll(): Promise<void> {
  const there = (await docker(["service", "ls", "--format", "{{.Name}}"])).split("\n");
  const ours = SERVICES.filter((name) => there.includes(name));
  if (ours.length > 0) await docker(["service", "rm", ...ours]);
}
function create(name: string, options: readonly string[], command: readonly string[]): Promise<string> {
  const common = ["--detach", "--no-resolve-image", "--stop-grace-period", "1s", "--init"];
  const stack = ["--label", `com.docker.stack.namespace=${STACK}`];
  // As `docker stack deploy` labels containers.
  const container = ["--container-label", `com.docker.stack.namespace=${STACK}`];
  const all = [...common, ...stack, ...container, ...options];
  return docker(["service", "create", "--name", `${STACK}-${name}`, ...all, IMAGE, ...command]);
}
const unit = (name: string): string[] =>
  [`supervised=true`, `unit=${name}`, "group=test"].flatMap((label) => ["--label", `flashloan.${label}`]);
async function sighting(name: string): Promise<UnitSighting | undefined> {
  return (await driver.sightings()).find(({ declaration }) => declaration.id === name);
}
const tasksRunning = (name: string): Promise<string> =>
  docker(["ps", "--quiet", "--no-trunc", "--filter", `label=com.docker.swarm.service.name=${STACK}-${name}`]);

test("a labelled service is a unit; a restart replaces its task, and its specification stays what it was", async () => {
  const update = [
    "--update-order",
    "stop-first",
    "--env",
    "KEY=value",
    "--health-cmd",
    "true",
    "--health-interval",
    "1s",
  ];
  const id = await create("own", [...unit("own"), ...update], ["sh", "-c", "echo up; exec sleep infinity"]);
  await expect.poll(() => sighting("own"), POLL).toMatchObject({ state: "running", health: "healthy" });
  const before = (await sighting("own")) as UnitSighting;
  const container = await tasksRunning("own");
  await expect.poll(() => driver.logs("own", 5), POLL).toEqual(["up"]);
  const spec = (): Promise<string> => docker(["service", "inspect", "--format", "{{json .Spec}}", id]);
  const specBefore = JSON.parse(await spec()) as { TaskTemplate: { ForceUpdate: number } };

  const hinted = new Promise<void>((resolve) => driver.onHint(resolve));
  await driver.restart("own", 1_000);
  await hinted;
  await expect.poll(async () => (await sighting("own"))?.incarnation, POLL).not.toBe(before.incarnation);
  await expect.poll(() => sighting("own"), POLL).toMatchObject({ state: "running", health: "healthy" });
  await expect.poll(() => tasksRunning("own"), POLL).not.toBe(container);
  const specAfter = JSON.parse(await spec()) as typeof specBefore;
  expect(specAfter.TaskTemplate.ForceUpdate).toBe(specBefore.TaskTemplate.ForceUpdate + 1);
  specAfter.TaskTemplate.ForceUpdate = specBefore.TaskTemplate.ForceUpdate;
  expect(specAfter).toEqual(specBefore);
});

test("a service that Swarm has given up is seen ended with its exit code, and restarted", async () => {
  await create("ends", [...unit("ends"), "--restart-condition", "none"], ["sh", "-c", "exit 3"]);
  await expect.poll(() => sighting("ends"), POLL).toMatchObject({ state: "ended", lastExit: { code: 3 } });
  const before = (await sighting("ends")) as UnitSighting;
  await driver.restart("ends", 1_000);
  await expect.poll(async () => (await sighting("ends"))?.incarnation, POLL).not.toBe(before.incarnation);
});

test("a service without the label is neither seen nor touched", async () => {
  const id = await create("other", ["--label", "flashloan.unit=other"], ["sleep", "infinity"]);
  expect((await driver.sightings()).map(({ declaration }) => declaration.id)).not.toContain("other");
  for (const [method, path] of [
    ["POST", `/services/${id}/restart`],
    ["GET", `/services/${id}/logs`],
    ["POST", `/services/${id}/update?version=1`],
    ["DELETE", `/services/${id}`],
    ["GET", "/secrets"],
  ] as const)
    expect([path, (await fetch(`http://${proxy.address}${path}`, { method })).status]).toEqual([path, 403]);
  await expect(driver.restart("other", 1_000)).rejects.toMatchObject({ code: "not_found" });
});
