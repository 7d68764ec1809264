import type { Quadratic } from "./quadratic.ts";
import type { Search } from "./search.ts";

/** Passes over the couplings that raise a node's bound; the root, whose bound is reported, gets more. */
const PASSES = 2;
const PASSES_ROOT = 50;

/** How an exact search ended. */
export interface ExactResult {
  /** True when nothing better exists than the best that is known. */
  readonly proven: boolean;
  /** No assignment is below it, proven or not. */
  readonly bound: number;
  readonly nodes: number;
}

/**
 * Branch and bound. A node's bound gives every coupling away to its two variables, so that each can be judged by itself:
 * w x y ≥ w (λ x + (1 − λ) y) for w < 0, and w x y ≥ μ w (x + y − 1) for w > 0. The best such λ, μ ∈ [0, 1] are the roof dual
 * (Hammer, Hansen and Simeone 1984); a few passes of coordinate ascent come close to it. What is left to each variable then
 * says which of its two values can't be in anything better, and fixes it.
 *
 * @param known value of the best assignment that is known; only better ones are told
 */
export function branchAndBound(problem: Quadratic, search: Search, known: number): ExactResult {
  const tree = new Tree(problem, search, known);
  tree.explore();
  const proven = !tree.stopped;
  const bound = problem.step > 0 ? Math.ceil(tree.rootBound - 1e-6) : tree.rootBound;
  return { proven, bound: proven ? tree.best : Math.min(bound, tree.best), nodes: tree.nodes };
}

class Tree {
  readonly #problem: Quadratic;
  readonly #search: Search;
  readonly #x: Uint8Array;
  readonly #isFree: Uint8Array;
  /** Coefficient of each free variable, given what is fixed. */
  readonly #slope: Float64Array;
  /** The same with its share of the couplings among free variables. */
  readonly #share: Float64Array;
  /** By directed coupling: what of it its row's variable bears. */
  readonly #borne: Float64Array;
  /** Where the other direction of each coupling is. */
  readonly #twin: Int32Array;
  readonly #influence: Float64Array;
  readonly #trail: number[] = [];
  #base: number;
  #bound = 0;
  best: number;
  rootBound = -Infinity;
  nodes = 0;
  stopped = false;

  constructor(problem: Quadratic, search: Search, known: number) {
    this.#problem = problem;
    this.#search = search;
    this.best = known;
    this.#x = new Uint8Array(problem.size);
    this.#isFree = new Uint8Array(problem.size).fill(1);
    this.#slope = problem.linear.slice();
    this.#share = new Float64Array(problem.size);
    this.#borne = new Float64Array(problem.weight.length);
    this.#twin = twins(problem);
    this.#influence = new Float64Array(problem.size);
    for (let i = 0; i < problem.size; i++)
      for (let at = problem.start[i] as number; at < (problem.start[i + 1] as number); at++)
        this.#influence[i] = (this.#influence[i] as number) + Math.abs(problem.weight[at] as number);
    this.#base = problem.offset;
  }

