import { z } from "zod";
import {
  SupervisorServiceService,
  type UnitCommand,
  UnitPhase,
  type CommandUnitRequest,
  type Incident as WireIncident,
  type ListCommandsRequest,
  type ListIncidentsRequest,
  type RegisterUnitRequest,
  type SupervisorServiceServer,
  type Unit as WireUnit,
  type UnitDeclaration as WireDeclaration,
} from "@flashloan/proto/supervisor/v1/supervisor";
import { descriptorFile } from "@flashloan/proto/descriptor";
import { openDatabase } from "@flashloan/shared/adapters/open";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import type { Database } from "@flashloan/shared/ports/database";
import { createRandom } from "@flashloan/shared/random";
import { startRpcServer, unary } from "@flashloan/shared/rpc-server";
import type { Service, ServiceContext } from "@flashloan/shared/service";
import { createAlarm } from "./alerts.ts";
import type { SupervisorConfig } from "./config.ts";
import { createDiagnostician } from "./diagnosis.ts";
import type { DiagnosisAgent } from "./diagnosis-agent.ts";
import { createDiagnosisProcess } from "./diagnosis-process.ts";
import type { PastFailure, UnitDriver } from "./driver.ts";
import { createEvidence } from "./evidence.ts";
import { SupervisorStore, type CommandRecord, type Incident } from "./incidents.ts";
import { SUPERVISOR_MIGRATIONS, SUPERVISOR_SCHEMA } from "./schema.ts";
import { Supervisor } from "./supervisor.ts";
import { SupervisionTree, type Phase, type UnitView } from "./tree.ts";
import { nameSchema, unitDeclarationSchema, type UnitDeclaration } from "./unit.ts";

const PHASES: Readonly<Record<Phase, UnitPhase>> = {
  starting: UnitPhase.UNIT_PHASE_STARTING,
  up: UnitPhase.UNIT_PHASE_UP,
  degraded: UnitPhase.UNIT_PHASE_DEGRADED,
  down: UnitPhase.UNIT_PHASE_DOWN,
  restarting: UnitPhase.UNIT_PHASE_RESTARTING,
  crash_loop: UnitPhase.UNIT_PHASE_CRASH_LOOP,
  quarantined: UnitPhase.UNIT_PHASE_QUARANTINED,
};
const COMMANDS = { 1: "restart", 2: "quarantine", 3: "release", 4: "reset" } as const;

/** A diagnosis is there by then; most of it is loading. */
const DIAGNOSIS_DEADLINE_MS = 60_000;
const DIAGNOSIS_STEPS_MAX = 8;

const pageToken = z.string().regex(/^\d{0,19}$/, "must be a next_page_token of an earlier answer");
const pageSize = z.number().int().min(0, "must not be negative");
const commandSchema = z.object({
  unit: nameSchema,
  command: z.union([z.literal(1), z.literal(2), z.literal(3), z.literal(4)], {
    error: "must be RESTART, QUARANTINE, RELEASE or RESET",
  }),
  operator: z.string().min(1, "must say who orders it").max(128),
  reason: z.string().min(1, "must say why").max(500),
});
const registrationSchema = z.object({
  declaration: z.object({ ...unitDeclarationSchema.shape, address: z.string().max(256) }),
});

/**
 * Starts the supervisor's gRPC server; it begins to watch once it leads.
 * @param driver how its units are reached
 * @param given an agent in place of the configured model's; what ended the process before this one
 * @throws FlashloanError port_taken, data_folder_unusable, service_unavailable
 */
