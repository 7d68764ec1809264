import { flushCompileCache } from "node:module";
import { startPlatform, type Platform } from "@flashloan/embedded/platform";
import {
  ExecutionMode,
  ExecutionState,
  HftExecutorServiceService as ExecutorApi,
  type GetStatusResponse,
  type SummarizeResponse,
  type Trade,
} from "@flashloan/proto/executor/v1/executor";
import { MarketPredictorServiceService as PredictorApi } from "@flashloan/proto/predictor/v1/predictor";
import { systemClock } from "@flashloan/shared/clock";
import { errorFields, FlashloanError } from "@flashloan/shared/errors";
import type { RpcClient } from "@flashloan/shared/rpc-client";
import { openClient } from "./client.ts";
import { formatDollars, formatEther, toJsonLine } from "./format.ts";
import { createLiveView } from "./live-view.ts";
import { newRunState, profitableTrades, takeReport, takeTrade, type RunState } from "./run-state.ts";

/** Options of `flashloan start`. */
export interface StartOptions {
  readonly dataDir: string;
  readonly fresh: boolean;
  readonly seed: number;
  readonly keepChain: boolean;
  readonly chainPort: number;
  readonly blockTimeS: number;
  /** Stop after so many settled, profitable trades; 0 runs on. */
  readonly untilTrades: number;
  /** How long `untilTrades` may take. */
  readonly timeoutS: number;
  readonly json: boolean;
}

/** Shows a run: on a terminal a live view, otherwise one JSON line an event. */
interface Presenter {
  event(name: string, fields: Record<string, unknown>): void;
  changed(): void;
  end(): void;
}

/** Seconds without a block after which the feed is said to be stale, again after each as many. */
const STALE_S = 10;
/** The pause before a service whose stream ended is asked again. */
const STREAM_AGAIN_MS = 500;
const TRADES_PAGE = 100;
const STATE_NAMES: Readonly<Record<number, string>> = {
  [ExecutionState.EXECUTION_STATE_PAUSED]: "PAUSED",
  [ExecutionState.EXECUTION_STATE_KILLED]: "KILLED",
};

/** Runs the embedded platform until it is told to stop; resolves to the process's exit code. */
export async function runStart(options: StartOptions): Promise<number> {
  const state = newRunState();
  const interactive = process.stdout.isTTY && !options.json;
  const presenter = interactive ? terminalPresenter(state) : jsonPresenter();
  const stop = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void => stop.abort(signal);
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal).on("SIGHUP", onSignal);
  // Whoever read our output is gone: stop as if told to, and leave nothing running.
  process.stdout.on("error", () => stop.abort("SIGPIPE"));
  // Our keeper is gone: nobody would start us again, or end us.
  const onKeeperGone = (): void => stop.abort("SIGHUP");
  process.on("disconnect", onKeeperGone);
  let platform: Platform | undefined;
  try {
    platform = await startPlatform({
      ...options,
      environment: process.env,
      progress: (step) => presenter.event("starting", { step }),
    });
    // For the next start: a process that is killed writes nothing more.
    flushCompileCache();
    for (const note of platform.notes) presenter.event("note", { note });
    presenter.event("started", {
      endpoints: platform.endpoints,
      contract: platform.deployment.executor.contract,
      dataDir: options.dataDir,
      seed: options.seed,
      ledger: "pglite: survives kill -9, not a power cut",
    });
    return await follow(platform, options, state, presenter, stop.signal);
  } catch (error) {
    presenter.end();
    if (interactive) process.stderr.write(`\n${(error as Error).message}\n`);
    else
      process.stdout.write(
        `${toJsonLine({ event: "error", time: new Date().toISOString(), ...errorFields(error) })}\n`,
      );
    return 1;
  } finally {
    await platform?.stop().catch((error: unknown) => process.stderr.write(`stopping: ${(error as Error).message}\n`));
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal).off("SIGHUP", onSignal).off("disconnect", onKeeperGone);
  }
}

