import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort } from "@flashloan/devnet/anvil";
import { SupervisorServiceService as Api, UnitCommand, UnitPhase } from "@flashloan/proto/supervisor/v1/supervisor";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { CommandProcess, ServiceProcess } from "../support/platform-process.ts";
import { startEtcd, startPostgres, type TestServer } from "../support/servers.ts";

// Two supervisors as containers run them, on a real etcd and PostgreSQL; of the engine's proxy only what they ask it for.
const DEADLINE_MS = 120_000;
const POLL = { timeout: DEADLINE_MS, interval: 100 };
const UNIT = "database";
const CONTAINER = "c".repeat(64);
const lifecycle = new Lifecycle();
let etcd: TestServer;
let postgres: TestServer;

/** One container, and who restarted it when. */
const engine = { health: "healthy", startedAt: new Date(0).toISOString(), restarts: 0, asked: 0 };
let proxy: Server;

beforeAll(async () => {
  proxy = createServer((request, response) => {
    engine.asked += 1;
    const path = (request.url ?? "").split("?")[0];
    const labels = { "flashloan.supervised": "true", "flashloan.unit": UNIT, "flashloan.group": "infrastructure" };
    const declared = { ...labels, "flashloan.speaks": "nothing", "flashloan.order": "0" };
    const state = {
      Status: "running",
      Paused: false,
      OOMKilled: false,
      ExitCode: 0,
      StartedAt: engine.startedAt,
      FinishedAt: engine.startedAt,
      Health: { Status: engine.health },
    };
    const answers: Record<string, unknown> = {
      "/containers/json": [{ Id: CONTAINER, Created: 0, State: "running", Labels: declared }],
      [`/containers/${CONTAINER}/json`]: { Id: CONTAINER, RestartCount: 0, State: state, Config: { Labels: declared } },
      [`/containers/${CONTAINER}/logs`]: { lines: [] },
    };
    if (path === "/events") {
      response.writeHead(200).flushHeaders();
      const signs = setInterval(() => response.write("\n"), 5_000);
      return void response.once("close", () => clearInterval(signs));
    }
    if (request.method === "POST") {
      engine.restarts += 1;
      engine.health = "healthy";
      engine.startedAt = new Date().toISOString();
      return void response.writeHead(204).end();
    }
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answers[path ?? ""]));
  });
  await new Promise<void>((resolve) => void proxy.listen(0, "127.0.0.1", resolve));
  lifecycle.onStop("proxy", () => {
    proxy.closeAllConnections();
    proxy.close();
  });
  [etcd, postgres] = await Promise.all([startEtcd(), startPostgres()]);
  for (const server of [etcd, postgres]) lifecycle.onStop("server", () => server.remove());
  const urls = { CHECKPOINT_DATABASE_URL: postgres.url, SUPERVISOR_DATABASE_URL: postgres.url };
  const migration = await new CommandProcess(["migrate", "--json"], urls).exitWithin(DEADLINE_MS);
  if (migration.code !== 0) throw new Error(`the migration ended with ${migration.code}`);
});
afterAll(() => lifecycle.stop());

async function start(): Promise<{ process: ServiceProcess; client: RpcClient }> {
  const port = await freePort();
  const supervisor = new ServiceProcess("supervisor", {
    PATH: process.env["PATH"] ?? "",
    COORDINATION_URL: etcd.url,
    SUPERVISOR_PORT: String(port),
    SUPERVISOR_DATABASE_URL: postgres.url,
    SUPERVISOR_UNITS_URL: `docker:http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
  });
  lifecycle.onStop("supervisor", async () => {
    supervisor.kill("SIGCONT");
    await supervisor.stop();
  });
  await supervisor.waitFor(({ event }) => event === "service_started", DEADLINE_MS);
  return { process: supervisor, client: lifecycle.add("client", new RpcClient(`127.0.0.1:${port}`)) };
}
const leads = async (client: RpcClient): Promise<boolean> => (await client.unary(Api.getStatus, {})).leading;
const phase = async (client: RpcClient): Promise<UnitPhase | undefined> =>
  (await client.unary(Api.getStatus, {})).units[0]?.phase;

test("the leader is frozen past its lease while the unit fails: the other acts, once, and the first leads no more", async () => {
  const first = await start();
  await first.process.waitFor(({ event }) => event === "supervisor_leads", DEADLINE_MS);
  await expect.poll(() => phase(first.client), POLL).toBe(UnitPhase.UNIT_PHASE_UP);
  const second = await start();
  expect([await leads(first.client), await leads(second.client)]).toEqual([true, false]);
  const order = { unit: UNIT, operator: "test", reason: "asked of the wrong one" };
  await expect(
    second.client.unary(Api.commandUnit, { ...order, command: UnitCommand.UNIT_COMMAND_RESET }),
  ).rejects.toThrow("does not lead");

  first.process.kill("SIGSTOP");
  await second.process.waitFor(({ event }) => event === "supervisor_leads", DEADLINE_MS);
  engine.health = "unhealthy";
  await expect.poll(() => engine.restarts, POLL).toBe(1);
  await expect.poll(() => phase(second.client), POLL).toBe(UnitPhase.UNIT_PHASE_UP);
  await second.client.unary(Api.commandUnit, { ...order, command: UnitCommand.UNIT_COMMAND_RESET });

  // It wakes up in the middle of the next failure, believing that it leads.
  engine.health = "unhealthy";
  first.process.kill("SIGCONT");
  await expect.poll(() => engine.restarts, POLL).toBe(2);
  await expect.poll(() => leads(first.client), POLL).toBe(false);
  await expect.poll(() => phase(second.client), POLL).toBe(UnitPhase.UNIT_PHASE_UP);
  // Both have looked again since.
  const asked = engine.asked;
  await expect.poll(() => engine.asked, POLL).toBeGreaterThan(asked + 5);
  expect(engine.restarts).toBe(2);
  const { incidents } = await second.client.unary(Api.listIncidents, { unit: UNIT, pageSize: 0, pageToken: "" });
  expect(incidents.map(({ fault, outcome }) => [fault, outcome])).toEqual([
    ["unhealthy", "healed"],
    ["unhealthy", "healed"],
  ]);
});
