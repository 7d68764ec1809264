import type { Candidate } from "@flashloan/decisions/completions";

// What others do, to compare with. Each answers so many candidates, the most promising first.

/** By what its model thinks of each alone. */
export function topK(candidates: readonly Candidate[], count: number): string[] {
  return ranked(candidates, ({ quality }) => quality, count);
}

/** Maximal marginal relevance (Carbonell and Goldstein 1998): quality less likeness to what is chosen. */
export function marginalRelevance(candidates: readonly Candidate[], count: number): string[] {
  const chosen: Candidate[] = [];
  while (chosen.length < Math.min(count, candidates.length)) {
    const worth = (candidate: Candidate): number =>
      0.5 * candidate.quality - 0.5 * Math.max(0, ...chosen.map((other) => likeness(candidate, other)));
    const left = candidates.filter((candidate) => !chosen.includes(candidate));
    chosen.push(left.reduce((best, candidate) => (worth(candidate) > worth(best) ? candidate : best)));
  }
  return chosen.map(({ id }) => id);
}

/** MBR-Exec (Shi and others 2022): what answers most like all others. */
export function minimumBayesRisk(candidates: readonly Candidate[], count: number): string[] {
  return ranked(candidates, (one) => candidates.reduce((sum, other) => sum + likeness(one, other), 0), count);
}

/** CodeT (Chen and others 2022): one of each consensus set, by its size times the tests that it passes. */
export function codeT(candidates: readonly Candidate[], count: number): string[] {
  const sets = Map.groupBy(candidates, ({ passed }) => passed.join());
  const score = (members: readonly Candidate[]): number =>
    members.length * (members[0]?.passed.filter(Boolean).length ?? 0);
  const order = [...sets.values()].toSorted((a, b) => score(b) - score(a));
  const chosen: string[] = [];
  // When every set has given one, each gives another.
  for (let turn = 0; chosen.length < Math.min(count, candidates.length); turn++)
    for (const members of order) {
      const member = members[turn];
      if (member && chosen.length < count) chosen.push(member.id);
    }
  return chosen;
}

function ranked(candidates: readonly Candidate[], score: (candidate: Candidate) => number, count: number): string[] {
  return candidates
    .toSorted((a, b) => score(b) - score(a))
    .slice(0, count)
    .map(({ id }) => id);
}

/** Share of inputs that both answer alike. */
function likeness(a: Candidate, b: Candidate): number {
  return a.outputs.filter((output, i) => output === b.outputs[i]).length / Math.max(1, a.outputs.length);
}