async function follow(
  platform: Platform,
  options: StartOptions,
  state: RunState,
  presenter: Presenter,
  interrupted: AbortSignal,
): Promise<number> {
  const executor = openClient(platform.endpoints.hftExecutor);
  const predictor = openClient(platform.endpoints.marketPredictor);
  const abort = new AbortController();
  const done = Promise.withResolvers<"trades" | "timeout" | "interrupted">();
  interrupted.addEventListener("abort", () => done.resolve("interrupted"), { once: true });
  if (interrupted.aborted) done.resolve("interrupted");
  const timer =
    options.untilTrades > 0 ? setTimeout(() => done.resolve("timeout"), options.timeoutS * 1_000) : undefined;
  try {
    const status = await executor.unary(ExecutorApi.getStatus, {});
    state.mode = status.mode === ExecutionMode.EXECUTION_MODE_LIVE ? "LIVE" : "PAPER";
    state.chainId = status.chainId;
    const showState = (current: GetStatusResponse): void => {
      state.status =
        current.state === ExecutionState.EXECUTION_STATE_ACTIVE
          ? "ACTIVE"
          : `${STATE_NAMES[current.state] ?? "UNKNOWN"} (${current.reason}): nothing new is traded until "flashloan resume"`;
    };
    showState(status);
    if (status.state !== ExecutionState.EXECUTION_STATE_ACTIVE)
      presenter.event("note", { note: `execution is ${state.status}` });
    let newestAtMs = systemClock.monotonic();
    const watch = setInterval(() => {
      const ageS = Math.round((systemClock.monotonic() - newestAtMs) / 1_000);
      state.feedAgeS = ageS;
      if (ageS >= STALE_S && ageS % STALE_S === 0)
        presenter.event("stale", {
          ageS,
          message: `no new block for ${ageS} s: is the chain at ${platform.endpoints.chain} running? See ${options.dataDir}/anvil.log`,
        });
      presenter.changed();
      executor.unary(ExecutorApi.getStatus, {}).then(showState, () => undefined);
    }, 1_000);
    abort.signal.addEventListener("abort", () => clearInterval(watch), { once: true });
    const onTrade = (trade: Trade): void => {
      if (state.trades.some(({ intentId, state: known }) => intentId === trade.intentId && known === trade.state))
        return;
      takeTrade(state, trade);
      presenter.event("trade", tradeFields(trade));
      if (options.untilTrades > 0 && profitableTrades(state).length >= options.untilTrades) done.resolve("trades");
    };
    const { signal } = abort;
    const watchTrades = async function* (restarted: boolean): AsyncGenerator<Trade> {
      // What happened while nobody told, first.
      if (restarted) yield* await tradesSince(executor, status.runFromBlock);
      for await (const { trade } of executor.serverStream(ExecutorApi.watchTrades, {}, signal)) if (trade) yield trade;
    };
    const streams = [
      consume(
        () => predictor.serverStream(PredictorApi.streamOpportunities, { opportunitiesMax: 8 }, signal),
        signal,
        ({ report }) => {
          if (!report) return;
          takeReport(state, report);
          newestAtMs = systemClock.monotonic();
          const best = report.opportunities[0];
          presenter.event("block", {
            block: report.blockNumber,
            baseFeeWei: report.baseFeeWei,
            poolsWatched: report.poolsWatched,
            poolsQuarantined: report.poolsQuarantined,
            opportunities: report.opportunities.length,
            bestNetWei: best?.netWei ?? "0",
            stats: report.stats,
            latencyUs: report.latencyUs,
          });
        },
      ),
      consume(watchTrades, signal, onTrade),
    ];
    const rejections = await platform.bus.subscribe(
      { group: "cli", pattern: "flashloan.opportunity.rejected" },
      async (event) => {
        const { reason } = event.data as { reason: string };
        state.rejected.set(reason, (state.rejected.get(reason) ?? 0) + 1);
        presenter.event("rejected", { opportunity: event.subject, reason });
      },
    );
    const why = await Promise.race([done.promise, ...streams.map((stream) => stream.then(() => done.promise))]);
    const summary = await settleAndSummarize(executor, options, state, status.runFromBlock).catch((cause: unknown) => {
      // Without the chain no figure can be vouched for: no summary rather than one that may be false.
      const at = `the chain at ${platform.endpoints.chain} can't be asked for the final figures (${(cause as Error).message})`;
      throw new FlashloanError(
        "chain_unreachable",
        `${at}: if it is gone, the next start says so and begins anew; see ${options.dataDir}/anvil.log`,
        { cause },
      );
    });
    abort.abort();
    await rejections.stop();
    await Promise.all(streams);
    presenter.end();
    return conclude(platform, options, state, summary, why, presenter);
  } finally {
    clearTimeout(timer);
    abort.abort();
    await Promise.all([executor.stop(), predictor.stop()]);
  }
}

/** Takes what a service streams until the signal aborts; a service that is restarted meanwhile is asked again. */
async function consume<T>(
  open: (restarted: boolean) => AsyncIterable<T>,
  signal: AbortSignal,
  take: (item: T) => void,
): Promise<void> {
  for (let restarted = false; !signal.aborted; restarted = true) {
    try {
      for await (const item of open(restarted)) take(item);
    } catch (error) {
      if (!(error instanceof FlashloanError)) throw error;
    }
    await systemClock.sleep(STREAM_AGAIN_MS, signal).catch(() => undefined);
  }
}

/** The newest trades of this run, oldest first. */
async function tradesSince(executor: RpcClient, fromBlock: bigint): Promise<readonly Trade[]> {
  const { trades } = await executor.unary(ExecutorApi.listTrades, { pageSize: TRADES_PAGE, pageToken: "" });
  return trades.filter(({ blockNumber }) => blockNumber > fromBlock).reverse();
}

