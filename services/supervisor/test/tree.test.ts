import { expect, test } from "vitest";
import { createRandom } from "@flashloan/shared/random";
import { BACKOFF_BASE_MS, BACKOFF_RESET_MS, groupSpecSchema, SupervisionTree, type Action } from "../src/tree.ts";
import type { UnitDeclaration } from "../src/unit.ts";

const CRASH = { status: "failed", fault: "crash", reason: "it ended with code 1" } as const;

function unit(id: string, group = "trading", order = 0, dependsOn: string[] = []): UnitDeclaration {
  return { id, group, order, dependsOn, speaks: "grpc", address: "127.0.0.1:1" };
}

/** A tree with units that are all up. */
function plant(spec: unknown, units: readonly UnitDeclaration[]): SupervisionTree {
  const tree = new SupervisionTree(groupSpecSchema.parse(spec), createRandom(1));
  for (const declaration of units) tree.declare(declaration, 0);
  for (const { id } of units) tree.observe(id, { status: "up" }, 0);
  return tree;
}
const trading = (rule: object): unknown => ({ name: "root", groups: [{ name: "trading", ...rule }] });
const three = [unit("a", "trading", 1), unit("b", "trading", 2), unit("c", "trading", 3)];
const restartsOf = (actions: readonly Action[]): (readonly string[])[] =>
  actions.map((action) => (action.kind === "restart" ? action.units : ["quarantine", action.culprit]));
const phaseOf = (tree: SupervisionTree, id: string, now = 0): string =>
  tree.units(now).find(({ declaration }) => declaration.id === id)?.phase ?? "unknown";

test.each([
  ["one_for_one", ["b"]],
  ["rest_for_one", ["b", "c"]],
  ["one_for_all", ["a", "b", "c"]],
])("%s restarts %j with a failed b, in their start order, and nothing else", (strategy, expected) => {
  const tree = plant(trading({ strategy }), [...three.toReversed(), unit("x", "other")]);
  expect(tree.observe("b", CRASH, 10)).toBe(true);
  expect(tree.observe("b", CRASH, 11)).toBe(false);
  const actions = tree.decide(20);
  expect(restartsOf(actions)).toEqual([expected]);
  expect(actions[0]).toMatchObject({ culprit: "b", fault: "crash", group: "trading" });
  expect(tree.decide(21)).toEqual([]);
  for (const id of expected) tree.restarted(id, undefined, 30);
  expect(expected.map((id) => phaseOf(tree, id))).toEqual(expected.map(() => "starting"));
  expect(phaseOf(tree, "x")).toBe("up");
});

test("the first restart is immediate, those that follow wait longer and longer; a long time up begins anew", () => {
  const tree = plant(trading({ intensity: 100 }), [unit("a")]);
  let now = 0;
  const waits: number[] = [];
  for (let failure = 0; failure < 5; failure++) {
    tree.observe("a", CRASH, now);
    const failedAt = now;
    while (tree.decide(now).length === 0) now += 100;
    waits.push(now - failedAt);
    tree.restarted("a", undefined, now);
    tree.observe("a", { status: "up" }, now);
  }
  expect(waits[0]).toBe(0);
  for (let n = 1; n < waits.length; n++) {
    const full = BACKOFF_BASE_MS * 2 ** (n - 1);
    expect(waits[n]).toBeGreaterThanOrEqual(full / 2);
    expect(waits[n]).toBeLessThanOrEqual(full + 100);
  }
  tree.observe("a", CRASH, now);
  expect(phaseOf(tree, "a", now)).toBe("crash_loop");
  now += 400_000;
  expect(tree.decide(now)).toHaveLength(1);
  tree.restarted("a", undefined, now);
  tree.observe("a", { status: "up" }, now);
  now += BACKOFF_RESET_MS;
  tree.observe("a", { status: "up" }, now);
  tree.observe("a", CRASH, now);
  expect(restartsOf(tree.decide(now))).toEqual([["a"]]);
});

