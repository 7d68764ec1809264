import { MessageChannel } from "node:worker_threads";
import { Piscina } from "piscina";
import { FlashloanError } from "@flashloan/shared/errors";
import type { Answers, Improvement } from "./answers.ts";
import type { Kind } from "./questions.ts";
import { monotonicMs, revived, type Work, type Worked } from "./work.ts";

/** How long after its deadline, or after it was cancelled, an answer may still come before its thread is ended. */
const GRACE_MS = 2_000;
/** A thread that nobody has asked for so long is ended. */
const IDLE_MS = 60_000;
/** Of JavaScript's objects; what simulations take lies beside that. */
const HEAP_MIB_MAX = 384;

/** How threads are run. */
export interface ThreadsOptions {
  readonly threads: number;
  /** How many of them are there from the start and stay. */
  readonly kept: number;
  /** Told of a thread that failed while nobody waited for it. */
  readonly onError: (error: unknown) => void;
  readonly heapMib?: number;
  readonly graceMs?: number;
}

/** What bounds one question's work. */
export interface WorkOptions {
  readonly dueMs: number;
  readonly memoryBytes: number;
  readonly signal: AbortSignal;
  readonly onImproved?: (improvement: Improvement) => void;
}

/** Worker threads that answer questions. */
export class Threads {
  readonly #pool: Piscina<Work, Worked>;
  readonly #heapMib: number;
  readonly #graceMs: number;

  constructor({ threads, kept, onError, heapMib = HEAP_MIB_MAX, graceMs = GRACE_MS }: ThreadsOptions) {
    this.#heapMib = heapMib;
    this.#graceMs = graceMs;
    const fromSource = import.meta.url.endsWith(".ts");
    this.#pool = new Piscina({
      filename: new URL(fromSource ? "./work.ts" : "./work.js", import.meta.url).href,
      name: "work",
      minThreads: kept,
      maxThreads: threads,
      idleTimeout: IDLE_MS,
      resourceLimits: { maxOldGenerationSizeMb: heapMib },
      // A test's runner has no conditions of its own.
      ...(fromSource && { execArgv: ["--conditions=@flashloan/source", "--disable-warning=ExperimentalWarning"] }),
    });
    this.#pool.on("error", onError);
  }

  /**
   * Has a thread answer.
   * @param body as JSON, not yet looked into
   * @throws FlashloanError what the work failed with; deadline_exceeded when it had to be ended, payload_too_large when it
   * took too much memory
   */
  async answer(
    kind: Kind,
    body: unknown,
    { dueMs, memoryBytes, signal, onImproved }: WorkOptions,
  ): Promise<Answers[Kind]> {
    const cancel = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
    const channel = onImproved ? new MessageChannel() : undefined;
    // The thread's last word is null; a pool that looks for work at once leaves no time to close a port.
    const told = Promise.withResolvers<void>();
    channel?.port1.on("message", (word: Improvement | null) => (word ? onImproved?.(word) : told.resolve()));
    const hard = new AbortController();
    const end = (): void => hard.abort();
    let timer = setTimeout(end, Math.max(0, dueMs - monotonicMs() + this.#graceMs));
    const onAbort = (): void => {
      Atomics.store(cancel, 0, 1);
      clearTimeout(timer);
      timer = setTimeout(end, this.#graceMs);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      const work = { kind, body, dueMs, memoryBytes, cancel, ...(channel && { port: channel.port2 }) };
      const worked = await this.#pool.run(work, {
        signal: hard.signal,
        ...(channel && { transferList: [channel.port2] }),
      });
      if (channel) await told.promise;
      if ("error" in worked) throw revived(worked.error);
      return worked.answer;
    } catch (error) {
      if (error instanceof FlashloanError) throw error;
      if ((error as { code?: string }).code === "ERR_WORKER_OUT_OF_MEMORY")
        throw new FlashloanError(
          "payload_too_large",
          `the question took more than the ${this.#heapMib} MiB that a thread may have: make it smaller`,
          { cause: error },
        );
      if (!hard.signal.aborted) throw error;
      throw new FlashloanError(
        "deadline_exceeded",
        `no answer ${this.#graceMs} ms after its deadline: its thread was ended; make the question smaller`,
        { cause: error },
      );
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      channel?.port1.close();
    }
  }

  async stop(): Promise<void> {
    await this.#pool.destroy();
  }
}
