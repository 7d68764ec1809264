import type { Lenders } from "@flashloan/arbitrage/lender";
import { createMarket, type SearchPrices } from "@flashloan/arbitrage/market";
import type { Hop as PlanHop, LenderKind, Plan } from "@flashloan/arbitrage/plan";
import { findSequels, type Sequel } from "@flashloan/arbitrage/sequels";
import type { Address, Pool, PoolId } from "@flashloan/amm/pool";
import type { Hop, Opportunity } from "@flashloan/proto/predictor/v1/predictor";

/** What one search found. */
export interface SearchOutcome {
  /** Best net profit first. */
  readonly plans: readonly Plan[];
  /** What the best of them are still worth, one right after the other. */
  readonly sequels: readonly Sequel[];
  /** Pools on the routes of the plans. */
  readonly pools: readonly PoolId[];
  readonly cyclesExamined: number;
  readonly grossPositive: number;
  readonly netPositive: number;
  readonly rejections: Readonly<Record<string, number>>;
}

/** How the search values gas. */
export interface SearchPricing {
  /** Priority fee per gas that a transaction will bid at least, in wei. */
  readonly priorityFeeWei: bigint;
  /** Blocks for which a call is valid: the fee cap covers the base fee's rise over them. */
  readonly validBlocks: number;
}

/** Sequels are looked for among so many of the best plans: they are planned pair by pair. */
const SEQUEL_PLANS_MAX = 8;

/** Every kind of lender, by the names that plans bear. */
export const LENDER_KINDS = [
  "first-swap",
  "balancer-v2",
  "uniswap-v4",
  "aave-v3",
  "uniswap-v3",
  "uniswap-v2",
] as const satisfies readonly LenderKind[];

/** The arbitrage search over the watched pools. */
export class Search {
  readonly #market: ReturnType<typeof createMarket>;
  readonly #pricing: SearchPricing;
  readonly #allowed: ReadonlySet<LenderKind>;

  /** @param allowed the lenders that routes may use */
  constructor(weth: Address, pricing: SearchPricing, allowed: ReadonlySet<LenderKind> = new Set(LENDER_KINDS)) {
    this.#market = createMarket({ weth, lenders: { firstSwap: allowed.has("first-swap") } });
    this.#pricing = pricing;
    this.#allowed = allowed;
  }

  /** Takes a pool's state; returns why it is refused, or undefined. */
  upsert(pool: Pool): string | undefined {
    const result = this.#market.upsert(pool);
    return result.status === "quarantined" ? result.reason : undefined;
  }

  remove(id: PoolId): void {
    this.#market.remove(id);
  }

  /** What can be lent now; lenders that are not allowed are left out. */
  setLenders(lenders: Lenders): void {
    const { aaveV3, balancerV2, uniswapV2, uniswapV3, uniswapV4 } = lenders;
    const allowed = this.#allowed;
    this.#market.setLenders({
      firstSwap: allowed.has("first-swap"),
      ...(aaveV3 && allowed.has("aave-v3") ? { aaveV3 } : {}),
      ...(balancerV2 && allowed.has("balancer-v2") ? { balancerV2 } : {}),
      ...(uniswapV2 && allowed.has("uniswap-v2") ? { uniswapV2 } : {}),
      ...(uniswapV3 && allowed.has("uniswap-v3") ? { uniswapV3 } : {}),
      ...(uniswapV4 && allowed.has("uniswap-v4") ? { uniswapV4 } : {}),
    });
  }

  /** Cycles through at least one of the pools, at the next block's base fee. */
  searchFrom(ids: Iterable<PoolId>, nextBaseFeeWei: bigint): SearchOutcome {
    const prices = this.#pricesAt(nextBaseFeeWei);
    const { plans, stats } = this.#market.searchFrom(ids, prices);
    return {
      plans,
      sequels: findSequels(this.#market, plans.slice(0, SEQUEL_PLANS_MAX), prices),
      pools: [...new Set(plans.flatMap((plan) => plan.hops.map((hop) => hop.poolId)))],
      cyclesExamined: stats.cyclesExamined,
      grossPositive: stats.grossPositive,
      netPositive: stats.netPositive,
      rejections: stats.rejected,
    };
  }

  #pricesAt(nextBaseFeeWei: bigint): SearchPrices {
    const { priorityFeeWei, validBlocks } = this.#pricing;
    let cappedBaseFee = nextBaseFeeWei;
    for (let block = 1; block < validBlocks; block++) cappedBaseFee = (cappedBaseFee * 9n) / 8n + 1n;
    return { gasPriceWei: nextBaseFeeWei + priorityFeeWei, maxFeePerGasWei: cappedBaseFee + priorityFeeWei };
  }

  /** A plan as it goes on the wire. */
  toOpportunity(plan: Plan, id: string): Opportunity {
    const { loan } = plan;
    return {
      id,
      loan: {
        lender: loan.kind,
        source: loan.source,
        token: loan.token,
        amount: loan.amount.toString(),
        premium: loan.premium.toString(),
      },
      hops: plan.hops.map((hop) => this.#toHop(hop)),
      conversion: plan.conversion.map((hop) => this.#toHop(hop)),
      gasUnits: plan.gasUnits,
      grossWei: plan.grossWei.toString(),
      premiumWei: plan.premiumWei.toString(),
      gasCostWei: plan.gasCostWei.toString(),
      netWei: plan.netWei.toString(),
      // The loan at the rate at which its surplus becomes WETH; rounded up, since limits are held against it.
      loanValueWei:
        plan.surplus > 0n ? ceilDiv(loan.amount * plan.profitWei, plan.surplus).toString() : loan.amount.toString(),
    };
  }

  #toHop(hop: PlanHop): Hop {
    const pool = this.#market.get(hop.poolId);
    const depth = pool ? depthOf(pool, hop.indexIn) : 0n;
    return {
      poolId: hop.poolId,
      kind: hop.kind,
      address: hop.address,
      tokenIn: hop.tokenIn,
      tokenOut: hop.tokenOut,
      amountIn: hop.amountIn.toString(),
      amountOut: hop.amountOut.toString(),
      feePpm: pool ? feePpmOf(pool) : 0,
      tickSpacing: pool && "tickSpacing" in pool ? pool.tickSpacing : 0,
      depthShareBps: depth > 0n ? Number(ceilDiv(hop.amountIn * 10_000n, depth)) : 10_000,
    };
  }
}

/** What a pool holds of a token: its reserve, or the virtual reserve of the liquidity in range. */
function depthOf(pool: Pool, index: number): bigint {
  switch (pool.kind) {
    case "uniswap-v2":
      return pool.reserves[index] ?? 0n;
    case "uniswap-v3":
    case "uniswap-v4":
      return index === 0 ? (pool.liquidity << 96n) / pool.sqrtPriceX96 : (pool.liquidity * pool.sqrtPriceX96) >> 96n;
    case "balancer-weighted":
    case "balancer-stable":
      return pool.balances[index] ?? 0n;
  }
}

function feePpmOf(pool: Pool): number {
  switch (pool.kind) {
    case "uniswap-v2":
      return Number(((pool.feeDenominator - pool.feeNumerator) * 1_000_000n) / pool.feeDenominator);
    case "uniswap-v3":
      return pool.feePpm;
    case "uniswap-v4":
      return pool.keyFee;
    case "balancer-weighted":
    case "balancer-stable":
      return Number(pool.swapFee / 10n ** 12n);
  }
}

function ceilDiv(value: bigint, by: bigint): bigint {
  return (value + by - 1n) / by;
}
