import { createLogUpdate } from "log-update";
import { formatDollars, formatEther, table } from "./format.ts";
import type { RunState } from "./run-state.ts";

const TRADES_SHOWN = 8;
const REASONS_SHOWN = 6;

/** What a terminal shows while the platform runs: the newest block, the opportunities, the trades and the total. */
export function createLiveView(stream: NodeJS.WriteStream): { render(state: RunState): void; done(): void } {
  const update = createLogUpdate(stream);
  return { render: (state) => update(renderState(state)), done: () => update.done() };
}

/** The view as text. */
export function renderState(state: RunState): string {
  const reasons = [...state.rejected]
    .sort((a, b) => b[1] - a[1])
    .slice(0, REASONS_SHOWN)
    .map(([reason, count]) => `${reason} ${count}`);
  const trades = state.trades
    .slice(-TRADES_SHOWN)
    .map((trade) => [
      trade.blockNumber === 0n ? "-" : trade.blockNumber.toString(),
      trade.state,
      trade.lender,
      formatEther(BigInt(trade.grossWei)),
      formatEther(BigInt(trade.premiumWei)),
      formatEther(BigInt(trade.gasWei)),
      formatEther(BigInt(trade.netWei)),
      trade.route,
    ]);
  const { totals } = state;
  return [
    `Flashloan  ${state.mode} on chain ${state.chainId}  ${state.status}`,
    `block ${state.block}${state.feedAgeS >= 5 ? ` (STALE: ${state.feedAgeS} s old)` : ""}   base fee ${(Number(state.baseFeeWei) / 1e9).toFixed(2)} gwei   ether ${state.etherUsd > 0 ? `$${state.etherUsd.toFixed(2)}` : "n/a"}   search ${(state.latencyUs / 1000).toFixed(1)} ms`,
    `pools watched ${state.poolsWatched}${state.poolsQuarantined > 0 ? `, set aside ${state.poolsQuarantined}` : ""}   cycles that gain before costs ${state.grossPositive}, after costs ${state.netPositive}`,
    `not traded: ${reasons.join(", ") || "none yet"}`,
    "",
    trades.length > 0
      ? table([["block", "state", "lender", "gross ETH", "premium", "gas", "net ETH", "route"], ...trades])
      : "no trade yet",
    "",
    `total  settled ${totals.settled}  reverted ${totals.reverted}  gross ${formatEther(totals.grossWei)}  premium ${formatEther(totals.premiumWei)}  gas ${formatEther(totals.gasWei)}  net ${formatEther(totals.netWei)} ETH (${formatDollars(totals.netWei, state.etherUsd)})`,
    "Ctrl-C stops",
  ].join("\n");
}