test("more restarts than the intensity within the period: quarantined, until it is released", () => {
  const tree = plant(trading({ intensity: 2, periodMs: 1_000_000 }), [unit("a"), unit("b")]);
  let now = 0;
  const done: (readonly string[])[] = [];
  for (let failure = 0; failure < 3; failure++) {
    tree.observe("a", CRASH, now);
    now += 400_000 / 4;
    done.push(...restartsOf(tree.decide(now)));
    tree.restarted("a", undefined, now);
  }
  expect(done).toEqual([["a"], ["a"], ["quarantine", "a"]]);
  expect(tree.observe("a", CRASH, now)).toBe(false);
  expect(tree.decide(now + 1e9)).toEqual([]);
  expect([phaseOf(tree, "a"), phaseOf(tree, "b")]).toEqual(["quarantined", "up"]);
  tree.release("a", now);
  tree.observe("a", CRASH, now);
  expect(restartsOf(tree.decide(now))).toEqual([["a"]]);
});

test("a group that escalates is restarted whole by its parent, and its parent's excess ends it", () => {
  const spec = {
    name: "root",
    strategy: "one_for_one",
    intensity: 1,
    groups: [{ name: "trading", intensity: 1, beyond: "escalate" }, { name: "agents" }],
  };
  const tree = plant(spec, [...three, unit("z", "agents")]);
  const fail = (now: number): (readonly string[])[] => {
    tree.observe("b", CRASH, now);
    const actions = tree.decide(now);
    for (const units of restartsOf(actions))
      for (const id of units) if (id !== "quarantine") tree.restarted(id, undefined, now);
    for (const { id } of three) tree.observe(id, { status: "up" }, now);
    return restartsOf(actions);
  };
  expect(fail(0)).toEqual([["b"]]);
  expect(fail(30_000)).toEqual([["a", "b", "c"]]);
  // The group begins to count anew.
  expect(fail(90_000)).toEqual([["b"]]);
  expect(fail(200_000)).toEqual([["quarantine", "b"]]);
  expect(phaseOf(tree, "z")).toBe("up");
});

test("what depends on a unit that is down waits for it", () => {
  const tree = plant(trading({}), [unit("a"), unit("b", "trading", 1, ["a"])]);
  tree.observe("a", CRASH, 0);
  tree.observe("b", CRASH, 0);
  expect(restartsOf(tree.decide(0))).toEqual([["a"]]);
  expect(tree.decide(1)).toEqual([]);
  tree.restarted("a", undefined, 2);
  tree.observe("a", { status: "up" }, 3);
  expect(restartsOf(tree.decide(3))).toEqual([["b"]]);
});

test("a restart that fails is a failure of its own; one that is under way is not begun twice", () => {
  const tree = plant(trading({}), [unit("a")]);
  tree.observe("a", CRASH, 0);
  tree.decide(0);
  expect(tree.observe("a", CRASH, 1)).toBe(false);
  expect(() => tree.plan("a", 1)).toThrow(/being restarted already/);
  tree.restarted("a", "no engine", 2);
  expect(tree.units(2)[0]).toMatchObject({ phase: "down", reason: "no engine", attempts: 1 });
});

test("a new supervisor goes on where the last one was: back-off, counts and quarantines", () => {
  const spec = trading({ intensity: 3, periodMs: 1_000_000 });
  const tree = plant(spec, three);
  tree.observe("a", CRASH, 0);
  tree.decide(0);
  tree.restarted("a", undefined, 1);
  tree.quarantine("b", "by hand", 1);
  const next = plant(spec, three);
  next.restore(JSON.parse(JSON.stringify(tree.snapshot())), 5);
  expect(phaseOf(next, "b")).toBe("quarantined");
  next.observe("a", CRASH, 6);
  expect(next.decide(7)).toEqual([]);
  expect(restartsOf(next.decide(BACKOFF_BASE_MS))).toEqual([["a"]]);
  expect(() => next.restore({ units: 1 }, 0)).toThrow("expected record");
});

test("unknown units and doubled groups are named", () => {
  const tree = plant(trading({}), [unit("a")]);
  expect(() => tree.observe("nobody", CRASH, 0)).toThrow('there is no unit "nobody"; known: a');
  expect(() => plant({ name: "x", groups: [{ name: "x" }] }, [])).toThrow('two groups are named "x"');
});
