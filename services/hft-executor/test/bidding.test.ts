import fc from "fast-check";
import { expect, test } from "vitest";
import { bid, replacementFees, type BidPolicy } from "../src/bidding.ts";

const GWEI = 10n ** 9n;
const policy: BidPolicy = {
  minPriorityFeeWei: GWEI,
  maxPriorityFeeWei: 50n * GWEI,
  profitShareBps: 1_500n,
  slippageBps: 5_000n,
  validBlocks: 2,
};

test("a call that succeeds at its minimum profit never loses, at any gas use within its limit and any base fee that it can be included at", () => {
  fc.assert(
    fc.property(
      fc.bigInt(0n, 10n ** 21n),
      fc.bigInt(21_000n, 5_000_000n),
      fc.bigInt(7n, 10n ** 13n),
      (profit, gas, baseFee) => {
        const { gasLimit, maxFeePerGasWei, maxPriorityFeePerGasWei, minProfitWei } = bid(profit, gas, baseFee, policy);
        expect(minProfitWei).toBeGreaterThanOrEqual(gasLimit * maxFeePerGasWei);
        expect(maxFeePerGasWei).toBeGreaterThanOrEqual((baseFee * 9n) / 8n + maxPriorityFeePerGasWei);
        expect(maxPriorityFeePerGasWei).toBeGreaterThanOrEqual(policy.minPriorityFeeWei);
        expect(maxPriorityFeePerGasWei).toBeLessThanOrEqual(policy.maxPriorityFeeWei);
        expect(gasLimit).toBeGreaterThan(gas);
      },
    ),
  );
});

test("the minimum profit is the simulated one less the slippage, or the gas where that is more", () => {
  expect(bid(10n ** 18n, 200_000n, 5n * GWEI, policy).minProfitWei).toBe(5n * 10n ** 17n);
  const small = bid(10n ** 15n, 200_000n, 5n * GWEI, policy);
  expect(small.minProfitWei).toBe(small.gasLimit * small.maxFeePerGasWei);
});

test("the offer grows with the profit, between its bounds", () => {
  const offer = (profit: bigint): bigint => bid(profit, 200_000n, 5n * GWEI, policy).maxPriorityFeePerGasWei;
  expect(offer(0n)).toBe(GWEI);
  expect(offer(10n ** 16n)).toBe(((10n ** 16n - 260_000n * 5n * GWEI) * 1_500n) / 10_000n / 260_000n);
  expect(offer(10n ** 20n)).toBe(50n * GWEI);
});

test("a replacement pays at least ten percent more on both fees and can be included in the next block", () => {
  fc.assert(
    fc.property(fc.bigInt(1n, 10n ** 13n), fc.bigInt(1n, 10n ** 12n), fc.bigInt(7n, 10n ** 13n), (base, tip, next) => {
      const before = { maxFeePerGasWei: base + tip, maxPriorityFeePerGasWei: tip };
      const after = replacementFees(before, next);
      expect(after.maxFeePerGasWei * 10n).toBeGreaterThanOrEqual(before.maxFeePerGasWei * 11n);
      expect(after.maxPriorityFeePerGasWei * 10n).toBeGreaterThanOrEqual(before.maxPriorityFeePerGasWei * 11n);
      expect(after.maxFeePerGasWei).toBeGreaterThanOrEqual(next + after.maxPriorityFeePerGasWei);
    }),
  );
});
