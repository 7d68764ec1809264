import { expect, test } from "vitest";
import { PERIOD_MS, RESTARTS_MAX, RestartLimit } from "../src/restart-limit.ts";

test("the first restart is at once, those that follow wait longer and longer, and too many within the period are refused", () => {
  const limit = new RestartLimit(() => 1);
  const waits = Array.from({ length: RESTARTS_MAX }, (_, i) => limit.failed(i));
  expect(waits).toEqual([0, 2_000, 4_000, 8_000, 16_000]);
  expect(limit.failed(RESTARTS_MAX)).toBeUndefined();
  // A refused one did not count; the first has left the period by then.
  expect(limit.failed(PERIOD_MS)).toBe(16_000);
  expect(limit.failed(3 * PERIOD_MS)).toBe(0);
});

test("jitter takes at most half of a wait", () => {
  const limit = new RestartLimit(() => 0);
  expect([limit.failed(0), limit.failed(0), limit.failed(0)]).toEqual([0, 1_000, 2_000]);
});
