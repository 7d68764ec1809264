import { AmmError, type UniswapV2Pool } from "./pool.ts";

/** Pairs keep their reserves in 112 bits. */
export const MAX_RESERVE = (1n << 112n) - 1n;

/**
 * The most that a pair pays for `amountIn`, rounded down (UniswapV2Library.getAmountOut).
 *
 * @throws AmmError `zero-amount` when the input or the rounded output is zero, `overflow` when the input does not
 * fit the pair's 112-bit reserve.
 */
export function quoteV2ExactIn(pool: UniswapV2Pool, i: 0 | 1, amountIn: bigint): bigint {
  const reserveIn = pool.reserves[i];
  const reserveOut = pool.reserves[i === 0 ? 1 : 0];
  if (amountIn <= 0n) throw new AmmError("zero-amount", "the input must be positive");
  if (reserveIn + amountIn > MAX_RESERVE) {
    throw new AmmError("overflow", "the input does not fit the pair's 112-bit reserve");
  }
  const amountInAfterFee = amountIn * pool.feeNumerator;
  const amountOut = (amountInAfterFee * reserveOut) / (reserveIn * pool.feeDenominator + amountInAfterFee);
  if (amountOut === 0n) throw new AmmError("zero-amount", "the input is too small to buy one unit");
  return amountOut;
}

/**
 * What a pair asks for `amountOut`, rounded up (UniswapV2Library.getAmountIn: always one more than the quotient).
 *
 * @throws AmmError `zero-amount`, `insufficient-liquidity` when the reserve is not larger than the output, `overflow`
 * when the input does not fit the pair's 112-bit reserve.
 */
export function quoteV2ExactOut(pool: UniswapV2Pool, i: 0 | 1, amountOut: bigint): bigint {
  const reserveIn = pool.reserves[i];
  const reserveOut = pool.reserves[i === 0 ? 1 : 0];
  if (amountOut <= 0n) throw new AmmError("zero-amount", "the output must be positive");
  if (amountOut >= reserveOut) {
    throw new AmmError("insufficient-liquidity", "the output is not smaller than the reserve");
  }
  const amountIn = (reserveIn * amountOut * pool.feeDenominator) / ((reserveOut - amountOut) * pool.feeNumerator) + 1n;
  if (reserveIn + amountIn > MAX_RESERVE) {
    throw new AmmError("overflow", "the input does not fit the pair's 112-bit reserve");
  }
  return amountIn;
}

/** The pair after `amountIn` came in on side `i` and `amountOut` left on the other. */
export function applyV2Swap(pool: UniswapV2Pool, i: 0 | 1, amountIn: bigint, amountOut: bigint): UniswapV2Pool {
  const [reserve0, reserve1] = pool.reserves;
  return {
    ...pool,
    reserves: i === 0 ? [reserve0 + amountIn, reserve1 - amountOut] : [reserve0 - amountOut, reserve1 + amountIn],
  };
}

/**
 * What a pair asks to be paid back, in the same token, for lending `amount` by a flash swap: the smallest repayment
 * that its constant-product check accepts, ceil(amount × feeDenominator ÷ feeNumerator).
 */
export function v2FlashRepayment(pool: UniswapV2Pool, amount: bigint): bigint {
  return (amount * pool.feeDenominator + pool.feeNumerator - 1n) / pool.feeNumerator;
}
