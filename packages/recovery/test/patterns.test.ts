import { afterEach, expect, test, vi } from "vitest";
import type { Clock } from "@flashloan/shared/clock";
import { FlashloanError } from "@flashloan/shared/errors";
import { createRandom } from "@flashloan/shared/random";
import { createMetrics } from "@flashloan/shared/telemetry/metrics";
import { bulkhead } from "../src/bulkhead.ts";
import { circuitBreaker } from "../src/circuit-breaker.ts";
import { degrade } from "../src/degrade.ts";
import { fallback } from "../src/fallback.ts";
import { countRecoveries } from "../src/metrics.ts";
import { compose, type RecoveryEvent } from "../src/pattern.ts";
import { retry, retryBudget } from "../src/retry.ts";
import { timeout } from "../src/timeout.ts";

const unavailable = new FlashloanError("service_unavailable", "down");
const refused = new FlashloanError("argument_invalid", "no");
const forever = (): Promise<never> => new Promise(() => undefined);

/** A clock whose sleeps pass at once and are written down. */
function scriptedClock(): Clock & { readonly sleeps: number[]; advance(ms: number): void } {
  let now = 0;
  const sleeps: number[] = [];
  return {
    sleeps,
    advance: (ms) => void (now += ms),
    now: () => now,
    monotonic: () => now,
    sleep: async (ms) => {
      sleeps.push(ms);
      now += ms;
    },
  };
}

/** Work that fails so often, then answers; and how often it was asked. */
function failing(times: number, error: Error = unavailable): { work: () => Promise<string>; calls: () => number } {
  let calls = 0;
  return {
    calls: () => calls,
    work: async () => {
      calls += 1;
      if (calls <= times) throw error;
      return "answer";
    },
  };
}

function recorder(): { observe: (event: RecoveryEvent) => void; outcomes: string[] } {
  const outcomes: string[] = [];
  return { outcomes, observe: ({ pattern, outcome }) => void outcomes.push(`${pattern}:${outcome}`) };
}

afterEach(() => vi.useRealTimers());

test("retry: what may succeed later is tried again, after waits with full jitter that a seed repeats", async () => {
  const waits = async (): Promise<number[]> => {
    const clock = scriptedClock();
    const { observe, outcomes } = recorder();
    const { work, calls } = failing(3);
    const random = createRandom(7);
    const policy = retry({
      operation: "rpc",
      observe,
      retriesMax: 3,
      baseMs: 100,
      capMs: 250,
      clock,
      random: () => random.next(),
    });
    expect(await policy.run(work)).toBe("answer");
    expect(calls()).toBe(4);
    expect(outcomes).toEqual(["retry:retried", "retry:retried", "retry:retried", "retry:recovered"]);
    return clock.sleeps;
  };
  const first = await waits();
  expect(first).toHaveLength(3);
  for (const [index, capMs] of [100, 200, 250].entries()) expect(first[index]).toBeLessThan(capMs);
  expect(await waits()).toEqual(first);
});

test("retry: what can't succeed later is asked once, and after the last retry its failure is thrown", async () => {
  const once = failing(9, refused);
  await expect(retry({ operation: "rpc", retriesMax: 3, clock: scriptedClock() }).run(once.work)).rejects.toBe(refused);
  expect(once.calls()).toBe(1);
  const { observe, outcomes } = recorder();
  const thrice = failing(9);
  const policy = retry({ operation: "rpc", observe, retriesMax: 2, clock: scriptedClock() });
  await expect(policy.run(thrice.work)).rejects.toBe(unavailable);
  expect(thrice.calls()).toBe(3);
  expect(outcomes).toEqual(["retry:retried", "retry:retried", "retry:exhausted"]);
});