/** The figures up to the block of the last trade that counts, once everything that was included by then is final. */
async function settleAndSummarize(
  executor: RpcClient,
  options: StartOptions,
  state: RunState,
  fromBlock: bigint,
): Promise<SummarizeResponse> {
  const wanted = options.untilTrades > 0 ? profitableTrades(state)[options.untilTrades - 1] : undefined;
  const toBlock = wanted?.blockNumber ?? state.block;
  const deadline = systemClock.monotonic() + 10_000;
  const isOpen = (trade: Trade): boolean =>
    trade.blockNumber > 0n && trade.blockNumber <= toBlock && ["INCLUDED", "FINALIZED"].includes(trade.state);
  while (systemClock.monotonic() < deadline) {
    const { trades } = await executor.unary(ExecutorApi.listTrades, { pageSize: TRADES_PAGE, pageToken: "" });
    if (!trades.some(isOpen) && state.block > toBlock) break;
    await systemClock.sleep(100);
  }
  return executor.unary(ExecutorApi.summarize, {
    fromBlock,
    toBlock: toBlock > fromBlock ? toBlock : fromBlock,
  });
}

function conclude(
  platform: Platform,
  options: StartOptions,
  state: RunState,
  summary: SummarizeResponse,
  why: "trades" | "timeout" | "interrupted",
  presenter: Presenter,
): number {
  const reconciles = summary.netWei === summary.chainDeltaWei;
  const { deployment, endpoints } = platform;
  const failures: FlashloanError[] = [];
  if (why === "timeout")
    failures.push(
      new FlashloanError(
        "trades_not_settled",
        `${summary.trades} of ${options.untilTrades} profitable trades settled within ${options.timeoutS} s (not traded: ${[...state.rejected].map(([reason, count]) => `${reason} ${count}`).join(", ") || "no opportunity"}): execution ${state.status}; allow more with --timeout-s, or see the log in ${options.dataDir}/platform.log`,
      ),
    );
  if (why === "interrupted" && options.untilTrades > Number(summary.trades))
    failures.push(
      new FlashloanError(
        "trades_not_settled",
        `stopped by a signal after ${summary.trades} of ${options.untilTrades} profitable trades`,
      ),
    );
  if (!reconciles)
    failures.push(
      new FlashloanError(
        "reconciliation_failed",
        `the ledger says ${summary.netWei} wei, the chain ${summary.chainDeltaWei} wei`,
      ),
    );
  for (const failure of failures) presenter.event("error", errorFields(failure));
  presenter.event("summary", {
    trades: Number(summary.trades),
    reverted: Number(summary.reverted),
    grossWei: summary.grossWei,
    premiumWei: summary.premiumWei,
    gasWei: summary.gasWei,
    netWei: summary.netWei,
    chainDeltaWei: summary.chainDeltaWei,
    netUsd: formatDollars(BigInt(summary.netWei), state.etherUsd),
    rpc: endpoints.chain,
    addresses: {
      signer: deployment.executor.operator,
      contract: deployment.executor.contract,
      treasury: deployment.executor.treasury,
      weth: deployment.weth,
    },
    fromBlock: Number(summary.fromBlock),
    toBlock: Number(summary.toBlock),
  });
  return failures.length > 0 ? 1 : 0;
}

function tradeFields(trade: Trade): Record<string, unknown> {
  const {
    intentId,
    state,
    transactionHash,
    blockNumber,
    route,
    lender,
    grossWei,
    premiumWei,
    gasWei,
    netWei,
    predictedGrossWei,
    predictedNetWei,
    reason,
  } = trade;
  return {
    intentId,
    state,
    mode: trade.mode === ExecutionMode.EXECUTION_MODE_LIVE ? "LIVE" : "PAPER",
    transactionHash,
    block: blockNumber,
    route,
    lender,
    grossWei,
    premiumWei,
    gasWei,
    netWei,
    predictedGrossWei,
    predictedNetWei,
    ...(reason ? { reason } : {}),
  };
}

function jsonPresenter(): Presenter {
  return {
    event: (name, fields) =>
      void process.stdout.write(`${toJsonLine({ event: name, time: new Date().toISOString(), ...fields })}\n`),
    changed: () => undefined,
    end: () => undefined,
  };
}

function terminalPresenter(state: RunState): Presenter {
  const view = createLiveView(process.stdout);
  let showing = true;
  const print = (text: string): void => void process.stdout.write(`${text}\n`);
  const presenter: Presenter = {
    event: (name, fields) => {
      const text = (field: string): string => String(fields[field]);
      if (name === "started") print(`The ledger is in ${text("dataDir")} (${text("ledger")}).`);
      if (name === "starting") print(`… ${text("step")}`);
      else if (name === "note") print(`! ${text("note")}`);
      else if (name === "error") process.stderr.write(`${text("message")}\n`);
      else if (name === "summary") {
        const wei = (field: string): string => formatEther(BigInt(text(field)));
        print(
          `\n${text("trades")} profitable trades, ${text("reverted")} reverted, blocks ${text("fromBlock")} to ${text("toBlock")}: gross ${wei("grossWei")}, premium ${wei("premiumWei")}, gas ${wei("gasWei")}, net ${wei("netWei")} ETH (${text("netUsd")}); the chain says ${wei("chainDeltaWei")} ETH.`,
        );
      } else presenter.changed();
    },
    changed: () => {
      if (showing) view.render(state);
    },
    end: () => {
      if (showing) view.done();
      showing = false;
    },
  };
  return presenter;
}
