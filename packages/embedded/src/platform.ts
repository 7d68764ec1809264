import { pino } from "pino";
import { marketConfigSchema } from "@flashloan/devnet/config";
import type { Deployment } from "@flashloan/devnet/deployment";
import { startMarket } from "@flashloan/devnet/market";
import { connectWebSocket } from "@flashloan/evm/json-rpc";
import { readConfig } from "@flashloan/shared/config";
import { FlashloanError, toFlashloanError } from "@flashloan/shared/errors";
import { Lifecycle, type Running } from "@flashloan/shared/lifecycle";
import { createLogger, type Logger } from "@flashloan/shared/log";
import type { EventBus } from "@flashloan/shared/ports/event-bus";
import { endChain, ensureChain, newChain } from "./chain.ts";
import type { PastFailure } from "@flashloan/supervisor/driver";
import { embeddedConfigSchema } from "./config.ts";
import { DataFolder, type Endpoints } from "./data-folder.ts";
import { EXIT_FAILED, guardProcess, LAST_END_VARIABLE } from "./process-guard.ts";
import { startWatchdog } from "./watchdog.ts";
import { startServices, type Services } from "./services.ts";

/** How much longer than later the event loop may be blocked while the platform starts: a new database is made in one piece. */
const START_PATIENCE = 10;
/** The process itself, where an incident is no service's. */
const PLATFORM = "platform";

/** How the embedded platform is started. */
export interface PlatformOptions {
  readonly dataDir: string;
  /** Archive what is there and begin anew. */
  readonly fresh: boolean;
  /** Seed of the simulated market. */
  readonly seed: number;
  /** Leave the chain running when the platform stops. */
  readonly keepChain: boolean;
  /** Port of the chain; 0 picks a free one. */
  readonly chainPort: number;
  readonly blockTimeS: number;
  /** Variables of the services' configuration schemas (RISK_…, EXECUTOR_…), over the embedded defaults. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Called with each step of the start, for people. */
  readonly progress: (what: string) => void;
}

/** The running platform. */
export interface Platform extends Running {
  readonly endpoints: Endpoints;
  readonly deployment: Deployment;
  readonly bus: EventBus;
  /** What happened to the data folder and the chain at the start, for people. */
  readonly notes: readonly string[];
}

/**
 * Runs the whole platform in this process (the chain is a process of its own): the chain with the real protocols,
 * every service as a real gRPC server on loopback, and the simulated market.
 * @throws FlashloanError data_folder_unusable, data_folder_locked, devnet_failed, port_taken, config_invalid
 */
export async function startPlatform(options: PlatformOptions): Promise<Platform> {
  const lifecycle = new Lifecycle();
  const notes: string[] = [];
  const activity = readConfig(marketConfigSchema, options.environment);
  const { WATCHDOG_BLOCKED_MS_MAX: blockedMsMax } = readConfig(embeddedConfigSchema, options.environment);
  try {
    const folder = DataFolder.open(options.dataDir);
    lifecycle.onStop("data folder", () => folder.close());
    const stamp = new Date().toISOString();
    if (options.fresh) {
      await endChain(folder);
      const archived = folder.archive(stamp, "ledger and chain");
      if (archived) notes.push(`--fresh: the old ledger is in ${archived}`);
    }
    const destination = pino.destination({ dest: folder.logPath, sync: true });
    const level = options.environment["LOG_LEVEL"] ?? "info";
    const log = (service: string): Logger => createLogger(service, level, destination);
    const giveUp = (error: unknown): void => {
      log(PLATFORM).fatal({ error }, "process_failed");
      const { message: reason } = toFlashloanError(error);
      folder.writePastFailure({ atMs: Date.now(), unit: PLATFORM, fault: "crash", reason });
      process.exit(EXIT_FAILED);
    };
    let services: Services | undefined;
    lifecycle.add(
      "guard",
      guardProcess((error) => services?.failed(error) ?? false, giveUp),
    );
    const { logPath, pastFailurePath: failurePath } = folder;
    const unitNow = (): string | undefined => services?.current();
    const watchdog =
      blockedMsMax > 0 &&
      lifecycle.add(
        "watchdog",
        startWatchdog({ blockedMsMax: START_PATIENCE * blockedMsMax, logPath, failurePath, unitNow }),
      );
    const chainOptions = { port: options.chainPort, blockTimeS: options.blockTimeS, progress: options.progress };
    const hadLedger = folder.hasLedger();
    let chain = await ensureChain(folder, chainOptions);
    if (chain.origin === "new" && hadLedger)
      notes.push(
        `the chain of the last run was lost; the old ledger is in ${folder.archive(stamp, "ledger")}, and a new one begins`,
      );
    if (chain.origin === "adopted")
      notes.push(`the chain of the last run was still up (process ${chain.pid}): adopted`);

    // Whatever fails from here on: a chain of ours is not left behind.
    if (!options.keepChain) lifecycle.onStop("chain", () => endChain(folder));
    const start = (): Promise<Services> => {
      options.progress("starting the services");
      const { environment, blockTimeS } = options;
      const ledgerUrl = `pglite:${folder.ledgerPath}`;
      return startServices({
        chainUrl: chain.url,
        deployment: chain.deployment,
        ledgerUrl,
        blockTimeS,
        environment,
        log,
        readLog: (service, lines) => folder.readLog(service, lines),
        giveUp,
      });
    };
    try {
      services = await start();
    } catch (error) {
      // The chain is there, but not the one that the ledger knows, or it went back: say so, and begin anew.
      if (!(error instanceof FlashloanError) || error.code !== "chain_mismatch" || chain.origin === "new") throw error;
      await endChain(folder);
      notes.push(
        `${String(error.details["why"] ?? error.message)}; the old ledger is in ${folder.archive(stamp, "ledger and chain")}, and a new one begins`,
      );
      chain = await newChain(folder, chainOptions);
      services = await start();
    }
    lifecycle.add("services", services);
    const pastFailure = folder.takePastFailure() ?? lastEnd(options.environment[LAST_END_VARIABLE]);
    const endpoints = await services.supervise({
      databaseUrl: `pglite:${folder.supervisorPath}`,
      pastFailures: pastFailure ? [pastFailure] : [],
    });
    // Last: what starts takes seconds of this process's time, and blocks without a market let the base fee fall.
    options.progress("starting the simulated market");
    const marketRpc = lifecycle.add("market's chain", await connectWebSocket(chain.url));
    const marketLog = log("simulated-market");
    const onError = (error: unknown): void => marketLog.warn({ error }, "market_step_failed");
    const { DEVNET_WHALE_ACTIVITY: whaleActivity, DEVNET_RIVAL_ACTIVITY: rivalActivity } = activity;
    const market = { seed: options.seed, whaleActivity, rivalActivity, onError };
    lifecycle.add("market", await startMarket(marketRpc, chain.deployment, market));
    if (watchdog) watchdog.allow(blockedMsMax);
    folder.writeEndpoints(endpoints);
    return {
      endpoints,
      deployment: chain.deployment,
      bus: services.bus,
      notes,
      stop: () => lifecycle.stop(),
    };
  } catch (error) {
    await lifecycle.stop().catch(() => undefined);
    throw error;
  }
}

/** How the process before this one ended, by the word of what started it again. */
function lastEnd(told: string | undefined): PastFailure | undefined {
  const [, at, why] = /^(\d{1,15}) (.{1,100})$/.exec(told ?? "") ?? [];
  if (at === undefined) return undefined;
  return { atMs: Number(at), unit: PLATFORM, fault: "crash", reason: `the process ended with ${why}` };
}
