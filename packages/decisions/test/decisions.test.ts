import fc from "fast-check";
import { expect, test } from "vitest";
import { allocateTasks, type Agent, type Task } from "../src/allocation.ts";
import { chooseCompletions, likelihoods, type Candidate } from "../src/completions.ts";
import type { Budget } from "../src/decision.ts";
import { choosePatches, choosePatchesGreedily, type Patch } from "../src/patches.ts";

const AMPLE: Budget = { deadlineMs: 60_000, seed: 1, now: () => performance.now() };
/** Time passes with each look at the clock. */
const short = (): Budget => {
  let ms = 0;
  return { deadlineMs: 40, seed: 1, now: () => (ms += 0.05) };
};
const NO_TIME: Budget = { ...AMPLE, deadlineMs: 0 };

const candidate = (id: string, quality: number, outputs: string, passed: string): Candidate => ({
  id,
  quality,
  outputs: outputs.split(""),
  passed: passed.split("").map((each) => each === "1"),
});

test("of three classes the two likeliest are tried, one of each, whatever their members say of themselves", () => {
  const candidates = [
    candidate("a", 0.5, "xy", "11"),
    candidate("b", 0.5, "xy", "11"),
    candidate("c", 0.9, "zz", "00"),
    candidate("d", 0.4, "xx", "10"),
    candidate("e", 0.4, "xx", "10"),
  ];
  const choice = chooseCompletions(candidates, 2, AMPLE);
  expect(choice).toMatchObject({ chosen: ["a", "d"], provenOptimal: true, degraded: false });
  expect(choice.objective).toBeCloseTo(choice.bound, 9);
  expect(likelihoods(candidates).map((chance) => chance.toFixed(2))).toEqual(["0.69", "0.69", "0.07", "0.24", "0.24"]);
});

test("never more are chosen than asked for, and all when there are fewer", () => {
  const candidates = Array.from({ length: 12 }, (_, i) => candidate(`${i}`, 0.5, `${i % 5}`, "1"));
  for (const count of [1, 4, 12, 20]) {
    expect(chooseCompletions(candidates, count, short()).chosen.length).toBeLessThanOrEqual(count);
    expect(chooseCompletions(candidates, count, NO_TIME).chosen.length).toBeLessThanOrEqual(count);
  }
  expect(chooseCompletions(candidates.slice(0, 2), 5, AMPLE).chosen).toEqual(["0", "1"]);
  expect(chooseCompletions([], 5, AMPLE).chosen).toEqual([]);
});

const anyPatches = fc
  .array(
    fc.record({ mends: fc.subarray(["a", "b", "c", "d", "e"]), conflicts: fc.subarray(["0", "1", "2", "3", "4"]) }),
    {
      maxLength: 5,
    },
  )
  .map((all) => all.map(({ mends, conflicts }, i): Patch => ({ id: `${i}`, mends, conflictsWith: conflicts })));

test("patches: as many tests as any set without a conflict mends, by as few patches as that takes", () => {
  fc.assert(
    fc.property(anyPatches, (patches) => {
      const mendedBy = (chosen: readonly Patch[]): number => new Set(chosen.flatMap(({ mends }) => mends)).size;
      const fits = (chosen: readonly Patch[]): boolean =>
        chosen.every((one) => chosen.every((other) => one === other || !one.conflictsWith.includes(other.id)));
      let best = 0;
      for (let bits = 0; bits < 2 ** patches.length; bits++) {
        const chosen = patches.filter((_, i) => (bits >> i) & 1);
        if (fits(chosen)) best = Math.max(best, mendedBy(chosen) - 0.01 * chosen.length);
      }
      const { chosen, mended, objective } = choosePatches(patches, AMPLE);
      const applied = patches.filter(({ id }) => chosen.includes(id));
      expect(fits(applied)).toBe(true);
      expect([mended.length, objective.toFixed(6)]).toEqual([mendedBy(applied), best.toFixed(6)]);
      expect(fits(choosePatchesGreedily(patches))).toBe(true);
    }),
    { numRuns: 40 },
  );
});

