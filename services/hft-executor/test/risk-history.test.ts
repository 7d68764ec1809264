import { expect, test } from "vitest";
import { TradingState } from "@flashloan/proto/risk/v1/risk";
import { gasAtRisk, newIntent, type Intent, type SignedRecord } from "../src/intent.ts";
import { riskHistory } from "../src/risk-history.ts";

const DAY_MS = 24 * 3_600_000;
const NOW_MS = 10 * DAY_MS;
const control = { state: "ACTIVE" as const, reason: "started", resumedAtMs: 3 };

function signed(nonce: number, gasLimit = 10n, maxFeePerGasWei = 2n): SignedRecord {
  const fees = { gasLimit, maxFeePerGasWei, maxPriorityFeePerGasWei: 1n };
  return { purpose: "execute", nonce, raw: "0x", hash: "0x", lastBlock: 1, ...fees };
}

function ended(nonce: number, finalAtMs: number, state: "SETTLED" | "REVERTED" | "ABANDONED" = "SETTLED"): Intent {
  const outcome = { grossWei: 0n, premiumWei: 0n, builderWei: 0n, gasWei: 1n, netWei: -1n };
  const intent = newIntent(`0x${nonce.toString(16)}`);
  return Object.assign(intent, { state, outcome, finalAtMs, signed: [signed(nonce)] });
}

test("outcomes come in the order of their nonces, paper and what is open left out", () => {
  const paper = Object.assign(ended(9, NOW_MS), { paper: true });
  const open = Object.assign(newIntent("0xa"), { state: "SUBMITTED" as const, sequence: 7n, signed: [signed(3)] });
  const told = riskHistory([ended(2, NOW_MS, "REVERTED"), open, paper, ended(1, NOW_MS - 5)], control, NOW_MS);
  expect(told).toEqual({
    outcomes: [
      { intentId: "0x1", success: true, gasCostWei: "1", atMs: BigInt(NOW_MS - 5) },
      { intentId: "0x2", success: false, gasCostWei: "1", atMs: BigInt(NOW_MS) },
    ],
    state: TradingState.TRADING_STATE_ACTIVE,
    reason: "started",
    resumedAtMs: 3n,
    openIntents: [{ intentId: "0xa", maxGasWei: "20", sequence: 7n }],
  });
});

test("older than a day only the newest thousand, for the breaker; of the last day all", () => {
  const old = Array.from({ length: 1_500 }, (_, nonce) => ended(nonce, nonce));
  const idsOf = (intents: readonly Intent[]): string[] =>
    riskHistory(intents, control, NOW_MS).outcomes.map(({ intentId }) => intentId);
  expect(idsOf(old)).toEqual(old.slice(500).map(({ id }) => id));
  const recent = Array.from({ length: 1_500 }, (_, index) => ended(1_500 + index, NOW_MS - DAY_MS));
  expect(idsOf([...old, ...recent])).toEqual(recent.map(({ id }) => id));
});

test("more than one message holds: the oldest are one outcome with all their gas and the newest of their times", () => {
  const many = Array.from({ length: 10_500 }, (_, nonce) => ended(nonce, NOW_MS - 20_000 + nonce, "REVERTED"));
  const { outcomes } = riskHistory(many, control, NOW_MS);
  expect([outcomes.length, outcomes.reduce((sum, outcome) => sum + BigInt(outcome.gasCostWei), 0n)]).toEqual([
    10_000,
    10_500n,
  ]);
  expect(outcomes[0]).toEqual({ intentId: "older", success: true, gasCostWei: "501", atMs: BigInt(NOW_MS - 19_500) });
  expect(outcomes[1]?.atMs).toBe(BigInt(NOW_MS - 19_499));
});

test("the most that an intent can still cost is the dearest of its signed transactions; ended, nothing", () => {
  const intent = Object.assign(newIntent("0x1"), { state: "REPLACED" as const });
  intent.signed.push(signed(1, 300n, 10n), signed(1, 21n, 20n));
  expect(gasAtRisk(intent)).toBe(3_000n);
  expect([gasAtRisk(ended(1, 1)), gasAtRisk(newIntent("0x2"))]).toEqual([0n, 0n]);
});
