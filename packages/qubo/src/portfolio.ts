import { createRandom } from "@flashloan/shared/random";
import { anneal } from "./annealing.ts";
import { branchAndBound } from "./exact.ts";
import { descend, greedy } from "./greedy.ts";
import type { Quadratic } from "./quadratic.ts";
import { randomAssignment, State, type Search } from "./search.ts";
import { tabuSearch } from "./tabu.ts";

/** Solvers by name; `portfolio` runs them one after the other, as suits the problem. */
export const SOLVERS = ["portfolio", "exact", "tabu", "annealing", "descent", "greedy"] as const;
/** @see SOLVERS */
export type SolverName = (typeof SOLVERS)[number];
/** Who found an assignment. */
export type Finder = Exclude<SolverName, "portfolio">;

/** From so many couplings on nothing but a first bound is tried: a node takes too long. */
const EXACT_COUPLINGS_MAX = 100_000;
/** Searches that come before the exact one, which cuts its tree with what they find, and their share of the time. */
const FIRST_ROUNDS = 4;
const FIRST_SHARE = 0.3;
/** The share of the time that the portfolio gives the exact search, by how many variables there are at most. */
const EXACT_SHARES: readonly (readonly [sizeMax: number, share: number])[] = [
  [60, 0.9],
  [120, 0.4],
  [Infinity, 0.05],
];
/** The longest that is spent on a bound alone. */
const BOUND_MS_MAX = 200;
/** Tabu looks at every variable for one move: beyond so many it comes second. */
const TABU_FIRST_SIZE_MAX = 1_200;
/** With fewer couplings a variable, annealing is better. */
const TABU_FIRST_DEGREE_MIN = 12;

/** What is asked of a solver. */
export interface SolveOptions {
  readonly solver?: SolverName;
  /** All the time it may take, ms. */
  readonly deadlineMs: number;
  readonly seed: number;
  /** Milliseconds on a clock that never goes back. */
  readonly now: () => number;
  /** True ends the search: what is found so far is the answer. */
  readonly cancelled?: () => boolean;
  /** Nothing better is looked for. */
  readonly target?: number;
  /** Told of each better assignment, for those who can use an answer early. */
  readonly onImproved?: (improvement: Improvement) => void;
}

/** A better assignment than all before. */
export interface Improvement {
  readonly x: Uint8Array;
  readonly value: number;
  readonly solver: Finder;
  readonly elapsedMs: number;
}

/** The best that was found, and what is known of it. */
export interface Solution extends Improvement {
  /** True when nothing lower exists. */
  readonly provenOptimal: boolean;
  /** No assignment is lower. */
  readonly bound: number;
  /** What the greedy baseline reaches. */
  readonly greedy: { readonly x: Uint8Array; readonly value: number };
  /** When the best was found, ms; `elapsedMs` is when the search ended. */
  readonly foundMs: number;
  /** True when time was up before the baseline and one descent from it were through. */
  readonly degraded: boolean;
}

/**
 * Minimizes within a deadline. The same seed finds the same assignments in the same order; how far it comes depends on the
 * machine, unless it proves the optimum.
 */
export function solve(problem: Quadratic, options: SolveOptions): Solution {
  return new Portfolio(problem, options).run();
}

class Portfolio {
  readonly #problem: Quadratic;
  readonly #options: SolveOptions;
  readonly #startedMs: number;
  readonly #random;
  #best: Improvement;
  #bound = -Infinity;
  #provenOptimal = false;

  constructor(problem: Quadratic, options: SolveOptions) {
    this.#problem = problem;
    this.#options = options;
    this.#startedMs = options.now();
    this.#random = createRandom(options.seed);
    this.#best = { x: new Uint8Array(problem.size), value: Infinity, solver: "greedy", elapsedMs: 0 };
  }

