import { expect, test } from "vitest";
import { createMetrics } from "@flashloan/shared/telemetry/metrics";
import { newIntent, type Intent } from "../src/intent.ts";
import { ExecutorMetrics } from "../src/metrics.ts";

const ETHER = 10n ** 18n;
const ended = (state: Intent["state"], grossWei: bigint, gasWei: bigint, paper = false): Intent => {
  const outcome = { grossWei, premiumWei: grossWei / 10n, builderWei: 0n, gasWei, netWei: grossWei - gasWei };
  return Object.assign(newIntent("0x1"), { state, outcome, paper });
};

test("money is what final transactions earned and cost: reverted and cancelled ones cost gas, paper costs nothing, and the ledger's come first", async () => {
  const registry = createMetrics("hft-executor");
  const metrics = new ExecutorMetrics(registry);
  const money = async (): Promise<number[]> => {
    const text = await registry.text();
    return ["profit", "premium", "gas"].map((what) =>
      Number(new RegExp(`flashloan_${what}_ether_total\\{[^}]*\\} (\\S+)`).exec(text)?.[1]),
    );
  };
  metrics.ledgerRead([ended("SETTLED", 2n * ETHER, ETHER)]);
  expect(await money()).toEqual([2, 0.2, 1]);
  metrics.intentChanged(Object.assign(newIntent("0x2"), { state: "SIGNED" }));
  metrics.intentChanged(ended("SETTLED", 10n * ETHER, ETHER));
  metrics.intentChanged(ended("REVERTED", 0n, ETHER));
  metrics.intentChanged(ended("ABANDONED", 0n, ETHER));
  metrics.intentChanged(ended("PAPER", 100n * ETHER, ETHER, true));
  expect(await money()).toEqual([12, 1.2, 4]);
  const states = (await registry.text()).split("\n").filter((line) => /^flashloan_intents_total.* 1$/.test(line));
  expect(states.map((line) => /state="(\w+)"/.exec(line)?.[1])).toEqual([
    "SIGNED",
    "SETTLED",
    "REVERTED",
    "ABANDONED",
    "PAPER",
  ]);
});
