import { expect, test } from "vitest";
import type { Budget } from "@flashloan/decisions/decision";
import { syntheticBlocks } from "./blocks.ts";
import { compareAllocations, compareCompletions, comparePatches, compareSelections } from "./campaign.ts";

// The small instance of `npm run campaign -- decisions`. Time passes with each look at the clock, so that every machine sees
// the same.
function budget(): Budget {
  let ms = 0;
  return { deadlineMs: 50, seed: 1, now: () => (ms += 0.02) };
}

test("which opportunities of a block: worth more, carried out, than what the executor takes by itself", () => {
  const { problems, means, against } = compareSelections(syntheticBlocks(80, 1), budget());
  // In the other blocks nothing pays its gas.
  expect(problems).toBeGreaterThan(20);
  const { engine = 0, ...others } = means;
  expect(Object.keys(others)).toEqual(["engine, no sequels", "greedy", "greedy, resized", "one at a time"]);
  for (const [name, reached] of Object.entries(others)) expect([name, engine > reached]).toEqual([name, true]);
  for (const { wins, ties, losses } of Object.values(against)) expect(wins + ties + losses).toBe(problems);
});

test("which completions to try: one of the chosen is right at least as often as with any other way of choosing", () => {
  for (const count of [1, 3]) {
    const { problems, means, against } = compareCompletions(100, count, 1, budget());
    expect(problems).toBe(100);
    expect(Object.keys(against)).toEqual(["top-k", "MMR", "MBR-Exec", "CodeT"]);
    const { engine = 0, ...others } = means;
    for (const [name, reached] of Object.entries(others)) expect([name, engine >= reached]).toEqual([name, true]);
    for (const { wins, ties, losses } of Object.values(against)) expect(wins + ties + losses).toBe(100);
  }
});

test("which patches together: never less than the greedy choice, often more", () => {
  const { against, means } = comparePatches(40, 1, budget());
  expect(against["greedy"]?.losses).toBe(0);
  expect(against["greedy"]?.wins).toBeGreaterThan(5);
  expect(means["engine"]).toBeGreaterThan(means["greedy"] ?? 1);
});

test("which task to whom: worth more than giving in turn to the most able, or to the least busy", () => {
  const { means, against } = compareAllocations(20, 1, budget());
  expect(means["engine"]).toBeGreaterThan(means["greedy"] ?? 0);
  expect(means["greedy"]).toBeGreaterThan(means["round robin"] ?? 0);
  expect(against["round robin"]).toEqual({ wins: 20, ties: 0, losses: 0 });
});
