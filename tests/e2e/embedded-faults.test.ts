import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SupervisorServiceService as SupervisorApi, UnitPhase } from "@flashloan/proto/supervisor/v1/supervisor";
import { systemClock } from "@flashloan/shared/clock";
import { EMBEDDED_UNITS, FaultyPlatform } from "../supervision/embedded-faults.ts";
import { runFaults, summaryAtRest } from "../supervision/faults.ts";

const DEADLINE_MS = 120_000;
/** Some times what a watchdog would wait. */
const SUSPENDED_MS = 4_000;
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const eachUnit = (starts: number): Record<string, number> =>
  Object.fromEntries(EMBEDDED_UNITS.map((unit) => [unit, starts]));
const unitStarts = (): unknown => Object.fromEntries(EMBEDDED_UNITS.map((unit) => [unit, platform.starts().get(unit)]));
let folder: string;
let platform: FaultyPlatform;

const start = async (environment: Readonly<Record<string, string>> = {}): Promise<void> => {
  platform = new FaultyPlatform(folder, 6, environment);
  await platform.started();
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "flashloan-faults-"));
});
afterEach(async () => {
  await platform.stop();
  rmSync(folder, { recursive: true, force: true });
});

test("a service that throws, rejects, answers wrongly or never is restarted alone; trading goes on and adds up", async () => {
  await start();
  const place = platform.place();
  const healed = [
    ...(await runFaults(place, ["market-predictor"], ["throw"], say)),
    ...(await runFaults(place, ["risk-manager"], ["lie"], say)),
    ...(await runFaults(place, ["hft-executor"], ["reject"], say)),
    ...(await runFaults(place, ["checkpoint"], ["throw"], say)),
    ...(await runFaults(place, ["risk-manager"], ["hang_for_good"], say)),
  ];
  expect(healed.map(({ knownAs }) => knownAs)).toEqual(["crash", "wrong_answer", "crash", "crash", "no_answer"]);
  // One restart a fault.
  expect(unitStarts()).toEqual({
    ...eachUnit(1),
    checkpoint: 2,
    "risk-manager": 3,
    "market-predictor": 2,
    "hft-executor": 2,
  });
  await platform.tradesOn();
  const { trades, netWei, chainDeltaWei } = await summaryAtRest(platform.client("hftExecutor"));
  expect(netWei).toBe(chainDeltaWei);
  expect(trades).toBeGreaterThan(0n);
});

test("a service that fails at each start is left down after as many restarts as its group allows, and nobody else is touched", async () => {
  const tree = { name: "platform", groups: [{ name: "trading", intensity: 2 }] };
  await start({ SUPERVISOR_TREE: JSON.stringify(tree) });
  const before = platform.starts();
  await platform.inject({ unit: "risk-manager", kind: "fail_starts" });
  await platform.inject({ unit: "risk-manager", kind: "throw" });
  const supervisor = platform.client("supervisor");
  const phase = async (): Promise<[UnitPhase | undefined, string | undefined]> => {
    const { units } = await supervisor.unary(SupervisorApi.getStatus, {});
    const unit = units.find(({ declaration }) => declaration?.id === "risk-manager");
    return [unit?.phase, unit?.reason];
  };
  await expect
    .poll(phase, { timeout: DEADLINE_MS, interval: 200 })
    .toEqual([UnitPhase.UNIT_PHASE_QUARANTINED, expect.stringMatching(/more than 2 restarts of group trading/)]);
  const page = { unit: "risk-manager", pageSize: 10, pageToken: "" };
  const { incidents } = await supervisor.unary(SupervisorApi.listIncidents, page);
  expect(incidents.map(({ fault, outcome }) => [fault, outcome])).toEqual([["crash", "quarantined"]]);
  expect(incidents[0]?.entries.filter(({ kind }) => kind === "action")).toHaveLength(2);
  expect(platform.starts()).toEqual(before);
});

