import { checkpointConfigSchema } from "@flashloan/checkpoint/config";
import { openCheckpointService } from "@flashloan/checkpoint/service";
import type { Deployment } from "@flashloan/devnet/deployment";
import { DEVNET_OPERATOR_KEY, venuesOf } from "@flashloan/devnet/venues";
import { executorConfigSchema } from "@flashloan/hft-executor/config";
import { createExecutorService } from "@flashloan/hft-executor/service";
import { predictorConfigSchema } from "@flashloan/market-predictor/config";
import { createMarketPredictorService } from "@flashloan/market-predictor/service";
import { quantumConfigSchema } from "@flashloan/quantum-engine/config";
import { createQuantumEngineService } from "@flashloan/quantum-engine/service";
import { riskConfigSchema } from "@flashloan/risk-manager/config";
import { createRiskManagerService } from "@flashloan/risk-manager/service";
import { supervisorConfigSchema } from "@flashloan/supervisor/config";
import type { PastFailure } from "@flashloan/supervisor/driver";
import { createSupervisorService } from "@flashloan/supervisor/service";
import { openCoordination, openEventBus, openLiveFeed } from "@flashloan/shared/adapters/open";
import { readConfig, readTogether } from "@flashloan/shared/config";
import { Lifecycle, type Running } from "@flashloan/shared/lifecycle";
import type { FlashloanError } from "@flashloan/shared/errors";
import type { Logger } from "@flashloan/shared/log";
import type { EventBus } from "@flashloan/shared/ports/event-bus";
import { hostService, platformConfigSchema, type HostedService } from "@flashloan/shared/run-service";
import type { Service, ServiceContext } from "@flashloan/shared/service";
import type { ServiceName } from "@flashloan/shared/telemetry/declarations";
import type { Endpoints } from "./data-folder.ts";
import { faultPointFromEnvironment, openFaultChannel } from "./fault-injection.ts";
import { InProcessDriver } from "./in-process-driver.ts";

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
  /** The newest log lines of a service. */
  readonly readLog?: (service: string, lines: number) => readonly string[];
  /** Ends the process when a service that can't be ended stands in the way of its restart. */
  readonly giveUp?: (error: FlashloanError) => void;
}

/** Every service, running in this process. */
export interface Services extends Running {
  readonly endpoints: Endpoints;
  readonly bus: EventBus;
  /** Takes in an error that nothing caught: the service that it arose in has crashed. False when it arose in none. */
  readonly failed: (error: unknown) => boolean;
  /** The service whose code runs now. */
  readonly current: () => string | undefined;
  /** Has them supervised from now on; where everything is then. @throws FlashloanError config_invalid, port_taken, data_folder_unusable */
  supervise(supervision: Supervision): Promise<Endpoints>;
}

/** How services are supervised. */
export interface Supervision {
  /** Where incidents are kept. */
  readonly databaseUrl: string;
  /** What ended the process before this one. */
  readonly pastFailures: readonly PastFailure[];
}

