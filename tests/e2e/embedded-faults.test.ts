import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SupervisorServiceService as SupervisorApi, UnitPhase } from "@flashloan/proto/supervisor/v1/supervisor";
import { EMBEDDED_UNITS, FaultyPlatform } from "../supervision/embedded-faults.ts";
import { runFaults, summaryAtRest } from "../supervision/faults.ts";

const DEADLINE_MS = 120_000;
const say = (line: string): void => void process.stdout.write(`${line}\n`);
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

test("a service that throws, rejects or answers wrongly is restarted alone; trading goes on and adds up", async () => {
  await start();
  const place = platform.place();
  const healed = [
    ...(await runFaults(place, ["market-predictor"], ["throw"], say)),
    ...(await runFaults(place, ["risk-manager"], ["lie"], say)),
    ...(await runFaults(place, ["hft-executor"], ["reject"], say)),
    ...(await runFaults(place, ["checkpoint"], ["throw"], say)),
  ];
  expect(healed.map(({ knownAs }) => knownAs)).toEqual(["crash", "wrong_answer", "crash", "crash"]);
  expect(EMBEDDED_UNITS.map((unit) => platform.starts().get(unit))).toEqual([2, 2, 2, 2]);
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
