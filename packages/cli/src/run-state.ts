import { ExecutionMode, type Trade } from "@flashloan/proto/executor/v1/executor";
import type { BlockReport } from "@flashloan/proto/predictor/v1/predictor";

/** What a run has shown so far. */
export interface RunState {
  mode: "PAPER" | "LIVE";
  chainId: bigint;
  status: string;
  /** Seconds since the newest block. */
  feedAgeS: number;
  block: bigint;
  baseFeeWei: bigint;
  etherUsd: number;
  latencyUs: number;
  poolsWatched: number;
  poolsQuarantined: number;
  grossPositive: number;
  netPositive: number;
  readonly rejected: Map<string, number>;
  /** Every intent of this run, in the order of their beginnings. */
  readonly trades: Trade[];
  totals: { settled: number; reverted: number; grossWei: bigint; premiumWei: bigint; gasWei: bigint; netWei: bigint };
}

/** Before the first event. */
export function newRunState(): RunState {
  const totals = { settled: 0, reverted: 0, grossWei: 0n, premiumWei: 0n, gasWei: 0n, netWei: 0n };
  return {
    mode: "PAPER",
    chainId: 0n,
    status: "",
    feedAgeS: 0,
    block: 0n,
    baseFeeWei: 0n,
    etherUsd: 0,
    latencyUs: 0,
    poolsWatched: 0,
    poolsQuarantined: 0,
    grossPositive: 0,
    netPositive: 0,
    rejected: new Map(),
    trades: [],
    totals,
  };
}

/** Takes a block's report. */
export function takeReport(state: RunState, report: BlockReport): void {
  state.block = report.blockNumber;
  state.baseFeeWei = BigInt(report.baseFeeWei);
  state.etherUsd = report.etherUsd;
  state.latencyUs = Number(report.latencyUs);
  state.poolsWatched = report.poolsWatched;
  state.poolsQuarantined = report.poolsQuarantined;
  state.grossPositive += report.stats?.grossPositive ?? 0;
  state.netPositive += report.stats?.netPositive ?? 0;
  for (const { reason, count } of report.stats?.rejections ?? [])
    if (count > 0) state.rejected.set(reason, (state.rejected.get(reason) ?? 0) + count);
}

/** Takes a change of an intent; totals are of intents that ended in this run. */
export function takeTrade(state: RunState, trade: Trade): void {
  const index = state.trades.findIndex((known) => known.intentId === trade.intentId);
  if (index < 0) state.trades.push(trade);
  else state.trades[index] = trade;
  const totals = { settled: 0, reverted: 0, grossWei: 0n, premiumWei: 0n, gasWei: 0n, netWei: 0n };
  for (const known of state.trades) {
    if (known.state === "SETTLED" || known.state === "PAPER") totals.settled += 1;
    if (known.state === "REVERTED") totals.reverted += 1;
    totals.grossWei += BigInt(known.grossWei);
    totals.premiumWei += BigInt(known.premiumWei);
    totals.gasWei += BigInt(known.gasWei);
    totals.netWei += BigInt(known.netWei);
  }
  state.totals = totals;
}

/** Settled live trades that earned, by the block that they were included in. */
export function profitableTrades(state: RunState): Trade[] {
  return state.trades
    .filter(
      (trade) =>
        trade.state === "SETTLED" && trade.mode === ExecutionMode.EXECUTION_MODE_LIVE && BigInt(trade.netWei) > 0n,
    )
    .sort((a, b) => Number(a.blockNumber - b.blockNumber));
}
