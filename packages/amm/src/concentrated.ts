import { AmmError, type ConcentratedLiquidity } from "./pool.ts";
import {
  amount0Delta,
  amount1Delta,
  mulDivUp,
  nextSqrtPriceFromInput,
  nextSqrtPriceFromOutput,
} from "./sqrt-price-math.ts";
import {
  MAX_SQRT_PRICE_X96,
  MAX_TICK,
  MIN_SQRT_PRICE_X96,
  MIN_TICK,
  sqrtPriceAtTick,
  tickAtSqrtPrice,
} from "./tick-math.ts";

/** Fees are parts per million of the input. */
const PPM = 1_000_000n;

/** Ticks in one word of the bitmap. */
const WORD_TICKS = 256;

/** Price steps (words and ticks) in one swap; at over 5,000 gas each the chain could not do more in a block either. */
const MAX_SWAP_STEPS = 4_096;

/** One exact-input or exact-output swap through a concentrated-liquidity pool. */
export type ConcentratedSwap = {
  /** What comes in, fee included, base units. */
  readonly amountIn: bigint;
  /** What goes out, base units. */
  readonly amountOut: bigint;
  readonly sqrtPriceX96: bigint;
  /** The tick to store, or undefined where the price alone decides it: `tickAtSqrtPrice`, which quotes do not need. */
  readonly tick: number | undefined;
  readonly liquidity: bigint;
};

/** The index of the last entry of the ascending `ticks` that is at most `tick`, or −1. */
export function lastIndexAtMost(ticks: readonly number[], tick: number): number {
  let low = 0;
  let high = ticks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ticks[middle] as number) <= tick) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The last tick that one look at the bitmap can reach from `tick`: the edge of its word. */
function wordEdge(tick: number, tickSpacing: number, zeroForOne: boolean): number {
  const compressed = Math.floor(tick / tickSpacing);
  const word = Math.floor((zeroForOne ? compressed : compressed + 1) / WORD_TICKS);
  const edge = zeroForOne ? word * WORD_TICKS : word * WORD_TICKS + WORD_TICKS - 1;
  return Math.min(MAX_TICK, Math.max(MIN_TICK, edge * tickSpacing));
}

/**
 * Swaps as UniswapV3Pool.swap and the V4 PoolManager do, without a price limit.
 *
 * Each step ends at an initialized tick or at the edge of the tick bitmap's word, because the chain rounds once a step.
 *
 * @param amount exact input when positive (fee included), exact output when negative, base units.
 * @param feePpm the whole swap fee, parts per million.
 * @param capOutput Uniswap V3 recomputes an exact output from the rounded price and caps it; V4 takes it as asked.
 * @throws AmmError `zero-amount`, or `insufficient-liquidity` when the pool cannot take or pay the whole amount.
 */
