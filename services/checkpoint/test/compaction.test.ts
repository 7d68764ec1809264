import { expect, test } from "vitest";
import type { Clock } from "@flashloan/shared/clock";
import { FlashloanError } from "@flashloan/shared/errors";
import { testContext } from "@flashloan/shared/contract/context";
import { DAY_MS, startCompaction } from "../src/compaction.ts";

test("compacts at the start and each hour, after a failure too, by the retention, until it is stopped", async () => {
  let wake: () => void = () => undefined;
  const sleeps: number[] = [];
  const clock: Clock = {
    now: () => 100 * DAY_MS + sleeps.length,
    monotonic: () => 0,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        sleeps.push(ms);
        wake = resolve;
        signal?.addEventListener("abort", () => reject(new Error("stopped")));
      }),
  };
  const cutoffs: number[] = [];
  const compact = async (cutoffMs: number): Promise<{ streams: number; records: number }> => {
    cutoffs.push(cutoffMs);
    if (cutoffs.length === 1) throw new FlashloanError("service_unavailable", "down");
    return { streams: 1, records: 2 };
  };
  const job = startCompaction({ compact }, 30, clock, testContext("checkpoint").log);
  await expect.poll(() => sleeps).toEqual([3_600_000]);
  wake();
  await expect.poll(() => sleeps).toEqual([3_600_000, 3_600_000]);
  expect(cutoffs).toEqual([70 * DAY_MS, 70 * DAY_MS + 1]);
  await job.stop();
  expect(cutoffs).toHaveLength(2);
});
