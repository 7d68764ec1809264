import { swapConcentrated, type ConcentratedSwap } from "./concentrated.ts";
import { AmmError, type UniswapV4Pool } from "./pool.ts";

/** A whole fee of 100 %, parts per million: nothing can be bought exactly. */
const MAX_SWAP_FEE_PPM = 1_000_000;

/**
 * The whole swap fee of a V4 pool in one direction, parts per million: the protocol's share comes off the input
 * first, then the liquidity providers' (ProtocolFeeLibrary.calculateSwapFee).
 */
export function v4SwapFeePpm(pool: UniswapV4Pool, zeroForOne: boolean): number {
  const protocolFee = zeroForOne ? pool.protocolFee & 0xfff : pool.protocolFee >>> 12;
  const overlap = Math.floor((protocolFee * pool.lpFeePpm) / MAX_SWAP_FEE_PPM);
  return protocolFee + pool.lpFeePpm - overlap;
}

/**
 * One swap through a Uniswap V4 pool without hooks, equal to the PoolManager's to the wei.
 *
 * @param amount exact input when positive (fee included), exact output when negative, base units.
 * @throws AmmError as `swapConcentrated`.
 */
export function swapV4(pool: UniswapV4Pool, zeroForOne: boolean, amount: bigint): ConcentratedSwap {
  const feePpm = v4SwapFeePpm(pool, zeroForOne);
  if (amount < 0n && feePpm >= MAX_SWAP_FEE_PPM) {
    throw new AmmError("insufficient-liquidity", "a fee of 100 % leaves nothing to buy exactly");
  }
  return swapConcentrated(pool, zeroForOne, amount, feePpm, false);
}
