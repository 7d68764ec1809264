import { expect, test } from "vitest";
import { ExecutionMode, type Trade } from "@flashloan/proto/executor/v1/executor";
import { formatDollars, formatEther, table } from "../src/format.ts";
import { renderState } from "../src/live-view.ts";
import { newRunState, profitableTrades, takeReport, takeTrade } from "../src/run-state.ts";

const trade = (intentId: string, state: string, netWei: bigint, block: bigint): Trade => ({
  intentId,
  state,
  mode: ExecutionMode.EXECUTION_MODE_LIVE,
  route: "uniswap-v2:0x12345678 > uniswap-v3:0x87654321",
  lender: "aave-v3",
  loanToken: "0x",
  loanAmount: "1",
  transactionHash: "0xabc",
  blockNumber: block,
  grossWei: (netWei + 3n * 10n ** 15n).toString(),
  premiumWei: (10n ** 15n).toString(),
  gasWei: (2n * 10n ** 15n).toString(),
  netWei: netWei.toString(),
  predictedGrossWei: "0",
  predictedNetWei: "0",
  reason: "",
  updatedAtMs: 0n,
});

test("ether and dollars for people, rounded towards zero", () => {
  expect([1n, -1n, 10n ** 18n, -1_234_567_890_123_456_789n].map((wei) => formatEther(wei))).toEqual([
    "0.000000",
    "-0.000000",
    "1.000000",
    "-1.234567",
  ]);
  expect([formatDollars(10n ** 18n, 3_000), formatDollars(-(10n ** 17n), 3_000), formatDollars(1n, 0)]).toEqual([
    "$3000.00",
    "-$300.00",
    "n/a",
  ]);
  expect(
    table([
      ["a", "bb"],
      ["ccc", "d"],
    ]),
  ).toBe("a    bb\nccc  d");
});

test("a run adds up each intent once, by its newest state", () => {
  const state = newRunState();
  takeTrade(state, trade("1", "SIGNED", 0n, 0n));
  takeTrade(state, trade("1", "SETTLED", 5n * 10n ** 15n, 12n));
  takeTrade(state, trade("2", "REVERTED", -(2n * 10n ** 15n), 11n));
  takeTrade(state, trade("3", "SETTLED", 10n ** 15n, 10n));
  expect(state.totals).toMatchObject({ settled: 2, reverted: 1, netWei: 4n * 10n ** 15n });
  expect(profitableTrades(state).map((t) => t.intentId)).toEqual(["3", "1"]);
});

test("the view shows the block, why nothing was traded, each trade's parts and the total in ether and dollars", () => {
  const state = newRunState();
  Object.assign(state, { mode: "LIVE", chainId: 31_337n });
  takeReport(state, {
    blockNumber: 42n,
    blockHash: "",
    timestampS: 0n,
    baseFeeWei: "7500000000",
    nextBaseFeeWei: "0",
    poolsWatched: 22,
    poolsQuarantined: 1,
    opportunities: [],
    stats: {
      cyclesExamined: 9,
      grossPositive: 8,
      netPositive: 2,
      rejections: [
        { reason: "below-gas", count: 6 },
        { reason: "no-lender", count: 0 },
      ],
    },
    etherUsd: 3_000,
    traceparent: "",
    sequels: [],
    latencyUs: 2_500n,
  });
  takeTrade(state, trade("1", "SETTLED", 10n ** 18n, 41n));
  const text = renderState(state);
  expect(text).toContain("LIVE on chain 31337");
  expect(text).toContain("block 42   base fee 7.50 gwei   ether $3000.00   search 2.5 ms");
  expect(text).toContain("pools watched 22, set aside 1   cycles that gain before costs 8, after costs 2");
  expect(text).toContain("not traded: below-gas 6\n");
  expect(text).toMatch(
    /41\s+SETTLED\s+aave-v3\s+1\.003000\s+0\.001000\s+0\.002000\s+1\.000000\s+uniswap-v2:0x12345678/,
  );
  expect(text).toMatch(/total {2}settled 1 {2}reverted 0 .* net 1\.000000 ETH \(\$3000\.00\)/);
});
