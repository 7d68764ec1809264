import { afterAll, beforeAll, expect, test } from "vitest";
import {
  RiskManagerServiceService as Risk,
  TradingState,
  type CheckPlanRequest,
  type RestoreOutcomesRequest,
} from "@flashloan/proto/risk/v1/risk";
import { readConfig } from "@flashloan/shared/config";
import { testContext } from "@flashloan/shared/contract/context";
import { testEvent } from "@flashloan/shared/contract/event-bus";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { riskConfigSchema } from "../src/config.ts";
import { createRiskManagerService } from "../src/service.ts";

const POLL = { timeout: 10_000, interval: 10 };
const lifecycle = new Lifecycle();
const context = testContext("risk-manager");
let client: RpcClient;
const TOKEN = `0x${"11".repeat(20)}`;
const INTENT = `0x${"22".repeat(32)}`;
const nothing: RestoreOutcomesRequest = {
  outcomes: [],
  state: TradingState.TRADING_STATE_ACTIVE,
  reason: "started",
  resumedAtMs: 0n,
  openIntents: [],
};
const plan: CheckPlanRequest = {
  intentId: "i",
  stage: 1,
  loanToken: TOKEN,
  loanAmount: "1",
  loanValueWei: "1",
  netProfitWei: "1000",
  maxFeePerGasWei: "1",
  gasLimit: 100_000n,
  depthShareBps: 1,
  slippageBps: 1,
  tokens: [TOKEN],
  venues: [TOKEN],
};

beforeAll(async () => {
  const config = readConfig(riskConfigSchema, {
    RISK_PORT: "0",
    RISK_MIN_NET_PROFIT_WEI: "1000",
    RISK_MAX_CONSECUTIVE_FAILURES: "2",
  });
  const service = lifecycle.add("risk", await createRiskManagerService(config, context));
  client = lifecycle.add("client", new RpcClient(service.address));
});
afterAll(() => lifecycle.stop());

/** The lines of a metric, without the service's label. */
const metric = async (name: string): Promise<string[]> =>
  (await context.metrics.text())
    .split("\n")
    .filter((line) => line.startsWith(`${name}{`))
    .map((line) => line.slice(name.length).replace(/,?service="risk-manager",?/, ""));

test("just started it refuses every plan, by this rule alone, until it is told what was before; telling it again is harmless", async () => {
  const refusal = { rule: "outcomes_unknown", value: "0", limit: "the last 24 hours' outcomes" };
  const refused = { approved: false, refusals: [refusal] };
  expect(await client.unary(Risk.checkPlan, { ...plan, netProfitWei: "0" })).toEqual(refused);
  await client.unary(Risk.setState, { state: TradingState.TRADING_STATE_ACTIVE, reason: "an operator can't waive it" });
  expect(await client.unary(Risk.checkPlan, plan)).toEqual(refused);
  const before = await client.unary(Risk.getStatus, {});
  expect([before.outcomesKnown, before.refusals["outcomes_unknown"]]).toEqual([false, 2n]);
  const outcome = { intentId: INTENT, success: true, gasCostWei: "7", atMs: BigInt(Date.now()) };
  for (let time = 0; time < 2; time++)
    await client.unary(Risk.restoreOutcomes, {
      ...nothing,
      outcomes: [outcome],
      openIntents: [{ intentId: "open", maxGasWei: "5", sequence: 6n }],
    });
  expect(await client.unary(Risk.getStatus, {})).toMatchObject({
    outcomesKnown: true,
    gasSpentDayWei: "7",
    openIntents: 1,
    exposureWei: "5",
  });
  await client.unary(Risk.restoreOutcomes, nothing);
  expect(await client.unary(Risk.getStatus, {})).toMatchObject({ gasSpentDayWei: "0", openIntents: 0 });
});

test("approves, refuses with rule, value and limit, and counts both", async () => {
  expect(await client.unary(Risk.checkPlan, plan)).toEqual({ approved: true, refusals: [] });
  expect(await client.unary(Risk.checkPlan, { ...plan, netProfitWei: "999" })).toEqual({
    approved: false,
    refusals: [{ rule: "min_net_profit", value: "999", limit: "1000" }],
  });
  const status = await client.unary(Risk.getStatus, {});
  expect([status.approvals, status.refusals["min_net_profit"], status.refusals["max_loan"]]).toEqual([1n, 1n, 0n]);
  expect(await metric("flashloan_risk_checks_total")).toEqual(['{outcome="approved"} 1', '{outcome="refused"} 3']);
  expect(await metric("flashloan_risk_refusals_total")).toEqual(
    expect.arrayContaining(['{rule="min_net_profit"} 1', '{rule="outcomes_unknown"} 2', '{rule="max_loan"} 0']),
  );
});

