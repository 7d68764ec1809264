import { expect, test } from "vitest";
import { runRealism } from "./campaign.ts";

// The small instance of `npm run campaign -- realism`: fewer blocks, with more whales and an eager rival, so that each
// kind of event has its chance. That at least 80 % of gaps do not pay is asserted by the full run's calmer market.
test("the market is real enough: gas costs, gaps that do not pay, a rival, pools equal to the chain, and a total to the wei", async () => {
  const result = await runRealism({
    blocks: 40,
    seed: 21,
    environment: { DEVNET_WHALE_ACTIVITY: "0.4", DEVNET_RIVAL_ACTIVITY: "1" },
  });
  expect(result.netWei).toBe(result.chainDeltaWei);
  expect(result.leastBaseFeeWei).toBeGreaterThanOrEqual(5n * 10n ** 9n);
  expect(result.grossPositive).toBeGreaterThan(result.netPositive * 2);
  expect(result.selfChecks).toBeGreaterThan(20);
  expect(result.selfCheckDifferences).toBe(0);
  expect(result.rivalTrades).toBeGreaterThan(0);
  expect(result.settled).toBeGreaterThan(0);
  expect(result.racesLost).toBeLessThanOrEqual(result.reverted);
  expect(result.gasOfFailuresWei > 0n).toBe(result.reverted > 0);
});
