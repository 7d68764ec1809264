import {
  ExecutionState,
  HftExecutorServiceService as ExecutorApi,
  type SummarizeResponse,
} from "@flashloan/proto/executor/v1/executor";
import {
  SupervisorServiceService as SupervisorApi,
  UnitCommand,
  UnitPhase,
} from "@flashloan/proto/supervisor/v1/supervisor";
import type { Incident } from "@flashloan/proto/supervisor/v1/supervisor";
import { systemClock } from "@flashloan/shared/clock";
import type { RpcClient } from "@flashloan/shared/rpc-client";
import { median } from "../support/median.ts";

// What can befall a service, and how long the supervisor takes to mend it; where and how it is done differs.

const HEAL_DEADLINE_MS = 180_000;
const LOOK_EVERY_MS = 100;

/** Where faults are done. */
export interface FaultPlace<F extends string> {
  /** The supervisor as it can be reached now. */
  readonly supervisor: () => RpcClient;
  /** Makes ready; the deed is what it returns. */
  prepare(unit: string, fault: F): Promise<() => Promise<void>>;
  /** Which run each unit is in. */
  runs(): Promise<ReadonlyMap<string, string>>;
  /** As what the supervisor may know each fault. */
  readonly knownAs: Readonly<Record<F, readonly string[]>>;
  /** Whether a fault of a unit ends every other too. */
  endsAll(unit: string, fault: F): boolean;
}

/** One fault of one unit. */
export interface Healed<F extends string> {
  readonly unit: string;
  readonly fault: F;
  /** As what the supervisor knew it. */
  readonly knownAs: string;
  /** From the deed until it was noticed. */
  readonly noticedMs: number;
  /** From the deed until the unit did its work again. */
  readonly healedMs: number;
}

/** Does each fault to each unit, one at a time, and waits until it is healed. @throws when it is not, or another unit was touched */
export async function runFaults<F extends string>(
  place: FaultPlace<F>,
  units: readonly string[],
  faults: readonly F[],
  report: (line: string) => void,
): Promise<Healed<F>[]> {
  const healed: Healed<F>[] = [];
  for (const unit of units)
    for (const fault of faults) {
      await untilUp(place);
      await resetBackoff(place, unit);
      const before = await place.runs();
      const last = (await newestIncident(place, unit))?.id;
      const deed = await place.prepare(unit, fault);
      const atMs = Date.now();
      await deed();
      const incident = await untilClosed(place, unit, last);
      const result = {
        unit,
        fault,
        knownAs: incident.fault,
        noticedMs: Math.max(0, Number(incident.openedAtMs) - atMs),
        healedMs: Number(incident.closedAtMs) - atMs,
      };
      report(
        `${unit} ${fault}: ${result.knownAs} after ${seconds(result.noticedMs)} s, healed after ${seconds(result.healedMs)} s`,
      );
      if (!place.knownAs[fault].includes(incident.fault))
        throw new Error(`${unit} ${fault} was taken for ${incident.fault}`);
      if (incident.outcome !== "healed") throw new Error(`${unit} ${fault} ended ${incident.outcome}`);
      const after = await place.runs();
      const touched = [...before.keys()].filter((other) => other !== unit && before.get(other) !== after.get(other));
      if (touched.length > 0 && !place.endsAll(unit, fault)) {
        const why = await Promise.all(touched.map((other) => newestIncident(place, other)));
        const told = why.map((of) => (of ? `${of.fault}: ${of.entries[0]?.text}` : "no incident"));
        throw new Error(
          `${unit} ${fault}: also restarted: ${touched.map((other, i) => `${other} (${told[i]})`).join()}`,
        );
      }
      healed.push(result);
    }
  return healed;
}

/** A table of how long each fault took to be noticed and healed. */
export function faultTable<F extends string>(faults: readonly F[], healed: readonly Healed<F>[]): string[] {
  const rows = faults.map((fault) => {
    const of = healed.filter((each) => each.fault === fault);
    const [noticed, whole] = [of.map(({ noticedMs }) => noticedMs), of.map(({ healedMs }) => healedMs)];
    const cells = [median(noticed), Math.max(...noticed), median(whole), Math.max(...whole)];
    return `| ${[fault, of.length, ...cells.map((ms) => seconds(ms))].join(" | ")} |`;
  });
  return [
    "| fault | times | noticed, median | worst | healed, median | worst |",
    "| --- | ---: | ---: | ---: | ---: | ---: |",
    ...rows,
  ];
}

/** Begins a unit's back-off anew, by an order that is kept. */
async function resetBackoff(place: FaultPlace<string>, unit: string): Promise<void> {
  const command = UnitCommand.UNIT_COMMAND_RESET;
  const order = { unit, command, operator: "fault campaign", reason: "between faults" };
  await place.supervisor().unary(SupervisorApi.commandUnit, order);
}

async function untilUp(place: FaultPlace<string>): Promise<void> {
  await until(async () => {
    const { leading, units } = await place.supervisor().unary(SupervisorApi.getStatus, {}, { retries: 3 });
    return leading && units.length > 0 && units.every(({ phase }) => phase === UnitPhase.UNIT_PHASE_UP);
  }, "every unit is up");
}

/** A unit's first incident after another, once it is closed. */
async function untilClosed(place: FaultPlace<string>, unit: string, after: string | undefined): Promise<Incident> {
  let found: Incident | undefined;
  await until(async () => {
    const newest = await newestIncident(place, unit);
    if (newest !== undefined && newest.id !== after && newest.closedAtMs > 0n) found = newest;
    return found !== undefined;
  }, `${unit} is healed`);
  return found as unknown as Incident;
}

async function newestIncident(place: FaultPlace<string>, unit: string): Promise<Incident | undefined> {
  const page = { unit, pageSize: 1, pageToken: "" };
  const { incidents } = await place.supervisor().unary(SupervisorApi.listIncidents, page, { retries: 3 });
  return incidents[0];
}

/** What was traded by the ledger and by the chain, when everything that was signed has ended. */
export async function summaryAtRest(executor: RpcClient): Promise<SummarizeResponse> {
  const pause = { state: ExecutionState.EXECUTION_STATE_PAUSED, reason: "the campaign counts" };
  await executor.unary(ExecutorApi.setState, pause);
  await until(async () => (await executor.unary(ExecutorApi.getStatus, {})).inFlight === 0, "nothing is in flight");
  return executor.unary(ExecutorApi.summarize, { fromBlock: 0n, toBlock: 0n }, { deadlineMs: 60_000 });
}

async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + HEAL_DEADLINE_MS;
  let cause: unknown;
  // Who is asked may be down just now.
  while (!(await condition().catch((error: unknown) => void (cause = error)))) {
    if (performance.now() > deadline) throw new Error(`not within ${HEAL_DEADLINE_MS} ms: ${what}`, { cause });
    await systemClock.sleep(LOOK_EVERY_MS);
  }
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1);
}
