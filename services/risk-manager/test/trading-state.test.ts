import { expect, test } from "vitest";
import { TradingGuard, type History, type Outcome } from "../src/trading-state.ts";

const HOUR = 3_600_000;
const outcome = (intentId: string, success: boolean, gasCostWei: bigint, atMs: number) => ({
  intentId,
  success,
  gasCostWei,
  atMs,
});

test("failures in a row pause, a success in between starts the count again", () => {
  const guard = new TradingGuard(3);
  guard.record(outcome("1", false, 1n, 1));
  guard.record(outcome("2", false, 1n, 2));
  guard.record(outcome("3", true, 1n, 3));
  guard.record(outcome("4", false, 1n, 4));
  guard.record(outcome("5", false, 1n, 5));
  expect(guard.state).toBe("ACTIVE");
  guard.record(outcome("6", false, 1n, 6));
  expect(guard.state).toBe("PAUSED");
  expect(guard.reason).toContain("3 failures in a row");
});

test("an outcome that is told twice counts once", () => {
  const guard = new TradingGuard(2);
  guard.record(outcome("1", false, 7n, 1_000));
  guard.record(outcome("1", false, 7n, 1_000));
  expect(guard.state).toBe("ACTIVE");
  expect(guard.gasSpent(1_000)).toEqual({ hourWei: 7n, dayWei: 7n });
});

test("resuming resets the breaker; a kill is not undone by a success", () => {
  const guard = new TradingGuard(1);
  guard.record(outcome("1", false, 1n, 1));
  expect([guard.state, guard.breakerOpen]).toEqual(["PAUSED", true]);
  guard.setState("ACTIVE", "looked at it", 2);
  expect([guard.state, guard.consecutiveFailures, guard.breakerOpen]).toEqual(["ACTIVE", 0, false]);
  guard.setState("KILLED", "operator", 2);
  guard.record(outcome("2", true, 1n, 2));
  guard.record(outcome("3", false, 1n, 3));
  expect([guard.state, guard.reason]).toEqual(["KILLED", "operator"]);
});

test("gas counts within its hour and its day, to the millisecond", () => {
  const guard = new TradingGuard(100);
  guard.record(outcome("1", true, 5n, 0));
  guard.record(outcome("2", true, 3n, HOUR));
  expect(guard.gasSpent(HOUR)).toEqual({ hourWei: 8n, dayWei: 8n });
  expect(guard.gasSpent(HOUR + 1)).toEqual({ hourWei: 3n, dayWei: 8n });
  expect(guard.gasSpent(24 * HOUR)).toEqual({ hourWei: 0n, dayWei: 8n });
  expect(guard.gasSpent(24 * HOUR + 1)).toEqual({ hourWei: 0n, dayWei: 3n });
});

const history = (outcomes: readonly Outcome[], given: Partial<History> = {}): History => ({
  outcomes,
  state: "ACTIVE",
  reason: "started",
  resumedAtMs: 0,
  ...given,
});

test("what was before the start is not known until it is told, and telling it twice changes nothing", () => {
  const guard = new TradingGuard(3);
  guard.record(outcome("live", false, 2n, 5));
  expect(guard.outcomesKnown).toBe(false);
  const told = history([outcome("1", true, 1n, 1), outcome("2", false, 4n, 2), outcome("live", false, 2n, 5)]);
  for (let time = 0; time < 2; time++) {
    guard.restore(told);
    expect([guard.outcomesKnown, guard.consecutiveFailures, guard.state, guard.gasSpent(5).dayWei]).toEqual([
      true,
      2,
      "ACTIVE",
      7n,
    ]);
  }
});

test("the breaker opens again from what is told, of whatever age, but not for what an operator has resumed after", () => {
  const old = [outcome("1", false, 1n, 1), outcome("2", false, 1n, 2)];
  const guard = new TradingGuard(2);
  guard.restore(history(old));
  expect([guard.state, guard.breakerOpen, guard.gasSpent(25 * HOUR).dayWei]).toEqual(["PAUSED", true, 0n]);
  const resumed = new TradingGuard(2);
  resumed.restore(history(old, { resumedAtMs: 3 }));
  expect([resumed.state, resumed.consecutiveFailures]).toEqual(["ACTIVE", 0]);
  resumed.record(outcome("3", false, 1n, 4));
  resumed.restore(history([...old, outcome("3", false, 1n, 4)], { resumedAtMs: 3 }));
  expect([resumed.state, resumed.consecutiveFailures]).toEqual(["ACTIVE", 1]);
  // Resumed here and not there: what was told to this guard stands.
  guard.setState("ACTIVE", "looked at it", 3);
  guard.restore(history(old));
  expect([guard.state, guard.breakerOpen]).toEqual(["ACTIVE", false]);
});

test.each([
  ["ACTIVE", "PAUSED", "PAUSED"],
  ["ACTIVE", "KILLED", "KILLED"],
  ["PAUSED", "ACTIVE", "PAUSED"],
  ["PAUSED", "KILLED", "KILLED"],
  ["KILLED", "ACTIVE", "KILLED"],
  ["KILLED", "PAUSED", "KILLED"],
] as const)("%s, and told %s: %s", (before, told, after) => {
  const guard = new TradingGuard(2);
  guard.setState(before, "here", 1);
  guard.restore(history([], { state: told, reason: "there" }));
  expect([guard.state, guard.reason]).toEqual([after, after === before ? "here" : "there"]);
});
