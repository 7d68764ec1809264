import type { State } from "./search.ts";

/**
 * Takes from another assignment every part that is better: variables in which the two differ fall into parts that no
 * coupling connects, so each can be taken or left by itself, and of all 2^parts mixtures the best is found in one pass
 * (partition crossover; Whitley, Hains and Howe 2009). Dense problems have one part, sparse ones many.
 * @param isMirrored the problem is: then the other's mirror image says the same, and the nearer one has more parts
 */
export function takeParts(state: State, other: Uint8Array, isMirrored: boolean): void {
  const { x, problem } = state;
  let differing = 0;
  for (let i = 0; i < x.length; i++) if (x[i] !== other[i]) differing += 1;
  const flipped = isMirrored && differing > x.length / 2 ? 1 : 0;
  const differs = Uint8Array.from(x, (value, i) => value ^ (other[i] as number) ^ flipped);
  const part: number[] = [];
  for (let top = 0; top < x.length; top++) {
    if (!differs[top]) continue;
    const before = state.value;
    part.length = 0;
    part.push(top);
    differs[top] = 0;
    for (const i of part) {
      state.flip(i);
      for (let at = problem.start[i] as number; at < (problem.start[i + 1] as number); at++) {
        const j = problem.column[at] as number;
        if (!differs[j]) continue;
        differs[j] = 0;
        part.push(j);
      }
    }
    if (state.value > before + 1e-9) for (const i of part) state.flip(i);
  }
}