test("patches without any time: the greedy choice, and it says so", () => {
  const patches = [
    { id: "1", mends: ["a", "b"], conflictsWith: ["2"] },
    { id: "2", mends: ["c"], conflictsWith: [] },
    { id: "3", mends: ["c"], conflictsWith: [] },
  ];
  const { chosen, degraded, solver } = choosePatches(patches, NO_TIME);
  expect([chosen, degraded, solver]).toEqual([["1", "3"], true, "greedy"]);
});

const agent = (id: string, skills: Agent["skills"], rest: Partial<Agent> = {}): Agent => ({
  id,
  skills,
  load: 0,
  capacity: 2,
  cost: 0,
  ...rest,
});
const task = (id: string, skill: string, value: number, affinity: Task["affinity"] = {}): Task => ({
  id,
  skill,
  value,
  affinity,
});

test("each task goes to whom it gains most with, within what each can take; what nobody can do is left out", () => {
  const agents = [agent("ann", { code: 0.9, review: 0.8 }, { capacity: 1 }), agent("bob", { code: 0.5, review: 0.1 })];
  const tasks = [task("t1", "code", 10), task("t2", "review", 10), task("t3", "cook", 100)];
  // Ann alone would be better at both, but has one place.
  const { assignments, unassigned, provenOptimal } = allocateTasks(agents, tasks, AMPLE);
  expect([assignments, unassigned, provenOptimal]).toEqual([{ t1: "bob", t2: "ann" }, ["t3"], true]);
});

test("affine tasks go together, a busy agent gets less, and what costs more than it gains is not given", () => {
  const equal = [agent("ann", { code: 0.8 }), agent("bob", { code: 0.8 })];
  const pair = [task("t1", "code", 10), task("t2", "code", 10, { t1: 5 })];
  const together = allocateTasks(equal, pair, AMPLE).assignments;
  expect(together["t1"]).toBe(together["t2"]);
  const busy = [agent("ann", { code: 0.8 }, { load: 1 }), agent("bob", { code: 0.8 })];
  expect(allocateTasks(busy, [task("t1", "code", 10)], AMPLE).assignments).toEqual({ t1: "bob" });
  const dear = [agent("ann", { code: 0.8 }, { cost: 9 })];
  expect(allocateTasks(dear, [task("t1", "code", 10)], AMPLE).unassigned).toEqual(["t1"]);
});

test("no agent gets more than it can take, also when there is no time", () => {
  const agents = [agent("ann", { code: 0.9 }), agent("bob", { code: 0.9 }, { load: 1 })];
  const tasks = Array.from({ length: 8 }, (_, i) => task(`t${i}`, "code", 10 + i));
  for (const budget of [short(), NO_TIME]) {
    const given = Object.values(allocateTasks(agents, tasks, budget).assignments);
    expect(given.filter((id) => id === "ann").length).toBeLessThanOrEqual(2);
    expect(given.filter((id) => id === "bob").length).toBeLessThanOrEqual(1);
  }
});

test.each([
  [() => chooseCompletions([candidate("a", 2, "x", "1")], 1, AMPLE), /candidate a: quality is 2, must be 0 to 1/],
  [
    () => chooseCompletions([candidate("a", 1, "x", "1"), candidate("a", 1, "x", "1")], 1, AMPLE),
    /candidate a is given twice/,
  ],
  [
    () => chooseCompletions([candidate("a", 1, "x", "1"), candidate("b", 1, "xy", "1")], 1, AMPLE),
    /candidate b: every candidate/,
  ],
  [() => chooseCompletions([candidate("a", 1, "x", "1")], 0, AMPLE), /count is 0: must be a whole number from 1/],
  [
    () =>
      choosePatches(
        [1, 1].map((id) => ({ id: `${id}`, mends: [], conflictsWith: [] })),
        AMPLE,
      ),
    /patch 1 is given twice/,
  ],
  [() => allocateTasks([agent("ann", { code: 7 })], [], AMPLE), /agent ann: skill code is 7, must be 0 to 1/],
  [() => allocateTasks([agent("ann", {}, { capacity: 0 })], [], AMPLE), /agent ann: capacity is 0/],
  [() => allocateTasks([], [task("t", "code", Number.NaN)], AMPLE), /task t: value is NaN/],
])("refuses what can't be meant: %#", (work, message) => {
  expect(work).toThrow(message);
});
