import { expect, test } from "vitest";
import type { Pool } from "@flashloan/amm/pool";
import { swapExactIn } from "@flashloan/amm/quote";
import { createMarket } from "../src/market.ts";
import type { Plan } from "../src/plan.ts";
import { findSequels } from "../src/sequels.ts";
import { createSyntheticMarket } from "../src/synthetic-market.ts";

const PRICES = { gasPriceWei: 5n * 10n ** 9n, maxFeePerGasWei: 10n ** 10n };

test("a sequel is what a new search of the pools after the first plan finds for the second's route", () => {
  const synthetic = createSyntheticMarket({ pools: 60, seed: 3, noise: 0.004 });
  let found = 0;
  let worthMore = 0;
  for (let block = 0; block < 30; block++) {
    for (let trade = 0; trade < 25; trade++) synthetic.nextUpdate();
    const market = createMarket({ weth: synthetic.weth, lenders: {} });
    for (const pool of synthetic.pools) market.upsert(pool);
    const plans = market.scanAll(PRICES).plans.slice(0, 5);
    const before = [...synthetic.pools].map(({ id }) => market.get(id));
    const sequels = findSequels(market, plans, PRICES);
    expect([...synthetic.pools].map(({ id }) => market.get(id))).toEqual(before);
    for (const { first, second, plan } of sequels) {
      expect([...first.hops, ...first.conversion].some(({ poolId }) => poolsOf(second).includes(poolId))).toBe(true);
      const after = createMarket({ weth: synthetic.weth, lenders: {} });
      for (const pool of synthetic.pools) after.upsert(pool);
      for (const { poolId, indexIn, indexOut, amountIn } of [...first.hops, ...first.conversion])
        after.upsert(swapExactIn(after.get(poolId) as Pool, indexIn, indexOut, amountIn).pool);
      expect(plan).toEqual(after.scanAll(PRICES).plans.find(({ id }) => id === plan.id));
      expect(plan.hops.map(({ poolId }) => poolId).toSorted()).toEqual(
        second.hops.map(({ poolId }) => poolId).toSorted(),
      );
      found += 1;
      if (plan.netWei > second.netWei) worthMore += 1;
    }
  }
  expect(found).toBeGreaterThan(20);
  // What is left of a gap is less than all of it.
  expect(worthMore).toBeLessThan(found / 10);
});

test("plans that share no pool have no sequels, and neither has one that doesn't pay any more", () => {
  const synthetic = createSyntheticMarket({ pools: 60, seed: 3, noise: 0.004 });
  const market = createMarket({ weth: synthetic.weth, lenders: {} });
  let plans: readonly Plan[] = [];
  while (plans.length < 2) {
    for (let trade = 0; trade < 25; trade++) synthetic.nextUpdate();
    for (const pool of synthetic.pools) market.upsert(pool);
    ({ plans } = market.scanAll(PRICES));
  }
  expect(findSequels(market, plans.slice(0, 1), PRICES)).toEqual([]);
  expect(findSequels(market, plans.slice(0, 5), { gasPriceWei: 10n ** 15n, maxFeePerGasWei: 10n ** 15n })).toEqual([]);
  const [plan] = plans;
  expect(plan && market.planAgain(plan, PRICES)).toEqual(plan);
  market.remove(plan?.hops[0]?.poolId ?? "0x");
  expect(plan && market.planAgain(plan, PRICES)).toBeUndefined();
});

function poolsOf({
  hops,
  conversion,
}: {
  hops: readonly { poolId: string }[];
  conversion: readonly { poolId: string }[];
}) {
  return [...hops, ...conversion].map(({ poolId }) => poolId);
}
