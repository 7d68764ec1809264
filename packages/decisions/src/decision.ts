import { compile, type Model } from "@flashloan/qubo/model";
import { pack, type Packing } from "@flashloan/qubo/packing";
import { solve, type Finder, type SolveOptions } from "@flashloan/qubo/portfolio";

/** How long a choice may take, and what it is repeatable by. */
export type Budget = Pick<SolveOptions, "deadlineMs" | "seed" | "now" | "cancelled">;

/** How a choice came about: what every answer says beside the choice itself. */
export interface Provenance {
  readonly solver: Finder;
  /** True when nothing better exists, by the measure that was optimized. */
  readonly provenOptimal: boolean;
  /** What was optimized; higher is better. */
  readonly objective: number;
  /** No choice is above it. */
  readonly bound: number;
  /** What the greedy baseline of the solver reaches. */
  readonly greedy: number;
  readonly elapsedMs: number;
  /** True when time was up before more than the baseline could be tried. */
  readonly degraded: boolean;
}

/**
 * Solves a model that maximizes over binary variables; says which of them are chosen. A choice that breaks a constraint,
 * since time was up, is for the caller to cut down.
 */
export function decide(model: Model, budget: Budget): { isChosen: (name: string) => boolean; provenance: Provenance } {
  const { problem, sign, read } = compile(model);
  const solution = solve(problem, budget);
  const { values, objective } = read(solution.x);
  const { solver, provenOptimal, bound, greedy, elapsedMs, degraded } = solution;
  return {
    isChosen: (name) => values[name] === 1,
    provenance: {
      solver,
      provenOptimal,
      objective,
      bound: sign * bound || 0,
      greedy: read(greedy.x).objective,
      elapsedMs,
      degraded,
    },
  };
}

/** Chooses items within limits, which hold at all times. */
export function choose(
  packing: Packing,
  budget: Budget,
): { isChosen: (item: number) => boolean; provenance: Provenance } {
  const { x, value, ...how } = pack(packing, budget);
  return { isChosen: (item) => x[item] === 1, provenance: { ...how, objective: value } };
}
