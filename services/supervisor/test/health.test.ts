import { expect, test } from "vitest";
import type { UnitSighting } from "../src/driver.ts";
import { ENGINE_PATIENCE_MS, SILENT_MS, START_MS, STUCK_MS, UnitHealth } from "../src/health.ts";

function sighting(given: Partial<UnitSighting> = {}, speaks: "grpc" | "nothing" = "grpc"): UnitSighting {
  return {
    declaration: { id: "a", group: "g", dependsOn: [], speaks, address: "127.0.0.1:1", order: 0 },
    state: "running",
    incarnation: "1",
    startedAtMs: 0,
    lastExit: undefined,
    health: "unknown",
    ...given,
  };
}
/** A unit that was seen and has answered at 0. */
function serving(): UnitHealth {
  const health = new UnitHealth();
  health.sighted(sighting(), 0);
  health.answered("serving", 0);
  return health;
}
const silent = { silent: "no answer" };

test("never seen or not answered yet: starting, until a start has taken too long", () => {
  const health = new UnitHealth();
  expect(health.verdict(0)).toEqual({ status: "starting" });
  health.sighted(sighting(), 0);
  health.answered(silent, 1_000);
  expect(health.verdict(START_MS - 1)).toEqual({ status: "starting" });
  expect(health.verdict(START_MS)).toMatchObject({ status: "failed", fault: "start_timeout" });
});

test("silence counts when it lasts and repeats; one answer ends it", () => {
  const health = serving();
  expect(health.verdict(0)).toEqual({ status: "up" });
  for (const at of [1_000, 2_000]) health.answered(silent, at);
  expect(health.verdict(SILENT_MS)).toEqual({ status: "up" });
  health.answered(silent, 3_000);
  expect(health.verdict(SILENT_MS - 1)).toEqual({ status: "up" });
  expect(health.verdict(SILENT_MS)).toMatchObject({ status: "failed", fault: "no_answer" });
  health.answered("serving", 5_000);
  expect(health.verdict(60_000)).toEqual({ status: "up" });
});

test("a missing need of others is no failure; missing progress alone is, when it lasts", () => {
  const health = serving();
  health.answered("not_serving", 1_000);
  health.beat(["chain", "feed"], 1_000);
  expect(health.verdict(1e6)).toEqual({ status: "degraded", reason: "it misses chain, feed" });
  health.beat(["feed"], 2_000);
  expect(health.verdict(2_000 + STUCK_MS - 1)).toMatchObject({ status: "degraded" });
  expect(health.verdict(2_000 + STUCK_MS)).toMatchObject({ status: "failed", fault: "stuck" });
  health.answered("serving", 20_000);
  expect(health.verdict(1e6)).toEqual({ status: "up" });
});

test("two wrong answers in a row are a failure, one is not; another run begins anew", () => {
  const health = serving();
  health.probed("1 + 1 is 3");
  expect(health.verdict(0)).toEqual({ status: "up" });
  health.probed(undefined);
  health.probed("1 + 1 is 3");
  health.probed("1 + 1 is 3");
  expect(health.verdict(0)).toMatchObject({ status: "failed", fault: "wrong_answer", reason: /1 \+ 1 is 3/ });
  expect(health.sighted(sighting({ incarnation: "2" }), 1)).toBe(true);
  expect(health.verdict(1)).toEqual({ status: "starting" });
});

test("what ended is left to its engine for a moment; then it is a crash, or its memory limit", () => {
  const health = serving();
  health.sighted(sighting({ state: "ended", lastExit: { code: 1, outOfMemory: false } }), 100);
  expect(health.verdict(100)).toMatchObject({ status: "degraded" });
  expect(health.verdict(100 + ENGINE_PATIENCE_MS)).toMatchObject({ fault: "crash", reason: "it ended with code 1" });
  health.sighted(sighting({ state: "ended", lastExit: { code: 137, outOfMemory: true } }), 100);
  expect(health.verdict(100 + ENGINE_PATIENCE_MS)).toMatchObject({ fault: "out_of_memory" });
  // Nobody else starts it again: a crash at once.
  health.sighted(sighting({ state: "ended", lastExit: { code: undefined, outOfMemory: false, error: "no" } }), 100);
  expect(health.verdict(100)).toMatchObject({ fault: "crash", reason: "it failed: no" });
});

test("frozen is no answer; what speaks nothing is judged by its engine's health check", () => {
  const health = serving();
  health.sighted(sighting({ state: "frozen" }), 1);
  expect(health.verdict(1)).toMatchObject({ status: "failed", fault: "no_answer" });
  const mute = new UnitHealth();
  mute.sighted(sighting({ health: "healthy" }, "nothing"), 0);
  expect(mute.verdict(0)).toEqual({ status: "up" });
  mute.sighted(sighting({ health: "unhealthy" }, "nothing"), 1);
  expect(mute.verdict(1)).toMatchObject({ status: "failed", fault: "unhealthy" });
});
