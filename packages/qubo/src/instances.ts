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

/** A graph for a maximum cut; its edges in the order in which the generator made them. */
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
    const key = edgeKey(size, u, v);
    if (u !== v && !edges.has(key)) edges.set(key, [u, v, 1]);
  }
  return { size, edges: [...edges.values()] };
}

/** `rudy -toroidal_grid_2D ROWS COLUMNS`. */
export function torus(rows: number, columns: number): Graph {
  const size = rows * columns;
  const vertices = Array.from({ length: size }, (_, i) => i);
  const right = (i: number): number => (i % columns === columns - 1 ? i - columns + 1 : i + 1);
  return {
    size,
    edges: [
      ...vertices.map((i): Coupling => [i, right(i), 1]),
      ...vertices.map((i): Coupling => [i, (i + columns) % size, 1]),
    ],
  };
}

/**
 * `rudy -planar SIZE DENSITY SEED`: triangles are divided at random, then edges dropped until so many per cent of the most
 * that a planar graph can have are left. G14 is the union of 800 99 8001 and 800 99 8002.
 */
export function planarGraph(size: number, density: number, seed: number): Graph {
  const random = new GraphBaseRandom(seed);
  const faces: [number, number, number][] = [[0, 1, 2]];
  const edges: Coupling[] = [
    [0, 1, 1],
    [0, 2, 1],
    [1, 2, 1],
  ];
  const most = 3 * (size - 2);
  for (let vertex = 3; vertex < size; vertex++) {
    const divided = random.below(faces.length);
    const [a, b, c] = faces[divided] as [number, number, number];
    for (const corner of [a, b, c]) edges.push([corner, vertex, 1]);
    faces[divided] = [a, b, vertex];
    faces.push([a, c, vertex], [b, c, vertex]);
  }
  while (edges.length > (density * most) / 100) {
    const dropped = random.below(edges.length);
    const last = edges.pop() as Coupling;
    if (dropped < edges.length) edges[dropped] = last;
  }
  return { size, edges };
}

/** `rudy … + `: the edges of both, each once. */
export function union(a: Graph, b: Graph): Graph {
  const edges = new Map([...a.edges, ...b.edges].map((edge) => [edgeKey(a.size, edge[0], edge[1]), edge]));
  return { size: a.size, edges: [...edges.values()] };
}

/**
 * `rudy … -random 0 1 SEED -times 2 -plus -1`: weights of −1 or +1, drawn vertex by vertex, at each from its newest edge to
 * its oldest. G6 is that of G1, G11 that of the torus 100 8, both with 8001.
 */
export function signed({ size, edges }: Graph, seed: number): Graph {
  const random = new GraphBaseRandom(seed);
  const newestFirst: number[][] = Array.from({ length: size }, () => []);
  for (const [u, v] of edges) newestFirst[Math.min(u, v)]?.unshift(Math.max(u, v));
  return { size, edges: newestFirst.flatMap((ends, u) => ends.map((v): Coupling => [u, v, 2 * random.below(2) - 1])) };
}

function edgeKey(size: number, u: number, v: number): number {
  return Math.min(u, v) * size + Math.max(u, v);
}

/** What {@link pardalosRodgers} draws: entries are whole, in the ranges given, those off the diagonal with a probability. */
export interface Draw {
  readonly size: number;
  readonly density: number;
  readonly seed: number;
  readonly diagonal: readonly [least: number, most: number];
  readonly offDiagonal: readonly [least: number, most: number];
}

/**
 * Pardalos and Rodgers' generator (Computing 45, 1990), which made the gka and the be instances: a matrix Q of which x'Qx is
 * minimized, each entry off the diagonal given once. Lehmer's generator (16807 modulo 2³¹ − 1) runs twice: from the seed to
 * say where entries are, from twice the seed to say what they are.
 */
export function pardalosRodgers({ size, density, seed, diagonal, offDiagonal }: Draw): readonly Coupling[] {
  const [place, value] = [lehmer(seed), lehmer(2 * seed)];
  const entry = ([least, most]: readonly [number, number]): number => least + Math.floor((most - least + 1) * value());
  const entries: Coupling[] = [];
  for (let i = 0; i < size; i++) {
    entries.push([i, i, entry(diagonal)]);
    for (let j = i + 1; j < size; j++) if (place() < density) entries.push([i, j, entry(offDiagonal)]);
  }
  return entries;
}

/** Uniform in 0 … 1. The products stay below 2⁵³, so that numbers hold them exactly. */
function lehmer(seed: number): () => number {
  const modulus = 2 ** 31 - 1;
  let state = seed % modulus;
  return () => (state = (state * 16_807) % modulus) / modulus;
}
