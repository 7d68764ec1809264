import { Interface } from "ethers";
import { expect, test } from "vitest";
import { executorArtifact } from "../src/artifact.ts";
import { decodeExecuted, decodeRevert } from "../src/events.ts";

const abi = new Interface(executorArtifact().abi);
const intentId = `0x${"ab".repeat(32)}`;
const lender = `0x${"22".repeat(20)}`;
const token = `0x${"33".repeat(20)}`;

function executedLog(numbers: { premium: bigint; surplus: bigint; profit: bigint; coinbase: bigint }): {
  topics: string[];
  data: string;
} {
  return abi.encodeEventLog("Executed", [
    intentId,
    lender,
    token,
    1000n,
    numbers.premium,
    numbers.surplus,
    numbers.profit,
    numbers.coinbase,
  ]);
}

test("Executed decodes to what ethers encoded, with the premium in wei rounded up", () => {
  const log = executedLog({ premium: 7n, surplus: 30n, profit: 90n, coinbase: 10n });
  expect(decodeExecuted(log)).toEqual({
    intentId,
    lender,
    loanToken: token,
    loanAmount: 1000n,
    premium: 7n,
    surplus: 30n,
    profitWei: 90n,
    coinbasePaidWei: 10n,
    // 7 × 100 / 30 = 23.3
    premiumWei: 24n,
  });
});

test("a call without a surplus has no rate for its premium", () => {
  const log = executedLog({ premium: 7n, surplus: 0n, profit: 0n, coinbase: 0n });
  expect(decodeExecuted(log)?.premiumWei).toBe(0n);
});

test("other logs are no Executed event", () => {
  const paused = abi.encodeEventLog("PausedSet", [true]);
  expect(decodeExecuted(paused)).toBeUndefined();
  const log = executedLog({ premium: 1n, surplus: 1n, profit: 1n, coinbase: 0n });
  expect(decodeExecuted({ topics: log.topics.slice(0, 2), data: log.data })).toBeUndefined();
  expect(decodeExecuted({ topics: log.topics, data: log.data.slice(0, -64) })).toBeUndefined();
  expect(decodeExecuted({ topics: [], data: "0x" })).toBeUndefined();
});

/** A value of each type that the errors use, as it goes in and as it comes out. */
const samples: Record<string, [unknown, string | bigint]> = {
  address: [token, token],
  uint256: [5n, 5n],
  int256: [-5n, -5n],
  uint8: [4, 4n],
  bytes4: ["0xabcdef01", "0xabcdef01"],
};

const errors = executorArtifact().abi.filter((entry) => entry.type === "error");

test("the ABI declares all the errors", () => {
  expect(errors.length).toBe(26);
});

test.each(errors.map((entry) => [entry.name ?? "", entry] as const))("decodes the revert %s", (name, entry) => {
  const values = (entry.inputs ?? []).map((input) => {
    const sample = samples[input.type];
    if (sample === undefined) throw new Error(`no sample for ${input.type}`);
    return sample;
  });
  const data = abi.encodeErrorResult(
    name,
    values.map(([value]) => value),
  );
  expect(decodeRevert(data)).toEqual({ name, args: values.map(([, expected]) => expected) });
});

test("decodes Solidity's own reverts and solady's, and says when it cannot", () => {
  const plain = new Interface(["error Error(string)", "error Panic(uint256)", "error TransferFailed()"]);
  expect(decodeRevert(plain.encodeErrorResult("Error", ["UniswapV2: K"]))).toEqual({
    name: "Error",
    args: ["UniswapV2: K"],
  });
  expect(decodeRevert(plain.encodeErrorResult("Panic", [17n]))).toEqual({
    name: "Panic",
    args: [17n],
  });
  expect(decodeRevert(plain.encodeErrorResult("TransferFailed", []))).toEqual({
    name: "TransferFailed",
    args: [],
  });
  expect(decodeRevert("0x")).toBeUndefined();
  expect(decodeRevert("0x12345678")).toBeUndefined();
});
