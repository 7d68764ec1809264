import {
  context,
  isSpanContextValid,
  ROOT_CONTEXT,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Context,
  type Tracer,
} from "@opentelemetry/api";
import type { Running } from "../lifecycle.ts";
import { SPANS, type ServiceName, type SpanAttributes, type SpanName } from "./declarations.ts";

/** How traces leave the process. */
export interface TracingOptions {
  readonly service: ServiceName;
  readonly version: string;
  /** OTLP over HTTP, such as http://127.0.0.1:4318; absent: nothing is recorded, and the SDK is not loaded. */
  readonly endpoint: string | undefined;
  readonly protocol: "http/protobuf" | "http/json";
}

const EXPORT_EVERY_MS = 1_000;
const EXPORT_DEADLINE_MS = 5_000;

/** Adds to the attributes of a span that is under way. */
type Annotate<N extends SpanName> = (attributes: SpanAttributes<N>) => void;

/** A service's spans. Several services may share a process: each has its own resource. */
export interface Tracing extends Running {
  /** True when spans are recorded. */
  readonly enabled: boolean;
  /**
   * Runs work inside a span of the current trace: its end and its error are seen to. A span that is declared to have a
   * parent is not recorded where there is none: what nobody asked about in a trace leaves nothing.
   * @param startedAtMs when it began, if earlier than now; milliseconds since the Unix epoch
   */
  span<N extends SpanName, T>(
    name: N,
    attributes: SpanAttributes<N>,
    work: (annotate: Annotate<N>) => Promise<T>,
    startedAtMs?: number,
  ): Promise<T>;
}

/** Records nothing and costs nothing. */
export const NO_TRACING: Tracing = {
  enabled: false,
  span: (_name, _attributes, work) => work(() => undefined),
  stop: async () => undefined,
};

/** Starts sending spans when an endpoint is configured. */
export async function startTracing(options: TracingOptions): Promise<Tracing> {
  if (options.endpoint === undefined) return NO_TRACING;
  const [{ BatchSpanProcessor, TracerProvider }, { resourceFromAttributes }, { AsyncLocalStorageContextManager }] =
    await Promise.all([
      import("@opentelemetry/sdk-trace"),
      import("@opentelemetry/resources"),
      import("@opentelemetry/context-async-hooks"),
    ]);
  const { OTLPTraceExporter } =
    options.protocol === "http/json"
      ? await import("@opentelemetry/exporter-trace-otlp-http")
      : await import("@opentelemetry/exporter-trace-otlp-proto");
  // The first of a process wins; the others find it there.
  const manager = new AsyncLocalStorageContextManager().enable();
  if (!context.setGlobalContextManager(manager)) manager.disable();
  const exporter = new OTLPTraceExporter({
    url: `${options.endpoint.replace(/\/$/, "")}/v1/traces`,
    timeoutMillis: EXPORT_DEADLINE_MS,
  });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ "service.name": options.service, "service.version": options.version }),
    spanProcessors: [new BatchSpanProcessor({ exporter, scheduledDelayMillis: EXPORT_EVERY_MS })],
  });
  const tracer = provider.getTracer("flashloan", options.version);
  return {
    enabled: true,
    span: (name, attributes, work, startedAtMs) => runInSpan(tracer, name, attributes, work, startedAtMs),
    stop: () => provider.shutdown(),
  };
}

function runInSpan<N extends SpanName, T>(
  tracer: Tracer,
  name: N,
  attributes: SpanAttributes<N>,
  work: (annotate: Annotate<N>) => Promise<T>,
  startedAtMs: number | undefined,
): Promise<T> {
  const isRoot = SPANS[name].parents.length === 0;
  if (!isRoot && !currentSpanIds()) return work(() => undefined);
  const options = { attributes, ...(startedAtMs === undefined ? {} : { startTime: startedAtMs }) };
  return tracer.startActiveSpan(name, options, isRoot ? ROOT_CONTEXT : context.active(), async (span) => {
    try {
      return await work((more) => void span.setAttributes(more));
    } catch (error) {
      span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.message : String(error) });
      throw error;
    } finally {
      span.end();
    }
  });
}

/** Runs work in the trace that a traceparent names; outside of any when it is absent or malformed. */
export function inTrace<T>(traceparent: string | undefined, work: () => T): T {
  return context.with(contextOf(traceparent), work);
}

/** Ids of the current span, if it is recorded. */
export function currentSpanIds(): { readonly traceId: string; readonly spanId: string } | undefined {
  const span = trace.getActiveSpan()?.spanContext();
  return span && isSpanContextValid(span) && (span.traceFlags & TraceFlags.SAMPLED) !== 0 ? span : undefined;
}

/** The W3C traceparent of the current span; undefined when nothing is recorded. */
export function currentTraceparent(): string | undefined {
  const span = currentSpanIds();
  return span && `00-${span.traceId}-${span.spanId}-01`;
}

function contextOf(traceparent: string | undefined): Context {
  const match = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(traceparent ?? "");
  if (!match) return ROOT_CONTEXT;
  const [, traceId = "", spanId = "", flags = "0"] = match;
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16),
    isRemote: true,
  });
}
