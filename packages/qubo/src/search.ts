import type { Random } from "@flashloan/shared/random";
import type { Quadratic } from "./quadratic.ts";

/** What every heuristic is given beside its problem. */
export interface Search {
  readonly random: Random;
  /** Asked every millisecond or so: true ends the search. */
  readonly stop: () => boolean;
  /** Told of each assignment that is better than all before; it is the search's own and copied by whoever keeps it. */
  readonly improved: (x: Uint8Array, value: number) => void;
}

/** An assignment, its value and what each flip would change, kept up to date flip by flip. */
export class State {
  readonly problem: Quadratic;
  readonly x: Uint8Array;
  readonly flips: Float64Array;
  value: number;

  constructor(problem: Quadratic, x: Uint8Array) {
    this.problem = problem;
    this.x = x.slice();
    this.flips = problem.flips(x);
    this.value = problem.value(x);
  }

  /** Flips one variable: as many steps as it has couplings. */
  flip(i: number): void {
    const { x, flips } = this;
    const { start, column, weight } = this.problem;
    const change = flips[i] as number;
    this.value += change;
    flips[i] = -change;
    const was = x[i] as number;
    x[i] = 1 - was;
    for (let at = start[i] as number, end = start[i + 1] as number; at < end; at++) {
      const j = column[at] as number;
      // Raising x_i adds w to the slope of x_j: flipping x_j costs more when it is 0, less when it is 1.
      if (x[j] === was) flips[j] = (flips[j] as number) + (weight[at] as number);
      else flips[j] = (flips[j] as number) - (weight[at] as number);
    }
  }
}

/** An assignment drawn at random. */
export function randomAssignment(size: number, random: Random): Uint8Array {
  return Uint8Array.from({ length: size }, () => (random.next() < 0.5 ? 1 : 0));
}