interface Ports {
  readonly rpc: number;
  readonly metrics: number;
}
/** Starts a service at a port; 0 picks a free one. */
type ServiceStart = (context: ServiceContext, port: number) => Promise<Service>;

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(":") + 1));
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
    const quantumVariables = { QUANTUM_PORT: "0", QUANTUM_REST_PORT: "0", ...environment };
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
      () => readConfig(quantumConfigSchema, quantumVariables),
      () => readConfig(supervisorConfigSchema, { SUPERVISOR_PORT: "0", ...environment }),
    ]);
    const platformConfig = readConfig(platformConfigSchema, platformVariables);
    const bus = lifecycle.add("bus", await openEventBus(platformConfig.BUS_URL));
    const coordination = lifecycle.add("coordination", await openCoordination(platformConfig.COORDINATION_URL));
    const liveFeed = lifecycle.add("live feed", await openLiveFeed(platformConfig.CACHE_URL));
    const faults = await openFaultChannel(environment);
    if (faults) lifecycle.add("faults", faults);
    const hostAt = (
      service: ServiceName,
      ports: Ports,
      start: ServiceStart,
      abandoned?: AbortSignal,
    ): Promise<HostedService> => {
      const startThere = (context: ServiceContext): Promise<Service> => start(context, ports.rpc);
      // Nothing here is starting beside us: what fails at first fails for good.
      return hostService({
        service,
        config: { ...platformConfig, METRICS_PORT: ports.metrics },
        log: log(service),
        bus,
        coordination,
        liveFeed,
        start: faults?.around(service, startThere) ?? startThere,
        patienceMs: 0,
        ...(abandoned && { abandoned }),
      });
    };
    const { readLog = () => [], giveUp = () => undefined } = options;
    const driver = lifecycle.add("units", new InProcessDriver({ readLog, log, giveUp }));
    const host = async (
      service: ServiceName,
      configured: number,
      dependsOn: ServiceName[],
      start: ServiceStart,
      how?: { readonly exclusive: boolean },
    ): Promise<HostedService> => {
      let ports: Ports = { rpc: configured, metrics: 0 };
      const declaration = { id: service, group: "trading", dependsOn, speaks: "grpc" as const, order: order++ };
      const begin = async (abandoned: AbortSignal): Promise<HostedService> => {
        const hosted = await hostAt(service, ports, start, abandoned);
        // Where it was, its clients find it again.
        ports = { rpc: portOf(hosted.address), metrics: portOf(hosted.metricsAddress) };
        return hosted;
      };
      return driver.add(declaration, begin, how);
    };
    let order = 0;
    const checkpointConfig = readConfig(checkpointConfigSchema, {
      CHECKPOINT_PORT: "0",
      CHECKPOINT_DATABASE_URL: options.ledgerUrl,
    });
    const riskConfig = readConfig(riskConfigSchema, riskVariables);
    const predictorConfig = readConfig(predictorConfigSchema, predictorVariables);
    const startCheckpoint: ServiceStart = (context, port) =>
      openCheckpointService({ ...checkpointConfig, CHECKPOINT_PORT: port }, context);
    const checkpoint = await host("checkpoint", 0, [], startCheckpoint, { exclusive: true });
    const risk = await host("risk-manager", riskConfig.RISK_PORT, [], (context, port) =>
      createRiskManagerService({ ...riskConfig, RISK_PORT: port }, context),
    );
    const predictor = await host("market-predictor", predictorConfig.PREDICTOR_PORT, [], (context, port) =>
      createMarketPredictorService({ ...predictorConfig, PREDICTOR_PORT: port }, context),
    );
    let quantumConfig = readConfig(quantumConfigSchema, quantumVariables);
    let quantumRest = "";
    const startQuantum: ServiceStart = async (context, port) => {
      const service = await createQuantumEngineService({ ...quantumConfig, QUANTUM_PORT: port }, context);
      quantumRest = service.restAddress;
      // Started again, it is where it was.
      quantumConfig = { ...quantumConfig, QUANTUM_REST_PORT: portOf(quantumRest) };
      return service;
    };
    const quantum = await host("quantum-engine", quantumConfig.QUANTUM_PORT, [], startQuantum);
    const executorConfig = readConfig(executorConfigSchema, {
      EXECUTOR_PREDICTOR_ADDRESS: predictor.address,
      EXECUTOR_RISK_ADDRESS: risk.address,
      EXECUTOR_CHECKPOINT_ADDRESS: checkpoint.address,
      EXECUTOR_QUANTUM_ADDRESS: quantum.address,
      ...executorVariables,
    });
    const faultPoint = faultPointFromEnvironment(environment);
    const needed = ["checkpoint", "risk-manager", "market-predictor"] as const;
    const executor = await host("hft-executor", executorConfig.EXECUTOR_PORT, [...needed], (context, port) =>
      createExecutorService({ ...executorConfig, EXECUTOR_PORT: port }, context, faultPoint),
    );
    const endpoints = {
      pid: process.pid,
      checkpoint: checkpoint.address,
      marketPredictor: predictor.address,
      riskManager: risk.address,
      hftExecutor: executor.address,
      quantumEngine: quantum.address,
      quantumRest: `http://${quantumRest}`,
      chain: chainUrl.replace(/^ws/, "http"),
      metrics: {
        checkpoint: checkpoint.metricsAddress,
        marketPredictor: predictor.metricsAddress,
        riskManager: risk.metricsAddress,
        hftExecutor: executor.metricsAddress,
        quantumEngine: quantum.metricsAddress,
      },
    };
    const supervise = async ({ databaseUrl, pastFailures }: Supervision): Promise<Endpoints> => {
      const config = readConfig(supervisorConfigSchema, {
        SUPERVISOR_PORT: "0",
        ...environment,
        SUPERVISOR_DATABASE_URL: databaseUrl,
      });
      const supervisor = lifecycle.add(
        "supervisor",
        await hostAt("supervisor", { rpc: config.SUPERVISOR_PORT, metrics: 0 }, (context, port) =>
          createSupervisorService({ ...config, SUPERVISOR_PORT: port }, context, driver, { pastFailures }),
        ),
      );
      const { metrics } = endpoints;
      return {
        ...endpoints,
        supervisor: supervisor.address,
        metrics: { ...metrics, supervisor: supervisor.metricsAddress },
      };
    };
    return {
      endpoints,
      bus,
      failed: (error) => driver.failed(error),
      current: () => driver.current(),
      supervise,
      stop: () => lifecycle.stop(),
    };
  } catch (error) {
    await lifecycle.stop().catch(() => undefined);
    throw error;
  }
}
