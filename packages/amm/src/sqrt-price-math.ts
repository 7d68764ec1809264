import { AmmError } from "./pool.ts";

const Q96_BITS = 96n;
const Q96 = 1n << Q96_BITS;
const MAX_UINT256 = (1n << 256n) - 1n;

function divUp(numerator: bigint, denominator: bigint): bigint {
  return (numerator + denominator - 1n) / denominator;
}

/** numerator ÷ denominator rounded up; both positive, as FullMath.mulDivRoundingUp. */
export function mulDivUp(a: bigint, b: bigint, denominator: bigint): bigint {
  return divUp(a * b, denominator);
}

/** Token0 between two square-root prices at a liquidity, base units, rounded as asked (SqrtPriceMath). */
export function amount0Delta(sqrtPriceA: bigint, sqrtPriceB: bigint, liquidity: bigint, roundUp: boolean): bigint {
  const lower = sqrtPriceA < sqrtPriceB ? sqrtPriceA : sqrtPriceB;
  const upper = sqrtPriceA < sqrtPriceB ? sqrtPriceB : sqrtPriceA;
  const product = (liquidity << Q96_BITS) * (upper - lower);
  // Two roundings, one per division, because the chain divides twice.
  return roundUp ? divUp(divUp(product, upper), lower) : product / upper / lower;
}

/** Token1 between two square-root prices at a liquidity, base units, rounded as asked (SqrtPriceMath). */
export function amount1Delta(sqrtPriceA: bigint, sqrtPriceB: bigint, liquidity: bigint, roundUp: boolean): bigint {
  const difference = sqrtPriceA < sqrtPriceB ? sqrtPriceB - sqrtPriceA : sqrtPriceA - sqrtPriceB;
  const product = liquidity * difference;
  return roundUp ? divUp(product, Q96) : product >> Q96_BITS;
}

/**
 * The square-root price after `amountIn` (the fee already off) came in, rounded so that it never passes the target.
 */
export function nextSqrtPriceFromInput(
  sqrtPrice: bigint,
  liquidity: bigint,
  amountIn: bigint,
  zeroForOne: boolean,
): bigint {
  if (!zeroForOne) return sqrtPrice + (amountIn << Q96_BITS) / liquidity;
  if (amountIn === 0n) return sqrtPrice;
  const numerator = liquidity << Q96_BITS;
  const product = amountIn * sqrtPrice;
  // The chain switches to a less precise formula where the product or the sum leaves 256 bits.
  if (product <= MAX_UINT256 && numerator + product <= MAX_UINT256) {
    return mulDivUp(numerator, sqrtPrice, numerator + product);
  }
  return divUp(numerator, numerator / sqrtPrice + amountIn);
}

/**
 * The square-root price after `amountOut` left, rounded so that at least the output is covered.
 *
 * @throws AmmError `insufficient-liquidity` when no price pays that much.
 */
export function nextSqrtPriceFromOutput(
  sqrtPrice: bigint,
  liquidity: bigint,
  amountOut: bigint,
  zeroForOne: boolean,
): bigint {
  if (zeroForOne) {
    const quotient = divUp(amountOut << Q96_BITS, liquidity);
    if (sqrtPrice <= quotient) {
      throw new AmmError("insufficient-liquidity", "the output exceeds the range's token1");
    }
    return sqrtPrice - quotient;
  }
  if (amountOut === 0n) return sqrtPrice;
  const numerator = liquidity << Q96_BITS;
  const product = amountOut * sqrtPrice;
  if (product > MAX_UINT256 || numerator <= product) {
    throw new AmmError("insufficient-liquidity", "the output exceeds the range's token0");
  }
  return mulDivUp(numerator, sqrtPrice, numerator - product);
}
