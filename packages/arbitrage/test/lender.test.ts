import { describe, expect, test } from "vitest";
import { NATIVE_TOKEN, type Address, type Pool } from "@flashloan/amm/pool";
import { AAVE, DAI, ETHER, MANAGER, pair, USDC, v3, v4, VAULT, weighted, WETH } from "./pools.ts";
import { DEFAULT_GAS_MODEL, type GasModel } from "../src/gas-model.ts";
import { LenderDirectory, withoutDominated, type Lenders } from "../src/lender.ts";
import { createMarket, type Market } from "../src/market.ts";
import type { Plan } from "../src/plan.ts";

const PRICES = { gasPriceWei: 5n * 10n ** 9n, maxFeePerGasWei: 10n ** 10n };
const plenty: ReadonlyMap<Address, bigint> = new Map([WETH, USDC, DAI].map((token) => [token, 10n ** 30n]));
const NO_FIRST_SWAP = { firstSwap: false } as const;

function market(pools: readonly Pool[], lenders: Lenders): Market {
  const created = createMarket({ weth: WETH, lenders });
  for (const pool of pools) expect(created.upsert(pool).status).toBe("added");
  return created;
}

function only(pools: readonly Pool[], lenders: Lenders): Plan | undefined {
  const { plans } = market(pools, lenders).scanAll(PRICES);
  expect(plans.length).toBeLessThanOrEqual(1);
  return plans[0];
}

function rejections(pools: readonly Pool[], lenders: Lenders): number {
  return market(pools, lenders).scanAll(PRICES).stats.rejected["no-lender"];
}

const low: [bigint, bigint] = [1_000n * ETHER, 3_000_000n * ETHER];
const high: [bigint, bigint] = [1_000n * ETHER, 3_300_000n * ETHER];
/** The loan of a plan that must be there. */
function loanOf(plan: Plan | undefined): Plan["loan"] {
  if (plan === undefined) throw new Error("there is no plan");
  return plan.loan;
}

/** WETH sells high in the first and buys low in the second. */
const pairs = [pair(2, [WETH, DAI], high), pair(1, [WETH, DAI], low)] as const;
const balancerFirst = [weighted(2, [WETH, DAI], high), pair(1, [WETH, DAI], low)] as const;

test("Aave lends to any route at its premium, half a unit rounded up", () => {
  const plan = only(balancerFirst, { ...NO_FIRST_SWAP, aaveV3: { pool: AAVE, premiumBps: 5, liquidity: plenty } });
  expect(plan?.loan).toMatchObject({ kind: "aave-v3", source: AAVE, token: WETH });
  const { amount, premium, repay } = loanOf(plan);
  expect(premium).toBe((amount * 5n + 5_000n) / 10_000n);
  expect(repay).toBe(amount + premium);
  expect(plan?.premiumWei).toBe(premium);
  expect(plan?.grossWei).toBe((plan?.profitWei as bigint) + premium);
});

test("Balancer lends free, but never to a route with a Balancer hop: swap and flashLoan share one guard", () => {
  const lenders = { ...NO_FIRST_SWAP, balancerV2: { vault: VAULT, balances: plenty } };
  expect(only(pairs, lenders)?.loan).toMatchObject({ kind: "balancer-v2", source: VAULT, premium: 0n });
  expect(only(balancerFirst, lenders)).toBeUndefined();
  expect(rejections(balancerFirst, lenders)).toBe(1);
  expect(only([pairs[0], weighted(1, [WETH, DAI], low)], lenders)).toBeUndefined();
});

test("a V2 pair that lends is locked: it cannot be a hop, so another lends", () => {
  const other = pair(3, [WETH, USDC], [5_000n * ETHER, 15_000_000n * ETHER]);
  const small = pair(4, [WETH, USDC], [2n * ETHER, 6_000n * ETHER]);
  const ids = [pairs[0].id, pairs[1].id, other.id];
  const plan = only([...pairs, other], { ...NO_FIRST_SWAP, uniswapV2: { poolIds: ids } });
  expect(plan?.loan).toMatchObject({ kind: "uniswap-v2", source: other.address, poolId: other.id });
  const { amount, premium } = loanOf(plan);
  expect(premium).toBe((amount * 1000n + 996n) / 997n - amount);
  expect(rejections(pairs, { ...NO_FIRST_SWAP, uniswapV2: { poolIds: ids } })).toBe(1);
  const bounded = only([...pairs, small], { ...NO_FIRST_SWAP, uniswapV2: { poolIds: [small.id] } });
  expect(bounded?.loan.amount).toBeLessThan(2n * ETHER);
});

test("a V3 pool that lends is locked: it cannot be a hop, so another lends, its fee rounded up", () => {
  const hop = v3(1, [WETH, DAI], high);
  const other = v3(2, [WETH, USDC], [ETHER, 3_000n * ETHER], 500);
  const pools = [
    { poolId: hop.id, balances: plenty },
    { poolId: other.id, balances: plenty },
  ];
  const plan = only([hop, pairs[1], other], { ...NO_FIRST_SWAP, uniswapV3: { pools } });
  expect(plan?.loan).toMatchObject({ kind: "uniswap-v3", poolId: other.id });
  const { amount, premium } = loanOf(plan);
  expect(premium).toBe((amount * 500n + 999_999n) / 1_000_000n);
  expect(rejections([hop, pairs[1]], { ...NO_FIRST_SWAP, uniswapV3: { pools: pools.slice(0, 1) } })).toBe(1);
});