export function swapConcentrated(
  pool: ConcentratedLiquidity,
  zeroForOne: boolean,
  amount: bigint,
  feePpm: number,
  capOutput: boolean,
): ConcentratedSwap {
  if (amount === 0n) throw new AmmError("zero-amount", "the amount must be positive");
  const exactIn = amount > 0n;
  const fee = BigInt(feePpm);
  const { ticks, liquidityNets, tickSpacing } = pool;
  // The chain's limits: a swap never reaches the outermost prices themselves.
  const limit = zeroForOne ? MIN_SQRT_PRICE_X96 + 1n : MAX_SQRT_PRICE_X96 - 1n;

  let { sqrtPriceX96, liquidity } = pool;
  let tick: number | undefined = pool.tick;
  let remaining = exactIn ? amount : -amount;
  let calculated = 0n;
  // Where the next initialized tick in the direction of the swap stands in `ticks`.
  let index = lastIndexAtMost(ticks, pool.tick) + (zeroForOne ? 0 : 1);

  for (let steps = 0; remaining !== 0n; steps += 1) {
    if (sqrtPriceX96 === limit) {
      throw new AmmError("insufficient-liquidity", "the pool's liquidity ends before the amount");
    }
    if (steps === MAX_SWAP_STEPS) {
      throw new AmmError("insufficient-liquidity", `the swap needs over ${MAX_SWAP_STEPS} steps`);
    }
    const initializedTick = ticks[index];
    if (liquidity === 0n && initializedTick === undefined) {
      throw new AmmError("insufficient-liquidity", "the pool's liquidity ends before the amount");
    }
    tick ??= tickAtSqrtPrice(sqrtPriceX96);
    const edge = wordEdge(tick, tickSpacing, zeroForOne);
    // Empty words change nothing where there is no liquidity, so they are skipped there.
    const isInitialized =
      initializedTick !== undefined &&
      (liquidity === 0n || (zeroForOne ? initializedTick >= edge : initializedTick <= edge));
    const nextTick = isInitialized ? initializedTick : edge;
    const nextPrice = sqrtPriceAtTick(nextTick);
    const target = zeroForOne ? (nextPrice < limit ? limit : nextPrice) : nextPrice > limit ? limit : nextPrice;
    const startPrice = sqrtPriceX96;

    if (exactIn) {
      const step = stepExactIn(startPrice, target, liquidity, remaining, fee, zeroForOne);
      sqrtPriceX96 = step.sqrtPriceX96;
      remaining -= step.consumed;
      calculated += step.amountOut;
    } else {
      const step = stepExactOut(startPrice, target, liquidity, remaining, fee, zeroForOne, capOutput);
      sqrtPriceX96 = step.sqrtPriceX96;
      remaining -= step.amountOut;
      calculated += step.amountInAndFee;
    }

    if (sqrtPriceX96 === nextPrice) {
      if (isInitialized) {
        const net = liquidityNets[index] as bigint;
        liquidity = zeroForOne ? liquidity - net : liquidity + net;
        if (liquidity < 0n) {
          throw new AmmError("invalid-state", `liquidity is negative beyond tick ${nextTick}`);
        }
        index += zeroForOne ? -1 : 1;
      }
      tick = zeroForOne ? nextTick - 1 : nextTick;
    } else if (sqrtPriceX96 !== startPrice) {
      tick = undefined;
    }
  }
  return {
    amountIn: exactIn ? amount : calculated,
    amountOut: exactIn ? calculated : -amount,
    sqrtPriceX96,
    tick,
    liquidity,
  };
}

function stepExactIn(
  price: bigint,
  target: bigint,
  liquidity: bigint,
  remaining: bigint,
  fee: bigint,
  zeroForOne: boolean,
): { sqrtPriceX96: bigint; consumed: bigint; amountOut: bigint } {
  const remainingAfterFee = (remaining * (PPM - fee)) / PPM;
  const toTarget = zeroForOne
    ? amount0Delta(target, price, liquidity, true)
    : amount1Delta(price, target, liquidity, true);
  const reaches = remainingAfterFee >= toTarget;
  const sqrtPriceX96 = reaches ? target : nextSqrtPriceFromInput(price, liquidity, remainingAfterFee, zeroForOne);
  const amountOut = zeroForOne
    ? amount1Delta(sqrtPriceX96, price, liquidity, false)
    : amount0Delta(price, sqrtPriceX96, liquidity, false);
  // Short of the target, whatever of the input is not traded is fee, so all of it is consumed.
  const consumed = reaches ? toTarget + feeOn(toTarget, fee) : remaining;
  return { sqrtPriceX96, consumed, amountOut };
}

function stepExactOut(
  price: bigint,
  target: bigint,
  liquidity: bigint,
  remaining: bigint,
  fee: bigint,
  zeroForOne: boolean,
  capOutput: boolean,
): { sqrtPriceX96: bigint; amountInAndFee: bigint; amountOut: bigint } {
  const toTarget = zeroForOne
    ? amount1Delta(target, price, liquidity, false)
    : amount0Delta(price, target, liquidity, false);
  const reaches = remaining >= toTarget;
  const sqrtPriceX96 = reaches ? target : nextSqrtPriceFromOutput(price, liquidity, remaining, zeroForOne);
  let amountOut = reaches ? toTarget : remaining;
  if (!reaches && capOutput && sqrtPriceX96 !== target) {
    const computed = zeroForOne
      ? amount1Delta(sqrtPriceX96, price, liquidity, false)
      : amount0Delta(price, sqrtPriceX96, liquidity, false);
    if (computed < amountOut) amountOut = computed;
  }
  const amountIn = zeroForOne
    ? amount0Delta(sqrtPriceX96, price, liquidity, true)
    : amount1Delta(price, sqrtPriceX96, liquidity, true);
  return { sqrtPriceX96, amountInAndFee: amountIn + feeOn(amountIn, fee), amountOut };
}

/** The fee on top of `amountIn`, rounded up; a fee of the whole input leaves nothing to trade. */
function feeOn(amountIn: bigint, fee: bigint): bigint {
  return fee === PPM ? amountIn : mulDivUp(amountIn, fee, PPM - fee);
}
