import { readFileSync } from "node:fs";
import { loadFileDescriptorSetFromBuffer, loadSync, type PackageDefinition } from "@grpc/proto-loader";
import {
  Metadata,
  Server,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { ReflectionService } from "@grpc/reflection";
import { HealthImplementation, protoPath as healthProtoPath } from "grpc-health-check";
import type { z } from "zod";
import { ERROR_CODES, FlashloanError, isFailure, toFlashloanError } from "./errors.ts";
import type { Running } from "./lifecycle.ts";
import { serverCredentials } from "./rpc-tls.ts";
import type { ServiceContext } from "./service.ts";
import { validated } from "./validated.ts";
import { inTrace } from "./telemetry/tracing.ts";

/** The largest message that a server or client takes, in bytes. */
export const MESSAGE_BYTES_MAX = 4 * 1024 * 1024;
/** How long calls that are under way may go on while a server stops. */
const DRAIN_MS = 3_000;

/** What a gRPC server is made of. */
export interface RpcServerOptions {
  readonly host: string;
  /** 0 picks a free port. */
  readonly port: number;
  readonly services: readonly {
    readonly name: string;
    readonly definition: ServiceDefinition;
    readonly implementation: UntypedServiceImplementation;
  }[];
  /** A compiled descriptor set (`buf build`), for reflection. */
  readonly descriptorFile: URL;
  readonly context: ServiceContext;
}

/** A gRPC server that is listening. */
export interface RpcServer extends Running {
  /** `host:port`. */
  readonly address: string;
  /** What health checks answer, for every service of this server. */
  readonly setServing: (serving: boolean) => void;
}

/**
 * Starts a gRPC server with health (grpc.health.v1) and reflection; NOT_SERVING until `setServing(true)`.
 * @throws FlashloanError port_taken; config_invalid for unusable certificates
 */
export async function startRpcServer(options: RpcServerOptions): Promise<RpcServer> {
  const { abandoned, interceptors, tlsFolder } = options.context;
  const credentials = serverCredentials(tlsFolder);
  const server = new Server({
    "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
    "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    interceptors: [...interceptors],
  });
  for (const service of options.services) server.addService(service.definition, service.implementation);
  const names = ["", ...options.services.map((service) => service.name)];
  const health = new HealthImplementation(Object.fromEntries(names.map((name) => [name, "NOT_SERVING" as const])));
  health.addToServer(server);
  const own = loadFileDescriptorSetFromBuffer(readFileSync(options.descriptorFile));
  const served = [...options.services.map((service) => service.name), "grpc.health.v1.Health"];
  const described = eachListOnce({ ...own, ...loadSync(healthProtoPath) });
  new ReflectionService(described, { services: served }).addToServer(server);

  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${options.host}:${options.port}`, credentials, (error, bound) => {
      if (!error) return resolve(bound);
      reject(
        new FlashloanError(
          "port_taken",
          `can't listen on ${options.host}:${options.port} (${error.message}): stop what uses the port, or configure another one`,
          { details: { host: options.host, port: options.port }, cause: error },
        ),
      );
    });
  });
  const setServing = (serving: boolean): void => {
    for (const name of names) health.setStatus(name, serving ? "SERVING" : "NOT_SERVING");
  };
  let stopping: Promise<void> | undefined;
  abandoned.addEventListener("abort", () => server.forceShutdown(), { once: true });
  return {
    address: `${options.host}:${port}`,
    setServing,
    stop: () => {
      stopping ??= new Promise((resolve) => {
        setServing(false);
        const force = setTimeout(() => server.forceShutdown(), DRAIN_MS);
        server.tryShutdown(() => {
          clearTimeout(force);
          resolve();
        });
      });
      return stopping;
    },
  };
}

/** With every type comes the list of its package's files, and reflection decodes each list it is given: one type a list will do. */
function eachListOnce(types: PackageDefinition): PackageDefinition {
  const lists = new Map(Object.entries(types).map((entry) => [entry[1].fileDescriptorProtos, entry]));
  return Object.fromEntries(lists.values());
}

/** What handlers are watched with. */
type Watch = Pick<ServiceContext, "log" | "metrics">;

/**
 * Wraps a unary handler: validates the request, maps what is thrown to a status with our code in its metadata, counts
 * and times it, and runs it in its caller's trace.
 */
export function unary<I, O>(
  schema: z.ZodType,
  watch: Watch,
  handler: (request: I, signal: AbortSignal) => Promise<O>,
): handleUnaryCall<I, O> {
  return (call, callback) => {
    const startedMs = performance.now();
    const abort = new AbortController();
    call.on("cancelled", () => abort.abort(new FlashloanError("deadline_exceeded", "the caller gave up")));
    const answer = async (): Promise<void> => {
      try {
        const response = await handler(validated<I>(schema, call.request), abort.signal);
        count(watch, undefined);
        callback(null, response);
      } catch (error) {
        const known = count(watch, error);
        callback(toStatus(known));
      }
      watch.metrics.observe("flashloan_rpc_duration_seconds", {}, (performance.now() - startedMs) / 1_000);
    };
    void inCallersTrace(call.metadata, answer);
  };
}

/**
 * Wraps a server-streaming handler; it writes until the source ends or the caller leaves, with back-pressure. Counted
 * when it ends.
 */
export function serverStream<I, O>(
  schema: z.ZodType,
  watch: Watch,
  handler: (request: I, signal: AbortSignal) => AsyncIterable<O>,
): handleServerStreamingCall<I, O> {
  return (call) => {
    const abort = new AbortController();
    call.on("cancelled", () => abort.abort());
    call.on("close", () => abort.abort());
    const pipe = async (): Promise<void> => {
      // Headers at once, so that a caller knows the stream stands before its first message.
      call.sendMetadata(new Metadata());
      for await (const message of handler(validated<I>(schema, call.request), abort.signal)) {
        if (abort.signal.aborted) return;
        if (!call.write(message))
          await Promise.race([new Promise((resolve) => call.once("drain", resolve)), aborted(abort.signal)]);
      }
      call.end();
    };
    void inCallersTrace(call.metadata, () =>
      pipe().then(
        () => count(watch, undefined),
        // A caller that left is no failure of ours.
        (error: unknown) => {
          const known = count(watch, abort.signal.aborted ? undefined : error);
          if (!abort.signal.aborted) call.emit("error", toStatus(known));
        },
      ),
    );
  };
}

/** Runs a handler in the trace that its caller's metadata names, if any. */
function inCallersTrace<T>(metadata: Metadata, work: () => Promise<T>): Promise<T> {
  const [traceparent] = metadata.get("traceparent");
  return inTrace(typeof traceparent === "string" ? traceparent : undefined, work);
}

/** Counts how a request ended; returns what it failed with as an error of ours. */
function count({ log, metrics }: Watch, error: unknown): FlashloanError {
  const known = toFlashloanError(error);
  const outcome = error === undefined ? "ok" : isFailure(known) ? "failed" : "refused";
  metrics.add("flashloan_rpc_requests_total", { outcome });
  if (error !== undefined && known.code === "internal") log.error({ error: known }, "rpc_failed");
  return known;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** What a failed call is told, our code in its metadata. */
export function toStatus(error: FlashloanError): { code: number; details: string; metadata: Metadata } {
  const metadata = new Metadata();
  metadata.set("flashloan-code", error.code);
  return { code: ERROR_CODES[error.code].grpc, details: error.message, metadata };
}
