import fc from "fast-check";
import { expect, test } from "vitest";
import { v3Pool } from "./pools.ts";
import { MAX_TICK, MIN_TICK, sqrtPriceAtTick, tickAtSqrtPrice } from "../src/tick-math.ts";
import { applyLiquidityChange, initializedTicks, tickWordRange } from "../src/ticks.ts";
import { validatePool } from "../src/validate.ts";

test("a tick's price maps back to the tick, and one less to the tick below", () => {
  fc.assert(
    fc.property(fc.integer({ min: MIN_TICK + 1, max: MAX_TICK - 1 }), (tick) => {
      expect(tickAtSqrtPrice(sqrtPriceAtTick(tick))).toBe(tick);
      expect(tickAtSqrtPrice(sqrtPriceAtTick(tick) - 1n)).toBe(tick - 1);
    }),
    { seed: 1, numRuns: 500 },
  );
});

test("bitmap words name their ticks, ascending, on both sides of zero", () => {
  const words = new Map([
    [1, 1n << 3n],
    [-1, (1n << 255n) | 1n],
    [0, 0n],
  ]);
  expect(initializedTicks(words, 60)).toEqual([-256 * 60, -60, (256 + 3) * 60]);
});

test("the word range covers every usable tick", () => {
  expect(tickWordRange(1)).toEqual({ first: -3466, last: 3465 });
  expect(tickWordRange(60)).toEqual({ first: -58, last: 57 });
});

test("adding and removing a position gives the pool back", () => {
  const grown = applyLiquidityChange(v3Pool, -120, 240, 10n ** 18n);
  validatePool(grown);
  expect(grown.liquidity).toBe(v3Pool.liquidity + 10n ** 18n);
  expect(grown.ticks).toEqual([-1200, -120, -60, 120, 240, 600]);
  const back = applyLiquidityChange(grown, -120, 240, -(10n ** 18n));
  validatePool(back);
  expect(back.liquidity).toBe(v3Pool.liquidity);
  expect(back.ticks.filter((_, k) => back.liquidityNets[k] !== 0n)).toEqual([...v3Pool.ticks]);
  const apart = applyLiquidityChange(v3Pool, 600, 1200, 1n);
  expect(apart.liquidity).toBe(v3Pool.liquidity);
  expect(() => applyLiquidityChange(v3Pool, -60, 120, -(10n ** 20n))).toThrow(/negative liquidity/);
});