test("paused: nothing new, but what was approved may be sent; killed: nothing at all", async () => {
  const stages = async (): Promise<boolean[]> =>
    Promise.all(
      [1 as const, 2 as const].map(async (stage) => (await client.unary(Risk.checkPlan, { ...plan, stage })).approved),
    );
  await client.unary(Risk.setState, { state: TradingState.TRADING_STATE_PAUSED, reason: "test" });
  expect(await stages()).toEqual([false, true]);
  await client.unary(Risk.setState, { state: TradingState.TRADING_STATE_KILLED, reason: "test" });
  expect(await stages()).toEqual([false, false]);
  await client.unary(Risk.setState, { state: TradingState.TRADING_STATE_ACTIVE, reason: "test" });
  expect(await stages()).toEqual([true, true]);
});

test("failures pause trading by themselves", async () => {
  await client.unary(Risk.recordOutcome, { intentId: "a", success: false, gasCostWei: "1", atMs: 1n });
  expect(
    (await client.unary(Risk.recordOutcome, { intentId: "b", success: false, gasCostWei: "1", atMs: 2n })).state,
  ).toBe(TradingState.TRADING_STATE_PAUSED);
});

test.each([
  [{ stage: 0 as const }, "stage"],
  [{ netProfitWei: "1.5" }, "netProfitWei"],
  [{ tokens: ["0xABC"] }, "tokens.0"],
  [{ gasLimit: 0n }, "gasLimit"],
])("refuses a malformed question and names the field (%#)", async (bad, field) => {
  await expect(client.unary(Risk.checkPlan, { ...plan, ...bad })).rejects.toMatchObject({
    code: "argument_invalid",
    message: expect.stringContaining(field),
  });
});

test("a list that is too long to be honest is refused", async () => {
  const outcomes = Array.from({ length: 10_001 }, () => ({ intentId: "i", success: true, gasCostWei: "0", atMs: 1n }));
  await expect(client.unary(Risk.restoreOutcomes, { ...nothing, outcomes })).rejects.toMatchObject({
    code: "argument_invalid",
    message: expect.stringContaining("at most 10000 outcomes"),
  });
});

test("exposure follows the events of intents; one that is malformed is refused and ends as a dead letter", async () => {
  let told = 0;
  const tell = (type: string, data: Record<string, string | number | boolean>): Promise<void> =>
    context.bus.publish(testEvent(`flashloan.intent.${type}`, String(++told), data));
  const standing = async (): Promise<unknown[]> => {
    const { openIntents, exposureWei } = await client.unary(Risk.getStatus, {});
    return [openIntents, exposureWei];
  };
  const ether = 10n ** 18n;
  await tell("signed", { intentId: INTENT, sequence: 6, inFlight: true, maxGasWei: ether.toString() });
  await expect.poll(standing, POLL).toEqual([1, ether.toString()]);
  expect(await metric("flashloan_risk_open_intents")).toEqual(["{} 1"]);
  expect(await metric("flashloan_risk_exposure_ether")).toEqual(["{} 1"]);
  await tell("replaced", { intentId: INTENT, sequence: 8, inFlight: true, maxGasWei: (2n * ether).toString() });
  await tell("submitted", { intentId: INTENT, sequence: 7, inFlight: true, maxGasWei: "1" });
  await tell("signed", { intentId: "another", sequence: 6, inFlight: true, maxGasWei: "5" });
  await expect.poll(standing, POLL).toEqual([2, (2n * ether + 5n).toString()]);
  await tell("settled", { intentId: INTENT, sequence: 10, inFlight: false, maxGasWei: "0" });
  await tell("included", { intentId: INTENT, sequence: 9, inFlight: true, maxGasWei: "5" });
  await expect.poll(standing, POLL).toEqual([1, "5"]);
  await tell("signed", { intentId: INTENT, sequence: 0.5, inFlight: "yes" });
  await expect.poll(async () => (await context.bus.deadLetters()).length, POLL).toBe(1);
  expect(await context.bus.deadLetters()).toMatchObject([
    { group: "risk-manager", reason: expect.stringMatching(/sequence.*inFlight.*maxGasWei/) },
  ]);
  expect(await metric("flashloan_bus_events_total")).toEqual(['{outcome="handled"} 6', '{outcome="refused"} 3']);
});
