import { AmmError, type Pool, type PoolId } from "@flashloan/amm/pool";
import { swapExactIn } from "@flashloan/amm/quote";
import type { Market, SearchPrices } from "./market.ts";
import type { Hop, Plan } from "./plan.ts";

/** What a plan is still worth, and at which size, right after another one that it shares a pool with. */
export type Sequel = {
  readonly first: Plan;
  readonly second: Plan;
  /** The second's route, sized on the state that the first leaves. */
  readonly plan: Plan;
};

/**
 * The sequels among plans of one state of a market, which is as it was when this returns. The fees that a flash loan leaves
 * in a lending pool are left out.
 */
export function findSequels(market: Market, plans: readonly Plan[], prices: SearchPrices): Sequel[] {
  return plans.flatMap((first) => {
    const sharing = plans.filter((second) => second !== first && sharesPool(first, second));
    const planned = sharing.length === 0 ? [] : planAfter(market, first, sharing, prices);
    return planned.map(({ second, plan }) => ({ first, second, plan }));
  });
}

/** Carries a plan out, plans others anew, and takes it back. */
function planAfter(market: Market, first: Plan, others: readonly Plan[], prices: SearchPrices) {
  const before = new Map<PoolId, Pool>();
  try {
    for (const { poolId, indexIn, indexOut, amountIn } of hopsOf(first)) {
      const pool = market.get(poolId);
      if (!pool) return [];
      if (!before.has(poolId)) before.set(poolId, pool);
      market.upsert(swapExactIn(pool, indexIn, indexOut, amountIn).pool);
    }
    return others.flatMap((second) => {
      const plan = market.planAgain(second, prices);
      return plan ? [{ second, plan }] : [];
    });
  } catch (error) {
    // Two swaps of one plan in one pool may not be possible one after the other.
    if (error instanceof AmmError) return [];
    throw error;
  } finally {
    for (const pool of before.values()) market.upsert(pool);
  }
}

function hopsOf(plan: Plan): readonly Hop[] {
  return [...plan.hops, ...plan.conversion];
}

function sharesPool(one: Plan, other: Plan): boolean {
  const pools = new Set(hopsOf(one).map(({ poolId }) => poolId));
  return hopsOf(other).some(({ poolId }) => pools.has(poolId));
}
