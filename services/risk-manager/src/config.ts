import { z } from "zod";
import { amountVariable, integerVariable, textVariable, type ConfigOf } from "@flashloan/shared/config";
import type { RiskLimits } from "./rules.ts";

const addressList = (description: string): z.ZodType<ReadonlySet<string> | undefined, string | undefined> =>
  z
    .string()
    .default("*")
    .refine(
      (text) => text === "*" || text.split(",").every((item) => /^0x[0-9a-fA-F]{40}$/.test(item.trim())),
      'must be "*" or 20-byte hex addresses separated by commas',
    )
    .transform((text) => (text === "*" ? undefined : new Set(text.split(",").map((item) => item.trim().toLowerCase()))))
    .describe(description);

/** The environment of the risk manager. */
export const riskConfigSchema = {
  RISK_HOST: textVariable("address that the gRPC server binds to", "127.0.0.1"),
  RISK_PORT: integerVariable(0, 65_535, 7003, "port of the gRPC server; 0 picks a free one"),
  RISK_MIN_NET_PROFIT_WEI: amountVariable(
    100_000_000_000_000n,
    "least profit after premium and gas that a plan must promise",
  ),
  RISK_MAX_LOAN_WEI: amountVariable(2_000n * 10n ** 18n, "largest loan, in wei terms"),
  RISK_MAX_DEPTH_SHARE_BPS: integerVariable(1, 10_000, 3_000, "largest share of a pool's depth that one hop may take"),
  RISK_MAX_FEE_PER_GAS_WEI: amountVariable(200n * 10n ** 9n, "highest fee per gas that may be bid"),
  RISK_MAX_SLIPPAGE_BPS: integerVariable(
    0,
    10_000,
    6_000,
    "how far below its simulation a profit may end before the transaction reverts",
  ),
  RISK_ALLOWED_TOKENS: addressList("tokens that may be on a route; * allows all"),
  RISK_ALLOWED_VENUES: addressList("pools, vaults and lenders that may be on a route; * allows all"),
  RISK_GAS_BUDGET_HOUR_WEI: amountVariable(2n * 10n ** 18n, "most gas that may be paid in any hour"),
  RISK_GAS_BUDGET_DAY_WEI: amountVariable(10n * 10n ** 18n, "most gas that may be paid in any 24 hours"),
  RISK_MAX_CONSECUTIVE_FAILURES: integerVariable(1, 1_000, 10, "failures in a row that pause trading"),
};
/** @see riskConfigSchema */
export type RiskConfig = ConfigOf<typeof riskConfigSchema>;

/** The limits that a configuration sets. */
export function limitsOf(config: RiskConfig): RiskLimits {
  return {
    minNetProfitWei: config.RISK_MIN_NET_PROFIT_WEI,
    maxLoanWei: config.RISK_MAX_LOAN_WEI,
    maxDepthShareBps: config.RISK_MAX_DEPTH_SHARE_BPS,
    maxFeePerGasWei: config.RISK_MAX_FEE_PER_GAS_WEI,
    maxSlippageBps: config.RISK_MAX_SLIPPAGE_BPS,
    allowedTokens: config.RISK_ALLOWED_TOKENS,
    allowedVenues: config.RISK_ALLOWED_VENUES,
    gasBudgetHourWei: config.RISK_GAS_BUDGET_HOUR_WEI,
    gasBudgetDayWei: config.RISK_GAS_BUDGET_DAY_WEI,
    maxConsecutiveFailures: config.RISK_MAX_CONSECUTIVE_FAILURES,
  };
}
