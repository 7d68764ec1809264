import { expect } from "vitest";
import type { Call, Chain } from "./chain.ts";
import type { Random } from "./random.ts";
import { AmmError, type UniswapV3Pool, type UniswapV4Pool } from "../src/pool.ts";
import { quoteExactIn, quoteExactOut, swapExactIn } from "../src/quote.ts";
import { initializedTicks, tickWordRange } from "../src/ticks.ts";
import { sqrtPriceAtTick } from "../src/tick-math.ts";
import { validatePool } from "../src/validate.ts";

const QUOTES_PER_ROUND = 30;

/** What a pool's chain state needs: how to read it, quote it and swap on it. */
export type Venue<P extends UniswapV3Pool | UniswapV4Pool> = {
  /** Reads slot0 and the liquidity in range. */
  readonly readState: (pool: P) => Promise<{ sqrtPriceX96: bigint; tick: number; liquidity: bigint }>;
  readonly bitmapCall: (pool: P, position: number) => Call;
  readonly bitmapWord: (answer: readonly unknown[]) => bigint;
  readonly tickCall: (pool: P, tick: number) => Call;
  readonly tickNet: (answer: readonly unknown[]) => bigint;
  readonly quoteCall: (pool: P, zeroForOne: boolean, amount: bigint, exactIn: boolean) => Call;
  /** The other amount of a quote, or undefined where the chain filled it only in part. */
  readonly quoted: (
    answer: readonly unknown[],
    zeroForOne: boolean,
    amount: bigint,
    exactIn: boolean,
  ) => bigint | undefined;
  readonly swap: (pool: P, zeroForOne: boolean, amountIn: bigint) => Promise<void>;
};

/** Liquidity positions at random around a tick: some narrow, some wide, some apart, so that gaps and crossings occur. */
export function randomRanges(
  random: Random,
  tick: number,
  tickSpacing: number,
  count: number,
): { lower: number; upper: number; liquidity: bigint }[] {
  const align = (value: number): number => {
    const limit = Math.floor(887_272 / tickSpacing) * tickSpacing;
    return Math.min(limit, Math.max(-limit, Math.round(value / tickSpacing) * tickSpacing));
  };
  return Array.from({ length: count }, (_, k) => {
    // The first range always covers the price, widely.
    const width =
      k === 0 ? 20_000 : Math.exp(Math.log(tickSpacing) + random.next() * (Math.log(30_000) - Math.log(tickSpacing)));
    const middle = tick + (k === 0 ? 0 : (random.next() - 0.5) * 8_000);
    const lower = align(middle - width);
    const upper = Math.max(align(middle + width), lower + tickSpacing);
    return { lower, upper, liquidity: random.amount(10n ** 14n, 10n ** 18n) };
  });
}

/** The pool as the chain has it, its ticks read from the raw bitmap. */
export async function loadPool<P extends UniswapV3Pool | UniswapV4Pool>(
  chain: Chain,
  venue: Venue<P>,
  pool: P,
): Promise<P> {
  const state = await venue.readState(pool);
  const { first, last } = tickWordRange(pool.tickSpacing);
  const positions = Array.from({ length: last - first + 1 }, (_, k) => first + k);
  const words = await chain.call(positions.map((position) => venue.bitmapCall(pool, position)));
  const ticks = initializedTicks(
    new Map(positions.map((position, k) => [position, venue.bitmapWord(words[k] ?? [])])),
    pool.tickSpacing,
  );
  const nets = await chain.call(ticks.map((tick) => venue.tickCall(pool, tick)));
  return { ...pool, ...state, ticks, liquidityNets: nets.map((net) => venue.tickNet(net ?? [])) };
}

function attempt(quote: () => bigint): bigint | undefined {
  try {
    return quote();
  } catch (error) {
    expect(error).toBeInstanceOf(AmmError);
    return undefined;
  }
}

