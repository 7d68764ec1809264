import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NATIVE_TOKEN, type Pool } from "@flashloan/amm/pool";
import { quoteExactIn } from "@flashloan/amm/quote";
import { cycleName, everyCycle, gridOptimum, naiveName } from "../src/brute-force.ts";
import { address, DAI, ETHER, pair, USDC, v3, v4, weighted, WETH } from "./pools.ts";
import { createMarket, type Market, type MarketOptions, type SearchResult } from "../src/market.ts";
import type { Plan } from "../src/plan.ts";
import { createSyntheticMarket, SYNTHETIC_POOL_MANAGER, SYNTHETIC_VAULT } from "../src/synthetic-market.ts";

const FREE = { gasPriceWei: 0n, maxFeePerGasWei: 0n };
const PAID = { gasPriceWei: 5n * 10n ** 9n, maxFeePerGasWei: 10n ** 10n };
const ALL_CANDIDATES = 1_000_000;

/** Lenders of every kind for the synthetic market's hubs. */
function syntheticLenders(tokens: readonly { address: `0x${string}` }[]): MarketOptions["lenders"] {
  const balances = new Map(tokens.map((token) => [token.address, 10n ** 30n]));
  return {
    balancerV2: { vault: SYNTHETIC_VAULT, balances },
    aaveV3: { pool: address(0xaa), premiumBps: 5, liquidity: balances },
  };
}

function load(pools: readonly Pool[], options: Partial<MarketOptions> & { weth: `0x${string}` }): Market {
  const market = createMarket({ lenders: {}, candidatesMax: ALL_CANDIDATES, ...options });
  for (const pool of pools) expect(market.upsert(pool).status).toBe("added");
  return market;
}

function total(plans: readonly Plan[]): bigint {
  return plans.reduce((sum, { profitWei }) => sum + profitWei, 0n);
}

/** Checks every figure of a plan against the market's own states. */
function expectExact(market: Market, plan: Plan): void {
  let amount = plan.loan.amount;
  for (const hop of plan.hops) {
    const pool = market.get(hop.poolId) as Pool;
    expect(hop.amountIn).toBe(amount);
    expect(quoteExactIn(pool, hop.indexIn, hop.indexOut, amount)).toBe(hop.amountOut);
    expect([pool.tokens[hop.indexIn], pool.tokens[hop.indexOut]]).toEqual([hop.tokenIn, hop.tokenOut]);
    amount = hop.amountOut;
  }
  expect(plan.loan.repay).toBe(plan.loan.amount + plan.loan.premium);
  expect(plan.surplus).toBe(amount - plan.loan.repay);
  expect(plan.surplus > 0n).toBe(true);
  expect(plan.profitWei).toBe(plan.conversion.at(-1)?.amountOut ?? plan.surplus);
  for (const hop of plan.conversion) {
    expect(hop.amountIn).toBe(plan.surplus);
    expect(quoteExactIn(market.get(hop.poolId) as Pool, hop.indexIn, hop.indexOut, hop.amountIn)).toBe(hop.amountOut);
    expect([...plan.hops.map(({ poolId }) => poolId), plan.loan.poolId]).not.toContain(hop.poolId);
  }
  const ceiling = (plan.loan.premium * plan.profitWei + plan.surplus - 1n) / plan.surplus;
  expect(plan.premiumWei).toBe(ceiling);
  expect(plan.grossWei).toBe(plan.profitWei + plan.premiumWei);
  expect(plan.gasCostWei).toBe(plan.gasUnits * plan.gasPriceWei);
  expect(plan.netWei).toBe(plan.profitWei - plan.gasCostWei);
  expect(plan.netWei > 0n).toBe(true);
  expect(plan.profitWei).toBeGreaterThanOrEqual(plan.minProfitWei);
}

