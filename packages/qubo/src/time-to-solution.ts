import { solve, SOLVERS, type Finder, type SolveOptions } from "./portfolio.ts";
import type { Quadratic } from "./quadratic.ts";

/** One run of a solver; `ms` is when it reached the target, undefined when it did not. */
export interface Run {
  readonly solver: Exclude<Finder, "greedy"> | "portfolio";
  readonly ms: number | undefined;
}

/**
 * How long each solver takes to a value, over runs with the seeds 1 to `runs`.
 * @param target the value; by default the best of one run of the portfolio
 */
export function timeToSolution(
  problem: Quadratic,
  runs: number,
  options: Pick<SolveOptions, "deadlineMs" | "now" | "target" | "cancelled">,
): { target: number; times: Run[] } {
  const target = options.target ?? solve(problem, { ...options, seed: 0 }).value;
  const solvers = SOLVERS.filter((solver) => solver !== "greedy");
  const times = solvers.flatMap((solver) =>
    Array.from({ length: runs }, (_, i) => {
      const { value, foundMs } = solve(problem, { ...options, solver, seed: i + 1, target });
      return { solver, ms: value <= target ? foundMs : undefined };
    }),
  );
  return { target, times };
}
