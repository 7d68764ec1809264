import type { Address, PoolId, PoolKind } from "@flashloan/amm/pool";

/**
 * Who pays before being paid.
 *
 * - `first-swap`: the route's own first pool pays out before it is paid (V2 data, V3 callback, V4 delta); no premium
 * - the others lend by their flash loans
 */
export type LenderKind = "first-swap" | "balancer-v2" | "uniswap-v4" | "aave-v3" | "uniswap-v3" | "uniswap-v2";

/** The loan of a plan. Amounts are base units of `token`. */
export type Loan = {
  readonly kind: LenderKind;
  /** What is called: Aave's Pool, Balancer's Vault, the PoolManager, the lending pair or pool; for `first-swap` what the first hop calls. */
  readonly source: Address;
  /** The lending pool's id for `uniswap-v2`, `uniswap-v3` and `first-swap`. */
  readonly poolId?: PoolId;
  readonly token: Address;
  readonly amount: bigint;
  readonly premium: bigint;
  /** amount + premium. */
  readonly repay: bigint;
};

/** One swap of a plan, at the exact amounts of the state that was searched. */
export type Hop = {
  readonly poolId: PoolId;
  readonly kind: PoolKind;
  /** What is called: the pair, the pool, the PoolManager or the Vault. */
  readonly address: Address;
  /** The pool's own token: the zero address for the chain's own coin in V4, where the route's token is WETH. */
  readonly tokenIn: Address;
  readonly tokenOut: Address;
  /** Indexes of the two tokens in the pool. */
  readonly indexIn: number;
  readonly indexOut: number;
  /** Base units of tokenIn. */
  readonly amountIn: bigint;
  /** Base units of tokenOut. */
  readonly amountOut: bigint;
};

/**
 * A profitable route with its loan, ready to be built into a transaction. Plain data; JSON needs only bigints spelt.
 *
 * grossWei = profitWei + premiumWei; netWei = profitWei − gasCostWei.
 */
export type Plan = {
  /** Names the route, its lender and nothing of its size: equal for equal opportunities. */
  readonly id: string;
  readonly loan: Loan;
  /** In order; the first takes the loan, the last pays it back and leaves the surplus. */
  readonly hops: readonly Hop[];
  /** Swaps of the surplus into WETH, after the repayment; empty when the loan is WETH. */
  readonly conversion: readonly Hop[];
  /** Loan token left after the repayment, base units of the loan's token. */
  readonly surplus: bigint;
  /** Estimated gas, from the gas model. */
  readonly gasUnits: bigint;
  /** The gas limit to sign: gasUnits with the model's margin. */
  readonly gasLimit: bigint;
  readonly gasPriceWei: bigint;
  /** The surplus in WETH: the surplus itself, or what its conversion pays. */
  readonly profitWei: bigint;
  /** ceil(premium × profitWei ÷ surplus). */
  readonly premiumWei: bigint;
  /** profitWei + premiumWei. */
  readonly grossWei: bigint;
  /** gasUnits × gasPriceWei. */
  readonly gasCostWei: bigint;
  /** profitWei − gasCostWei. */
  readonly netWei: bigint;
  /** The least profit to sign: gasLimit × the highest fee that will be paid. */
  readonly minProfitWei: bigint;
};
