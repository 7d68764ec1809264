import fc from "fast-check";
import { expect, test } from "vitest";
import type { Pool } from "@flashloan/amm/pool";
import { gridOptimum, profitAt } from "../src/brute-force.ts";
import { DAI, ETHER, pair, stable, USDC, v3, v4, weighted, WETH } from "./pools.ts";
import { floatOptimum, sizeRoute, type RouteHop } from "../src/sizing.ts";

const free = (): bigint => 0n;

function profitOf(hops: readonly RouteHop[]): bigint {
  const amounts = sizeRoute(hops, floatOptimum(hops, 0).amountIn, free);
  const profit = amounts === undefined ? 0n : (amounts.at(-1) as bigint) - (amounts[0] as bigint);
  // A size that leaves a loss is not traded.
  return profit > 0n ? profit : 0n;
}

const price = fc.double({ min: 0.92, max: 1.08, noNaN: true });
const depth = fc.double({ min: 1, max: 1_000, noNaN: true });

function around(units: number, factor: number): [bigint, bigint] {
  return [BigInt(Math.floor(units * 1e18)), BigInt(Math.floor(units * factor * 1e18))];
}

/** Five ways from WETH to DAI, one of each kind, at a price and depth. */
const makers: readonly ((number: number, units: number, factor: number) => Pool)[] = [
  (number, units, factor) => pair(number, [WETH, DAI], around(units, factor)),
  (number, units, factor) => v3(number, [WETH, DAI], around(units, factor)),
  (number, units, factor) => v4(number, [WETH, DAI], around(units, factor)),
  (number, units, factor) => weighted(number, [WETH, DAI], around(units, factor)),
  (number, units, factor) => stable(number, [WETH, DAI], around(units, factor)),
];

test("two hops of any kinds: the size is within a millionth of the best of a dense grid", () => {
  let paying = 0;
  fc.assert(
    fc.property(fc.nat(4), fc.nat(4), price, price, depth, depth, (k, m, p1, p2, d1, d2) => {
      const there = (makers[k] as (typeof makers)[0])(1, d1, p1);
      const back = (makers[m] as (typeof makers)[0])(2, d2, p2);
      const hops = [
        { pool: there, i: 0, j: 1 },
        { pool: back, i: 1, j: 0 },
      ];
      const best = gridOptimum(hops, 1.3);
      if (best > 0n) paying += 1;
      expect(profitOf(hops)).toBeGreaterThanOrEqual(best - best / 1_000_000n - 4n);
    }),
    { seed: 1, numRuns: 250 },
  );
  expect(paying).toBeGreaterThan(40);
});

test("three hops, a premium and a cap move the size as they should", () => {
  const hops = [
    { pool: pair(1, [WETH, USDC], [1_000n * ETHER, 3_000_000n * 10n ** 6n]), i: 0, j: 1 },
    { pool: v3(1, [USDC, DAI], [10n ** 13n, 103n * 10n ** 23n]), i: 0, j: 1 },
    { pool: weighted(1, [DAI, WETH], [3_000_000n * ETHER, 1_050n * ETHER]), i: 0, j: 1 },
  ];
  const best = gridOptimum(hops, 1.05);
  expect(profitOf(hops)).toBeGreaterThanOrEqual(best - best / 10n ** 6n);
  const free0 = floatOptimum(hops, 0).amountIn;
  const dear = floatOptimum(hops, 0.01).amountIn;
  expect(dear).toBeLessThan(free0);
  const premiumOf = (amount: bigint): bigint => amount / 100n;
  const amounts = sizeRoute(hops, dear, premiumOf) as readonly bigint[];
  const net = (size: bigint): bigint => (profitAt(hops, size) as bigint) - premiumOf(size);
  const size = amounts[0] as bigint;
  expect(net(size)).toBeGreaterThan(net((size * 101n) / 100n));
  expect(net(size)).toBeGreaterThan(net((size * 99n) / 100n));
  const cap = BigInt(Math.floor(free0 / 3));
  expect(sizeRoute(hops, floatOptimum(hops, 0, Number(cap)).amountIn, free, cap)?.[0]).toBeLessThanOrEqual(cap);
  expect(floatOptimum(hops, 0, Number(cap)).amountIn).toBe(Number(cap));
  expect(floatOptimum(hops, 0.5).amountIn).toBe(0);
});

test("a coarse token is sized by its units", () => {
  fc.assert(
    fc.property(fc.integer({ min: 20, max: 400 }), fc.integer({ min: 20, max: 400 }), (x, y) => {
      const hops = [
        { pool: pair(1, [WETH, USDC], [100n * ETHER, BigInt(x)]), i: 0, j: 1 },
        { pool: pair(2, [WETH, USDC], [100n * ETHER, BigInt(y)]), i: 1, j: 0 },
      ];
      const best = gridOptimum(hops, 1.02);
      expect(profitOf(hops)).toBeGreaterThanOrEqual(best);
    }),
    { seed: 2, numRuns: 60 },
  );
});
