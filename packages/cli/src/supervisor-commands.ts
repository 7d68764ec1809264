import { userInfo } from "node:os";
import { Option, type Command } from "commander";
import { readEndpoints } from "@flashloan/embedded/data-folder";
import {
  SupervisorServiceService as SupervisorApi,
  UnitCommand,
  UnitPhase,
  type Unit,
} from "@flashloan/proto/supervisor/v1/supervisor";
import { FlashloanError } from "@flashloan/shared/errors";
import type { RpcClient } from "@flashloan/shared/rpc-client";
import { openClient } from "./client.ts";
import { table, toJsonLine } from "./format.ts";

interface Target {
  readonly dataDir: string;
  readonly supervisor?: string;
  readonly json: boolean;
}

const PHASES: Readonly<Record<number, string>> = {
  [UnitPhase.UNIT_PHASE_STARTING]: "starting",
  [UnitPhase.UNIT_PHASE_UP]: "up",
  [UnitPhase.UNIT_PHASE_DEGRADED]: "degraded",
  [UnitPhase.UNIT_PHASE_DOWN]: "down",
  [UnitPhase.UNIT_PHASE_RESTARTING]: "restarting",
  [UnitPhase.UNIT_PHASE_CRASH_LOOP]: "crash loop",
  [UnitPhase.UNIT_PHASE_QUARANTINED]: "quarantined",
};
const ORDERS = {
  restart: [UnitCommand.UNIT_COMMAND_RESTART, "drain a unit and start it again; counts as no failure"],
  quarantine: [UnitCommand.UNIT_COMMAND_QUARANTINE, "leave a unit as it is: no restart until it is released"],
  release: [UnitCommand.UNIT_COMMAND_RELEASE, "end a unit's quarantine"],
  reset: [UnitCommand.UNIT_COMMAND_RESET, "begin a unit's back-off and its group's count of restarts anew"],
} as const;
/** A planned restart drains first. */
const ORDER_DEADLINE_MS = 90_000;

/** Adds the commands that speak to the supervisor. */
export function addSupervisorCommands(program: Command, dataDir: string): void {
  const command = (name: string, description: string): Command =>
    program
      .command(name)
      .description(description)
      .option(
        "--data-dir <path>",
        "data folder of the running platform, which says where its supervisor listens",
        dataDir,
      )
      .addOption(
        new Option("--supervisor <host:port>", "address of the supervisor, instead of the data folder's").env(
          "FLASHLOAN_SUPERVISOR",
        ),
      )
      .option("--json", "machine-readable output", false);

  command("units", "show every unit under supervision: where it is in its life, since when, and why").action(showUnits);
  command("incidents", "list failures of units, newest first, with what was done about them")
    .option("--unit <name>", "only of this unit", "")
    .action(showIncidents);
  for (const [name, [order, description]] of Object.entries(ORDERS))
    command(`unit-${name}`, `${description}; kept with who ordered it and why`)
      .argument("<unit>", "the unit, as `flashloan units` names it")
      .requiredOption("--reason <text>", "why; kept with the order")
      .action(async (unit: string, target: Target & { reason: string }) => {
        const operator = userInfo().username;
        const request = { unit, command: order, operator, reason: target.reason };
        const { unit: now } = await withSupervisor(target, (client) =>
          client.unary(SupervisorApi.commandUnit, request, { deadlineMs: ORDER_DEADLINE_MS }),
        );
        if (now) print(target.json ? toJsonLine(describe(now)) : `${unit} is ${PHASES[now.phase]}`);
      });
}

async function showUnits(target: Target): Promise<void> {
  const { units, leading, driver } = await withSupervisor(target, (client) =>
    client.unary(SupervisorApi.getStatus, {}),
  );
  if (target.json) return print(toJsonLine({ leading, driver, units: units.map(describe) }));
  if (!leading) print("this supervisor does not lead: another one acts");
  const rows = units.map((unit) => {
    const { id, group, phase, since, attempts, reason } = describe(unit);
    return [id, group, phase, `since ${since}`, attempts === 0 ? "" : `${attempts} restarts in a row`, reason];
  });
  print(rows.length === 0 ? "no units" : table(rows));
}

async function showIncidents(target: Target & { unit: string }): Promise<void> {
  const { incidents } = await withSupervisor(target, (client) =>
    client.unary(SupervisorApi.listIncidents, { unit: target.unit, pageSize: 20, pageToken: "" }),
  );
  const at = (ms: bigint): string => new Date(Number(ms)).toISOString();
  if (target.json) return print(toJsonLine({ incidents }));
  if (incidents.length === 0) print("no incidents");
  for (const { unit, fault, openedAtMs, closedAtMs, outcome, entries } of incidents) {
    const end = closedAtMs === 0n ? "open" : `${outcome} after ${Number(closedAtMs - openedAtMs) / 1_000} s`;
    print(`${at(openedAtMs)} ${unit}: ${fault}, ${end}`);
    for (const { kind, text } of entries) print(`  ${kind}: ${text.split("\n").join("\n    ")}`);
  }
}

/** A unit in words. */
function describe(unit: Unit): {
  id: string;
  group: string;
  phase: string;
  since: string;
  attempts: number;
  reason: string;
} {
  return {
    id: unit.declaration?.id ?? "",
    group: unit.declaration?.group ?? "",
    phase: PHASES[unit.phase] ?? "unknown",
    since: new Date(Number(unit.sinceMs)).toISOString(),
    attempts: unit.attempts,
    reason: unit.reason,
  };
}

async function withSupervisor<T>(target: Target, use: (client: RpcClient) => Promise<T>): Promise<T> {
  const address = target.supervisor ?? readEndpoints(target.dataDir)?.supervisor;
  if (address === undefined)
    throw new FlashloanError(
      "service_unavailable",
      `no supervised platform is running in ${target.dataDir}: start one with "npm start", name its folder with --data-dir, or its supervisor with --supervisor`,
    );
  const client = openClient(address);
  try {
    return await use(client);
  } finally {
    await client.stop();
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
