import type { Quadratic } from "./quadratic.ts";
import { State } from "./search.ts";

/**
 * The baseline that every solver is compared with: from nothing chosen, the variable that lowers the value most is chosen,
 * until none does. No choice is taken back.
 * @param stop asked before each choice; true ends it, and what is chosen is answered
 */
export function greedy(problem: Quadratic, stop: () => boolean): Uint8Array {
  const state = new State(problem, new Uint8Array(problem.size));
  while (!stop()) {
    let [best, at] = [0, -1];
    for (let i = 0; i < problem.size; i++) {
      const change = state.flips[i] as number;
      if (state.x[i] === 0 && change < best) [best, at] = [change, i];
    }
    if (at < 0) break;
    state.flip(at);
  }
  return state.x;
}

/** Steepest descent: the flip that lowers the value most, until no flip does. */
export function descend(state: State, stop: () => boolean): void {
  const { size } = state.problem;
  while (!stop()) {
    let [best, at] = [0, -1];
    for (let i = 0; i < size; i++) {
      const change = state.flips[i] as number;
      if (change < best) [best, at] = [change, i];
    }
    if (at < 0) return;
    state.flip(at);
  }
}
