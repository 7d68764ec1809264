import {
  ExecutionState,
  HftExecutorServiceService as ExecutorApi,
  type Trade,
} from "@flashloan/proto/executor/v1/executor";
import {
  MarketPredictorServiceService as PredictorApi,
  type BlockReport,
} from "@flashloan/proto/predictor/v1/predictor";
import { RiskManagerServiceService as RiskApi } from "@flashloan/proto/risk/v1/risk";
import { startServices, type Services } from "@flashloan/embedded/services";
import { Lifecycle, type Running } from "@flashloan/shared/lifecycle";
import { createLogger } from "@flashloan/shared/log";
import { RpcClient } from "@flashloan/shared/rpc-client";
import type { StillDevnet } from "./still-devnet.ts";

/** Every service on a still devnet, with what they say collected. */
export interface ObservedServices extends Running {
  readonly services: Services;
  readonly executor: RpcClient;
  readonly risk: RpcClient;
  readonly predictor: RpcClient;
  readonly checkpoint: RpcClient;
  readonly reports: readonly BlockReport[];
  /** Every change of an intent, in order. */
  readonly trades: readonly Trade[];
  /** Why opportunities ended before they were signed, in order. */
  readonly rejections: readonly string[];
  /** Resolves when the condition holds; looked at after every event. */
  until(condition: () => boolean, what: string): Promise<void>;
}

const DEADLINE_MS = 30_000;

/** Starts the services on a still devnet and listens to them. */
export async function startObservedServices(
  devnet: StillDevnet,
  environment: Readonly<Record<string, string>> = {},
  ledgerUrl = "pglite:",
): Promise<ObservedServices> {
  const lifecycle = new Lifecycle();
  const log = (service: string) => createLogger(service, environment["LOG_LEVEL"] ?? "silent");
  const services = lifecycle.add(
    "services",
    await startServices({
      chainUrl: devnet.url,
      deployment: devnet.deployment,
      ledgerUrl,
      blockTimeS: 1,
      environment,
      log,
    }),
  );
  const client = (address: string): RpcClient => lifecycle.add("client", new RpcClient(address));
  const [executor, risk, predictor, checkpoint] = [
    client(services.endpoints.hftExecutor),
    client(services.endpoints.riskManager),
    client(services.endpoints.marketPredictor),
    client(services.endpoints.checkpoint),
  ];
  const abort = new AbortController();
  const [reports, trades, rejections]: [BlockReport[], Trade[], string[]] = [[], [], []];
  const waiting = new Set<() => void>();
  const changed = (): void => {
    for (const look of waiting) look();
  };
  const streams = [
    (async () => {
      for await (const { report } of predictor.serverStream(
        PredictorApi.streamOpportunities,
        { opportunitiesMax: 16 },
        abort.signal,
      )) {
        if (report) reports.push(report);
        changed();
      }
    })(),
    (async () => {
      for await (const { trade } of executor.serverStream(ExecutorApi.watchTrades, {}, abort.signal)) {
        if (trade) trades.push(trade);
        changed();
      }
    })(),
  ];
  await services.bus.subscribe({ group: "test", pattern: "flashloan.opportunity.rejected" }, async (event) => {
    rejections.push((event.data as { reason: string }).reason);
    changed();
  });
  lifecycle.onStop("streams", async () => {
    abort.abort();
    // Nobody mines while we stop: what is in flight is left to the ledger instead of being waited for.
    await executor.unary(ExecutorApi.setState, {
      state: ExecutionState.EXECUTION_STATE_KILLED,
      reason: "the test ends",
    });
    await Promise.all(streams);
  });
  const observed: ObservedServices = {
    services,
    executor,
    risk,
    predictor,
    checkpoint,
    reports,
    trades,
    rejections,
    until: (condition, what) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(look);
          reject(
            new Error(
              `not within ${DEADLINE_MS} ms: ${what}; trades ${trades.map((trade) => `${trade.state} ${trade.reason}`).join(", ")}; rejections ${rejections.slice(-10).join(", ")}; reports ${reports.length}`,
            ),
          );
        }, DEADLINE_MS);
        const look = (): void => {
          if (!condition()) return;
          clearTimeout(timer);
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    stop: () => lifecycle.stop(),
  };
  // Both streams stand once the services have answered on the same connections.
  await Promise.all([
    predictor.unary(PredictorApi.getStatus, {}),
    executor.unary(ExecutorApi.getStatus, {}),
    risk.unary(RiskApi.getStatus, {}),
  ]);
  return observed;
}