test("retry: a budget that calls share bounds all retries together", async () => {
  const budget = retryBudget(0.1, 5);
  const policy = retry({ operation: "rpc", retriesMax: 3, budget, clock: scriptedClock() });
  let calls = 0;
  const work = async (): Promise<never> => {
    calls += 1;
    throw unavailable;
  };
  for (let call = 0; call < 100; call++) await expect(policy.run(work)).rejects.toBe(unavailable);
  // 100 first attempts, the reserve of 5, and a tenth of a retry for each of the calls but what the full reserve lost.
  expect(calls).toBeGreaterThanOrEqual(100 + 5 + 9);
  expect(calls).toBeLessThanOrEqual(100 + 5 + 10);
});

test("timeout: the caller is freed though the work ignores its signal, which is aborted", async () => {
  vi.useFakeTimers();
  const { observe, outcomes } = recorder();
  let seen: AbortSignal | undefined;
  const result = timeout({ operation: "task", observe, timeoutMs: 50 }).run((signal) => {
    seen = signal;
    return forever();
  });
  const failure = result.catch((error: unknown) => error);
  await vi.advanceTimersByTimeAsync(49);
  expect(seen?.aborted).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect(await failure).toMatchObject({ code: "deadline_exceeded", details: { timeoutMs: 50 } });
  expect(seen?.aborted).toBe(true);
  expect(outcomes).toEqual(["timeout:timed_out"]);
});

test("timeout: the work's own failure stays what it is", async () => {
  await expect(timeout({ operation: "task", timeoutMs: 60_000 }).run(() => Promise.reject(refused))).rejects.toBe(
    refused,
  );
});

test("circuit breaker: opens after failures in a row, asks nothing while open, lets one try, and closes", async () => {
  vi.useFakeTimers();
  const { observe, outcomes } = recorder();
  const breaker = circuitBreaker({ operation: "rpc", observe, failuresMax: 3, openMs: 1_000 });
  const { work, calls } = failing(4);
  for (let call = 0; call < 3; call++) await expect(breaker.run(work)).rejects.toBe(unavailable);
  expect(breaker.state).toBe("open");
  await expect(breaker.run(work)).rejects.toMatchObject({ code: "circuit_open", cause: unavailable });
  expect(calls()).toBe(3);
  vi.advanceTimersByTime(1_000);
  await expect(breaker.run(work)).rejects.toBe(unavailable);
  await expect(breaker.run(work)).rejects.toMatchObject({ code: "circuit_open" });
  expect(calls()).toBe(4);
  vi.advanceTimersByTime(1_000);
  expect(await breaker.run(work)).toBe("answer");
  expect(breaker.state).toBe("closed");
  expect(outcomes.filter((outcome) => outcome.endsWith("refused"))).toHaveLength(2);
  expect(outcomes.at(-1)).toBe("circuit_breaker:recovered");
});

test("circuit breaker: a callee that would not, though it could, keeps it closed", async () => {
  const breaker = circuitBreaker({ operation: "rpc", failuresMax: 1, openMs: 1_000 });
  await expect(breaker.run(() => Promise.reject(refused))).rejects.toBe(refused);
  expect(breaker.state).toBe("closed");
});

test("bulkhead: so many run, so many wait, and one more is refused at once", async () => {
  const { observe, outcomes } = recorder();
  const compartment = bulkhead({ operation: "tool", observe, concurrencyMax: 2, queueMax: 1 });
  const gates = Array.from({ length: 3 }, () => Promise.withResolvers<number>());
  let [running, runningMax] = [0, 0];
  const runs = gates.map(({ promise }) =>
    compartment.run(async () => {
      running += 1;
      runningMax = Math.max(runningMax, running);
      const value = await promise;
      running -= 1;
      return value;
    }),
  );
  await expect(compartment.run(async () => 4)).rejects.toMatchObject({ code: "queue_full" });
  for (const [index, gate] of gates.entries()) gate.resolve(index);
  expect(await Promise.all(runs)).toEqual([0, 1, 2]);
  expect(runningMax).toBe(2);
  expect(outcomes).toEqual(["bulkhead:refused"]);
});

