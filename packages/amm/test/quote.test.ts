import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { everyPool, v2Pool, v3Pool, weightedPool } from "./pools.ts";
import { createCurve, depthOf } from "../src/curve.ts";
import { AmmError, type Pool } from "../src/pool.ts";
import { quoteExactIn, quoteExactOut, spotPrice, swapExactIn } from "../src/quote.ts";
import { v2FlashRepayment } from "../src/uniswap-v2.ts";
import { v3FlashFee } from "../src/uniswap-v3.ts";
import { validatePool } from "../src/validate.ts";

/** Roughly how much of token i the pool can take before its price moves by a few percent. */
function scaleOf(pool: Pool, i: number, j: number): number {
  return depthOf(pool, i, j).reserveIn / 400;
}

function errorCode(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof AmmError) return error.code;
    throw error;
  }
  return "none";
}

describe.each(everyPool.map((pool) => [pool.kind, pool] as const))("%s", (_, pool) => {
  const share = fc.double({ min: 1e-3, max: 1, noNaN: true });
  const direction = fc.constantFrom([0, 1] as const, [1, 0] as const);

  test("swapExactIn pays the quote and leaves a valid pool that pays less", () => {
    fc.assert(
      fc.property(share, direction, (part, [i, j]) => {
        const amountIn = BigInt(Math.ceil(scaleOf(pool, i, j) * part));
        const swap = swapExactIn(pool, i, j, amountIn);
        expect(swap.amountOut).toBe(quoteExactIn(pool, i, j, amountIn));
        validatePool(swap.pool);
        expect(quoteExactIn(swap.pool, i, j, amountIn)).toBeLessThanOrEqual(swap.amountOut);
      }),
      { seed: 1, numRuns: 60 },
    );
  });

  test("buying back what a sale paid never costs less than was sold", () => {
    fc.assert(
      fc.property(share, direction, (part, [i, j]) => {
        const amountIn = BigInt(Math.ceil(scaleOf(pool, i, j) * part));
        const { amountOut, pool: after } = swapExactIn(pool, i, j, amountIn);
        expect(quoteExactOut(after, j, i, amountIn)).toBeGreaterThanOrEqual(amountOut);
        // Exact output asks no more than the input that buys it, up to the rounding of the pool's own math.
        const asked = quoteExactOut(pool, i, j, amountOut);
        expect(asked).toBeLessThanOrEqual(amountIn + amountIn / 10n ** 8n + 2n);
      }),
      { seed: 2, numRuns: 60 },
    );
  });

  test("the float curve follows the exact quote, and its slope the curve", () => {
    fc.assert(
      fc.property(share, direction, (part, [i, j]) => {
        const curve = createCurve(pool, i, j);
        const amountIn = Math.ceil(scaleOf(pool, i, j) * part * 3);
        const point = { amountOut: 0, slope: 0 };
        curve.evaluate(amountIn, point);
        const exact = Number(quoteExactIn(pool, i, j, BigInt(amountIn)));
        expect(Math.abs(point.amountOut / exact - 1)).toBeLessThan(1e-6);
        const { amountOut, slope } = point;
        const step = amountIn * 1e-4;
        curve.evaluate(amountIn + step, point);
        // A tick's edge between the two points may bend it by a fee or so.
        expect(Math.abs((point.amountOut - amountOut) / step / slope - 1)).toBeLessThan(0.02);
        expect(slope).toBeLessThanOrEqual(curve.spot * (1 + 1e-9));
      }),
      { seed: 3, numRuns: 60 },
    );
  });

  test("the spot price is the limit of small swaps and the depth's ratio", () => {
    const amountIn = BigInt(Math.ceil(scaleOf(pool, 0, 1) / 100));
    const average = Number(quoteExactIn(pool, 0, 1, amountIn)) / Number(amountIn);
    expect(average / spotPrice(pool, 0, 1)).toBeCloseTo(1, 3);
    const { reserveIn, reserveOut } = depthOf(pool, 0, 1);
    expect(reserveOut / reserveIn / spotPrice(pool, 0, 1)).toBeCloseTo(1, 9);
  });

  test("zero, unknown tokens and more than the pool has are typed errors", () => {
    expect(errorCode(() => quoteExactIn(pool, 0, 1, 0n))).toBe("zero-amount");
    expect(errorCode(() => quoteExactOut(pool, 0, 1, -1n))).toBe("zero-amount");
    expect(errorCode(() => quoteExactIn(pool, 0, 0, 1n))).toBe("invalid-token");
    expect(errorCode(() => quoteExactIn(pool, 0, 9, 1n))).toBe("invalid-token");
    expect(["insufficient-liquidity", "ratio-exceeded"]).toContain(
      errorCode(() => quoteExactOut(pool, 0, 1, 10n ** 32n)),
    );
    expect(["insufficient-liquidity", "overflow"]).toContain(errorCode(() => quoteExactIn(pool, 0, 1, 10n ** 40n)));
  });
});

test("a weighted pool trades at most 30 % of a balance", () => {
  expect(errorCode(() => quoteExactIn(weightedPool, 0, 1, 151n * 10n ** 18n))).toBe("ratio-exceeded");
  expect(errorCode(() => quoteExactOut(weightedPool, 0, 1, 240_000n * 10n ** 6n + 1n))).toBe("ratio-exceeded");
});

test("flash premiums round up", () => {
  expect(v2FlashRepayment(v2Pool, 997n)).toBe(1000n);
  expect(v2FlashRepayment(v2Pool, 998n)).toBe(1002n);
  expect(v3FlashFee(v3Pool.feePpm, 1n)).toBe(1n);
  expect(v3FlashFee(v3Pool.feePpm, 1_000_000n)).toBe(3_000n);
});
