import type { Running } from "../lifecycle.ts";

/** The largest entry, in bytes. */
export const FEED_ENTRY_BYTES_MAX = 64 * 1024;
/** Entries of a topic that are kept, about; the oldest go. */
export const FEED_ENTRIES_KEPT = 10_000;

/** One entry of a live feed. */
export interface FeedEntry {
  /** Its place: grows within a topic. Give it back as `after` to go on from there. */
  readonly id: string;
  readonly text: string;
}

/** Where a reader begins: with what comes from now on, with the oldest that is kept, or after an entry that it knows. */
export type FeedStart = "new" | "oldest" | { readonly after: string };

/**
 * Carries what people watch live (blocks, trades) from many writers to many readers, and the recent past to those who
 * come late. It is a view: who must not miss anything reads the ledger or subscribes to the bus.
 */
export interface LiveFeed extends Running {
  /**
   * Adds an entry to a topic (lower-case letters, digits, dashes). Never fails for an outage and never waits for one:
   * the entry is dropped and counted.
   * @throws FlashloanError argument_invalid, payload_too_large
   */
  append(topic: string, text: string): Promise<void>;
  /** Entries in order until the signal aborts; an outage delays, what was kept comes then. */
  read(topic: string, start: FeedStart, signal: AbortSignal): AsyncIterable<FeedEntry>;
  /** Whether the store answers now; for health, never thrown. */
  isReachable(): Promise<boolean>;
  /** Entries that an outage turned away, since the start. */
  dropped(): number;
}
