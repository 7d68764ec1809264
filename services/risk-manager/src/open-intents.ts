/** Intents that are kept at most; beyond that the oldest is forgotten. The executor has a few at a time. */
export const OPEN_INTENTS_MAX = 1_000;
/** Ended intents that are remembered, so that a late event does not open one again. */
const ENDED_MAX = 10_000;

/** Where an intent stands, by one of its events. */
export interface IntentNews {
  readonly intentId: string;
  /** The number of its newest record in the ledger: news come again and out of order, and older ones change nothing. */
  readonly sequence: bigint;
  /** True while it is signed and not ended. */
  readonly inFlight: boolean;
  /** The most gas that it can still cost. */
  readonly maxGasWei: bigint;
}

/**
 * The intents that are signed and not ended, and what they can still cost. A view for operators and no limit: it follows
 * events, which may be late, and an intent whose last event is lost stays until the executor tells all again.
 */
export class OpenIntents {
  readonly #open = new Map<string, IntentNews>();
  readonly #ended = new Map<string, bigint>();

  get count(): number {
    return this.#open.size;
  }
  /** The most gas that they can still cost together. */
  get exposureWei(): bigint {
    return [...this.#open.values()].reduce((sum, { maxGasWei }) => sum + maxGasWei, 0n);
  }

  /** Takes one event's news. */
  observe(news: IntentNews): void {
    const { intentId, sequence, inFlight } = news;
    const known = this.#open.get(intentId)?.sequence ?? this.#ended.get(intentId) ?? 0n;
    if (sequence <= known) return;
    if (inFlight) {
      this.#open.set(intentId, news);
      dropOldest(this.#open, OPEN_INTENTS_MAX);
    } else {
      this.#open.delete(intentId);
      this.#ended.set(intentId, sequence);
      dropOldest(this.#ended, ENDED_MAX);
    }
  }

  /** Takes all that is open in place of what was known. */
  restore(open: readonly IntentNews[]): void {
    this.#open.clear();
    for (const news of open) this.observe(news);
  }
}

function dropOldest<K, V>(map: Map<K, V>, max: number): void {
  for (const key of map.keys()) {
    if (map.size <= max) return;
    map.delete(key);
  }
}
