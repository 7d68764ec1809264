import { lastIndexAtMost } from "./concentrated.ts";
import { AmmError, type UniswapV3Pool, type UniswapV4Pool } from "./pool.ts";
import { MAX_TICK, MIN_TICK } from "./tick-math.ts";

const WORD_TICKS = 256;

/** The first and last word of the tick bitmap in which a tick of this spacing can stand. */
export function tickWordRange(tickSpacing: number): { first: number; last: number } {
  return {
    first: Math.floor(Math.ceil(MIN_TICK / tickSpacing) / WORD_TICKS),
    last: Math.floor(Math.floor(MAX_TICK / tickSpacing) / WORD_TICKS),
  };
}

/**
 * The initialized ticks, ascending, that the words of a tick bitmap name.
 *
 * @param words bitmap words by their position, as `tickBitmap(int16)` returns them; absent words are empty.
 */
export function initializedTicks(words: ReadonlyMap<number, bigint>, tickSpacing: number): number[] {
  const ticks: number[] = [];
  for (const position of [...words.keys()].toSorted((a, b) => a - b)) {
    let rest = words.get(position) ?? 0n;
    for (let bit = 0; rest !== 0n; bit += 1, rest >>= 1n) {
      if ((rest & 1n) === 1n) ticks.push((position * WORD_TICKS + bit) * tickSpacing);
    }
  }
  return ticks;
}

/**
 * The pool after a position from `tickLower` to `tickUpper` grew by `liquidityDelta` (or shrank, when negative):
 * a V3 Mint or Burn, or a V4 ModifyLiquidity.
 *
 * A tick stays initialized on chain while any position uses it, even when the nets of its positions cancel; nets
 * alone cannot tell, so after a burn that brings a net to zero the tick is kept. It then changes no liquidity; only
 * rounding at that tick could differ, so callers that must be exact read such a tick back.
 *
 * @throws AmmError `invalid-state` when liquidity would become negative.
 */
export function applyLiquidityChange<P extends UniswapV3Pool | UniswapV4Pool>(
  pool: P,
  tickLower: number,
  tickUpper: number,
  liquidityDelta: bigint,
): P {
  const inRange = pool.tick >= tickLower && pool.tick < tickUpper;
  const liquidity = inRange ? pool.liquidity + liquidityDelta : pool.liquidity;
  if (liquidity < 0n) throw new AmmError("invalid-state", "the change leaves negative liquidity");
  const ticks = [...pool.ticks];
  const liquidityNets = [...pool.liquidityNets];
  addNet(ticks, liquidityNets, tickLower, liquidityDelta);
  addNet(ticks, liquidityNets, tickUpper, -liquidityDelta);
  return { ...pool, liquidity, ticks, liquidityNets };
}

function addNet(ticks: number[], nets: bigint[], tick: number, delta: bigint): void {
  const at = lastIndexAtMost(ticks, tick);
  if (ticks[at] === tick) {
    nets[at] = (nets[at] as bigint) + delta;
  } else {
    ticks.splice(at + 1, 0, tick);
    nets.splice(at + 1, 0, delta);
  }
}
