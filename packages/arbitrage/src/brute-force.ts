import { AmmError, NATIVE_TOKEN, type Address, type Pool } from "@flashloan/amm/pool";
import { quoteExactIn, spotPrice } from "@flashloan/amm/quote";

/**
 * A reference for tests and benchmarks: shares no code with the search, enumerates every cycle, sizes on a grid.
 * Its cost is exponential in the pools: a few dozen are the limit.
 */

/** One swap of a cycle, found without any of the search's code. */
export type NaiveHop = { readonly pool: Pool; readonly i: number; readonly j: number };

function nodeOf(token: Address, weth: Address): Address {
  return token === NATIVE_TOKEN ? weth : token;
}

/** Every cycle of 2 to `maxHops` hops through distinct pools and tokens, each once, starting at WETH where it has it. */
export function everyCycle(pools: readonly Pool[], weth: Address, maxHops: number): NaiveHop[][] {
  const leaving = new Map<Address, { hop: NaiveHop; to: Address }[]>();
  for (const pool of pools) {
    for (let i = 0; i < pool.tokens.length; i += 1) {
      for (let j = 0; j < pool.tokens.length; j += 1) {
        if (i === j) continue;
        const from = nodeOf(pool.tokens[i] as Address, weth);
        const to = nodeOf(pool.tokens[j] as Address, weth);
        leaving.set(from, [...(leaving.get(from) ?? []), { hop: { pool, i, j }, to }]);
      }
    }
  }
  const rank = new Map(
    [...leaving.keys()]
      .toSorted((a, b) => (a === weth ? -1 : b === weth ? 1 : a < b ? -1 : 1))
      .map((token, k) => [token, k]),
  );
  const cycles: NaiveHop[][] = [];
  const walk = (start: Address, at: Address, path: NaiveHop[], seen: Set<Address>): void => {
    for (const { hop, to } of leaving.get(at) ?? []) {
      if (path.some(({ pool }) => pool.id === hop.pool.id)) continue;
      if (to === start && path.length >= 1) cycles.push([...path, hop]);
      // The start is the cycle's token of lowest rank, so that each cycle is found once.
      else if (
        to !== start &&
        !seen.has(to) &&
        path.length + 1 < maxHops &&
        (rank.get(to) as number) > (rank.get(start) as number)
      ) {
        walk(start, to, [...path, hop], new Set([...seen, to]));
      }
    }
  };
  for (const start of leaving.keys()) walk(start, start, [], new Set([start]));
  return cycles;
}

/** A cycle's name, the same for every rotation. */
export function cycleName(hops: readonly { poolId: string; indexIn: number; indexOut: number }[]): string {
  const names = hops.map(({ poolId, indexIn, indexOut }) => `${poolId}:${indexIn}:${indexOut}`);
  const first = names.indexOf(names.toSorted()[0] as string);
  return [...names.slice(first), ...names.slice(0, first)].join(">");
}

/** The name of a naive cycle. */
export function naiveName(cycle: readonly NaiveHop[]): string {
  return cycleName(cycle.map(({ pool, i, j }) => ({ poolId: pool.id, indexIn: i, indexOut: j })));
}

/** What a cycle leaves at one input, exact; undefined where a pool refuses. */
export function profitAt(cycle: readonly NaiveHop[], amountIn: bigint): bigint | undefined {
  try {
    let amount = amountIn;
    for (const { pool, i, j } of cycle) amount = quoteExactIn(pool, i, j, amount);
    return amount - amountIn;
  } catch (error) {
    if (error instanceof AmmError) return undefined;
    throw error;
  }
}

/**
 * The best profit over a grid of sizes, a factor of `ratio` apart, refined once around the best; exact arithmetic only.
 *
 * A cycle whose marginal price is not above 1 is skipped: every pool's curve is concave, so no size of it pays.
 */
export function gridOptimum(cycle: readonly NaiveHop[], ratio: number): bigint {
  if (cycle.reduce((price, { pool, i, j }) => price * spotPrice(pool, i, j), 1) <= 1) return 0n;
  let best = 0n;
  let bestSize = 0;
  const tryGrid = (from: number, to: number, step: number): void => {
    for (let size = from; size < to; size *= step) {
      const profit = profitAt(cycle, BigInt(Math.floor(size)));
      if (profit !== undefined && profit > best) [best, bestSize] = [profit, size];
    }
  };
  tryGrid(1, 1e32, ratio);
  if (bestSize > 0) tryGrid(bestSize / ratio, bestSize * ratio, 1 + (ratio - 1) / 50);
  return best;
}
