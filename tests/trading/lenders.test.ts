import { afterEach, expect, test } from "vitest";
import { HftExecutorServiceService as ExecutorApi } from "@flashloan/proto/executor/v1/executor";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { startObservedServices } from "../support/observed-services.ts";
import { startStillDevnet } from "../support/still-devnet.ts";

// The same planted gap, funded by each kind of lender in turn: on the real contracts, from the block that shows it to
// the settled trade.

const lifecycles: Lifecycle[] = [];
afterEach(async () => {
  for (const lifecycle of lifecycles.splice(0)) await lifecycle.stop();
});

/** amount → the premium that the protocol takes on it. */
const PREMIUMS: Record<string, (amount: bigint) => bigint> = {
  "first-swap": () => 0n,
  "balancer-v2": () => 0n,
  "uniswap-v4": () => 0n,
  // 5 bps, half up (PercentageMath.percentMul).
  "aave-v3": (amount) => (amount * 5n + 5_000n) / 10_000n,
  "uniswap-v2": (amount) => (amount * 1_000_000n + 996_999n) / 997_000n - amount,
};

test.each([...Object.keys(PREMIUMS), "uniswap-v3"])(
  "a trade funded by %s settles, and reconciles to the wei",
  async (lender) => {
    const lifecycle = new Lifecycle();
    lifecycles.push(lifecycle);
    const devnet = lifecycle.add("devnet", await startStillDevnet());
    const observed = lifecycle.add(
      "services",
      await startObservedServices(devnet, { PREDICTOR_LENDERS: lender, EXECUTOR_OPPORTUNITIES_MAX: "1" }),
    );
    await devnet.swap(devnet.pair(0, "WETH", "LINK"), devnet.token("WETH"), 8n * 10n ** 18n);
    await devnet.mine();
    await observed.until(() => observed.trades.some((trade) => trade.state === "SUBMITTED"), "the trade is sent");
    await devnet.mine();
    await observed.until(() => observed.trades.some((trade) => trade.state === "INCLUDED"), "the trade is included");
    await devnet.mine();
    await observed.until(() => observed.trades.some((trade) => trade.state === "SETTLED"), "the trade settles");
    const trade = observed.trades.find((candidate) => candidate.state === "SETTLED");
    expect(trade?.lender).toBe(lender);
    const premium = BigInt(trade?.premiumWei ?? 0);
    const amount = BigInt(trade?.loanAmount ?? 0);
    expect(trade?.loanToken).toBe(devnet.deployment.weth);
    // A V3 pool takes its own fee, rounded up; which pool lent is the search's choice.
    const expected = PREMIUMS[lender]
      ? [PREMIUMS[lender](amount)]
      : [500n, 3_000n, 10_000n].map((fee) => (amount * fee + 999_999n) / 1_000_000n);
    expect(expected).toContain(premium);
    expect(BigInt(trade?.netWei ?? 0)).toBeGreaterThan(0n);
    const summary = await observed.executor.unary(ExecutorApi.summarize, { fromBlock: 0n, toBlock: 0n });
    expect(summary).toMatchObject({
      trades: 1n,
      reverted: 0n,
      netWei: trade?.netWei,
      chainDeltaWei: trade?.netWei,
      premiumWei: trade?.premiumWei,
      gasWei: trade?.gasWei,
    });
  },
);