describe("against brute force", () => {
  test.each([
    { seed: 1, kinds: "v2", noise: 0.01 },
    { seed: 2, kinds: "v2", noise: 0.007 },
    { seed: 3, kinds: "all", noise: 0.01 },
    { seed: 4, kinds: "all", noise: 0.02 },
  ] as const)(
    "seed $seed, $kinds at $noise: finds over 99 % of all profit and the best cycle",
    ({ seed, kinds, noise }) => {
      const book = createSyntheticMarket({ pools: 32, seed, kinds, noise });
      // One that lends free to every route, so that only the search decides.
      const balances = new Map([[book.weth, 10n ** 30n]]);
      const lenders = { uniswapV4: { poolManager: SYNTHETIC_POOL_MANAGER, balances } };
      const market = load(book.pools, { weth: book.weth, lenders });
      const { plans, stats } = market.scanAll(FREE);
      for (const plan of plans) expectExact(market, plan);
      const found = new Map(plans.map((plan) => [cycleName(plan.hops), plan]));
      expect(found.size).toBe(plans.length);

      const cycles = everyCycle(book.pools, book.weth, 4);
      let bruteTotal = 0n;
      let bruteBest = 0n;
      let profitable = 0;
      let missedTotal = 0n;
      for (const cycle of cycles) {
        const startsAtWeth = [book.weth, NATIVE_TOKEN].includes(cycle[0]?.pool.tokens[cycle[0].i] as `0x${string}`);
        if (!startsAtWeth) continue;
        const profit = gridOptimum(cycle, 1.5);
        if (profit <= 0n) continue;
        profitable += 1;
        bruteTotal += profit;
        if (profit > bruteBest) bruteBest = profit;
        if (!found.has(naiveName(cycle))) missedTotal += profit;
      }
      expect(profitable).toBeGreaterThan(10);
      const atWeth = plans.filter(({ loan }) => loan.token === book.weth);
      expect(Number(total(atWeth)) / Number(bruteTotal)).toBeGreaterThan(0.99);
      expect(Number(missedTotal) / Number(bruteTotal)).toBeLessThan(1e-6);
      expect(Number(atWeth[0]?.profitWei) / Number(bruteBest)).toBeGreaterThan(0.9999);
      expect(stats.grossPositive).toBeGreaterThanOrEqual(plans.length);
    },
    120_000,
  );
});

describe("consistency", () => {
  const book = createSyntheticMarket({ pools: 300, seed: 11, noise: 0.004 });
  const lenders = syntheticLenders(book.tokens);
  const start = [...book.pools];

  test("the same states give the same plans, in whatever order they came", () => {
    const options = { weth: book.weth, lenders };
    const first = load(start, options).scanAll(PAID);
    const second = load(start.toReversed(), options).scanAll(PAID);
    const detour = load(
      start.map((pool) => ({ ...pool })).toSorted((a, b) => (a.id < b.id ? 1 : -1)),
      options,
    );
    detour.remove(start[5]?.id as `0x${string}`);
    detour.upsert(start[5] as Pool);
    expect(first.plans.length).toBeGreaterThan(10);
    expect(second.plans).toEqual(first.plans);
    expect(detour.scanAll(PAID).plans).toEqual(first.plans);
  });

  test("updates one by one end where a fresh scan does, and each search equals the scan's share", () => {
    const market = load(start, { weth: book.weth, lenders });
    let searched = 0;
    for (let step = 0; step < 400; step += 1) {
      const pool = book.nextUpdate();
      expect(market.upsert(pool).status).toBe("updated");
      const { plans, stats } = market.searchFrom([pool.id], PAID);
      searched += plans.length;
      expect(stats.netPositive).toBe(plans.length);
      if (step % 40 !== 0) continue;
      const scan = market.scanAll(PAID);
      expect(plans).toEqual(scan.plans.filter(({ hops }) => hops.some(({ poolId }) => poolId === pool.id)));
    }
    expect(searched).toBeGreaterThan(50);
    const scan = market.scanAll(PAID);
    const fresh = load(book.pools, { weth: book.weth, lenders }).scanAll(PAID);
    expect(scan.plans).toEqual(fresh.plans);
    const everything = market.searchFrom(
      book.pools.map(({ id }) => id),
      PAID,
    );
    expect(everything.plans).toEqual(scan.plans);
    expect(everything.stats).toEqual(scan.stats);
    for (const plan of scan.plans) expectExact(market, plan);
  });

  test("every examined cycle is a plan or a rejection with a reason", () => {
    const { plans, stats } = load(book.pools, { weth: book.weth, lenders }).scanAll(PAID);
    const rejected = Object.values(stats.rejected).reduce((sum, count) => sum + count, 0);
    expect(plans.length + rejected).toBe(stats.cyclesExamined);
    expect(stats.grossPositive).toBeLessThanOrEqual(stats.cyclesExamined);
    expect(plans.map(({ netWei }) => netWei)).toEqual(
      plans.map(({ netWei }) => netWei).toSorted((a, b) => (a > b ? -1 : 1)),
    );
  });

  test("removing every pool empties the market", () => {
    const market = load(start, { weth: book.weth });
    for (const { id } of start) expect(market.remove(id)).toBe(true);
    expect(market.poolCount).toBe(0);
    expect(market.remove(start[0]?.id as `0x${string}`)).toBe(false);
    expect(market.scanAll(FREE).stats.cyclesExamined).toBe(0);
  });
});

