import { checkpointConfigSchema } from "@flashloan/checkpoint/config";
import { openCheckpointService } from "@flashloan/checkpoint/service";
import type { Deployment } from "@flashloan/devnet/deployment";
import { DEVNET_OPERATOR_KEY, venuesOf } from "@flashloan/devnet/venues";
import { executorConfigSchema } from "@flashloan/hft-executor/config";
import { createExecutorService } from "@flashloan/hft-executor/service";
import { predictorConfigSchema } from "@flashloan/market-predictor/config";
import { createMarketPredictorService } from "@flashloan/market-predictor/service";
import { riskConfigSchema } from "@flashloan/risk-manager/config";
import { createRiskManagerService } from "@flashloan/risk-manager/service";
import { openCoordination, openEventBus, openLiveFeed } from "@flashloan/shared/adapters/open";
import { readConfig, readTogether } from "@flashloan/shared/config";
import { Lifecycle, type Running } from "@flashloan/shared/lifecycle";
import type { Logger } from "@flashloan/shared/log";
import type { EventBus } from "@flashloan/shared/ports/event-bus";
import { hostService, platformConfigSchema, type HostedService, type HostOptions } from "@flashloan/shared/run-service";
import type { ServiceName } from "@flashloan/shared/telemetry/declarations";
import type { Endpoints } from "./data-folder.ts";
import { faultPointFromEnvironment } from "./fault-injection.ts";

/** The devnet that the services work on, and where their ledger lives. */
export interface ServicesOptions {
  /** WebSocket endpoint of the chain. */
  readonly chainUrl: string;
  readonly deployment: Deployment;
  /** `pglite:FOLDER`, or `pglite:` in memory. */
  readonly ledgerUrl: string;
  readonly blockTimeS: number;
  /** Variables of the services' configuration schemas, over the embedded defaults. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The logger of a service. */
  readonly log: (service: string) => Logger;
}

/** Every service, running in this process. */
export interface Services extends Running {
  readonly endpoints: Endpoints;
  readonly bus: EventBus;
}

/**
 * Starts every service on a devnet, each a real gRPC server on loopback.
 * @throws FlashloanError config_invalid, chain_mismatch, port_taken, data_folder_unusable
 */
export async function startServices(options: ServicesOptions): Promise<Services> {
  const { chainUrl, deployment, environment, log } = options;
  const lifecycle = new Lifecycle();
  try {
    const riskVariables = { RISK_PORT: "0", ...environment };
    const predictorVariables = {
      PREDICTOR_PORT: "0",
      PREDICTOR_CHAIN_URL: chainUrl,
      PREDICTOR_VENUES: JSON.stringify(venuesOf(deployment)),
      ...environment,
    };
    const executorVariables = {
      EXECUTOR_PORT: "0",
      EXECUTOR_CHAIN_URL: chainUrl,
      EXECUTOR_PRIVATE_KEY: DEVNET_OPERATOR_KEY,
      EXECUTOR_CONTRACT: deployment.executor.contract,
      EXECUTOR_DEVNET_GENESIS_HASH: deployment.genesisHash,
      EXECUTOR_BLOCK_TIME_S: String(Math.max(1, Math.round(options.blockTimeS))),
      ...environment,
    };
    // Every service has figures of its own: each endpoint takes a free port.
    const platformVariables = { ...environment, METRICS_PORT: "0", INSTANCE_ADDRESS: undefined, READY_FILE: undefined };
    readTogether([
      () => readConfig(platformConfigSchema, platformVariables),
      () => readConfig(riskConfigSchema, riskVariables),
      () => readConfig(predictorConfigSchema, predictorVariables),
      () => readConfig(executorConfigSchema, executorVariables),
    ]);
    const platformConfig = readConfig(platformConfigSchema, platformVariables);
    const bus = lifecycle.add("bus", await openEventBus(platformConfig.BUS_URL));
    const coordination = lifecycle.add("coordination", await openCoordination(platformConfig.COORDINATION_URL));
    const liveFeed = lifecycle.add("live feed", await openLiveFeed(platformConfig.CACHE_URL));
    const host = async (service: ServiceName, start: HostOptions["start"]): Promise<HostedService> =>
      lifecycle.add(
        service,
        // Nothing here is starting beside us: what fails at first fails for good.
        await hostService({
          service,
          config: platformConfig,
          log: log(service),
          bus,
          coordination,
          liveFeed,
          start,
          patienceMs: 0,
        }),
      );
    const checkpointConfig = readConfig(checkpointConfigSchema, {
      CHECKPOINT_PORT: "0",
      CHECKPOINT_DATABASE_URL: options.ledgerUrl,
    });
    const riskConfig = readConfig(riskConfigSchema, riskVariables);
    const predictorConfig = readConfig(predictorConfigSchema, predictorVariables);
    const checkpoint = await host("checkpoint", (context) => openCheckpointService(checkpointConfig, context));
    const risk = await host("risk-manager", (context) => createRiskManagerService(riskConfig, context));
    const predictor = await host("market-predictor", (context) =>
      createMarketPredictorService(predictorConfig, context),
    );
    const executorConfig = readConfig(executorConfigSchema, {
      EXECUTOR_PREDICTOR_ADDRESS: predictor.address,
      EXECUTOR_RISK_ADDRESS: risk.address,
      EXECUTOR_CHECKPOINT_ADDRESS: checkpoint.address,
      ...executorVariables,
    });
    const faultPoint = faultPointFromEnvironment(environment);
    const executor = await host("hft-executor", (context) =>
      createExecutorService(executorConfig, context, faultPoint),
    );
    const endpoints = {
      pid: process.pid,
      checkpoint: checkpoint.address,
      marketPredictor: predictor.address,
      riskManager: risk.address,
      hftExecutor: executor.address,
      chain: chainUrl.replace(/^ws/, "http"),
      metrics: {
        checkpoint: checkpoint.metricsAddress,
        marketPredictor: predictor.metricsAddress,
        riskManager: risk.metricsAddress,
        hftExecutor: executor.metricsAddress,
      },
    };
    return { endpoints, bus, stop: () => lifecycle.stop() };
  } catch (error) {
    await lifecycle.stop().catch(() => undefined);
    throw error;
  }
}
