import { randomUUID } from "node:crypto";
import type { z } from "zod";
import { FlashloanError } from "./errors.ts";
import type { Running } from "./lifecycle.ts";
import type { CloudEvent, SubscribeOptions } from "./ports/event-bus.ts";
import type { ServiceContext } from "./service.ts";
import type { SPANS, SpanName } from "./telemetry/declarations.ts";
import { currentTraceparent, inTrace } from "./telemetry/tracing.ts";

/** Spans in which events are handled. */
type ConsumerSpan = {
  [N in SpanName]: "flashloan.event_type" extends (typeof SPANS)[N]["attributes"][number] ? N : never;
}[SpanName];

/** What a service takes off the bus. */
export interface Consumption<S extends z.ZodType> extends SubscribeOptions {
  /** What the data of its events must be; others are refused, and end as dead letters. */
  readonly data: S;
  /** The span that each is handled in, part of the trace that published it. */
  readonly span: ConsumerSpan;
}

/** Topic of the live feed that has every fact, for those who watch. */
export const FACTS_TOPIC = "facts";

/**
 * Tells a fact to whoever wants it, as part of the current trace, and to those who watch live. It does not wait for the
 * bus: a fact that can't be delivered is counted and logged, and nothing that trades depends on it.
 */
export function publishFact(context: ServiceContext, type: string, subject: string, data: CloudEvent["data"]): void {
  const { service, bus, liveFeed, metrics, clock, log } = context;
  const traceparent = currentTraceparent();
  const event: CloudEvent = {
    specversion: "1.0",
    id: randomUUID(),
    source: `/${service}`,
    type,
    subject,
    time: new Date(clock.now()).toISOString(),
    datacontenttype: "application/json",
    ...(traceparent === undefined ? {} : { traceparent }),
    data,
  };
  bus.publish(event).then(
    () => metrics.add("flashloan_bus_published_total", { outcome: "acknowledged" }),
    (error: unknown) => {
      metrics.add("flashloan_bus_published_total", { outcome: "failed" });
      log.error({ error, type, subject }, "event_not_published");
    },
  );
  liveFeed
    .append(FACTS_TOPIC, JSON.stringify(event))
    .catch((error: unknown) => log.warn({ error, type, subject }, "event_not_shown"));
}

/**
 * Takes events off the bus until it is stopped: each is validated, handled in its publisher's trace, and counted by how
 * that ended. At least once: the handler must be idempotent.
 * @throws FlashloanError argument_invalid, service_unavailable, service_stopping
 */
export function consumeFacts<S extends z.ZodType>(
  context: ServiceContext,
  consumption: Consumption<S>,
  handle: (data: z.output<S>, event: CloudEvent) => Promise<void> | void,
): Promise<Running> {
  const { bus, tracing, metrics, log } = context;
  const { data: schema, span, ...options } = consumption;
  return bus.subscribe(options, (event) =>
    inTrace(event.traceparent, () => {
      const attributes = { "flashloan.event_type": event.type, "flashloan.event_subject": event.subject ?? "" };
      return tracing.span(span, attributes, async () => {
        try {
          await handle(validData(schema, event), event);
          metrics.add("flashloan_bus_events_total", { outcome: "handled" });
        } catch (error) {
          metrics.add("flashloan_bus_events_total", { outcome: "refused" });
          log.warn({ error, type: event.type, eventId: event.id }, "event_refused");
          throw error;
        }
      });
    }),
  );
}

function validData<S extends z.ZodType>(schema: S, event: CloudEvent): z.output<S> {
  const parsed = schema.safeParse(event.data);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => `${issue.path.join(".") || "data"}: ${issue.message}`).join("; ");
  throw new FlashloanError("argument_invalid", `the data of ${event.type} ${event.id} is not valid: ${faults}`);
}