test("fallback: the next alternative answers, the ill one is asked last until its time has passed", async () => {
  const clock = scriptedClock();
  const { observe, outcomes } = recorder();
  const asked: string[] = [];
  let isDown = true;
  const models = fallback<string, string>({
    operation: "model",
    observe,
    clock,
    illMs: 1_000,
    alternatives: [
      {
        name: "first",
        run: async (input) => {
          asked.push("first");
          if (isDown) throw unavailable;
          return `first ${input}`;
        },
      },
      {
        name: "second",
        run: async (input) => {
          asked.push("second");
          return `second ${input}`;
        },
      },
    ],
  });
  expect(await models.run("a")).toEqual({ value: "second a", by: "second" });
  expect(await models.run("b")).toEqual({ value: "second b", by: "second" });
  expect(asked).toEqual(["first", "second", "second"]);
  expect(models.ill()).toEqual(["first"]);
  isDown = false;
  clock.advance(1_000);
  expect(await models.run("c")).toEqual({ value: "first c", by: "first" });
  expect(models.ill()).toEqual([]);
  expect(outcomes).toEqual(["fallback:fell_back", "fallback:fell_back"]);
});

test("fallback: when all fail, the error has each failure", async () => {
  const none = fallback({
    operation: "model",
    alternatives: [
      { name: "first", run: () => Promise.reject(unavailable) },
      { name: "second", run: () => Promise.reject(refused) },
    ],
  });
  const error = await none.run(undefined).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "alternatives_exhausted" });
  expect(((error as FlashloanError).cause as AggregateError).errors).toEqual([unavailable, refused]);
});

test("degrade: the lesser answer says that it is one, and why", async () => {
  const { observe, outcomes } = recorder();
  const answer = (work: () => Promise<number>): Promise<unknown> =>
    degrade({ operation: "task", observe, work, lesser: () => 1 });
  expect(await answer(async () => 2)).toEqual({ value: 2, degraded: false });
  expect(await answer(() => Promise.reject(unavailable))).toEqual({
    value: 1,
    degraded: true,
    reason: "service_unavailable",
  });
  expect(outcomes).toEqual(["degrade:degraded"]);
});

test("composed patterns work as one, the first outermost", async () => {
  const { work, calls } = failing(2);
  const clock = scriptedClock();
  const both = compose(
    circuitBreaker({ operation: "rpc", failuresMax: 1, openMs: 1_000 }),
    retry({ operation: "rpc", retriesMax: 2, clock }),
  );
  expect(await both.run(work)).toBe("answer");
  expect(calls()).toBe(3);
  const turned = compose(
    retry({ operation: "rpc", retriesMax: 5, clock, retryable: (error) => error === unavailable }),
    circuitBreaker({ operation: "rpc", failuresMax: 2, openMs: 60_000 }),
  );
  await expect(turned.run(failing(9).work)).rejects.toMatchObject({ code: "circuit_open" });
});

test("an aborted caller ends the retries", async () => {
  const controller = new AbortController();
  let calls = 0;
  const run = retry({ operation: "rpc", retriesMax: 5, clock: scriptedClock() }).run(async () => {
    calls += 1;
    controller.abort();
    throw unavailable;
  }, controller.signal);
  await expect(run).rejects.toBe(unavailable);
  expect(calls).toBe(1);
});

test("what patterns do is counted by pattern, operation and outcome", async () => {
  const metrics = createMetrics("hft-executor");
  const policy = retry({
    operation: "transaction",
    observe: countRecoveries(metrics),
    retriesMax: 1,
    clock: scriptedClock(),
  });
  await policy.run(failing(1).work);
  const lines = (await metrics.text())
    .split("\n")
    .filter((line) => line.startsWith("flashloan_recovery_events_total{"));
  expect(lines).toHaveLength(2);
  for (const outcome of ["retried", "recovered"])
    expect(lines.filter((line) => line.includes(`outcome="${outcome}"`) && / 1( |$)/.test(line))).toHaveLength(1);
});
