import type { ServerInterceptor } from "@grpc/grpc-js";
import type { Clock } from "./clock.ts";
import type { Running } from "./lifecycle.ts";
import type { Logger } from "./log.ts";
import type { Coordination } from "./ports/coordination.ts";
import type { EventBus } from "./ports/event-bus.ts";
import type { LiveFeed } from "./ports/live-feed.ts";
import type { ServiceName } from "./telemetry/declarations.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import type { Needs } from "./telemetry/readiness.ts";
import type { Tracing } from "./telemetry/tracing.ts";

/** What every service is given, whether it runs embedded or in a process of its own. */
export interface ServiceContext {
  /** Which service it is. */
  readonly service: ServiceName;
  readonly log: Logger;
  readonly clock: Clock;
  readonly bus: EventBus;
  readonly coordination: Coordination;
  readonly liveFeed: LiveFeed;
  readonly metrics: Metrics;
  readonly tracing: Tracing;
  /** Folder with the certificates for gRPC, servers and clients alike; undefined: plain text. */
  readonly tlsFolder: string | undefined;
  /** What sees each call of its gRPC server before the handlers do, outermost first. */
  readonly interceptors: readonly ServerInterceptor[];
  /** Aborts when its host waits for it no longer: what listens lets go of its port at once, whoever is still served. */
  readonly abandoned: AbortSignal;
}

/** A running service. */
export interface Service extends Running {
  /** `host:port` of its gRPC server. */
  readonly address: string;
  /** What it can't do its work without; while one is missing it is not ready. */
  readonly needs: Needs;
  /** What gRPC health checks answer. */
  readonly setServing: (serving: boolean) => void;
}

/** Starts a service with its part of the configuration. */
export type ServiceFactory<C> = (config: C, context: ServiceContext) => Promise<Service>;
