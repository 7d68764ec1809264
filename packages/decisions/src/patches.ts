import type { Model } from "@flashloan/qubo/model";
import { FlashloanError } from "@flashloan/shared/errors";
import { decide, type Budget, type Provenance } from "./decision.ts";

/** The most patches and failing tests of one choice. */
export const PATCHES_MAX = 200;
/** What a patch costs beside a test that it mends: of two choices that mend as much, the smaller. */
const PATCH_COST = 0.01;

/** A repair that mends some tests. */
export interface Patch {
  readonly id: string;
  /** Failing tests that pass with it. */
  readonly mends: readonly string[];
  /** Patches that it can't be applied together with. */
  readonly conflictsWith: readonly string[];
}

/** Which patches to apply together. */
export interface PatchChoice extends Provenance {
  readonly chosen: readonly string[];
  /** Tests that pass with them. */
  readonly mended: readonly string[];
}

/**
 * Chooses patches that can be applied together and mend as many tests as possible, with as few of them as that takes
 * (maximum coverage under conflicts).
 * @throws FlashloanError argument_invalid, naming the patch
 */
export function choosePatches(patches: readonly Patch[], budget: Budget): PatchChoice {
  const tests = validate(patches);
  const model: Model = {
    variables: Object.fromEntries([...patches.keys()].map((i) => [`p${i}`, "binary"])),
    objective: {
      sense: "maximize",
      linear: Object.fromEntries([...patches.keys()].map((i) => [`p${i}`, -PATCH_COST])),
    },
    constraints: [],
  };
  const { variables, objective, constraints = [] } = model;
  const linear = objective.linear ?? {};
  for (const [t, test] of tests.entries()) {
    variables[`t${t}`] = "binary";
    linear[`t${t}`] = 1;
    // A test counts only when a patch that mends it is applied.
    const mending = [...patches.keys()].filter((i) => patches[i]?.mends.includes(test));
    constraints.push({ sum: { [`t${t}`]: -1, ...Object.fromEntries(mending.map((i) => [`p${i}`, 1])) }, atLeast: 0 });
  }
  for (const [i, { conflictsWith }] of patches.entries())
    for (const other of conflictsWith) {
      const j = patches.findIndex(({ id }) => id === other);
      if (j >= 0 && j !== i) constraints.push({ conflict: [`p${i}`, `p${j}`] });
    }
  const { isChosen, provenance } = decide(model, budget);
  const found = compatible(patches.filter((_, i) => isChosen(`p${i}`)));
  const baseline = choosePatchesGreedily(patches);
  const worth = (chosen: readonly Patch[]): number => mendedBy(chosen).size - PATCH_COST * chosen.length;
  const isBaseline = worth(baseline) > worth(found);
  const chosen = isBaseline ? baseline : found;
  return {
    ...provenance,
    ...(isBaseline && { solver: "greedy" }),
    objective: worth(chosen),
    greedy: worth(baseline),
    chosen: chosen.map(({ id }) => id),
    mended: [...mendedBy(chosen)],
  };
}

/** The baseline: again and again the patch that mends most of what is left and conflicts with nothing chosen. */
export function choosePatchesGreedily(patches: readonly Patch[]): readonly Patch[] {
  const left = new Set(validate(patches));
  const chosen: Patch[] = [];
  for (;;) {
    const gain = ({ mends }: Patch): number => mends.filter((test) => left.has(test)).length;
    const free = patches.filter((patch) => chosen.every((other) => !isConflict(patch, other)));
    const best = free.reduce<Patch | undefined>((a, b) => (a && gain(a) >= gain(b) ? a : b), undefined);
    if (!best || gain(best) === 0) return chosen;
    chosen.push(best);
    for (const test of best.mends) left.delete(test);
  }
}

function mendedBy(patches: readonly Patch[]): Set<string> {
  return new Set(patches.flatMap(({ mends }) => mends));
}

/** Time may have been up before every conflict was resolved: the earlier patch stays. */
function compatible(patches: readonly Patch[]): Patch[] {
  const kept: Patch[] = [];
  for (const patch of patches) if (kept.every((other) => !isConflict(patch, other))) kept.push(patch);
  return kept;
}

function isConflict(a: Patch, b: Patch): boolean {
  return a !== b && (a.conflictsWith.includes(b.id) || b.conflictsWith.includes(a.id));
}

function validate(patches: readonly Patch[]): string[] {
  const ids = new Set<string>();
  for (const { id } of patches) {
    if (ids.has(id)) throw new FlashloanError("argument_invalid", `patch ${id} is given twice`);
    ids.add(id);
  }
  const tests = [...new Set(patches.flatMap(({ mends }) => mends))];
  if (patches.length > PATCHES_MAX || tests.length > PATCHES_MAX)
    throw new FlashloanError(
      "argument_invalid",
      `${patches.length} patches and ${tests.length} tests: at most ${PATCHES_MAX} of each`,
    );
  return tests;
}
