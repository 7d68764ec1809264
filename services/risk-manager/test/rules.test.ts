import { expect, test } from "vitest";
import { RISK_RULES } from "@flashloan/shared/telemetry/declarations";
import { checkPlan, type Exposure, type PlanFacts, type RiskLimits } from "../src/rules.ts";

const TOKEN = `0x${"11".repeat(20)}`;
const VENUE = `0x${"22".repeat(20)}`;
const limits: RiskLimits = {
  minNetProfitWei: 100n,
  maxLoanWei: 1_000n,
  maxDepthShareBps: 500,
  maxFeePerGasWei: 50n,
  maxSlippageBps: 2_000,
  allowedTokens: new Set([TOKEN]),
  allowedVenues: new Set([VENUE]),
  gasBudgetHourWei: 10_000n,
  gasBudgetDayWei: 20_000n,
  maxConsecutiveFailures: 3,
};
const exposure: Exposure = { gasSpentHourWei: 5_000n, gasSpentDayWei: 15_000n };
/** Every figure exactly at its limit. */
const atTheLimit: PlanFacts = {
  netProfitWei: 100n,
  loanValueWei: 1_000n,
  depthShareBps: 500,
  maxFeePerGasWei: 50n,
  gasLimit: 100n,
  slippageBps: 2_000,
  tokens: [TOKEN],
  venues: [VENUE],
};

/** One trap per rule, each just outside its limit; the control twin is the plan at the limit. */
const traps: {
  rule: (typeof RISK_RULES)[number];
  plan: Partial<PlanFacts>;
  spent?: Partial<Exposure>;
  value: string;
  limit: string;
}[] = [
  { rule: "min_net_profit", plan: { netProfitWei: 99n }, value: "99", limit: "100" },
  { rule: "max_loan", plan: { loanValueWei: 1_001n }, value: "1001", limit: "1000" },
  { rule: "max_depth_share", plan: { depthShareBps: 501 }, value: "501", limit: "500" },
  { rule: "max_gas_price", plan: { maxFeePerGasWei: 51n, gasLimit: 98n }, value: "51", limit: "50" },
  { rule: "max_slippage", plan: { slippageBps: 2_001 }, value: "2001", limit: "2000" },
  { rule: "allowed_tokens", plan: { tokens: [TOKEN, VENUE] }, value: VENUE, limit: "the allowed tokens" },
  { rule: "allowed_venues", plan: { venues: [TOKEN] }, value: TOKEN, limit: "the allowed venues" },
  { rule: "gas_budget_hour", plan: {}, spent: { gasSpentHourWei: 5_001n }, value: "10001", limit: "10000" },
  { rule: "gas_budget_day", plan: {}, spent: { gasSpentDayWei: 15_001n }, value: "20001", limit: "20000" },
];

test("a plan exactly at every limit is approved", () => {
  expect(checkPlan(atTheLimit, limits, exposure)).toEqual([]);
});

test.each(traps)(
  "just outside $rule: exactly that rule refuses, with value and limit",
  ({ rule, plan, spent, value, limit }) => {
    expect(checkPlan({ ...atTheLimit, ...plan }, limits, { ...exposure, ...spent })).toEqual([{ rule, value, limit }]);
  },
);

test("every rule has its trap, but for the two that no plan is asked about", () => {
  expect(new Set([...traps.map((trap) => trap.rule), "trading_state", "outcomes_unknown"])).toEqual(
    new Set(RISK_RULES),
  );
});

test("a plan that breaks everything is told everything", () => {
  const plan: PlanFacts = {
    netProfitWei: -1n,
    loanValueWei: 10n ** 30n,
    depthShareBps: 9_999,
    maxFeePerGasWei: 10n ** 12n,
    gasLimit: 10n ** 7n,
    slippageBps: 10_000,
    tokens: [VENUE],
    venues: [TOKEN],
  };
  expect(checkPlan(plan, limits, exposure).map((refusal) => refusal.rule)).toEqual(traps.map((trap) => trap.rule));
});

test("no list allows all, an empty list none", () => {
  expect(checkPlan(atTheLimit, { ...limits, allowedTokens: undefined, allowedVenues: undefined }, exposure)).toEqual(
    [],
  );
  expect(checkPlan(atTheLimit, { ...limits, allowedTokens: new Set() }, exposure).map((r) => r.rule)).toEqual([
    "allowed_tokens",
  ]);
});
