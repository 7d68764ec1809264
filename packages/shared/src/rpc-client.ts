import { Client, connectivityState, Metadata, status, type ClientDuplexStream, type ServiceError } from "@grpc/grpc-js";
import { service as healthService } from "grpc-health-check";
import { ConstantBackoff, handleWhen, retry, ExponentialBackoff } from "cockatiel";
import { ERROR_CODES, FlashloanError, type ErrorCode } from "./errors.ts";
import { MESSAGE_BYTES_MAX } from "./rpc-server.ts";
import { clientCredentials } from "./rpc-tls.ts";
import type { Running } from "./lifecycle.ts";
import { currentTraceparent } from "./telemetry/tracing.ts";

/** One method of a generated service definition. */
export interface RpcMethod<I, O> {
  readonly path: string;
  readonly requestSerialize: (value: I) => Buffer;
  readonly responseDeserialize: (value: Buffer) => O;
}

/** How one call is made. */
export interface CallOptions {
  /** The call fails with deadline_exceeded after so long, retries included. */
  readonly deadlineMs?: number;
  /** How often it is tried again when the service can't be reached; only for what may be repeated. */
  readonly retries?: number;
  readonly signal?: AbortSignal;
}

const DEADLINE_MS_DEFAULT = 5_000;
const HEALTH_DEADLINE_MS = 2_000;
const HEALTH_CHECK = healthService["Check"] as RpcMethod<{ service: string }, { status: string }>;
/** Of all calls of a client, at most this share may be retries (after the first ten), so that a sick service is not buried. */
const RETRY_SHARE_MAX = 0.2;

/** A client of one service, over a connection to one of its replicas that comes back by itself. */
export class RpcClient implements Running {
  readonly address: string;
  readonly #client: Client;
  #calls = 0;
  #retries = 0;

