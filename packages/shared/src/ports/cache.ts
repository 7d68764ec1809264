import type { Running } from "../lifecycle.ts";

/** Holds what must be read fast and can be rebuilt. Every entry expires. */
export interface Cache extends Running {
  /** The value, or undefined when it was never set, has expired or was evicted. */
  get(key: string): Promise<string | undefined>;
  set(key: string, value: string, ttlMs: number): Promise<void>;
  delete(key: string): Promise<void>;
  /** Adds to a counter and returns its value; the first addition starts its life of `ttlMs`. For rate limits. */
  increment(key: string, by: number, ttlMs: number): Promise<number>;
  /** Whether the store answers now; for health, never thrown. */
  isReachable(): Promise<boolean>;
  /** Reads and writes that an outage turned into misses, since the start. */
  missed(): number;
}
