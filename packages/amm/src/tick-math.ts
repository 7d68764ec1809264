import { AmmError } from "./pool.ts";

/** Lowest tick of Uniswap V3 and V4. */
export const MIN_TICK = -887_272;
/** Highest tick of Uniswap V3 and V4. */
export const MAX_TICK = 887_272;

/** The square-root price at the lowest tick, Q64.96. */
export const MIN_SQRT_PRICE_X96 = 4_295_128_739n;
/** The square-root price at the highest tick, Q64.96; a pool's price is always below it. */
export const MAX_SQRT_PRICE_X96 = 1_461_446_703_485_210_103_287_273_052_203_988_822_378_723_970_342n;

const MAX_UINT256 = (1n << 256n) - 1n;
const LOW_32_BITS = (1n << 32n) - 1n;

/** 1.0001^(−2^k ÷ 2) in Q128.128, for bit k of the absolute tick (TickMath.sol). */
const POWERS_X128: readonly bigint[] = [
  0xfffcb933bd6fad37aa2d162d1a594001n,
  0xfff97272373d413259a46990580e213an,
  0xfff2e50f5f656932ef12357cf3c7fdccn,
  0xffe5caca7e10e4e61c3624eaa0941cd0n,
  0xffcb9843d60f6159c9db58835c926644n,
  0xff973b41fa98c081472e6896dfb254c0n,
  0xff2ea16466c96a3843ec78b326b52861n,
  0xfe5dee046a99a2a811c461f1969c3053n,
  0xfcbe86c7900a88aedcffc83b479aa3a4n,
  0xf987a7253ac413176f2b074cf7815e54n,
  0xf3392b0822b70005940c7a398e4b70f3n,
  0xe7159475a2c29b7443b29c7fa6e889d9n,
  0xd097f3bdfd2022b8845ad8f792aa5825n,
  0xa9f746462d870fdf8a65dc1f90e061e5n,
  0x70d869a156d2a1b890bb3df62baf32f7n,
  0x31be135f97d08fd981231505542fcfa6n,
  0x9aa508b5b7a84e1c677de54f3e99bc9n,
  0x5d6af8dedb81196699c329225ee604n,
  0x2216e584f5fa1ea926041bedfe98n,
  0x48a170391f7dc42444e8fa2n,
];

/**
 * The square-root price at a tick, Q64.96, rounded up as TickMath.getSqrtRatioAtTick does.
 *
 * @throws AmmError `invalid-state` when the tick is out of range.
 */
export function sqrtPriceAtTick(tick: number): bigint {
  const absTick = Math.abs(tick);
  if (!(absTick <= MAX_TICK)) throw new AmmError("invalid-state", `tick ${tick} is out of range`);
  let ratio = 1n << 128n;
  for (let bit = 0, rest = absTick; rest !== 0; bit += 1, rest >>= 1) {
    // absTick < 2^20, so `bit` is always an index of the table.
    if ((rest & 1) !== 0) ratio = (ratio * (POWERS_X128[bit] as bigint)) >> 128n;
  }
  if (tick > 0) ratio = MAX_UINT256 / ratio;
  return (ratio >> 32n) + ((ratio & LOW_32_BITS) === 0n ? 0n : 1n);
}

/**
 * The greatest tick whose square-root price is at most `sqrtPriceX96`.
 *
 * The chain takes a base-2 logarithm bit by bit; the result is defined by the inequality, so a float logarithm
 * corrected by exact comparisons gives the same tick.
 *
 * @throws AmmError `invalid-state` when the price is out of range.
 */
export function tickAtSqrtPrice(sqrtPriceX96: bigint): number {
  if (sqrtPriceX96 < MIN_SQRT_PRICE_X96 || sqrtPriceX96 >= MAX_SQRT_PRICE_X96) {
    throw new AmmError("invalid-state", "the square-root price is out of range");
  }
  const estimate = Math.floor((2 * Math.log(Number(sqrtPriceX96) / 2 ** 96)) / Math.log(1.0001));
  let tick = Math.min(MAX_TICK - 1, Math.max(MIN_TICK, estimate));
  while (sqrtPriceAtTick(tick) > sqrtPriceX96) tick -= 1;
  while (sqrtPriceAtTick(tick + 1) <= sqrtPriceX96) tick += 1;
  return tick;
}
