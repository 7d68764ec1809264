import { expect, test } from "vitest";
import { everyPool, stablePool, v2Pool, v3Pool, v4Pool, weightedPool } from "./pools.ts";
import type { Pool } from "../src/pool.ts";
import { validatePool } from "../src/validate.ts";

test.each(everyPool.map((pool) => [pool.kind, pool] as const))("a sane %s pool passes", (_, pool) => {
  expect(() => validatePool(pool)).not.toThrow();
});

const refusals: readonly (readonly [string, unknown, RegExp])[] = [
  ["a zero reserve", { ...v2Pool, reserves: [0n, 1n] }, /reserve 0 is not positive/],
  ["a negative reserve", { ...v2Pool, reserves: [1n, -1n] }, /reserve -1 is not positive/],
  ["an absurd reserve", { ...v2Pool, reserves: [1n, 2n ** 255n] }, /does not fit 112 bits/],
  ["a fee over 100 %", { ...v2Pool, feeNumerator: 1001n }, /fee 1001\/1000/],
  ["an upper-case id", { ...v2Pool, id: `0x${"AB".repeat(20)}` }, /lower-case hex/],
  ["the same token twice", { ...v2Pool, tokens: [v2Pool.tokens[0], v2Pool.tokens[0]] }, /listed twice/],
  ["unsorted ticks", { ...v3Pool, ticks: [-60, -1200, 120, 600] }, /not ascending at -1200/],
  ["ticks off the spacing", { ...v3Pool, ticks: [-1200, -59, 120, 600] }, /off the spacing 60/],
  ["nets that do not cancel", { ...v3Pool, liquidityNets: [2n, 3n, -3n, -1n] }, /sum to 1/],
  ["liquidity unlike its nets", { ...v3Pool, liquidity: 7n }, /liquidity 7 differs/],
  ["an uninitialized price", { ...v3Pool, sqrtPriceX96: 0n }, /sqrtPriceX96 0 is out of range/],
  ["a tick unlike the price", { ...v3Pool, tick: 90 }, /does not match/],
  ["a V4 protocol fee over the limit", { ...v4Pool, protocolFee: 1001 }, /protocolFee 1001/],
  ["weights that miss 1", { ...weightedPool, weights: [1n, 1n, 1n].map((x) => x * 10n ** 17n) }, /weights sum to/],
  ["a 36-decimals token", { ...weightedPool, scalingFactors: [10n ** -0n, 10n ** 18n * 10n, 1n] }, /scaling factor/],
  ["an empty balance", { ...stablePool, balances: [0n, 1n, 1n] }, /balance 0 is not positive/],
  ["a wild amplification", { ...stablePool, amplification: 10n ** 9n }, /amplification/],
  ["an unknown kind", { ...v2Pool, kind: "curve" }, /unknown pool kind curve/],
  ["no pool at all", null, /not an object/],
];

test.each(refusals)("%s is refused", (_, pool, message) => {
  expect(() => validatePool(pool as Pool)).toThrow(message);
});
