import { afterEach, expect, test } from "vitest";
import { RiskManagerServiceService as Risk } from "@flashloan/proto/risk/v1/risk";
import {
  SupervisorServiceService as Api,
  UnitCommand,
  UnitPhase,
  type Incident,
  type Unit,
} from "@flashloan/proto/supervisor/v1/supervisor";
import { descriptorFile } from "@flashloan/proto/descriptor";
import { openCoordination } from "@flashloan/shared/adapters/open";
import { readConfig } from "@flashloan/shared/config";
import { testContext } from "@flashloan/shared/contract/context";
import { FlashloanError } from "@flashloan/shared/errors";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import type { CloudEvent } from "@flashloan/shared/ports/event-bus";
import type { Coordination } from "@flashloan/shared/ports/coordination";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { startRpcServer } from "@flashloan/shared/rpc-server";
import type { ServiceContext } from "@flashloan/shared/service";
import { supervisorConfigSchema } from "../src/config.ts";
import type { PastFailure, UnitDriver, UnitSighting } from "../src/driver.ts";
import { createSupervisorService } from "../src/service.ts";

const POLL = { timeout: 60_000, interval: 50 };
let lifecycle = new Lifecycle();
afterEach(async () => {
  await lifecycle.stop();
  lifecycle = new Lifecycle();
});

type Sickness = "none" | "silent" | "wrong";

/** Real gRPC servers that can be made to fail, and their driver, which counts what is done to them. */
class Ward implements UnitDriver {
  readonly kind = "docker";
  readonly restarts: string[] = [];
  /** Units whose restart does not help: they are sick again at once. */
  readonly incurable = new Set<string>();
  #hint: () => void = () => undefined;
  readonly #units = new Map<
    string,
    { sickness: Sickness; port: number; run: number; server: Awaited<ReturnType<typeof startRpcServer>> | undefined }
  >();

  async admit(id: string): Promise<void> {
    const unit = { sickness: "none" as Sickness, port: 0, run: 0, server: undefined };
    this.#units.set(id, unit);
    await this.#start(id);
  }

  sicken(id: string, sickness: Sickness): void {
    this.#unit(id).sickness = sickness;
  }

  /** Ends a unit as a crash does. */
  async crash(id: string): Promise<void> {
    const unit = this.#unit(id);
    const { server } = unit;
    unit.server = undefined;
    await server?.stop();
    this.#hint();
  }

  async sightings(): Promise<readonly UnitSighting[]> {
    return [...this.#units].map(([id, { port, run, server }]) => ({
      declaration: {
        id,
        group: "trading",
        dependsOn: [],
        speaks: "grpc" as const,
        address: `127.0.0.1:${port}`,
        order: 0,
      },
      state: server ? ("running" as const) : ("ended" as const),
      incarnation: String(run),
      startedAtMs: 0,
      lastExit: server ? undefined : { code: 1, outOfMemory: false },
      health: "unknown" as const,
    }));
  }

  onHint(hint: () => void): void {
    this.#hint = hint;
  }

  async restart(id: string): Promise<void> {
    this.restarts.push(id);
    const unit = this.#unit(id);
    await unit.server?.stop();
    unit.server = undefined;
    if (this.incurable.has(id)) throw new FlashloanError("service_unavailable", "it does not start");
    unit.sickness = "none";
    await this.#start(id);
  }

  async logs(id: string): Promise<readonly string[]> {
    return [`the last words of ${id}`];
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#units.values()].map(async ({ server }) => server?.stop()));
  }

  async #start(id: string): Promise<void> {
    const unit = this.#unit(id);
    const context = testContext("risk-manager");
    const never = new Promise<never>(() => undefined);
    const implementation = {
      checkPlan: (_call: unknown, answer: (error: null, value: unknown) => void) => {
        if (unit.sickness === "silent") return void never;
        const wrong = unit.sickness === "wrong";
        answer(null, { approved: wrong, refusals: wrong ? [] : [{ rule: "max_loan", value: "1", limit: "0" }] });
      },
    };
    unit.server = await startRpcServer({
      host: "127.0.0.1",
      port: unit.port,
      services: [{ name: "flashloan.risk.v1.RiskManagerService", definition: Risk, implementation }],
      descriptorFile,
      context,
    });
    unit.port = Number(unit.server.address.split(":")[1]);
    unit.run += 1;
    unit.server.setServing(true);
  }

  #unit(id: string) {
    const unit = this.#units.get(id);
    if (!unit) throw new FlashloanError("not_found", `no unit ${id}`);
    return unit;
  }
}

