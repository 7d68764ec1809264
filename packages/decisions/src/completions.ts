import { FlashloanError } from "@flashloan/shared/errors";
import { choose, type Budget, type Provenance } from "./decision.ts";

/** The most candidates of one choice. */
export const CANDIDATES_MAX = 500;
/** How sure it is that of two candidates that behaved alike on every input one is right when the other is. */
const ALIKE = 0.9;

/** A code completion, or a repair of one, that was run on the same inputs as all others. */
export interface Candidate {
  readonly id: string;
  /** How likely it is to be right by itself, 0 to 1: its model's own estimate. */
  readonly quality: number;
  /** What it answered to each input; a failure is an answer too. */
  readonly outputs: readonly string[];
  /** Which of the tests it passes; tests may be wrong themselves. */
  readonly passed: readonly boolean[];
}

/** Which candidates to try, the most promising first. */
export interface CompletionChoice extends Provenance {
  readonly chosen: readonly string[];
}

/**
 * Chooses up to `count` candidates so that one of them is right as likely as possible.
 *
 * Candidates that behave alike form a class; a class is as likely to be right as the tests that it passes, its size and its
 * members' quality say (the agreement of CodeT, Chen and others 2022). Two that behave differently can't both be right, and
 * two that behave alike nearly always are or are not together: so the chance that one of the chosen is right is
 * Σ p_i x_i − Σ P(i and j) x_i x_j to second order, which is what is maximized.
 * @throws FlashloanError argument_invalid, naming the candidate and the field
 */
export function chooseCompletions(candidates: readonly Candidate[], count: number, budget: Budget): CompletionChoice {
  validate(candidates, count);
  const chances = likelihoods(candidates);
  const all = [...candidates.keys()];
  const pairs = all.flatMap((i) =>
    all
      .filter((j) => j > i && isAlike(candidates[i], candidates[j]))
      .map((j) => [i, j, -ALIKE * Math.min(chances[i] ?? 0, chances[j] ?? 0)] as const),
  );
  const limits = [{ weights: all.map((i) => [i, 1] as const), capacity: count }];
  const { isChosen, provenance } = choose({ values: chances, pairs, limits }, budget);
  const order = all.filter(isChosen).toSorted((a, b) => (chances[b] ?? 0) - (chances[a] ?? 0) || a - b);
  return { ...provenance, chosen: order.map((i) => candidates[i]?.id ?? "") };
}

/** How likely each candidate is right: its class's share of all evidence, where a class shares it with its members. */
export function likelihoods(candidates: readonly Candidate[]): number[] {
  const classes = new Map<string, number[]>();
  for (const [i, { outputs }] of candidates.entries()) {
    const key = JSON.stringify(outputs);
    classes.set(key, [...(classes.get(key) ?? []), i]);
  }
  const evidence = new Map<number, number>();
  let total = 0;
  for (const members of classes.values()) {
    const passed = candidates[members[0] ?? 0]?.passed.filter(Boolean).length ?? 0;
    const quality = members.reduce((sum, i) => sum + (candidates[i]?.quality ?? 0), 0);
    const weight = quality * (1 + passed) ** 2;
    total += weight;
    for (const i of members) evidence.set(i, weight);
  }
  return candidates.map((_, i) => (total > 0 ? (evidence.get(i) ?? 0) / total : 0));
}

function isAlike(a: Candidate | undefined, b: Candidate | undefined): boolean {
  return a !== undefined && b !== undefined && a.outputs.every((output, index) => output === b.outputs[index]);
}

function validate(candidates: readonly Candidate[], count: number): void {
  const invalid = (message: string): FlashloanError => new FlashloanError("argument_invalid", message);
  if (candidates.length > CANDIDATES_MAX) throw invalid(`${candidates.length} candidates: at most ${CANDIDATES_MAX}`);
  if (!Number.isInteger(count) || count < 1) throw invalid(`count is ${count}: must be a whole number from 1`);
  const ids = new Set<string>();
  const [first] = candidates;
  for (const { id, quality, outputs, passed } of candidates) {
    if (ids.has(id)) throw invalid(`candidate ${id} is given twice`);
    ids.add(id);
    if (!(quality >= 0 && quality <= 1)) throw invalid(`candidate ${id}: quality is ${quality}, must be 0 to 1`);
    if (outputs.length !== first?.outputs.length || passed.length !== first.passed.length)
      throw invalid(`candidate ${id}: every candidate must have been run on the same inputs and tests as ${first?.id}`);
  }
}
