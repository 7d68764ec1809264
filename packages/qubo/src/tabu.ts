import type { Quadratic } from "./quadratic.ts";
import { descend } from "./greedy.ts";
import { randomAssignment, State, type Search } from "./search.ts";

/** How many assignments are kept to begin from. */
const ELITES = 10;
/** A search from one beginning ends after so many moves per variable without a better value, and at least so many. */
const PATIENCE_PER_VARIABLE = 20;
const PATIENCE_MIN = 2_000;
/** Moves between two looks at the clock: each looks at every variable. */
const LOOK_EVERY = 64;

/**
 * One-flip tabu search (Glover and Laguna) from beginnings that combine elite assignments: what two of them agree on is
 * kept, the rest drawn at random, as in memetic search for this problem (Lü, Glover and Hao 2010).
 * @param seeds assignments that the first searches begin from
 * @param roundsMax beginnings
 */
export function tabuSearch(
  problem: Quadratic,
  search: Search,
  seeds: readonly Uint8Array[] = [],
  roundsMax = Infinity,
): void {
  if (problem.size === 0) return;
  const elites = new Elites(problem.size);
  const { random } = search;
  const patience = Math.max(PATIENCE_MIN, PATIENCE_PER_VARIABLE * problem.size);
  let best = Infinity;
  for (let round = 0; round < roundsMax && !search.stop(); round++) {
    const begin = seeds[round] ?? (elites.isFull ? elites.combine(random) : randomAssignment(problem.size, random));
    const state = new State(problem, begin);
    const found = improve(state, patience, search, (x, value) => {
      if (value >= best) return;
      best = value;
      search.improved(x, value);
    });
    elites.take(found.x, found.value);
  }
}

/** Tabu moves until `patience` of them have found nothing better; answers the best that was met. */
function improve(
  state: State,
  patience: number,
  { random, stop }: Search,
  improved: (x: Uint8Array, value: number) => void,
): { x: Uint8Array; value: number } {
  const { size } = state.problem;
  const { flips } = state;
  descend(state, stop);
  const found = { x: state.x.slice(), value: state.value };
  improved(found.x, found.value);
  const tabuUntil = new Int32Array(size);
  const tenure = Math.min(20, Math.ceil(size / 4));
  for (let move = 1, last = 0; move - last <= patience; move++) {
    if (move % LOOK_EVERY === 0 && stop()) break;
    // The best move that is allowed; a tabu one is when it leads to something better than all before.
    let [best, at, ties] = [Infinity, -1, 0];
    const aspiration = found.value - state.value - 1e-9;
    for (let i = 0; i < size; i++) {
      const change = flips[i] as number;
      if (change > best || ((tabuUntil[i] as number) >= move && change >= aspiration)) continue;
      if (change < best) [best, at, ties] = [change, i, 1];
      else if (random.next() * ++ties < 1) at = i;
    }
    if (at < 0) continue;
    state.flip(at);
    tabuUntil[at] = move + tenure + random.below(10);
    if (state.value >= found.value - 1e-9) continue;
    last = move;
    found.value = state.value;
    found.x.set(state.x);
    improved(found.x, found.value);
  }
  return found;
}

/** The best assignments, all different. */
class Elites {
  readonly #size: number;
  readonly #all: { readonly x: Uint8Array; readonly value: number }[] = [];

  constructor(size: number) {
    this.#size = size;
  }

  get isFull(): boolean {
    return this.#all.length === ELITES;
  }

  take(x: Uint8Array, value: number): void {
    if (this.#all.some((other) => other.value === value && Buffer.compare(other.x, x) === 0)) return;
    this.#all.push({ x, value });
    this.#all.sort((a, b) => a.value - b.value);
    if (this.#all.length > ELITES) this.#all.pop();
  }

  /** What two of them agree on, the rest and a little more at random. */
  combine(random: Search["random"]): Uint8Array {
    const [a, b] = [random.pick(this.#all).x, random.pick(this.#all).x];
    const child = a.slice();
    for (let i = 0; i < this.#size; i++)
      if (a[i] !== b[i] || random.next() < 0.02) child[i] = random.next() < 0.5 ? 1 : 0;
    return child;
  }
}