async function supervise(
  ward: Ward,
  given: {
    environment?: Record<string, string>;
    coordination?: Coordination;
    databaseUrl?: string;
    pastFailures?: readonly PastFailure[];
  } = {},
): Promise<{ client: RpcClient; context: ServiceContext; alerts: CloudEvent[] }> {
  const context = testContext("supervisor", {
    coordination: given.coordination ?? (await openCoordination("memory:")),
  });
  const config = readConfig(supervisorConfigSchema, {
    SUPERVISOR_PORT: "0",
    SUPERVISOR_DATABASE_URL: given.databaseUrl ?? "pglite:",
    ...given.environment,
  });
  const { pastFailures = [] } = given;
  const alerts: CloudEvent[] = [];
  await context.bus.subscribe({ group: "test", pattern: "flashloan.supervisor.alert" }, async (event) => {
    alerts.push(event);
  });
  const service = lifecycle.add("supervisor", await createSupervisorService(config, context, ward, { pastFailures }));
  const client = lifecycle.add("client", new RpcClient(service.address));
  return { client, context, alerts };
}

async function ward(...ids: string[]): Promise<Ward> {
  const made = lifecycle.add("ward", new Ward());
  for (const id of ids) await made.admit(id);
  return made;
}

const unitsOf = async (client: RpcClient): Promise<Unit[]> => (await client.unary(Api.getStatus, {})).units;
const phases = async (client: RpcClient): Promise<Record<string, UnitPhase>> =>
  Object.fromEntries((await unitsOf(client)).map(({ declaration, phase }) => [declaration?.id, phase]));
const incidentsOf = async (client: RpcClient, unit = ""): Promise<Incident[]> =>
  (await client.unary(Api.listIncidents, { unit, pageSize: 0, pageToken: "" })).incidents;
const UP = UnitPhase.UNIT_PHASE_UP;

test("a crash and a wrong answer: each is noticed, healed, told and kept, and nobody else is touched", async () => {
  const units = await ward("risk-manager", "healthy");
  const { client, alerts, context } = await supervise(units);
  await expect.poll(() => phases(client), POLL).toEqual({ "risk-manager": UP, healthy: UP });
  await units.crash("risk-manager");
  await expect.poll(() => incidentsOf(client), POLL).toMatchObject([{ fault: "crash", outcome: "healed" }]);
  await client.unary(Api.commandUnit, {
    unit: "risk-manager",
    command: UnitCommand.UNIT_COMMAND_RESET,
    operator: "test",
    reason: "between faults",
  });
  units.sicken("risk-manager", "wrong");
  await expect
    .poll(() => incidentsOf(client), POLL)
    .toMatchObject([
      { fault: "wrong_answer", outcome: "healed" },
      { fault: "crash", outcome: "healed" },
    ]);
  expect(units.restarts).toEqual(["risk-manager", "risk-manager"]);
  const [wrong] = await incidentsOf(client, "risk-manager");
  expect(wrong?.entries.map(({ kind }) => kind).toSorted()).toEqual(["action", "evidence", "evidence", "outcome"]);
  expect(wrong?.entries.map(({ text }) => text)).toEqual(
    expect.arrayContaining([
      expect.stringContaining("approves a plan that breaks every limit"),
      "the last words of risk-manager",
      "restart (wrong_answer)",
    ]),
  );
  expect(alerts.map(({ data }) => (data as { name: string }).name)).toEqual([
    "UnitFailed",
    "UnitHealed",
    "UnitFailed",
    "UnitHealed",
  ]);
  const figures = await context.metrics.text();
  expect(figures).toContain('flashloan_supervisor_incidents_total{fault="crash",service="supervisor"} 1');
  expect(figures).toContain('flashloan_supervisor_restarts_total{outcome="done",service="supervisor"} 2');
  expect(figures).toContain('flashloan_supervisor_units{phase="up",service="supervisor"} 2');
});

test("what ended the process before this one is an incident from when it happened, healed when whose it was is up again", async () => {
  const units = await ward("risk-manager");
  const reason = "it was blocked";
  const { client } = await supervise(units, {
    pastFailures: [
      { unit: "risk-manager", fault: "loop_blocked", reason, atMs: 1_000 },
      { unit: "platform", fault: "crash", reason, atMs: 2_000 },
    ],
  });
  await expect
    .poll(async () => (await incidentsOf(client)).filter(({ closedAtMs }) => closedAtMs > 0n), POLL)
    .toMatchObject([
      { unit: "platform", fault: "crash", openedAtMs: 2_000n, outcome: "healed" },
      { unit: "risk-manager", fault: "loop_blocked", openedAtMs: 1_000n, outcome: "healed" },
    ]);
  expect(units.restarts).toEqual([]);
});

