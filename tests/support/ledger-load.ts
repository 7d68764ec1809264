import { CheckpointServiceService as Checkpoint } from "@flashloan/proto/checkpoint/v1/checkpoint";
import { systemClock } from "@flashloan/shared/clock";
import { FlashloanError } from "@flashloan/shared/errors";
import type { Running } from "@flashloan/shared/lifecycle";
import type { RpcClient } from "@flashloan/shared/rpc-client";

const RETRY_MS = 100;
const PAUSE_MS = 20;

/** Appends to the ledger from several writers, each to a stream of its own, and remembers what was acknowledged. */
export class LedgerLoad implements Running {
  /** By stream: how many of its records were acknowledged. Each carries its number. */
  readonly acknowledged = new Map<string, number>();
  /** Appends that were answered by an error and asked for again. */
  failures = 0;
  readonly #client: RpcClient;
  readonly #abort = new AbortController();
  readonly #writers: Promise<void>[];

  constructor(client: RpcClient, writers: number) {
    this.#client = client;
    const streams = Array.from({ length: writers }, (_, index) => `load:${index}`);
    this.#writers = streams.map((stream) => this.#write(stream));
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await Promise.all(this.#writers);
  }

  /** What the ledger holds other than what was acknowledged; empty when nothing was lost, doubled or out of order. */
  async faults(): Promise<string[]> {
    const faults: string[] = [];
    for (const [stream, count] of this.acknowledged) {
      const found: unknown[] = [];
      let pageToken = "";
      do {
        const page = await this.#client.unary(Checkpoint.history, { streamId: stream, pageSize: 1_000, pageToken });
        for (const { payload } of page.records) found.push(JSON.parse(payload.toString()));
        pageToken = page.nextPageToken;
      } while (pageToken !== "");
      // The newest may be durable without having been acknowledged.
      if (found.length < count || found.length > count + 1) faults.push(`${stream}: ${found.length} for ${count}`);
      const misplaced = found.findIndex((number, index) => number !== index);
      if (misplaced >= 0) faults.push(`${stream} has ${String(found[misplaced])} at ${misplaced}`);
    }
    return faults;
  }

  async #write(streamId: string): Promise<void> {
    for (let number = 0; !this.#abort.signal.aborted; number++) {
      const payload = Buffer.from(JSON.stringify(number));
      const request = {
        streamId,
        expectedSequence: BigInt(number),
        idempotencyKey: String(number),
        records: [{ state: "LOAD", terminal: false, payload }],
      };
      if (!(await this.#appendUntilAcknowledged(request))) return;
      this.acknowledged.set(streamId, number + 1);
      await systemClock.sleep(PAUSE_MS);
    }
  }

  async #appendUntilAcknowledged(request: Parameters<typeof Checkpoint.append.requestSerialize>[0]): Promise<boolean> {
    for (;;) {
      try {
        await this.#client.unary(Checkpoint.append, request, { deadlineMs: 5_000 });
        return true;
      } catch (error) {
        if (!(error instanceof FlashloanError) || !error.retryable) throw error;
        if (this.#abort.signal.aborted) return false;
        this.failures += 1;
        await systemClock.sleep(RETRY_MS);
      }
    }
  }
}