export async function createSupervisorService(
  config: SupervisorConfig,
  context: ServiceContext,
  driver: UnitDriver,
  given: { readonly agent?: DiagnosisAgent; readonly pastFailures?: readonly PastFailure[] } = {},
): Promise<Service> {
  const lifecycle = new Lifecycle();
  try {
    const database: Database = lifecycle.add("database", await openDatabase(config.SUPERVISOR_DATABASE_URL));
    await database.ensureSchema(SUPERVISOR_MIGRATIONS, SUPERVISOR_SCHEMA);
    const store = new SupervisorStore(database, context.log);
    const targets = {
      alertmanagerUrl: config.SUPERVISOR_ALERTMANAGER_URL,
      webhookUrl: config.SUPERVISOR_WEBHOOK_URL,
    };
    const supervisor = lifecycle.add(
      "supervisor",
      new Supervisor({
        driver,
        plant: () => new SupervisionTree(config.SUPERVISOR_TREE, createRandom(context.clock.now())),
        store,
        alarm: createAlarm(context, targets),
        diagnostician: createDiagnostician({
          agent: given.agent ?? (await openAgent(config)),
          evidence: createEvidence({
            driver,
            store,
            prometheusUrl: config.SUPERVISOR_PROMETHEUS_URL,
            jaegerUrl: config.SUPERVISOR_JAEGER_URL,
          }),
          log: context.log,
          clock: context.clock,
          deadlineMs: DIAGNOSIS_DEADLINE_MS,
          stepsMax: DIAGNOSIS_STEPS_MAX,
        }),
        context,
        pastFailures: given.pastFailures ?? [],
        restarts: config.SUPERVISOR_RESTARTS === "on",
      }),
    );
    const server = lifecycle.add(
      "rpc",
      await startRpcServer({
        host: config.SUPERVISOR_HOST,
        port: config.SUPERVISOR_PORT,
        services: [
          {
            name: "flashloan.supervisor.v1.SupervisorService",
            definition: SupervisorServiceService,
            implementation: implement(supervisor, store, driver, context),
          },
        ],
        descriptorFile,
        context,
      }),
    );
    await supervisor.start();
    return {
      ...server,
      // Without its database it acts, and keeps what happened for later; without etcd another one may lead.
      needs: {},
      stop: () => lifecycle.stop(),
    };
  } catch (error) {
    await lifecycle.stop().catch((stopError: unknown) => context.log.error({ error: stopError }, "stop_failed"));
    throw error;
  }
}

/** The agent of the configured model. @throws FlashloanError config_invalid when it can't be opened */
async function openAgent(config: SupervisorConfig): Promise<DiagnosisAgent> {
  // A provider's key has the provider's own variable, which only that process reads.
  const agent = createDiagnosisProcess({ config, environment: process.env });
  await agent.check();
  return agent;
}

function implement(
  supervisor: Supervisor,
  store: SupervisorStore,
  driver: UnitDriver,
  context: ServiceContext,
): SupervisorServiceServer {
  return {
    getStatus: unary(z.object({}), context, async () => ({
      leading: supervisor.leading,
      units: supervisor.units().map(toWireUnit),
      driver: driver.kind,
    })),
    registerUnit: unary(registrationSchema, context, async ({ declaration }: RegisterUnitRequest) => {
      if (declaration) supervisor.register(fromWireDeclaration(declaration));
      return {};
    }),
    commandUnit: unary(commandSchema, context, async ({ unit, command, operator, reason }: CommandUnitRequest) => ({
      unit: toWireUnit(
        await supervisor.command({ unit, command: COMMANDS[command as keyof typeof COMMANDS], operator, reason }),
      ),
    })),
    listIncidents: unary(
      z.object({ unit: nameSchema.or(z.literal("")), pageSize, pageToken }),
      context,
      async (request: ListIncidentsRequest) => {
        const { items, next } = await store.incidents(
          request.unit || undefined,
          request.pageToken || undefined,
          clampPage(request.pageSize),
        );
        return { incidents: items.map(toWireIncident), nextPageToken: next ?? "" };
      },
    ),
    listCommands: unary(z.object({ pageSize, pageToken }), context, async (request: ListCommandsRequest) => {
      const { items, next } = await store.commands(request.pageToken || undefined, clampPage(request.pageSize));
      return {
        commands: items.map((record) => ({
          ...record,
          atMs: BigInt(record.atMs),
          command: toWireCommand(record.command),
        })),
        nextPageToken: next ?? "",
      };
    }),
  };
}

function toWireUnit({ declaration, phase, sinceMs, reason, attempts, notBeforeMs }: UnitView): WireUnit {
  return {
    declaration: { ...declaration, address: declaration.address ?? "" },
    phase: PHASES[phase],
    sinceMs: BigInt(sinceMs),
    reason,
    attempts,
    notBeforeMs: BigInt(Math.ceil(notBeforeMs)),
  };
}

function fromWireDeclaration({ address, ...rest }: WireDeclaration): UnitDeclaration {
  return unitDeclarationSchema.parse(address === "" ? rest : { ...rest, address });
}

function toWireIncident(incident: Incident): WireIncident {
  return {
    id: incident.id,
    unit: incident.unit,
    fault: incident.fault,
    openedAtMs: BigInt(incident.openedAtMs),
    closedAtMs: BigInt(incident.closedAtMs ?? 0),
    outcome: incident.outcome ?? "",
    entries: incident.entries.map(({ atMs, kind, text }) => ({ atMs: BigInt(atMs), kind, text })),
  };
}

function toWireCommand(command: CommandRecord["command"]): UnitCommand {
  const [wire] = Object.entries(COMMANDS).find(([, name]) => name === command) ?? ["0"];
  return Number(wire) as UnitCommand;
}

function clampPage(size: number): number {
  return size === 0 ? 100 : Math.min(size, 1_000);
}
