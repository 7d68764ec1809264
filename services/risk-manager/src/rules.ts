import type { RISK_RULES } from "@flashloan/shared/telemetry/declarations";

/** What every plan is held against; amounts in wei unless named otherwise. */
export interface RiskLimits {
  readonly minNetProfitWei: bigint;
  readonly maxLoanWei: bigint;
  readonly maxDepthShareBps: number;
  readonly maxFeePerGasWei: bigint;
  readonly maxSlippageBps: number;
  /** Lower-case addresses; an empty set allows none, undefined allows all. */
  readonly allowedTokens: ReadonlySet<string> | undefined;
  readonly allowedVenues: ReadonlySet<string> | undefined;
  readonly gasBudgetHourWei: bigint;
  readonly gasBudgetDayWei: bigint;
  readonly maxConsecutiveFailures: number;
}

/** A plan in the terms that limits are set in. */
export interface PlanFacts {
  readonly loanValueWei: bigint;
  readonly netProfitWei: bigint;
  readonly maxFeePerGasWei: bigint;
  readonly gasLimit: bigint;
  readonly depthShareBps: number;
  readonly slippageBps: number;
  readonly tokens: readonly string[];
  readonly venues: readonly string[];
}

/** What was spent and failed up to now. */
export interface Exposure {
  readonly gasSpentHourWei: bigint;
  readonly gasSpentDayWei: bigint;
}

/** A rule, by the name that refusals, metrics and docs use. */
export type RiskRule = (typeof RISK_RULES)[number];

/** One rule that a plan broke: what it has and what is allowed. */
export interface Refusal {
  readonly rule: RiskRule;
  readonly value: string;
  readonly limit: string;
}

/**
 * Every rule that a plan breaks; none means approved. Being exactly at a limit is allowed.
 * A plan's gas at risk is its whole gas limit at its highest fee: that is what a revert may cost.
 */
export function checkPlan(plan: PlanFacts, limits: RiskLimits, exposure: Exposure): Refusal[] {
  const refusals: Refusal[] = [];
  const refuse = (rule: RiskRule, value: { toString(): string }, limit: { toString(): string }): void => {
    refusals.push({ rule, value: value.toString(), limit: limit.toString() });
  };
  const atRiskWei = plan.gasLimit * plan.maxFeePerGasWei;
  if (plan.netProfitWei < limits.minNetProfitWei) refuse("min_net_profit", plan.netProfitWei, limits.minNetProfitWei);
  if (plan.loanValueWei > limits.maxLoanWei) refuse("max_loan", plan.loanValueWei, limits.maxLoanWei);
  if (plan.depthShareBps > limits.maxDepthShareBps)
    refuse("max_depth_share", plan.depthShareBps, limits.maxDepthShareBps);
  if (plan.maxFeePerGasWei > limits.maxFeePerGasWei)
    refuse("max_gas_price", plan.maxFeePerGasWei, limits.maxFeePerGasWei);
  if (plan.slippageBps > limits.maxSlippageBps) refuse("max_slippage", plan.slippageBps, limits.maxSlippageBps);
  const strangeToken = firstOutside(plan.tokens, limits.allowedTokens);
  if (strangeToken !== undefined) refuse("allowed_tokens", strangeToken, "the allowed tokens");
  const strangeVenue = firstOutside(plan.venues, limits.allowedVenues);
  if (strangeVenue !== undefined) refuse("allowed_venues", strangeVenue, "the allowed venues");
  if (exposure.gasSpentHourWei + atRiskWei > limits.gasBudgetHourWei)
    refuse("gas_budget_hour", exposure.gasSpentHourWei + atRiskWei, limits.gasBudgetHourWei);
  if (exposure.gasSpentDayWei + atRiskWei > limits.gasBudgetDayWei)
    refuse("gas_budget_day", exposure.gasSpentDayWei + atRiskWei, limits.gasBudgetDayWei);
  return refusals;
}

function firstOutside(items: readonly string[], allowed: ReadonlySet<string> | undefined): string | undefined {
  return allowed === undefined ? undefined : items.find((item) => !allowed.has(item));
}