/** Two pairs of WETH and USDC a few percent apart. */
function twoPairs(): [Pool, Pool] {
  return [
    pair(1, [WETH, USDC], [1_000n * ETHER, 3_000_000n * 10n ** 6n]),
    pair(2, [WETH, USDC], [1_000n * ETHER, 3_150_000n * 10n ** 6n]),
  ];
}

describe("plans", () => {
  test("a two-pool gap becomes one plan with the closed form's size", () => {
    const market = load(twoPairs(), { weth: WETH });
    const { plans, stats } = market.scanAll(PAID);
    expect(plans.length).toBe(1);
    const [plan] = plans as [Plan];
    expectExact(market, plan);
    expect(plan.loan).toMatchObject({ kind: "first-swap", token: WETH, premium: 0n });
    expect(plan.hops.map(({ poolId }) => poolId)).toEqual([
      pair(2, [WETH, USDC], [1n, 1n]).id,
      pair(1, [WETH, USDC], [1n, 1n]).id,
    ]);
    expect(stats).toEqual({
      cyclesExamined: 1,
      grossPositive: 1,
      netPositive: 1,
      quarantined: 0,
      rejected: {
        "below-gas": 0,
        "below-min-profit": 0,
        "no-lender": 0,
        "no-conversion": 0,
        "not-executable": 0,
        implausible: 0,
        "candidate-cap": 0,
      },
    });
  });

  test("gas decides: the same gap is refused when its profit does not pay it, or not the most it may cost", () => {
    const market = load(twoPairs(), { weth: WETH });
    const [plan] = market.scanAll(FREE).plans as [Plan];
    const tooDear = plan.profitWei / plan.gasUnits + 1n;
    const dear = market.scanAll({ gasPriceWei: tooDear, maxFeePerGasWei: tooDear });
    expect(dear.plans).toEqual([]);
    expect(dear.stats).toMatchObject({ grossPositive: 1, netPositive: 0 });
    expect(dear.stats.rejected["below-gas"]).toBe(1);
    const limit = plan.profitWei / plan.gasLimit;
    expect(market.scanAll({ gasPriceWei: 1n, maxFeePerGasWei: limit }).plans.length).toBe(1);
    const over = market.scanAll({ gasPriceWei: 1n, maxFeePerGasWei: limit + 1n });
    expect(over.stats.rejected["below-min-profit"]).toBe(1);
  });

  test("a cycle without WETH converts its surplus through a pool that it does not use", () => {
    const gap = [pair(1, [USDC, DAI], [10n ** 12n, 10n ** 24n]), pair(2, [USDC, DAI], [10n ** 12n, 11n * 10n ** 23n])];
    const exit = pair(3, [WETH, DAI], [1_000n * ETHER, 3_000_000n * ETHER]);
    const market = load([...gap, exit], { weth: WETH });
    const { plans } = market.scanAll(PAID);
    expect(plans.length).toBe(1);
    const [plan] = plans as [Plan];
    expectExact(market, plan);
    expect(plan.loan.token).toBe(DAI);
    expect(plan.conversion.map(({ poolId }) => poolId)).toEqual([exit.id]);
    market.remove(exit.id);
    const stranded = market.scanAll(PAID);
    expect(stranded.plans).toEqual([]);
    expect(stranded.stats.rejected["no-conversion"]).toBe(1);
  });

  test("WETH and the chain's own coin are one token, and wrapping costs gas", () => {
    const native = v4(1, [NATIVE_TOKEN, USDC], [1_000n * ETHER, 3_200_000n * 10n ** 6n]);
    const market = load([twoPairs()[0], native], { weth: WETH });
    const [plan] = market.scanAll(PAID).plans as [Plan];
    expectExact(market, plan);
    expect(plan.loan.token).toBe(WETH);
    expect(plan.hops[0]).toMatchObject({ kind: "uniswap-v4", tokenIn: NATIVE_TOKEN });
    const wrapped = load([twoPairs()[0], v4(1, [WETH, USDC], [1_000n * ETHER, 3_200_000n * 10n ** 6n])], {
      weth: WETH,
    });
    expect(plan.gasUnits).toBeGreaterThan((wrapped.scanAll(PAID).plans[0] as Plan).gasUnits);
  });

  test("tokens with 0 and with 36 decimals are sized to the unit", () => {
    const coarse = load([pair(1, [WETH, USDC], [100n * ETHER, 300n]), pair(2, [WETH, USDC], [100n * ETHER, 400n])], {
      weth: WETH,
    });
    const [plan] = coarse.scanAll(PAID).plans as [Plan];
    expectExact(coarse, plan);
    const cycle = plan.hops.map(({ poolId, indexIn, indexOut }) => ({
      pool: coarse.get(poolId) as Pool,
      i: indexIn,
      j: indexOut,
    }));
    expect(plan.profitWei).toBeGreaterThanOrEqual((gridOptimum(cycle, 1.02) * 9_999n) / 10_000n);
    const fine = load(
      // The pair's 112 bits hold no more than 5,192 whole units of such a token.
      [pair(1, [WETH, DAI], [100n * ETHER, 3n * 10n ** 33n]), pair(2, [WETH, DAI], [100n * ETHER, 4n * 10n ** 33n])],
      { weth: WETH },
    );
    expectExact(fine, fine.scanAll(PAID).plans[0] as Plan);
  });

  test("the candidate cap keeps the best and counts the rest", () => {
    const book = createSyntheticMarket({ pools: 120, seed: 5, noise: 0.02 });
    const all = load(book.pools, { weth: book.weth }).scanAll(PAID);
    const capped = load(book.pools, { weth: book.weth, candidatesMax: 20 }).scanAll(PAID);
    expect(all.plans.length).toBeGreaterThan(40);
    expect(capped.stats.rejected["candidate-cap"]).toBeGreaterThan(20);
    expect(capped.plans[0]).toEqual(all.plans[0]);
    expect(capped.plans.length).toBeLessThanOrEqual(20);
    expect(capped.stats.grossPositive).toBeGreaterThan(all.plans.length);
  });

  test("maxHops bounds the cycles", () => {
    const book = createSyntheticMarket({ pools: 120, seed: 5, noise: 0.02 });
    const longest = (maxHops: 2 | 3 | 4): number =>
      Math.max(
        ...load(book.pools, { weth: book.weth, maxHops })
          .scanAll(FREE)
          .plans.map(({ hops }) => hops.length),
      );
    expect([longest(2), longest(3), longest(4)]).toEqual([2, 3, 4]);
  });
});