/** Quotes both ways against the chain and swaps for real, round after round; counts what was compared and the ticks that the quotes crossed. */
export async function campaign<P extends UniswapV3Pool | UniswapV4Pool>(
  chain: Chain,
  venue: Venue<P>,
  start: P,
  random: Random,
  rounds: number,
): Promise<{ compared: number; refused: number; crossings: number }> {
  let pool = start;
  let compared = 0;
  let refused = 0;
  let crossings = 0;
  for (let round = 0; round < rounds; round += 1) {
    validatePool(pool);
    const cases = Array.from({ length: QUOTES_PER_ROUND }, () => {
      const zeroForOne = random.next() < 0.5;
      return {
        zeroForOne,
        amountIn: randomInput(pool, zeroForOne, random),
        amountOut: randomInput(pool, !zeroForOne, random),
      };
    });
    const answers = await chain.call(
      cases.flatMap(({ zeroForOne, amountIn, amountOut }) => [
        venue.quoteCall(pool, zeroForOne, amountIn, true),
        venue.quoteCall(pool, zeroForOne, amountOut, false),
      ]),
    );
    cases.forEach(({ zeroForOne, amountIn, amountOut }, k) => {
      const [i, j] = zeroForOne ? [0, 1] : [1, 0];
      const [given, wanted] = answers.slice(2 * k, 2 * k + 2);
      const out = attempt(() => quoteExactIn(pool, i, j, amountIn));
      const input = attempt(() => quoteExactOut(pool, i, j, amountOut));
      const place = `${pool.kind} ${pool.id} round ${round} ${i}->${j}`;
      expect(out, `${place} in ${amountIn}`).toBe(given && venue.quoted(given, zeroForOne, amountIn, true));
      expect(input, `${place} out ${amountOut}`).toBe(wanted && venue.quoted(wanted, zeroForOne, amountOut, false));
      compared += (out === undefined ? 0 : 1) + (input === undefined ? 0 : 1);
      refused += (out === undefined ? 1 : 0) + (input === undefined ? 1 : 0);
      if (out !== undefined) crossings += crossed(pool, swapExactIn(pool, i, j, amountIn).pool);
    });
    const zeroForOne = random.next() < 0.5;
    const amountIn = randomInput(pool, zeroForOne, random);
    const next = attemptSwap(pool, zeroForOne, amountIn);
    if (next === undefined) continue;
    await venue.swap(pool, zeroForOne, amountIn);
    expect(await venue.readState(pool)).toEqual({
      sqrtPriceX96: next.sqrtPriceX96,
      tick: next.tick,
      liquidity: next.liquidity,
    });
    pool = next;
  }
  return { compared, refused, crossings };
}

/** How many initialized ticks lie between two states of a pool. */
function crossed(before: UniswapV3Pool | UniswapV4Pool, after: UniswapV3Pool | UniswapV4Pool): number {
  const [low, high] = [Math.min(before.tick, after.tick), Math.max(before.tick, after.tick)];
  return before.ticks.filter((tick) => tick > low && tick <= high).length;
}

function attemptSwap<P extends UniswapV3Pool | UniswapV4Pool>(
  pool: P,
  zeroForOne: boolean,
  amountIn: bigint,
): P | undefined {
  try {
    return swapExactIn(pool, zeroForOne ? 0 : 1, zeroForOne ? 1 : 0, amountIn).pool;
  } catch {
    return undefined;
  }
}

/** An amount of the input token: from dust to what moves the price by up to a third through the widest range. */
function randomInput(pool: UniswapV3Pool | UniswapV4Pool, zeroForOne: boolean, random: Random): bigint {
  const price = sqrtPriceAtTick(Math.max(-880_000, Math.min(880_000, pool.tick)));
  const liquidity = pool.liquidity > 0n ? pool.liquidity : 10n ** 15n;
  const virtual = zeroForOne ? (liquidity << 96n) / price : (liquidity * price) >> 96n;
  // Half of them are large, so that many cross ticks.
  return random.next() < 0.5 ? random.amount(1n, virtual / 2n + 2n) : random.amount(virtual / 100n + 1n, virtual + 2n);
}
