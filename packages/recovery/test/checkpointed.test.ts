import { expect, test } from "vitest";
import type { Clock } from "@flashloan/shared/clock";
import { memoryCheckpointLog, type CheckpointLog, type Json } from "../src/checkpoint-log.ts";
import { idempotent } from "../src/idempotent.ts";
import { openQuarantine } from "../src/quarantine.ts";
import { runSaga, type SagaStep } from "../src/saga.ts";

const states = async (log: CheckpointLog, id: string): Promise<string[]> =>
  (await log.history(id)).map(({ state, payload }) => {
    const step = (payload as { step?: string } | null)?.step;
    return step === undefined ? state : `${state} ${step}`;
  });

/** A log that dies after so many appends, as the process does: what is written stays. */
function dyingLog(log: CheckpointLog, appendsMax: number): CheckpointLog {
  let appends = 0;
  return {
    history: (streamId) => log.history(streamId),
    append: async (...record) => {
      if (appends >= appendsMax) throw new Error("killed");
      appends += 1;
      await log.append(...record);
    },
  };
}

/** Steps that book and cancel by key, so that a repeated act has no second effect. */
function bookings(fails?: string): { steps: SagaStep[]; booked: Set<string>; acts: string[] } {
  const booked = new Set<string>();
  const acts: string[] = [];
  const steps = ["a", "b", "c"].map((name): SagaStep => ({
    name,
    run: async ({ key }) => {
      acts.push(`run ${name}`);
      if (name === fails) throw new Error("no room");
      booked.add(key);
      return `${name}!`;
    },
    compensate: async (_, { key }) => {
      acts.push(`undo ${name}`);
      booked.delete(key);
    },
  }));
  return { steps, booked, acts };
}

test("saga: intent and outcome of each step are checkpointed, and a second call replays the result", async () => {
  const log = memoryCheckpointLog();
  const { steps, acts } = bookings();
  const run = (): Promise<unknown> => runSaga({ operation: "task", id: "trip", steps, log });
  expect(await run()).toEqual({ a: "a!", b: "b!", c: "c!" });
  expect(await run()).toEqual({ a: "a!", b: "b!", c: "c!" });
  expect(acts).toEqual(["run a", "run b", "run c"]);
  expect(await states(log, "trip")).toEqual([
    "STEP_INTENDED a",
    "STEP_DONE a",
    "STEP_INTENDED b",
    "STEP_DONE b",
    "STEP_INTENDED c",
    "STEP_DONE c",
    "COMPLETED",
  ]);
});

test("saga: when a step fails, all that was begun is undone in reverse", async () => {
  const log = memoryCheckpointLog();
  const { steps, booked, acts } = bookings("c");
  const run = (): Promise<unknown> => runSaga({ operation: "task", id: "trip", steps, log });
  await expect(run()).rejects.toMatchObject({ code: "saga_rolled_back", details: { step: "c" } });
  expect(acts).toEqual(["run a", "run b", "run c", "undo c", "undo b", "undo a"]);
  expect(booked.size).toBe(0);
  await expect(run()).rejects.toMatchObject({ code: "saga_rolled_back" });
  expect(acts).toHaveLength(6);
});

test.each([undefined, "b", "c"])(
  "saga: killed at any checkpoint, it goes on to the same end (failing step: %s)",
  async (fails) => {
    const whole = memoryCheckpointLog();
    await runSaga({ operation: "task", id: "trip", steps: bookings(fails).steps, log: whole }).catch(() => undefined);
    const length = (await whole.history("trip")).length;
    for (let appends = 0; appends < length; appends++) {
      const log = memoryCheckpointLog();
      const { steps, booked } = bookings(fails);
      const run = (on: CheckpointLog): Promise<unknown> =>
        runSaga({ operation: "task", id: "trip", steps, log: on }).then(
          () => "completed",
          (error: Error) => error.message,
        );
      expect(await run(dyingLog(log, appends))).toBe("killed");
      expect(await run(log)).toBe(fails === undefined ? "completed" : `trip: ${fails} failed (no room); all is undone`);
      expect([appends, booked.size]).toEqual([appends, fails === undefined ? 3 : 0]);
    }
  },
);

test("saga: what can't be undone is said, and the next run goes on undoing", async () => {
  const log = memoryCheckpointLog();
  const { steps, booked } = bookings("b");
  let isStuck = true;
  const [first, ...rest] = steps;
  const stuck: SagaStep = {
    ...(first as SagaStep),
    compensate: async (result, context) => {
      if (isStuck) throw new Error("stuck");
      await first?.compensate?.(result, context);
    },
  };
  const run = (): Promise<unknown> => runSaga({ operation: "task", id: "trip", steps: [stuck, ...rest], log });
  await expect(run()).rejects.toMatchObject({ code: "compensation_failed" });
  expect(booked.size).toBe(1);
  isStuck = false;
  await expect(run()).rejects.toMatchObject({ code: "saga_rolled_back" });
  expect(booked.size).toBe(0);
});

test("idempotent replay: one effect a key, at once, later and after a restart", async () => {
  const log = memoryCheckpointLog();
  let effects = 0;
  const work = async (): Promise<Json> => {
    effects += 1;
    return { order: effects };
  };
  const open = (): ReturnType<typeof idempotent> => idempotent({ operation: "task", log, scope: "orders" });
  const orders = open();
  expect(await Promise.all([orders.run("k", 1, work), orders.run("k", 1, work)])).toEqual([{ order: 1 }, { order: 1 }]);
  expect(await orders.run("k", 1, work)).toEqual({ order: 1 });
  expect(await open().run("k", 1, work)).toEqual({ order: 1 });
  expect(effects).toBe(1);
  await expect(open().run("k", 2, work)).rejects.toMatchObject({ code: "idempotency_conflict" });
});

test("idempotent replay: a failure is not stored", async () => {
  const orders = idempotent({ operation: "task", log: memoryCheckpointLog(), scope: "orders" });
  await expect(orders.run("k", 1, () => Promise.reject(new Error("once")))).rejects.toThrow("once");
  expect(await orders.run("k", 1, async () => 2)).toBe(2);
});

test("quarantine: what keeps failing within the period is kept apart, over restarts, until it is released", async () => {
  let now = 0;
  const clock: Clock = { now: () => now, monotonic: () => now, sleep: async () => undefined };
  const log = memoryCheckpointLog();
  const open = (): ReturnType<typeof openQuarantine> =>
    openQuarantine({ operation: "script", log, streamId: "ward", failuresMax: 3, periodMs: 1_000, clock });
  const ward = await open();
  let calls = 0;
  const fail = async (): Promise<never> => {
    calls += 1;
    throw new Error("ill");
  };
  // Failures that are too far apart don't count together.
  for (let call = 0; call < 5; call++) {
    await expect(ward.run("slow", fail)).rejects.toThrow("ill");
    now += 500;
  }
  expect(ward.keys()).toEqual([]);
  for (let call = 0; call < 3; call++) await expect(ward.run("bad", fail)).rejects.toThrow("ill");
  await expect(ward.run("bad", fail)).rejects.toMatchObject({ code: "quarantined" });
  expect(calls).toBe(8);
  expect(await ward.run("good", async () => "fine")).toBe("fine");
  const reopened = await open();
  expect(reopened.keys()).toEqual(["bad"]);
  expect(await reopened.release("bad")).toBe(true);
  expect(await reopened.release("bad")).toBe(false);
  expect(await reopened.run("bad", async () => "healed")).toBe("healed");
  expect((await open()).keys()).toEqual([]);
});
