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
import type { Resource } from "@opentelemetry/resources";
import type { ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace";
import { FlashloanError } from "../errors.ts";
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

/** The OpenTelemetry SDK of this process. */
interface ProcessSdk {
  readonly endpoint: string;
  /** Who each service says it is. */
  readonly resources: Map<ServiceName, Resource>;
  /** How many services trace: the last that stops ends the SDK. */
  users: number;
  flush(): Promise<void>;
  shutdown(): Promise<void>;
}
let processSdk: ProcessSdk | undefined;

/**
 * Starts sending spans when an endpoint is configured.
 * @throws FlashloanError config_invalid if another service of this process sends to another endpoint
 */
export async function startTracing(options: TracingOptions): Promise<Tracing> {
  const { endpoint, service, version } = options;
  if (endpoint === undefined) return NO_TRACING;
  const { createSdk, resourceFromAttributes } = await loadSdk(options.protocol);
  processSdk ??= createSdk(endpoint);
  const sdk = processSdk;
  if (sdk.endpoint !== endpoint) {
    throw new FlashloanError(
      "config_invalid",
      `this process sends its spans to ${sdk.endpoint} already, and can't send those of ${service} to ${endpoint}; ` +
        "give its services the same OTEL_EXPORTER_OTLP_ENDPOINT",
    );
  }
  sdk.users += 1;
  sdk.resources.set(service, resourceFromAttributes({ "service.name": service, "service.version": version }));
  const tracer = trace.getTracer(service, version);
  return {
    enabled: true,
    span: (name, attributes, work, startedAtMs) => runInSpan(tracer, name, attributes, work, startedAtMs),
    stop: async () => {
      sdk.users -= 1;
      if (sdk.users > 0) return sdk.flush();
      processSdk = undefined;
      trace.disable();
      context.disable();
      await sdk.shutdown();
    },
  };
}

/** Loads the SDK, which costs 30 MB: only a process that sends spans has it. */
async function loadSdk(protocol: TracingOptions["protocol"]) {
  const [{ NodeSDK }, { BatchSpanProcessor }, { resourceFromAttributes, emptyResource }, { OTLPTraceExporter }] =
    await Promise.all([
      import("@opentelemetry/sdk-node"),
      import("@opentelemetry/sdk-trace"),
      import("@opentelemetry/resources"),
      protocol === "http/json"
        ? import("@opentelemetry/exporter-trace-otlp-http")
        : import("@opentelemetry/exporter-trace-otlp-proto"),
    ]);
  const createSdk = (endpoint: string): ProcessSdk => {
    const resources = new Map<ServiceName, Resource>();
    const url = `${endpoint.replace(/\/$/, "")}/v1/traces`;
    const exporter = new OTLPTraceExporter({ url, timeoutMillis: EXPORT_DEADLINE_MS });
    const processor = new BatchSpanProcessor({
      exporter: namingServices(exporter, resources),
      scheduledDelayMillis: EXPORT_EVERY_MS,
    });
    // Traces only: figures are Prometheus's, logs are pino's, and a traceparent is written and read by ourselves.
    const sdk = new NodeSDK({
      resource: emptyResource(),
      autoDetectResources: false,
      textMapPropagator: null,
      metricReaders: [],
      logRecordProcessors: [],
      spanProcessors: [processor],
    });
    sdk.start();
    return { endpoint, resources, users: 0, flush: () => processor.forceFlush(), shutdown: () => sdk.shutdown() };
  };
  return { createSdk, resourceFromAttributes };
}

/**
 * The SDK knows one service a process; embedded, many share one. Each span leaves under the name of the service whose
 * tracer made it, or a trace would show one box.
 */
function namingServices(exporter: SpanExporter, resources: ReadonlyMap<string, Resource>): SpanExporter {
  const named = (span: ReadableSpan): ReadableSpan => {
    const value = resources.get(span.instrumentationScope.name) ?? span.resource;
    return Object.create(span, { resource: { value } }) as ReadableSpan;
  };
  return {
    export: (spans, done) => exporter.export(spans.map(named), done),
    forceFlush: async () => exporter.forceFlush?.(),
    shutdown: () => exporter.shutdown(),
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
