import type { Coupling } from "./quadratic.ts";

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
