import fc from "fast-check";
import type { Coupling } from "../src/quadratic.ts";

/** Variables of {@link anyProblem}. */
export const SIZE = 7;
const coefficient = fc.integer({ min: -50, max: 50 });
const index = fc.integer({ min: 0, max: SIZE - 1 });
/** Any problem of seven variables; couplings in any order, several of one pair, and diagonal ones. */
export const anyProblem = fc
  .record({
    offset: coefficient,
    linear: fc.array(coefficient, { maxLength: SIZE }),
    couplings: fc.array(fc.tuple(index, index, coefficient), { maxLength: 30 }),
  })
  .map(({ offset, linear, couplings }) => ({ size: SIZE, offset, linear, couplings: couplings as Coupling[] }));

// Instances of the usual libraries, made as their authors made them.

/** Knuth's portable generator (The Stanford GraphBase, GB_FLIP), which the G-set's generator draws from. */
class GraphBaseRandom {
  readonly #state = new Int32Array(56);
  #at = 0;

  constructor(seed: number) {
    const state = this.#state;
    const less = (a: number, b: number): number => (a - b) & 0x7fffffff;
    let shift = less(seed, 0);
    let [previous, next] = [shift, 1];
    state[55] = previous;
    for (let i = 21; i !== 0; i = (i + 21) % 55) {
      state[i] = next;
      next = less(previous, next);
      shift = shift & 1 ? 0x40000000 + (shift >> 1) : shift >> 1;
      next = less(next, shift);
      previous = state[i] as number;
    }
    for (let i = 0; i < 5; i++) this.#cycle();
    this.#at = 54;
  }

  /** Uniform in 0 … bound − 1. */
  below(bound: number): number {
    const limit = 2 ** 31 - (2 ** 31 % bound);
    for (;;) {
      const drawn = this.#at > 0 ? (this.#state[this.#at--] as number) : this.#cycle();
      if (drawn < limit) return drawn % bound;
    }
  }

  #cycle(): number {
    const state = this.#state;
    for (let i = 1, j = 32; i <= 55; i++, j = j === 55 ? 1 : j + 1)
      state[i] = ((state[i] as number) - (state[j] as number)) & 0x7fffffff;
    this.#at = 54;
    return state[55] as number;
  }
}

/** A graph for a maximum cut. */
export interface Graph {
  readonly size: number;
  readonly edges: readonly Coupling[];
}

/** `rudy -rnd_graph SIZE DENSITY SEED` (Rinaldi): G1 is 800 6 8001, G22 is 2000 1 20001. */
export function randomGraph(size: number, density: number, seed: number): Graph {
  const random = new GraphBaseRandom(seed);
  const count = Math.round((size * (size - 1) * density) / 200);
  const edges = new Map<number, Coupling>();
  while (edges.size < count) {
    const [u, v] = [random.below(size), random.below(size)];
    const key = Math.min(u, v) * size + Math.max(u, v);
    if (u !== v && !edges.has(key)) edges.set(key, [u, v, 1]);
  }
  return { size, edges: [...edges.values()] };
}

/** `rudy -spinglass2pm ROWS COLUMNS PERCENT SEED`: a torus whose couplings are −1 (so many per cent) or +1. */
export function spinGlassTorus(rows: number, columns: number, percent: number, seed: number): Graph {
  const random = new GraphBaseRandom(seed);
  const size = rows * columns;
  const negative = Math.floor((2 * size * percent) / 100);
  const weights: number[] = Array.from({ length: 2 * size }, (_, k) => (k < negative ? -1 : 1));
  for (let j = 2 * size; j > 1; j--) {
    const k = random.below(j);
    [weights[j - 1], weights[k]] = [weights[k] as number, weights[j - 1] as number];
  }
  const edges = weights.map((weight, k): Coupling => {
    const i = k % size;
    if (k >= size) return [i, (i + columns) % size, weight];
    return [i, i % columns === columns - 1 ? i - columns + 1 : i + 1, weight];
  });
  return { size, edges };
}

/** bqp50-1 of the OR-Library (Beasley 1998): its entries `i j q`, counted from 1; best known 2098. */
export const BQP50_1 = `50 111
1 4 39 1 43 -72 1 44 -99 1 49 -57 2 7 78 2 14 -28 2 32 15 3 11 -84 3 44 86 4 11 -77 4 22 43 4 27 -12 4 38 -86 4 39 -81
4 49 -48 5 9 -51 5 16 -75 5 20 -53 6 7 2 6 14 -68 6 15 -3 6 16 -66 6 21 89 6 24 -90 6 31 -76 7 17 -97 7 18 -65 7 32 -50
7 48 2 7 50 -22 8 42 -91 8 49 -19 9 29 -22 9 31 -7 9 45 22 9 48 -10 10 20 -77 10 30 42 10 41 40 11 18 35 11 41 -86
11 42 -62 11 47 75 12 20 94 12 25 -95 12 46 25 12 47 25 13 30 -14 13 40 45 13 43 48 13 47 -25 14 19 -24 14 23 -31
14 30 -78 14 36 59 15 19 -72 15 21 45 15 26 -38 15 27 55 15 36 -53 16 35 40 16 37 -55 17 20 -78 17 23 -65 17 24 -16
17 25 30 18 33 -49 19 19 99 19 22 -60 19 48 78 21 31 -28 21 38 17 22 25 -43 22 29 70 22 35 98 22 46 81 22 50 -87
23 27 70 23 34 -10 23 43 -43 23 48 -90 24 33 -9 24 36 31 25 48 -24 26 39 -50 27 47 3 27 49 65 28 39 -84 28 44 12
29 34 62 29 39 -91 29 50 23 30 50 98 31 33 12 31 35 14 32 35 -48 32 48 -49 34 39 66 35 40 -18 36 41 -88 37 41 -77
37 50 44 38 48 -71 39 47 9 39 50 -36 40 40 -48 40 43 -67 42 45 -64 44 44 58 46 48 -12 47 48 35`.replace(
  /(-?\d+) (-?\d+) (-?\d+)(?: |\n|$)/g,
  "$1 $2 $3\n",
);
