import { randomUUID } from "node:crypto";
import closeWithGrace from "close-with-grace";
import { z } from "zod";
import { openCoordination, openEventBus, openLiveFeed } from "./adapters/open.ts";
import { backoffMs, systemClock } from "./clock.ts";
import {
  choiceVariable,
  integerVariable,
  readConfig,
  textVariable,
  type ConfigOf,
  type ConfigSchema,
} from "./config.ts";
import { toFlashloanError } from "./errors.ts";
import { startHeartbeats } from "./heartbeat.ts";
import { Lifecycle, type Running } from "./lifecycle.ts";
import { createLogger, type Logger } from "./log.ts";
import type { Coordination } from "./ports/coordination.ts";
import type { EventBus } from "./ports/event-bus.ts";
import type { LiveFeed } from "./ports/live-feed.ts";
import type { Service, ServiceContext, ServiceFactory } from "./service.ts";
import { VERSION, type ServiceName } from "./telemetry/declarations.ts";
import { startTelemetryEndpoint } from "./telemetry/endpoint.ts";
import { createMetrics, type Metrics } from "./telemetry/metrics.ts";
import { Readiness } from "./telemetry/readiness.ts";
import { startTracing } from "./telemetry/tracing.ts";

/** How long a service waits at its start for what it depends on, which may be starting too. */
const START_PATIENCE_MS = 60_000;
const START_BACKOFF_BASE_MS = 250;
const START_BACKOFF_CAP_MS = 5_000;
/** How long a process may take to stop; longer than any drain within. */
const STOP_DEADLINE_MS = 15_000;

const optionalVariable = (description: string): z.ZodType<string | undefined, string | undefined> =>
  z
    .string()
    .optional()
    .transform((text) => (text === "" ? undefined : text))
    .describe(description);

/** The environment that every service reads beside its own. */
export const platformConfigSchema = {
  BUS_URL: textVariable("the event bus: memory: or amqp://user:password@host:5672", "memory:"),
  COORDINATION_URL: textVariable("who is there and who leads: memory: or etcd:host:port,host:port", "memory:"),
  CACHE_URL: textVariable(
    "what is read fast and can be rebuilt, live feeds among it: memory: or redis://host:6379",
    "memory:",
  ),
  METRICS_HOST: textVariable("address that /metrics and /ready are served on", "127.0.0.1"),
  METRICS_PORT: integerVariable(0, 65_535, 0, "port of /metrics and /ready; 0 picks a free one"),
  READY_FILE: optionalVariable(
    "file that is touched each second while the service is ready, for a container's health check; best on tmpfs",
  ),
  OTEL_EXPORTER_OTLP_ENDPOINT: optionalVariable(
    "where spans are sent by OTLP over HTTP, such as http://jaeger:4318; not set: nothing is recorded",
  ),
  OTEL_EXPORTER_OTLP_PROTOCOL: choiceVariable(
    ["http/protobuf", "http/json"],
    "http/protobuf",
    "how spans are encoded: http/protobuf or http/json",
  ),
  GRPC_TLS_FOLDER: optionalVariable(
    "folder with ca.pem, cert.pem and key.pem for mutual TLS between services; not set: plain text",
  ),
  INSTANCE_ADDRESS: optionalVariable("host:port under which others reach this instance; the bound address by default"),
  LOG_LEVEL: choiceVariable(
    ["trace", "debug", "info", "warn", "error", "silent"],
    "info",
    "least severe log level that is written",
  ),
};
/** @see platformConfigSchema */
export type PlatformConfig = ConfigOf<typeof platformConfigSchema>;

/** How one service is hosted. */
export interface HostOptions {
  readonly service: ServiceName;
  readonly config: PlatformConfig;
  readonly log: Logger;
  readonly start: (context: ServiceContext) => Promise<Service>;
  /** What is shared in this process; by default the service opens its own. */
  readonly bus?: EventBus;
  readonly liveFeed?: LiveFeed;
  readonly coordination?: Coordination;
  /** How long retryable failures at the start are tried again; 0 fails at the first. */
  readonly patienceMs: number;
  /** Gives the start up. */
  readonly signal?: AbortSignal;
  /** Aborts when the service is left behind: it lets go of its ports at once. */
  readonly abandoned?: AbortSignal;
}

/** A service that is up, with all that belongs to it. */
export interface HostedService extends Running {
  /** `host:port` of its gRPC server. */
  readonly address: string;
  /** `host:port` of /metrics and /ready. */
  readonly metricsAddress: string;
}

/**
 * Starts one service with all that it needs: telemetry first, so that a service which waits is seen waiting, then bus
 * and coordination, the service, its readiness, and its entry in the registry. Stops in reverse.
 */
