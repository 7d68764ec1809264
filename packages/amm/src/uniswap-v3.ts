import { swapConcentrated, type ConcentratedSwap } from "./concentrated.ts";
import type { UniswapV3Pool } from "./pool.ts";

/**
 * One swap through a Uniswap V3 pool, equal to UniswapV3Pool.swap to the wei.
 *
 * @param amount exact input when positive (fee included), exact output when negative, base units.
 * @throws AmmError as `swapConcentrated`.
 */
export function swapV3(pool: UniswapV3Pool, zeroForOne: boolean, amount: bigint): ConcentratedSwap {
  return swapConcentrated(pool, zeroForOne, amount, pool.feePpm, true);
}

/** The fee of a Uniswap V3 flash loan of `amount`: parts per million of it, rounded up. */
export function v3FlashFee(feePpm: number, amount: bigint): bigint {
  return (amount * BigInt(feePpm) + 999_999n) / 1_000_000n;
}