  run(): Solution {
    const { solver = "portfolio", deadlineMs } = this.#options;
    const problem = this.#problem;
    const baseline = greedy(problem, this.#until(deadlineMs));
    const greedyValue = problem.value(baseline);
    this.#take("greedy", baseline, greedyValue);
    this.#bound = firstBound(problem);
    const state = new State(problem, baseline);
    if (solver !== "greedy") {
      descend(state, this.#until(deadlineMs));
      this.#take("descent", state.x, state.value);
    }
    const degraded = solver !== "greedy" && this.#isOver(deadlineMs);
    if (solver === "descent") this.#descents();
    else if (solver === "exact") this.#exact(deadlineMs);
    else if (solver === "tabu") this.#tabu(deadlineMs);
    else if (solver === "annealing") this.#anneal(deadlineMs);
    else if (solver === "portfolio") this.#all();
    const provenOptimal = this.#provenOptimal || this.#best.value <= this.#bound;
    return {
      ...this.#best,
      provenOptimal,
      bound: provenOptimal ? this.#best.value : this.#bound,
      greedy: { x: baseline, value: greedyValue },
      foundMs: this.#best.elapsedMs,
      elapsedMs: this.#elapsed(),
      degraded: degraded && !provenOptimal,
    };
  }

  #all(): void {
    const { deadlineMs } = this.#options;
    const { size, couplings } = this.#problem;
    const left = (share: number): number => this.#elapsed() + share * Math.max(0, deadlineMs - this.#elapsed());
    this.#tabu(left(FIRST_SHARE), FIRST_ROUNDS);
    const [sizeMax, share] = EXACT_SHARES.find(([most]) => size <= most) ?? [0, 0];
    if (sizeMax < Infinity) this.#exact(left(share));
    if (this.#provenOptimal) return;
    // Where a proof is out of reach the exact search is left with enough for a bound.
    const searchMs = sizeMax < Infinity ? deadlineMs : Math.max(left(1 - share), deadlineMs - BOUND_MS_MAX);
    const isTabuFirst = size <= TABU_FIRST_SIZE_MAX && 2 * couplings >= TABU_FIRST_DEGREE_MIN * size;
    const middleMs = this.#elapsed() + (isTabuFirst ? 0.6 : 0.8) * (searchMs - this.#elapsed());
    if (isTabuFirst) this.#tabu(middleMs);
    else this.#anneal(middleMs);
    if (isTabuFirst) this.#anneal(searchMs);
    else this.#tabu(searchMs);
    if (sizeMax === Infinity) this.#exact(deadlineMs);
  }

  #exact(untilMs: number): void {
    if (this.#problem.couplings > EXACT_COUPLINGS_MAX || this.#isOver(untilMs)) return;
    const { proven, bound } = branchAndBound(this.#problem, this.#search("exact", untilMs), this.#best.value);
    this.#provenOptimal ||= proven;
    this.#bound = Math.max(this.#bound, bound);
  }

  #tabu(untilMs: number, roundsMax?: number): void {
    tabuSearch(this.#problem, this.#search("tabu", untilMs), [this.#best.x.slice()], roundsMax);
  }

  #anneal(untilMs: number): void {
    anneal(this.#problem, this.#search("annealing", untilMs), [this.#best.x.slice()]);
  }

  #descents(): void {
    const { stop, improved } = this.#search("descent", this.#options.deadlineMs);
    while (!stop() && this.#problem.size > 0) {
      const state = new State(this.#problem, randomAssignment(this.#problem.size, this.#random));
      descend(state, stop);
      improved(state.x, state.value);
    }
  }

  #search(solver: Finder, untilMs: number): Search {
    return {
      random: this.#random,
      stop: this.#until(untilMs),
      improved: (x, value) => this.#take(solver, x, value),
    };
  }

  #take(solver: Finder, x: Uint8Array, value: number): void {
    if (value >= this.#best.value) return;
    this.#best = { x: x.slice(), value, solver, elapsedMs: this.#elapsed() };
    this.#options.onImproved?.(this.#best);
  }

  #until(untilMs: number): () => boolean {
    return () => this.#isOver(untilMs);
  }

  #isOver(untilMs: number): boolean {
    const { target = -Infinity, cancelled } = this.#options;
    return this.#elapsed() >= untilMs || this.#best.value <= target || cancelled?.() === true;
  }

  #elapsed(): number {
    return this.#options.now() - this.#startedMs;
  }
}

/** A bound that costs one pass: every coupling that is negative is given away half to each of its variables. */
function firstBound({ size, offset, linear, start, weight }: Quadratic): number {
  let bound = offset;
  for (let i = 0; i < size; i++) {
    let share = linear[i] as number;
    for (let at = start[i] as number; at < (start[i + 1] as number); at++)
      share += Math.min(0, (weight[at] as number) / 2);
    bound += Math.min(0, share);
  }
  return bound;
}
