import { expect, test } from "vitest";
import { runKillCampaign, VICTIMS } from "./kill-campaign.ts";

// A small instance of `npm run campaign -- ledger-kill`.
test("kill -9 of the service, of PostgreSQL and of Redis under 64 writers: nothing acknowledged is lost, doubled or out of order", async ({
  annotate,
}) => {
  const result = await runKillCampaign({ kills: 2, writers: 64, seed: 7, report: () => undefined });
  expect(result.faults).toEqual([]);
  expect([...result.kills]).toEqual(VICTIMS.map((victim) => [victim, 2]));
  expect(result.records).toBe(result.acknowledged);
  // The kills struck: appends failed and were asked for again.
  expect(result.repeatedAsks).toBeGreaterThan(0);
  await annotate(
    `${result.acknowledged} appends acknowledged, ${result.repeatedAsks} asked for again, ${result.recognized} of them had been committed`,
  );
});
