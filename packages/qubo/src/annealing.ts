import type { Quadratic } from "./quadratic.ts";
import { descend } from "./greedy.ts";
import { randomAssignment, State, type Search } from "./search.ts";
import { takeParts } from "./partition.ts";

/** Sweeps of the first run; each later one takes longer. */
const SWEEPS_FIRST = 100;
const SWEEPS_GROWTH = 1.5;
const SWEEPS_MAX = 20_000;
/** Results of earlier runs that each new one is joined with. */
const ELITES = 16;
/** The temperature at the end, by the smallest step that a value can take. */
const COLD = 0.1;

/**
 * Simulated annealing: sweeps over all variables with a temperature that falls in a straight line, run after run, each
 * slower than the one before (Myklebust 2015 has shown how well this does on cuts). What a run ends in is joined with the
 * those before, part by part.
 * @param seeds assignments that are joined with the first run's
 */
export function anneal(problem: Quadratic, search: Search, seeds: readonly Uint8Array[] = []): void {
  if (problem.size === 0) return;
  const [hot, cold] = temperatures(problem);
  const elites = [...seeds];
  const { isMirrored } = problem;
  let best = Infinity;
  for (let sweeps = SWEEPS_FIRST; !search.stop(); sweeps = Math.min(SWEEPS_MAX, Math.ceil(sweeps * SWEEPS_GROWTH))) {
    const state = new State(problem, randomAssignment(problem.size, search.random));
    cool(state, hot, cold, sweeps, search);
    descend(state, search.stop);
    for (const elite of elites) {
      if (search.stop()) break;
      takeParts(state, elite, isMirrored);
    }
    if (elites.push(state.x) > ELITES) elites.shift();
    if (state.value >= best) continue;
    best = state.value;
    search.improved(state.x, state.value);
  }
}

function cool(state: State, hot: number, cold: number, sweeps: number, { random, stop }: Search): void {
  const { size } = state.problem;
  const { flips } = state;
  for (let sweep = 0; sweep < sweeps && !stop(); sweep++) {
    const temperature = hot + ((cold - hot) * sweep) / Math.max(1, sweeps - 1);
    // Beyond it the chance is one in a thousand million.
    const ceiling = 20 * temperature;
    for (let i = 0; i < size; i++) {
      const change = flips[i] as number;
      if (change <= 0 || (change < ceiling && random.next() < Math.exp(-change / temperature))) state.flip(i);
    }
  }
}

/** From where most flips are taken to where hardly any that costs is. */
function temperatures(problem: Quadratic): [hot: number, cold: number] {
  let [strongest, smallest] = [0, Infinity];
  for (let i = 0; i < problem.size; i++) {
    let squares = (problem.linear[i] as number) ** 2;
    for (let at = problem.start[i] as number; at < (problem.start[i + 1] as number); at++) {
      const size = Math.abs(problem.weight[at] as number);
      squares += size ** 2;
      if (size > 0 && size < smallest) smallest = size;
    }
    strongest += Math.sqrt(squares) / problem.size;
  }
  if (!Number.isFinite(smallest)) smallest = strongest || 1;
  return [Math.max(strongest / 3, smallest), Math.min(smallest, strongest || 1) * COLD];
}
