import { expect, test } from "vitest";
import { PHASES, runCrashCampaign } from "./campaign.ts";

// The small instance of `npm run campaign -- crash`: one point of each kind of side effect, and a kill in each phase.
test("kill -9 around appends and sends, and at random times: nothing lost, nothing done twice, the total reconciles", async () => {
  const points = [
    "after_append_LEAD",
    "after_append_BASELINE",
    "after_append_SIGNED",
    "before_send",
    "after_send",
    "before_append_SETTLED",
    "after_append_REVERTED",
    "after_append_REPLACED",
    "before_append_REORGED",
    "after_append_STATE",
    "before_append_TRANSFER",
  ] as const;
  const result = await runCrashCampaign({ points, randomKills: 4, seed: 11, report: () => undefined });
  expect(result.faults).toEqual([]);
  expect(result.pointsHit).toEqual(points);
  expect([...result.randomKills.values()].reduce((sum, count) => sum + count, 0)).toBe(4);
  expect([...result.randomKills.keys()]).toEqual(PHASES);
  expect(result.restarts).toBe(points.length + 4 + 1);
  expect(result.settled).toBeGreaterThan(0);
}, 600_000);