test("a blocked event loop: the watchdog ends the process, its keeper starts it where it was, and whose doing it was is kept", async () => {
  await start({ WATCHDOG_BLOCKED_MS_MAX: "1000" });
  const { events } = platform.process;
  // A process that is suspended as a whole, as with the lid of a laptop, is not a blocked one.
  platform.process.signalPlatform("SIGSTOP");
  await systemClock.sleep(SUSPENDED_MS);
  platform.process.signalPlatform("SIGCONT");
  await platform.process.waitFor(({ event }) => event === "block", DEADLINE_MS, events.length);
  expect(events.filter(({ event }) => event === "restarting")).toEqual([]);
  const [healed] = await runFaults(platform.place(), ["market-predictor"], ["block"], say);
  expect(healed).toMatchObject({ unit: "market-predictor", knownAs: "loop_blocked" });
  expect(events.filter(({ event }) => event === "restarting")).toMatchObject([{ why: "SIGKILL", waitMs: 0 }]);
  expect(events.filter(({ event }) => event === "note")).toMatchObject([{ note: expect.stringContaining("adopted") }]);
  const page = { unit: "market-predictor", pageSize: 1, pageToken: "" };
  const diagnosis = async (): Promise<string | undefined> => {
    const { incidents } = await platform.client("supervisor").unary(SupervisorApi.listIncidents, page);
    return incidents[0]?.entries.find(({ kind }) => kind === "diagnosis")?.text;
  };
  await expect
    .poll(diagnosis, { timeout: DEADLINE_MS, interval: 200 })
    .toMatch(
      /^code_fault, .*held the event loop of the whole process in packages\/embedded\/src\/fault-injection.ts:\d+/,
    );
  await platform.tradesOn();
  const { netWei, chainDeltaWei } = await summaryAtRest(platform.client("hftExecutor"));
  expect(netWei).toBe(chainDeltaWei);
  expect((await platform.process.stop()).code).toBe(0);
});

test("an event loop that is blocked while the platform starts: the watchdog ends that process too, and the next one starts", async () => {
  platform = new FaultyPlatform(folder, 6, { WATCHDOG_BLOCKED_MS_MAX: "1000" });
  const block = { unit: "checkpoint", kind: "block", blockMs: DEADLINE_MS } as const;
  const isDone = (): Promise<boolean> =>
    platform.inject(block).then(
      () => true,
      () => false,
    );
  await expect.poll(isDone, { timeout: DEADLINE_MS, interval: 10 }).toBe(true);
  await platform.started();
  const { events } = platform.process;
  expect(events.filter(({ event }) => event === "restarting")).toMatchObject([{ why: "SIGKILL", waitMs: 0 }]);
  // Of the first process no service had started.
  expect(unitStarts()).toEqual(eachUnit(1));
  const page = { unit: "platform", pageSize: 10, pageToken: "" };
  const { incidents } = await platform.client("supervisor").unary(SupervisorApi.listIncidents, page);
  expect(incidents.map(({ fault, outcome }) => [fault, outcome])).toEqual([["loop_blocked", "healed"]]);
  expect(incidents[0]?.entries[0]?.text).toContain("blocked for 10000 ms");
  await platform.tradesOn();
});

test("a ledger that never lets go of its files: the process ends, and the next one, loaded from compiled code, goes on", async () => {
  await start({ TMPDIR: folder });
  expect(readdirSync(join(folder, "node-compile-cache"), { recursive: true }).length).toBeGreaterThan(100);
  const [healed] = await runFaults(platform.place(), ["checkpoint"], ["hang_for_good"], say);
  expect(healed).toMatchObject({ unit: "checkpoint", knownAs: "no_answer" });
  const { events } = platform.process;
  expect(events.filter(({ event }) => event === "restarting")).toMatchObject([{ why: "exit code 70", waitMs: 0 }]);
  expect(unitStarts()).toEqual(eachUnit(2));
  await platform.tradesOn();
  const { netWei, chainDeltaWei } = await summaryAtRest(platform.client("hftExecutor"));
  expect(netWei).toBe(chainDeltaWei);
});