  /** Depth first, without recursion: there may be as many decisions above a node as variables. */
  explore(): void {
    /** Of each decision above this node whose other value is to be tried yet: that value, and where the trail was. */
    const open: { readonly mark: number; readonly variable: number; readonly other: number }[] = [];
    for (;;) {
      this.nodes += 1;
      if (this.#reduce(this.nodes === 1 ? PASSES_ROOT : PASSES)) {
        const variable = this.#choose();
        if (variable >= 0) {
          const first = (this.#share[variable] as number) > 0 ? 0 : 1;
          open.push({ mark: this.#trail.length, variable, other: 1 - first });
          this.#fix(variable, first);
          continue;
        }
        // All are fixed, and the value is below all before.
        this.best = this.#base;
        this.#search.improved(this.#x, this.#base);
      }
      const back = open.pop();
      if (!back || this.stopped) return;
      this.#undo(back.mark);
      this.#fix(back.variable, back.other);
    }
  }

  /** Raises the bound and fixes what it can; false when nothing below is better than what is known. */
  #reduce(passes: number): boolean {
    for (;;) {
      this.#ascend(passes);
      if (this.#search.stop()) this.stopped = true;
      if (this.nodes === 1) this.rootBound = Math.max(this.rootBound, this.#bound);
      if (this.stopped || this.#isHopeless(this.#bound)) return false;
      const before = this.#trail.length;
      for (let i = 0; i < this.#problem.size; i++) {
        if (!this.#isFree[i]) continue;
        const share = this.#share[i] as number;
        // Being 1 costs the share more than the bound when it is positive; being 0 when it is negative.
        if (share >= 0 && this.#isHopeless(this.#bound + share)) this.#fix(i, 0);
        else if (share <= 0 && this.#isHopeless(this.#bound - share)) this.#fix(i, 1);
      }
      if (this.#trail.length === before) return true;
    }
  }

  #isHopeless(bound: number): boolean {
    const { step } = this.#problem;
    // Whole coefficients: anything better is better by one.
    return bound > this.best - (step > 0 ? step - 1e-6 : 1e-9 * Math.max(1, Math.abs(this.best)));
  }

  /** The free variable to decide next, or −1 when none is free. */
  #choose(): number {
    let [at, most] = [-1, -1];
    for (let i = 0; i < this.#problem.size; i++) {
      if (!this.#isFree[i]) continue;
      const score = (this.#influence[i] as number) - Math.abs(this.#share[i] as number);
      if (at < 0 || score > most) [at, most] = [i, score];
    }
    return at;
  }

  /** Coordinate ascent of the dual, coupling by coupling. */
  #ascend(passes: number): void {
    const { size, start, column, weight } = this.#problem;
    const [share, borne, twin, isFree] = [this.#share, this.#borne, this.#twin, this.#isFree];
    let constant = this.#base;
    for (let i = 0; i < size; i++) if (isFree[i]) share[i] = this.#slope[i] as number;
    // Begin from even shares of what is negative, and nothing of what is positive.
    for (let i = 0; i < size; i++) {
      if (!isFree[i]) continue;
      for (let at = start[i] as number; at < (start[i + 1] as number); at++) {
        if (!isFree[column[at] as number]) continue;
        const part = Math.min(0, (weight[at] as number) / 2);
        borne[at] = part;
        share[i] = (share[i] as number) + part;
      }
    }
    for (let pass = 0; pass < passes; pass++) {
      let moved = 0;
      for (let i = 0; i < size; i++) {
        if (!isFree[i]) continue;
        for (let at = start[i] as number; at < (start[i + 1] as number); at++) {
          const j = column[at] as number;
          if (j < i || !isFree[j]) continue;
          const w = weight[at] as number;
          const back = twin[at] as number;
          const [mine, its] = [borne[at] as number, borne[back] as number];
          const [a, b] = [(share[i] as number) - mine, (share[j] as number) - its];
          let [give, take] = [0, 0];
          if (w < 0) {
            // Each bears what it can without going below 0; what is left is borne evenly.
            const room = Math.min(-w, Math.max(0, a));
            const other = Math.min(-w - room, Math.max(0, b));
            const rest = (-w - room - other) / 2;
            [give, take] = [-(room + rest), -(other + rest)];
          } else {
            give = Math.max(0, Math.min(w, -a, -b));
            take = give;
            constant += mine - give;
          }
          moved += Math.abs(give - mine) + Math.abs(take - its);
          borne[at] = give;
          borne[back] = take;
          share[i] = a + give;
          share[j] = b + take;
        }
      }
      if (moved === 0 || this.#search.stop()) break;
    }
    let bound = constant;
    for (let i = 0; i < size; i++) if (isFree[i]) bound += Math.min(0, share[i] as number);
    this.#bound = bound;
  }

  #fix(i: number, value: number): void {
    this.#isFree[i] = 0;
    this.#x[i] = value;
    this.#trail.push(i);
    if (value === 1) this.#spread(i, 1);
  }

  #undo(mark: number): void {
    while (this.#trail.length > mark) {
      const i = this.#trail.pop() as number;
      if (this.#x[i] === 1) this.#spread(i, -1);
      this.#x[i] = 0;
      this.#isFree[i] = 1;
    }
  }

  #spread(i: number, sign: number): void {
    const { start, column, weight } = this.#problem;
    this.#base += sign * (this.#slope[i] as number);
    for (let at = start[i] as number; at < (start[i + 1] as number); at++) {
      const j = column[at] as number;
      if (this.#isFree[j]) this.#slope[j] = (this.#slope[j] as number) + sign * (weight[at] as number);
    }
  }
}

/** Rows are in order, so the couplings to earlier variables stand at the beginning of each row, in that order. */
function twins({ size, start, column }: Quadratic): Int32Array {
  const twin = new Int32Array(column.length);
  const next = start.slice();
  for (let i = 0; i < size; i++)
    for (let at = start[i] as number; at < (start[i + 1] as number); at++) {
      const j = column[at] as number;
      if (j < i) continue;
      const other = next[j] as number;
      next[j] = other + 1;
      twin[at] = other;
      twin[other] = at;
    }
  return twin;
}
