import type { Quadratic } from "@flashloan/qubo/quadratic";
import type { Random } from "@flashloan/shared/random";

/**
 * The textbook's one-flip tabu search, as a peer: from one random beginning, each move the best that is not tabu, and a
 * restart at random after long without success.
 * @returns the milliseconds until the target was reached; undefined when it was not within the limit
 */
export function plainTabu(problem: Quadratic, target: number, limitMs: number, random: Random): number | undefined {
  const { size, start, column, weight } = problem;
  const startedMs = performance.now();
  for (;;) {
    const x = Array.from({ length: size }, () => random.below(2));
    const flips = [...problem.flips(x)];
    const tabuUntil = Array.from({ length: size }, () => 0);
    let value = problem.value(x);
    let best = value;
    for (let move = 1, last = 0; move - last < 20 * size + 2_000; move++) {
      if (value <= target) return performance.now() - startedMs;
      if (move % 64 === 0 && performance.now() - startedMs > limitMs) return undefined;
      let at = -1;
      for (let i = 0; i < size; i++) {
        const change = flips[i] ?? 0;
        if ((tabuUntil[i] ?? 0) >= move && value + change >= best) continue;
        if (at < 0 || change < (flips[at] ?? 0)) at = i;
      }
      if (at < 0) continue;
      const was = x[at] ?? 0;
      value += flips[at] ?? 0;
      flips[at] = -(flips[at] ?? 0);
      x[at] = 1 - was;
      for (let k = start[at] ?? 0; k < (start[at + 1] ?? 0); k++) {
        const j = column[k] ?? 0;
        flips[j] = (flips[j] ?? 0) + (x[j] === was ? 1 : -1) * (weight[k] ?? 0);
      }
      tabuUntil[at] = move + 10 + random.below(10);
      if (value < best) [best, last] = [value, move];
    }
  }
}