  /** @param tlsFolder certificates for mutual TLS; without it plain text. @throws FlashloanError config_invalid */
  constructor(address: string, tlsFolder?: string) {
    this.address = address;
    this.#client = new Client(address, clientCredentials(tlsFolder), {
      "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
      "grpc.max_send_message_length": MESSAGE_BYTES_MAX,
      "grpc.keepalive_time_ms": 30_000,
      "grpc.keepalive_timeout_ms": 10_000,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 2_000,
      "grpc.service_config_disable_resolution": 1,
      // A name may stand for several replicas, which come and go: one that goes away is replaced at the next call.
      "grpc.dns_min_time_between_resolutions_ms": 1_000,
    });
  }

  /** Asks and waits for the answer. @throws FlashloanError with the code that the service gave, or service_unavailable, deadline_exceeded */
  async unary<I, O>(method: RpcMethod<I, O>, request: I, options: CallOptions = {}): Promise<O> {
    const deadline = Date.now() + (options.deadlineMs ?? DEADLINE_MS_DEFAULT);
    this.#calls += 1;
    if (!options.retries) return this.#ask(method, request, deadline, options.signal);
    const policy = retry(
      handleWhen(
        (error) => error instanceof FlashloanError && error.code === "service_unavailable" && this.#mayRetry(),
      ),
      {
        maxAttempts: options.retries,
        backoff:
          options.retries > 1 ? new ExponentialBackoff({ initialDelay: 50, maxDelay: 1_000 }) : new ConstantBackoff(50),
      },
    );
    return policy.execute(() => this.#ask(method, request, deadline, options.signal), options.signal);
  }

  /** Asks once and yields answers until the service ends the stream or the signal aborts. */
  async *serverStream<I, O>(method: RpcMethod<I, O>, request: I, signal: AbortSignal): AsyncGenerator<O> {
    const call = this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      traceMetadata(),
    );
    const cancel = (): void => call.cancel();
    signal.addEventListener("abort", cancel, { once: true });
    try {
      for await (const message of call) yield message as O;
    } catch (error) {
      if (!signal.aborted) throw fromServiceError(error as ServiceError, this.address, method.path);
    } finally {
      signal.removeEventListener("abort", cancel);
      call.cancel();
    }
  }

  /** Opens a stream in both directions. The caller handles its `error`. */
  bidiStream<I, O>(method: RpcMethod<I, O>): ClientDuplexStream<I, O> {
    return this.#client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      traceMetadata(),
    );
  }

  /** Whether a connection stands now. A call would wait for one. */
  get isConnected(): boolean {
    return this.#client.getChannel().getConnectivityState(false) === connectivityState.READY;
  }

  /** Connects now, and again whenever the connection is lost: without it, the next call does. */
  keepConnected(): void {
    const channel = this.#client.getChannel();
    const state = channel.getConnectivityState(true);
    if (state === connectivityState.SHUTDOWN) return;
    channel.watchConnectivityState(state, Infinity, (error) => {
      if (!error) this.keepConnected();
    });
  }

  /** What the service says of itself (grpc.health.v1), or why it says nothing; never thrown. */
  async health(deadlineMs: number): Promise<"serving" | "not_serving" | { readonly silent: string }> {
    try {
      const { status: answer } = await this.unary(HEALTH_CHECK, { service: "" }, { deadlineMs });
      return answer === "SERVING" ? "serving" : "not_serving";
    } catch (error) {
      return { silent: (error as Error).message };
    }
  }

  /** Whether the service says of itself that it can do its work; for readiness, never thrown. */
  async isServing(): Promise<boolean> {
    return (await this.health(HEALTH_DEADLINE_MS)) === "serving";
  }

  async stop(): Promise<void> {
    this.#client.close();
  }

  #mayRetry(): boolean {
    if (this.#calls > 10 && this.#retries / this.#calls > RETRY_SHARE_MAX) return false;
    this.#retries += 1;
    return true;
  }

  #ask<I, O>(method: RpcMethod<I, O>, request: I, deadline: number, signal: AbortSignal | undefined): Promise<O> {
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        traceMetadata(),
        { deadline },
        (error, value) => {
          signal?.removeEventListener("abort", cancel);
          if (error) reject(fromServiceError(error, this.address, method.path));
          else resolve(value as O);
        },
      );
      const cancel = (): void => call.cancel();
      signal?.addEventListener("abort", cancel, { once: true });
    });
  }
}

/** The current trace, for the service that is asked. */
function traceMetadata(): Metadata {
  const metadata = new Metadata();
  const traceparent = currentTraceparent();
  if (traceparent !== undefined) metadata.set("traceparent", traceparent);
  return metadata;
}

/** What the transport says when the two sides don't agree on TLS. */
const TLS_FAULT = /certificate|SSL|TLS|EPROTO|ECONNRESET|Failed to connect/;

/** A gRPC error as ours: by the code in its metadata, else by its status. */
export function fromServiceError(error: ServiceError, address: string, path: string): FlashloanError {
  const [code] = (error.metadata as Metadata | undefined)?.get("flashloan-code") ?? [];
  const details = { address, method: path };
  if (typeof code === "string" && code in ERROR_CODES)
    return new FlashloanError(code as ErrorCode, error.details, { details });
  if (error.code === status.DEADLINE_EXCEEDED)
    return new FlashloanError("deadline_exceeded", `${path} at ${address} did not answer in time`, {
      details,
      cause: error,
    });
  if (error.code === status.UNAVAILABLE) {
    const cure = TLS_FAULT.test(error.details)
      ? "is it running, and has GRPC_TLS_FOLDER, here and there, certificates of the same authority (or neither any)?"
      : "is the platform running?";
    const reason = error.details.replaceAll(/\s+/g, " ").trim();
    return new FlashloanError("service_unavailable", `${address} can't be reached (${reason}): ${cure}`, {
      details,
      cause: error,
    });
  }
  return new FlashloanError("internal", error.details || error.message, { details, cause: error });
}
