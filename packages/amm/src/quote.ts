import { applyVaultSwap } from "./balancer-vault.ts";
import { quoteStableExactIn, quoteStableExactOut } from "./balancer-stable.ts";
import { quoteWeightedExactIn, quoteWeightedExactOut } from "./balancer-weighted.ts";
import type { ConcentratedSwap } from "./concentrated.ts";
import { createCurve } from "./curve.ts";
import { AmmError, type Pool, type UniswapV3Pool, type UniswapV4Pool } from "./pool.ts";
import { tickAtSqrtPrice } from "./tick-math.ts";
import { applyV2Swap, quoteV2ExactIn, quoteV2ExactOut } from "./uniswap-v2.ts";
import { swapV3 } from "./uniswap-v3.ts";
import { swapV4 } from "./uniswap-v4.ts";

/** A swap's output and the pool that it leaves behind. */
export type Swap<P extends Pool = Pool> = {
  /** Base units of the output token. */
  readonly amountOut: bigint;
  readonly pool: P;
};

/**
 * What the pool pays for exactly `amountIn`: equal to the chain to the wei.
 *
 * @param i index of the input token in `pool.tokens`.
 * @param j index of the output token.
 * @param amountIn base units of the input token, fee included.
 * @returns base units of the output token, rounded down.
 * @throws AmmError where the chain would revert, or fill the swap only in part.
 */
export function quoteExactIn(pool: Pool, i: number, j: number, amountIn: bigint): bigint {
  checkTokens(pool, i, j);
  switch (pool.kind) {
    case "uniswap-v2":
      return quoteV2ExactIn(pool, i === 0 ? 0 : 1, amountIn);
    case "uniswap-v3":
    case "uniswap-v4":
      return concentratedExactIn(pool, i, amountIn).amountOut;
    case "balancer-weighted":
      return quoteWeightedExactIn(pool, i, j, amountIn);
    case "balancer-stable":
      return quoteStableExactIn(pool, i, j, amountIn);
  }
}

/**
 * What the pool asks for exactly `amountOut`: equal to the chain to the wei.
 *
 * @param i index of the input token in `pool.tokens`.
 * @param j index of the output token.
 * @param amountOut base units of the output token.
 * @returns base units of the input token, fee included, rounded up.
 * @throws AmmError where the chain would revert, or fill the swap only in part.
 */
export function quoteExactOut(pool: Pool, i: number, j: number, amountOut: bigint): bigint {
  checkTokens(pool, i, j);
  switch (pool.kind) {
    case "uniswap-v2":
      return quoteV2ExactOut(pool, i === 0 ? 0 : 1, amountOut);
    case "uniswap-v3":
    case "uniswap-v4":
      if (amountOut <= 0n) throw new AmmError("zero-amount", "the output must be positive");
      return concentratedSwap(pool, i, -amountOut).amountIn;
    case "balancer-weighted":
      return quoteWeightedExactOut(pool, i, j, amountOut);
    case "balancer-stable":
      return quoteStableExactOut(pool, i, j, amountOut);
  }
}

/**
 * Swaps exactly `amountIn` and returns the output with the pool's next state; the pool given stays as it is.
 *
 * @throws AmmError as `quoteExactIn`.
 */
export function swapExactIn<P extends Pool>(pool: P, i: number, j: number, amountIn: bigint): Swap<P>;
export function swapExactIn(pool: Pool, i: number, j: number, amountIn: bigint): Swap {
  checkTokens(pool, i, j);
  switch (pool.kind) {
    case "uniswap-v2": {
      const amountOut = quoteV2ExactIn(pool, i === 0 ? 0 : 1, amountIn);
      return { amountOut, pool: applyV2Swap(pool, i === 0 ? 0 : 1, amountIn, amountOut) };
    }
    case "uniswap-v3":
    case "uniswap-v4": {
      const swap = concentratedExactIn(pool, i, amountIn);
      const { amountOut, sqrtPriceX96, liquidity } = swap;
      const tick = swap.tick ?? tickAtSqrtPrice(sqrtPriceX96);
      return { amountOut, pool: { ...pool, sqrtPriceX96, tick, liquidity } };
    }
    case "balancer-weighted":
    case "balancer-stable": {
      const amountOut = quoteExactIn(pool, i, j, amountIn);
      return { amountOut, pool: applyVaultSwap(pool, i, j, amountIn, amountOut) };
    }
  }
}

/**
 * The marginal price: base units out for one base unit in, after the fee, for an infinitely small swap. Float, good
 * to about twelve digits: for search and display, never for amounts.
 */
export function spotPrice(pool: Pool, i: number, j: number): number {
  checkTokens(pool, i, j);
  return createCurve(pool, i, j).spot;
}

function concentratedExactIn(pool: UniswapV3Pool | UniswapV4Pool, i: number, amountIn: bigint): ConcentratedSwap {
  if (amountIn <= 0n) throw new AmmError("zero-amount", "the input must be positive");
  return concentratedSwap(pool, i, amountIn);
}

function concentratedSwap(pool: UniswapV3Pool | UniswapV4Pool, i: number, amount: bigint): ConcentratedSwap {
  return pool.kind === "uniswap-v3" ? swapV3(pool, i === 0, amount) : swapV4(pool, i === 0, amount);
}

function checkTokens(pool: Pool, i: number, j: number): void {
  if (pool.tokens[i] === undefined || pool.tokens[j] === undefined || i === j) {
    throw new AmmError("invalid-token", `pool ${pool.id} has no swap from token ${i} to ${j}`);
  }
}