test("what keeps failing is quarantined after the intensity, told as critical, and comes back when it is released", async () => {
  const units = await ward("broken", "healthy");
  const tree = JSON.stringify({ name: "root", groups: [{ name: "trading", intensity: 1 }] });
  const { client, alerts } = await supervise(units, { environment: { SUPERVISOR_TREE: tree } });
  await expect.poll(() => phases(client), POLL).toEqual({ broken: UP, healthy: UP });
  units.incurable.add("broken");
  await units.crash("broken");
  await expect.poll(() => phases(client), POLL).toEqual({ broken: UnitPhase.UNIT_PHASE_QUARANTINED, healthy: UP });
  expect(units.restarts).toEqual(["broken"]);
  expect(alerts.map(({ data }) => (data as { severity: string }).severity)).toEqual(["warning", "critical"]);
  expect(await incidentsOf(client)).toMatchObject([{ outcome: "quarantined" }]);
  units.incurable.delete("broken");
  const order = { unit: "broken", operator: "ann", reason: "mended" };
  await client.unary(Api.commandUnit, { ...order, command: UnitCommand.UNIT_COMMAND_RELEASE });
  await expect.poll(() => phases(client), POLL).toEqual({ broken: UP, healthy: UP });
  const { commands } = await client.unary(Api.listCommands, { pageSize: 0, pageToken: "" });
  expect(commands).toMatchObject([{ ...order, command: UnitCommand.UNIT_COMMAND_RELEASE, outcome: "ok" }]);
});

test("an operator's restart drains, counts as no failure, and bad orders are refused by name", async () => {
  const units = await ward("a");
  const { client } = await supervise(units);
  await expect.poll(() => phases(client), POLL).toEqual({ a: UP });
  const order = { unit: "a", command: UnitCommand.UNIT_COMMAND_RESTART, operator: "ann", reason: "new release" };
  await client.unary(Api.commandUnit, order);
  await expect.poll(() => phases(client), POLL).toEqual({ a: UP });
  expect([units.restarts, await incidentsOf(client)]).toEqual([["a"], []]);
  expect((await unitsOf(client))[0]).toMatchObject({ attempts: 0 });
  await expect(client.unary(Api.commandUnit, { ...order, unit: "b" })).rejects.toThrow(
    'there is no unit "b"; known: a',
  );
  await expect(client.unary(Api.commandUnit, { ...order, operator: "" })).rejects.toThrow("operator");
  await expect(client.unary(Api.commandUnit, { ...order, command: 0 })).rejects.toThrow("must be RESTART");
});

test("two supervisors, the first frozen past its lease and unaware of it: one acts, the other is refused", async () => {
  const units = await ward("a");
  // The first never learns that its leadership is lost; meanwhile the second is given its own.
  let token = 0n;
  const shared = await openCoordination("memory:");
  const blind: Coordination = {
    ...shared,
    campaign: async () => {
      token += 1n;
      return { fencingToken: token, lost: new AbortController().signal, stop: async () => undefined };
    },
  };
  const first = await supervise(units, { coordination: blind });
  await expect.poll(() => phases(first.client), POLL).toEqual({ a: UP });
  const second = await supervise(units, { coordination: blind });
  await expect.poll(() => phases(second.client), POLL).toEqual({ a: UP });
  // The second acts once: from then on its token stands.
  const order = { unit: "a", command: UnitCommand.UNIT_COMMAND_RESTART, operator: "ann", reason: "mark" };
  await second.client.unary(Api.commandUnit, order);
  await expect.poll(() => phases(second.client), POLL).toEqual({ a: UP });
  await units.crash("a");
  await expect.poll(() => incidentsOf(second.client), POLL).toMatchObject([{ fault: "crash", outcome: "healed" }]);
  // Whether the first has seen that failure or not: what it sets about is not done.
  await first.client.unary(Api.commandUnit, order);
  await expect
    .poll(async () => {
      const [, failed] = /restarts_total\{outcome="failed",service="supervisor"\} (\d+)/.exec(
        await first.context.metrics.text(),
      ) ?? ["", "0"];
      return Number(failed);
    }, POLL)
    .toBeGreaterThan(0);
  expect(units.restarts).toEqual(["a", "a"]);
});

test("watch only: failures are told, nothing is restarted", async () => {
  const units = await ward("a");
  const { client, alerts } = await supervise(units, { environment: { SUPERVISOR_RESTARTS: "off" } });
  await expect.poll(() => phases(client), POLL).toEqual({ a: UP });
  await units.crash("a");
  await expect.poll(() => alerts.length, POLL).toBe(1);
  expect([units.restarts, await incidentsOf(client)]).toMatchObject([[], [{ unit: "a", outcome: "" }]]);
});
