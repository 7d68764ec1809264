import type { ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import {
  CheckpointServiceService as Checkpoint,
  type AppendRequest,
  type AppendResponse,
  type AppendStreamRequest,
  type AppendStreamResponse,
} from "@flashloan/proto/checkpoint/v1/checkpoint";
import { ERROR_CODES, FlashloanError, type ErrorCode } from "@flashloan/shared/errors";
import type { Running } from "@flashloan/shared/lifecycle";
import { fromServiceError, type RpcClient } from "@flashloan/shared/rpc-client";

/** What one message carries at most. */
const BATCH_MAX = 512;
const BATCH_BYTES_MAX = 1024 * 1024;
/** Batches that are sent and not answered: with one, all that waits meanwhile shares the next commit. */
const BATCHES_IN_FLIGHT_MAX = 1;
/** Appends that may wait to be sent; more are refused, so that callers feel the pressure. */
const WAITING_MAX = 10_000;
/** An answer that takes longer is given up, and the connection with it. */
const ANSWER_DEADLINE_MS = 15_000;

interface Waiting {
  readonly request: AppendRequest;
  readonly bytes: number;
  readonly resolve: (appended: AppendResponse) => void;
  readonly reject: (error: FlashloanError) => void;
}

/**
 * Appends to the checkpoint service over one stream; what waits at the same time travels and commits together. An append
 * whose answer was lost fails with a retryable error and may be repeated: its idempotency key makes that harmless.
 */
export class LedgerWriter implements Running {
  readonly #client: RpcClient;
  readonly #waiting: Waiting[] = [];
  readonly #inFlight: Waiting[][] = [];
  #stream: ClientDuplexStream<AppendStreamRequest, AppendStreamResponse> | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #flushing = false;
  #stopped = false;

  /** @param client stays its owner's */
  constructor(client: RpcClient) {
    this.#client = client;
  }

  /** Appends durably. @throws FlashloanError by the service's codes; service_unavailable, queue_full, service_stopping */
  append(request: AppendRequest): Promise<AppendResponse> {
    if (this.#stopped) return Promise.reject(new FlashloanError("service_stopping", "the ledger's writer has stopped"));
    if (this.#waiting.length >= WAITING_MAX)
      return Promise.reject(new FlashloanError("queue_full", `${WAITING_MAX} appends wait already: try again`));
    const bytes = request.records.reduce((sum, { payload }) => sum + payload.length, 0);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, bytes, resolve, reject });
      this.#flushSoon();
    });
  }

  /** Waits for what is under way and closes the stream. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const left = [...this.#waiting, ...this.#inFlight.flat()];
    await Promise.allSettled(
      left.map(
        (waiting) =>
          new Promise<void>((resolve) => {
            const { resolve: answered, reject: failed } = waiting;
            Object.assign(waiting, {
              resolve: (value: AppendResponse) => (answered(value), resolve()),
              reject: (error: FlashloanError) => (failed(error), resolve()),
            });
          }),
      ),
    );
    this.#stream?.end();
    clearTimeout(this.#deadline);
  }

  /** After the callers of this turn of the event loop have had their say, so that they share a message. */
  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#waiting.length > 0 && this.#inFlight.length < BATCHES_IN_FLIGHT_MAX) {
      let [count, bytes] = [0, 0];
      for (const waiting of this.#waiting) {
        bytes += waiting.bytes;
        if (count > 0 && (count >= BATCH_MAX || bytes > BATCH_BYTES_MAX)) break;
        count += 1;
      }
      const batch = this.#waiting.splice(0, count);
      this.#inFlight.push(batch);
      try {
        this.#stream ??= this.#open();
      } catch (cause) {
        const error = new FlashloanError("service_stopping", "the client of the checkpoint service has stopped", {
          cause,
        });
        return this.#lose(error);
      }
      this.#stream.write({ appends: batch.map(({ request }) => request) });
      this.#watch();
    }
  }

  #open(): ClientDuplexStream<AppendStreamRequest, AppendStreamResponse> {
    const stream = this.#client.bidiStream(Checkpoint.appendStream);
    const lost = (error: FlashloanError): void => {
      if (this.#stream === stream) this.#lose(error);
    };
    stream.on("data", (answer: AppendStreamResponse) => this.#take(answer));
    stream.on("error", (error: ServiceError) =>
      lost(fromServiceError(error, this.#client.address, Checkpoint.appendStream.path)),
    );
    stream.on("end", () => lost(new FlashloanError("service_unavailable", "the checkpoint service closed the stream")));
    return stream;
  }

  #take({ results }: AppendStreamResponse): void {
    const batch = this.#inFlight.shift() ?? [];
    for (const [index, { resolve, reject }] of batch.entries()) {
      const result = results[index]?.result;
      if (result?.$case === "appended") resolve(result.value);
      else if (result?.$case === "failure") reject(toError(result.value.code, result.value.message));
      else reject(new FlashloanError("internal", "the checkpoint service left an append without an answer"));
    }
    this.#watch();
    this.#flushSoon();
  }

  /** What was sent may be durable or not: every caller is told, and may repeat by its idempotency key. */
  #lose(error: FlashloanError): void {
    const stream = this.#stream;
    this.#stream = undefined;
    stream?.cancel();
    const lost = this.#inFlight.splice(0);
    this.#watch();
    // A stream that ends with nothing under way is opened again when it is needed.
    const failed =
      error.code === "internal" ? new FlashloanError("service_unavailable", error.message, { cause: error }) : error;
    for (const { reject } of lost.flat()) reject(failed);
    this.#flushSoon();
  }

  #watch(): void {
    clearTimeout(this.#deadline);
    if (this.#inFlight.length === 0) return;
    const silent = (): void =>
      this.#lose(
        new FlashloanError("deadline_exceeded", `the checkpoint service was silent for ${ANSWER_DEADLINE_MS} ms`),
      );
    this.#deadline = setTimeout(silent, ANSWER_DEADLINE_MS);
  }
}

function toError(code: string, message: string): FlashloanError {
  return new FlashloanError(code in ERROR_CODES ? (code as ErrorCode) : "internal", message);
}
