import { FlashloanError } from "@flashloan/shared/errors";

/** A question waits this long at most, as a share of its deadline: the rest is for the answer. */
const WAIT_SHARE_MAX = 0.5;
/** So short a wait is always taken. */
const WAIT_MS_MIN = 2;
/** How much the newest answer counts in what is expected of the next. */
const NEWEST_SHARE = 0.2;
const MIB = 1024 * 1024;

/** What may be at work, and what may wait. */
export interface AdmissionLimits {
  readonly threads: number;
  readonly waitingMax: number;
  /** Of all questions at work together, in bytes. */
  readonly memoryBytes: number;
}

/** What a question costs at most. */
export interface Cost {
  readonly kind: string;
  readonly deadlineMs: number;
  readonly memoryBytes: number;
}

interface Entry extends Cost {
  readonly begin: () => void;
  expectedMs: number;
  begunMs: number | undefined;
}

/** A question's place. */
export interface Place {
  /** Resolves when it may begin. */
  readonly begun: Promise<void>;
  /** Gives the place up, whether it has begun or not; `answered` when it was worked on to its end. */
  readonly leave: (how?: "answered") => void;
}

/**
 * Takes questions in turn. One that takes more memory than there is, finds the line full, or would wait for most of its
 * deadline is refused at once, so that whoever asks can do something else. How long questions take is learned: most are
 * answered long before their deadlines.
 */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #now: () => number;
  readonly #waiting: Entry[] = [];
  readonly #working = new Set<Entry>();
  /** By kind: the share of their deadlines that answers have taken. */
  readonly #shares = new Map<string, number>();

  constructor(limits: AdmissionLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  get working(): number {
    return this.#working.size;
  }

  get memoryBytes(): number {
    return this.#working.values().reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  }

  /** @throws FlashloanError argument_invalid for more memory than there is, queue_full for a wait that is too long */
  take(cost: Cost): Place {
    const { waitingMax, memoryBytes: most } = this.#limits;
    if (cost.memoryBytes > most)
      throw new FlashloanError(
        "argument_invalid",
        `the question takes about ${Math.ceil(cost.memoryBytes / MIB)} MiB: at most ${Math.floor(most / MIB)} MiB are there (QUANTUM_MEMORY_MIB); make it smaller`,
      );
    const waitMs = this.#expectedWaitMs(cost);
    const isTooLong = waitMs > Math.max(WAIT_MS_MIN, WAIT_SHARE_MAX * cost.deadlineMs);
    if (isTooLong || (waitMs > 0 && this.#waiting.length >= waitingMax))
      throw new FlashloanError(
        "queue_full",
        `${this.#working.size} questions are at work and ${this.#waiting.length} wait: this one would wait about ${Math.ceil(waitMs)} ms ` +
          `of its ${cost.deadlineMs}; ask again then, or with a longer deadline`,
        { details: { waitMs: Math.ceil(waitMs), waiting: this.#waiting.length, waitingMax } },
      );
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const entry: Entry = { ...cost, begin, expectedMs: this.#expectedMs(cost), begunMs: undefined };
    this.#waiting.push(entry);
    this.#beginNext();
    return { begun, leave: (how) => this.#leave(entry, how) };
  }

  #leave(entry: Entry, how?: "answered"): void {
    const at = this.#waiting.indexOf(entry);
    if (at >= 0) this.#waiting.splice(at, 1);
    if (this.#working.delete(entry) && how && entry.begunMs !== undefined && entry.deadlineMs > 0) {
      const share = Math.min(1, (this.#now() - entry.begunMs) / entry.deadlineMs);
      const before = this.#shares.get(entry.kind) ?? share;
      this.#shares.set(entry.kind, before + NEWEST_SHARE * (share - before));
    }
    this.#beginNext();
  }

  #beginNext(): void {
    for (let next = this.#waiting[0]; next && this.#fits(next); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#working.add(next);
      next.begunMs = this.#now();
      next.begin();
    }
  }

  #fits({ memoryBytes }: Cost): boolean {
    return this.#working.size < this.#limits.threads && this.memoryBytes + memoryBytes <= this.#limits.memoryBytes;
  }

  #expectedMs({ kind, deadlineMs }: Cost): number {
    return deadlineMs * (this.#shares.get(kind) ?? 1);
  }

  #expectedWaitMs(cost: Cost): number {
    if (this.#waiting.length === 0 && this.#fits(cost)) return 0;
    const now = this.#now();
    const left = this.#working
      .values()
      .reduce((sum, { expectedMs, begunMs }) => sum + Math.max(0, expectedMs - (now - (begunMs ?? now))), 0);
    const before = this.#waiting.reduce((sum, { expectedMs }) => sum + expectedMs, 0);
    // Whoever is over what was expected of it may end at any time, but has not.
    return Math.max(1, (left + before) / this.#limits.threads);
  }
}