test("the V4 PoolManager lends free to any route: its own hops use the open unlock", () => {
  const lenders = { ...NO_FIRST_SWAP, uniswapV4: { poolManager: MANAGER, balances: plenty } };
  const plan = only([v4(1, [WETH, DAI], high), weighted(1, [WETH, DAI], low)], lenders);
  expect(plan?.loan).toMatchObject({ kind: "uniswap-v4", source: MANAGER, premium: 0n });
  const native = only([v4(1, [NATIVE_TOKEN, DAI], high), pairs[1]], lenders);
  expect(native?.loan).toMatchObject({ kind: "uniswap-v4", token: WETH });
  expect(native?.hops[0]?.tokenIn).toBe(NATIVE_TOKEN);
});

describe("first swap", () => {
  test.each([
    ["V2", pairs[0]],
    ["V3", v3(1, [WETH, DAI], high)],
    ["V4", v4(1, [WETH, DAI], high)],
  ] as const)("a first hop on %s pays before it is paid: no lender, no premium", (_, first) => {
    const plan = only([first, pairs[1]], {});
    expect(plan?.loan).toMatchObject({ kind: "first-swap", source: first.address, poolId: first.id, premium: 0n });
    expect(plan?.loan.repay).toBe(plan?.hops[0]?.amountIn);
  });

  test("Balancer is paid first, so it cannot fund its own hop", () => {
    expect(only(balancerFirst, {})).toBeUndefined();
    expect(rejections(balancerFirst, {})).toBe(1);
  });

  test("the pool that paid is locked: the conversion goes through another", () => {
    const gap = [
      pair(5, [WETH, USDC], low),
      pair(6, [USDC, DAI], [10n ** 24n, 10n ** 24n]),
      pair(7, [USDC, DAI], [10n ** 24n, 12n * 10n ** 23n]),
    ];
    const plans = market(gap, {}).scanAll(PRICES).plans;
    expect(plans.length).toBeGreaterThan(0);
    for (const { hops, conversion, loan } of plans) {
      for (const { poolId } of conversion) {
        expect(hops.map((hop) => hop.poolId)).not.toContain(poolId);
        expect(loan.poolId).not.toBe(poolId);
      }
    }
  });
});

describe("the cheapest", () => {
  const everyone: Lenders = {
    ...NO_FIRST_SWAP,
    aaveV3: { pool: AAVE, premiumBps: 5, liquidity: plenty },
    balancerV2: { vault: VAULT, balances: plenty },
    uniswapV4: { poolManager: MANAGER, balances: plenty },
    uniswapV2: { poolIds: [pair(3, [WETH, USDC], [1n, 1n]).id] },
  };
  const lender3 = pair(3, [WETH, USDC], [5_000n * ETHER, 15_000_000n * ETHER]);

  test("no premium and least gas wins; capacity can outweigh both", () => {
    expect(only([...pairs, lender3], { ...everyone, firstSwap: true })?.loan.kind).toBe("first-swap");
    expect(only([...pairs, lender3], everyone)?.loan.kind).toBe("uniswap-v4");
    const tiny = { ...everyone, uniswapV4: { poolManager: MANAGER, balances: new Map([[WETH, ETHER / 10n]]) } };
    expect(only([...pairs, lender3], tiny)?.loan.kind).toBe("balancer-v2");
    const balancerRoute = only([...balancerFirst, lender3], tiny);
    expect(balancerRoute?.loan.kind).toBe("aave-v3");
  });

  test("gas against premium: a small trade pays Aave's premium where its gas is less", () => {
    const cheapAave: GasModel = {
      ...DEFAULT_GAS_MODEL,
      lender: { ...DEFAULT_GAS_MODEL.lender, "aave-v3": 20_000, "uniswap-v4": 500_000 },
    };
    const lenders = { ...NO_FIRST_SWAP, aaveV3: everyone.aaveV3, uniswapV4: everyone.uniswapV4 } as Lenders;
    const kinds = ([1n, 1_000n] as const).map((scale) => {
      const created = createMarket({ weth: WETH, lenders, gasModel: cheapAave });
      for (const [number, base] of [
        [2, high],
        [1, low],
      ] as const) {
        created.upsert(pair(number, [WETH, DAI], [(base[0] * scale) / 10n, (base[1] * scale) / 10n]));
      }
      return created.scanAll({ gasPriceWei: 10n ** 10n, maxFeePerGasWei: 10n ** 10n }).plans[0]?.loan.kind;
    });
    expect(kinds).toEqual(["aave-v3", "uniswap-v4"]);
  });

  test("changing the lenders changes the next search", () => {
    const created = market(pairs, NO_FIRST_SWAP);
    expect(created.scanAll(PRICES).stats.rejected["no-lender"]).toBe(1);
    created.setLenders(everyone);
    expect(created.scanAll(PRICES).plans[0]?.loan.kind).toBe("uniswap-v4");
  });

  test("only options that nothing beats are sized", () => {
    const getPool = (): undefined => undefined;
    const options = new LenderDirectory(everyone, getPool).optionsFor({ token: WETH, pools: [pairs[0]] });
    expect(options.map(({ kind }) => kind)).toEqual(["uniswap-v4", "balancer-v2", "aave-v3"]);
    expect(withoutDominated(options, DEFAULT_GAS_MODEL, 1e20).map(({ kind }) => kind)).toEqual(["uniswap-v4"]);
    expect(new LenderDirectory({}, getPool).optionsFor({ token: WETH, pools: [] })).toEqual([]);
  });
});