export async function hostService(options: HostOptions): Promise<HostedService> {
  const { service, config, log } = options;
  const lifecycle = new Lifecycle();
  const abandoned = options.abandoned ?? new AbortController().signal;
  const patiently = <T>(work: () => Promise<T>): Promise<T> =>
    tryAgain(work, options.patienceMs, log, options.signal ?? new AbortController().signal);
  try {
    const metrics = createMetrics(service);
    const readiness = new Readiness(log, metrics);
    const tracing = await startTracing({
      service,
      version: VERSION,
      endpoint: config.OTEL_EXPORTER_OTLP_ENDPOINT,
      protocol: config.OTEL_EXPORTER_OTLP_PROTOCOL,
    });
    // Spans that can't be delivered must not make the stop fail.
    lifecycle.onStop("tracing", () => tracing.stop().catch((error: unknown) => log.warn({ error }, "spans_lost")));
    const endpoint = lifecycle.add(
      "telemetry endpoint",
      await startTelemetryEndpoint({
        metrics,
        log,
        host: config.METRICS_HOST,
        port: config.METRICS_PORT,
        readyFile: config.READY_FILE,
        unmet: () => readiness.unmet,
      }),
    );
    abandoned.addEventListener("abort", () => void endpoint.stop(), { once: true });
    const bus = options.bus ?? lifecycle.add("bus", await patiently(() => openEventBus(config.BUS_URL)));
    const coordination =
      options.coordination ??
      lifecycle.add("coordination", await patiently(() => openCoordination(config.COORDINATION_URL)));
    const liveFeed =
      options.liveFeed ?? lifecycle.add("live feed", await patiently(() => openLiveFeed(config.CACHE_URL)));
    reportHealth(metrics, bus, coordination, liveFeed);
    const context = {
      service,
      log,
      clock: systemClock,
      bus,
      coordination,
      liveFeed,
      metrics,
      tracing,
      tlsFolder: config.GRPC_TLS_FOLDER,
      interceptors: [],
      abandoned,
    };
    const running = lifecycle.add(service, await patiently(() => options.start(context)));
    lifecycle.add("readiness", readiness);
    await readiness.follow(running.needs, (ready) => running.setServing(ready));
    const address = config.INSTANCE_ADDRESS ?? running.address;
    const instance = `${service}-${randomUUID()}`;
    lifecycle.add("registration", await patiently(() => coordination.register({ service, instance, address })));
    lifecycle.add(
      "heartbeats",
      startHeartbeats(context, instance, () => readiness.unmet),
    );
    log.info({ address: running.address, instance, metrics: endpoint.address }, "service_started");
    return { address: running.address, metricsAddress: endpoint.address, stop: () => lifecycle.stop() };
  } catch (error) {
    await lifecycle.stop().catch((stopError: unknown) => log.error({ error: stopError }, "stop_failed"));
    throw error;
  }
}

/**
 * The whole of a service's main.ts: reads its configuration, hosts it, and stops it with grace on a signal. A start that
 * fails ends the process with exit code 1, for a restart policy to try again; later outages never end it.
 */
export async function runService<S extends ConfigSchema>(
  service: ServiceName,
  schema: S,
  start: ServiceFactory<ConfigOf<S>>,
): Promise<void> {
  const stopping = new AbortController();
  let log = createLogger(service);
  let hosting: Promise<HostedService> | undefined;
  closeWithGrace({ delay: STOP_DEADLINE_MS, logger: false }, async ({ err, signal }) => {
    if (err) log.fatal({ error: err }, "process_failed");
    else log.info({ signal }, "stopping");
    stopping.abort();
    // A start that is given up fails, and says so itself.
    const hosted = await hosting?.catch(() => undefined);
    await hosted?.stop();
  });
  try {
    const config = readConfig({ ...platformConfigSchema, ...schema }, process.env) as PlatformConfig & ConfigOf<S>;
    log = createLogger(service, config.LOG_LEVEL);
    hosting = hostService({
      service,
      config,
      log,
      start: (context) => start(config, context),
      patienceMs: START_PATIENCE_MS,
      signal: stopping.signal,
    });
    await hosting;
  } catch (error) {
    if (stopping.signal.aborted) return;
    log.fatal({ error }, "start_failed");
    process.exit(1);
  }
}

async function tryAgain<T>(work: () => Promise<T>, patienceMs: number, log: Logger, signal: AbortSignal): Promise<T> {
  const until = systemClock.monotonic() + patienceMs;
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (!toFlashloanError(error).retryable || systemClock.monotonic() >= until) throw error;
      log.warn({ error, attempt }, "start_waits");
      const waitMs = START_BACKOFF_BASE_MS + backoffMs(attempt, START_BACKOFF_BASE_MS, START_BACKOFF_CAP_MS);
      await systemClock.sleep(waitMs, signal);
    }
  }
}

/** What bus, coordination and live feed say of themselves, asked with each scrape. */
function reportHealth(metrics: Metrics, bus: EventBus, coordination: Coordination, liveFeed: LiveFeed): void {
  metrics.countFrom("flashloan_live_feed_dropped_total", {}, () => liveFeed.dropped());
  metrics.countFrom("flashloan_bus_reconnects_total", {}, () => bus.health().reconnects);
  metrics.onScrape(async () => {
    const health = bus.health();
    metrics.set("flashloan_bus_connected", {}, health.connected ? 1 : 0);
    metrics.set("flashloan_bus_waiting", {}, health.waiting);
    const [registry, feed] = await Promise.all([coordination.isReachable(), liveFeed.isReachable()]);
    metrics.set("flashloan_coordination_reachable", {}, registry ? 1 : 0);
    metrics.set("flashloan_live_feed_reachable", {}, feed ? 1 : 0);
  });
}