describe("hostile data", () => {
  test.each([
    ["reserves of 2^255", { ...pair(9, [WETH, USDC], [1n, 1n]), reserves: [2n ** 255n, 1n] }, /112 bits/],
    ["no reserves", { ...pair(9, [WETH, USDC], [0n, 0n]) }, /not positive/],
    ["reserves that are not numbers", { ...pair(9, [WETH, USDC], [1n, 1n]), reserves: ["1", "x"] }, /not positive/],
    ["no tokens", { ...pair(9, [WETH, USDC], [1n, 1n]), tokens: undefined }, /./],
    ["WETH against the coin itself", v4(9, [NATIVE_TOKEN, WETH], [ETHER, ETHER]), /one token/],
    ["hooks", { ...v4(9, [WETH, USDC], [ETHER, ETHER]), hooks: address(7) }, /hooks/],
    ["no pool", undefined, /not an object/],
  ])("%s is quarantined with a reason, and the search goes on", (_, pool, reason) => {
    const market = load(twoPairs(), { weth: WETH });
    const result = market.upsert(pool as unknown as Pool);
    expect(result.status).toBe("quarantined");
    expect("reason" in result && result.reason).toMatch(reason);
    expect(market.poolCount).toBe(2);
    const { plans, stats } = market.scanAll(PAID);
    expect(plans.length).toBe(1);
    expect(stats.quarantined).toBe(1);
  });

  test("a pool that turns to rubbish leaves the market until it is valid again", () => {
    const pools = twoPairs();
    const market = load(pools, { weth: WETH });
    expect(market.upsert({ ...pools[0], reserves: [0n, 1n] } as Pool).status).toBe("quarantined");
    expect(market.scanAll(PAID).plans).toEqual([]);
    expect(market.upsert(pools[0]).status).toBe("added");
    expect(market.scanAll(PAID).plans.length).toBe(1);
    expect(market.quarantine.size).toBe(0);
  });

  test("a pool caught lying stays out until it is removed", () => {
    const pools = twoPairs();
    const market = load(pools, { weth: WETH });
    market.quarantinePool(pools[0].id, "takes a fee on transfer");
    expect(market.upsert(pools[0])).toEqual({ status: "quarantined", reason: "takes a fee on transfer" });
    expect(market.scanAll(PAID).plans).toEqual([]);
    expect(market.remove(pools[0].id)).toBe(true);
    expect(market.upsert(pools[0]).status).toBe("added");
    expect(market.scanAll(PAID).plans.length).toBe(1);
  });

  test("a price that no market lets stand is implausible", () => {
    const liar = pair(3, [WETH, USDC], [1_000n * ETHER, 10n ** 17n]);
    const { plans, stats } = load([twoPairs()[0], liar], { weth: WETH }).scanAll(PAID);
    expect(plans).toEqual([]);
    expect(stats.rejected.implausible).toBe(1);
  });

  test("an empty or one-sided concentrated pool is no trade and no error", () => {
    const empty = { ...v3(1, [WETH, USDC], [ETHER, 3_000n * 10n ** 6n]), liquidity: 0n, ticks: [], liquidityNets: [] };
    const market = load([...twoPairs(), empty, weighted(1, [WETH, USDC, DAI], [1_000n, 1n, 10n ** 33n])], {
      weth: WETH,
    });
    expect(market.scanAll(PAID).plans.length).toBe(1);
  });

  test("a swapped token list is a new pool", () => {
    const pools = twoPairs();
    const market = load(pools, { weth: WETH });
    expect(market.upsert({ ...pools[1], tokens: [WETH, DAI] }).status).toBe("added");
    expect(market.scanAll(PAID).stats.cyclesExamined).toBe(0);
  });

  test("no numbers make a search throw", () => {
    const wild = fc.oneof(
      fc.bigInt({ min: -1n, max: 2n ** 112n }),
      fc.bigInt({ min: 2n ** 111n, max: 2n ** 256n }),
      fc.bigInt({ min: 0n, max: 1_000n }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(wild, wild), { minLength: 6, maxLength: 6 }), (amounts) => {
        const market = createMarket({ weth: WETH, lenders: {} });
        const tokens = [
          [WETH, USDC],
          [USDC, DAI],
          [WETH, DAI],
        ] as const;
        const searches: SearchResult[] = [];
        amounts.forEach(([x, y], k) => {
          const [a, b] = tokens[k % 3] as [`0x${string}`, `0x${string}`];
          market.upsert(k < 3 ? pair(k, [a, b], [x, y]) : weighted(k, [a, b], [x, y]));
          searches.push(market.scanAll(FREE));
        });
        for (const plan of searches.at(-1)?.plans ?? []) expectExact(market, plan);
        expect(market.poolCount + market.quarantine.size).toBe(6);
      }),
      { seed: 9, numRuns: 300 },
    );
  });
});
