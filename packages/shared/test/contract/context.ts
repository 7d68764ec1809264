import { createMemoryCoordination } from "../../src/adapters/memory-coordination.ts";
import { createMemoryEventBus } from "../../src/adapters/memory-event-bus.ts";
import { createMemoryLiveFeed } from "../../src/adapters/memory-live-feed.ts";
import { systemClock } from "../../src/clock.ts";
import { createLogger } from "../../src/log.ts";
import type { ServiceContext } from "../../src/service.ts";
import type { ServiceName } from "../../src/telemetry/declarations.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { NO_TRACING } from "../../src/telemetry/tracing.ts";

/** The context of a service under test: silent, in plain text, with a bus of its own. */
export function testContext(service: ServiceName, given: Partial<ServiceContext> = {}): ServiceContext {
  return {
    service,
    log: createLogger(service, "silent"),
    clock: systemClock,
    bus: createMemoryEventBus(),
    coordination: createMemoryCoordination(),
    liveFeed: createMemoryLiveFeed(),
    metrics: createMetrics(service),
    tracing: NO_TRACING,
    tlsFolder: undefined,
    interceptors: [],
    abandoned: new AbortController().signal,
    ...given,
  };
}
