import { AsyncLocalStorage } from "node:async_hooks";
import { afterEach, expect, test, vi } from "vitest";
import type { FlashloanError } from "@flashloan/shared/errors";
import { createLogger } from "@flashloan/shared/log";
import type { HostedService } from "@flashloan/shared/run-service";
import type { UnitDeclaration } from "@flashloan/supervisor/unit";
import { InProcessDriver } from "../src/in-process-driver.ts";

const never = new Promise<never>(() => undefined);
const declare = (id: string): UnitDeclaration => ({ id, group: "trading", dependsOn: [], speaks: "grpc", order: 0 });

afterEach(() => void vi.useRealTimers());

/** A unit that keeps what is done to it, and runs work as its own. */
function createUnit(stop: () => Promise<void> = async () => undefined) {
  const events: string[] = [];
  const unit = {
    events,
    within: (work: () => void): void => work(),
    start: async (abandoned: AbortSignal): Promise<HostedService> => {
      events.push("start");
      unit.within = AsyncLocalStorage.snapshot();
      abandoned.addEventListener("abort", () => events.push("abandoned"));
      return { address: "127.0.0.1:1", metricsAddress: "127.0.0.1:2", stop: () => (events.push("stop"), stop()) };
    },
  };
  return unit;
}

function createDriver() {
  const given: FlashloanError[] = [];
  const driver = new InProcessDriver({
    readLog: () => [],
    log: (unit) => createLogger(unit, "silent"),
    giveUp: (error) => given.push(error),
  });
  return { driver, given };
}

test("what nothing caught is the crash of the unit in which it arose, once; nobody's is said to be nobody's", async () => {
  const { driver } = createDriver();
  const [one, other] = [createUnit(), createUnit()];
  await driver.add(declare("one"), one.start);
  await driver.add(declare("other"), other.start);
  let hints = 0;
  driver.onHint(() => (hints += 1));
  const { within } = one;
  let owned: unknown;
  within(() => (owned = [driver.current(), driver.failed(new Error("lost")), driver.failed(new Error("echo"))]));
  expect([owned, driver.current(), driver.failed(new Error("nobody's"))]).toEqual([
    ["one", true, true],
    undefined,
    false,
  ]);
  expect(
    (await driver.sightings()).map(({ state, lastExit, incarnation }) => [state, lastExit?.error, incarnation]),
  ).toEqual([
    ["ended", "lost", "1"],
    ["running", undefined, "1"],
  ]);
  await driver.restart("one", 0);
  expect([hints, one.events, other.events]).toEqual([1, ["start", "stop", "start"], ["start"]]);
  // An echo from the run before does nothing to this one.
  within(() => driver.failed(new Error("late")));
  expect((await driver.sightings()).map(({ state, lastExit, incarnation }) => [state, lastExit, incarnation])).toEqual([
    ["running", undefined, "2"],
    ["running", undefined, "1"],
  ]);
});

test("what fails while it starts has not started", async () => {
  const { driver } = createDriver();
  const unit = createUnit();
  await driver.add(declare("one"), async (abandoned) => {
    const hosted = await unit.start(abandoned);
    if (unit.events.length > 1) driver.failed(new Error("not again"));
    return hosted;
  });
  await expect(driver.restart("one", 0)).rejects.toThrow("not again");
  expect((await driver.sightings())[0]).toMatchObject({ state: "ended", lastExit: { error: "not again" } });
  expect(unit.events).toEqual(["start", "stop", "start", "stop"]);
});

test("what never stops is left behind without its ports; if it alone may hold its files, the process has to end", async () => {
  const { driver, given } = createDriver();
  const [stuck, exclusive] = [createUnit(() => never), createUnit(() => never)];
  await driver.add(declare("stuck"), stuck.start);
  await driver.add(declare("exclusive"), exclusive.start, { exclusive: true });
  await driver.restart("stuck", 10);
  expect(stuck.events).toEqual(["start", "stop", "abandoned", "start"]);
  await expect(driver.restart("exclusive", 10)).rejects.toThrow(
    /exclusive does not end .* files that no second one may open/,
  );
  expect([exclusive.events, given.length]).toEqual([["start", "stop", "abandoned"], 1]);
  await expect(driver.restart("nobody", 10)).rejects.toMatchObject({ code: "not_found" });
});

test("the last half second of a grace is for leaving, so a short one is spent on nothing else", async () => {
  vi.useFakeTimers();
  const { driver, given } = createDriver();
  const [drains, exclusive] = [createUnit(() => never), createUnit(() => never)];
  await driver.add(declare("drains"), drains.start);
  await driver.add(declare("exclusive"), exclusive.start, { exclusive: true });
  const restarts = Promise.allSettled([driver.restart("drains", 2_500), driver.restart("exclusive", 500)]);
  const seen = async (ms: number): Promise<unknown> => {
    await vi.advanceTimersByTimeAsync(ms);
    return [drains.events.at(-1), exclusive.events.at(-1), given.length];
  };
  expect([await seen(0), await seen(499), await seen(1), await seen(1_500), await seen(500)]).toEqual([
    ["stop", "abandoned", 0],
    ["stop", "abandoned", 0],
    ["stop", "abandoned", 1],
    ["abandoned", "abandoned", 1],
    ["start", "abandoned", 1],
  ]);
  expect((await restarts).map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
});
