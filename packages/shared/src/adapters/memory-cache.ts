import { LRUCache } from "lru-cache";
import type { Cache } from "../ports/cache.ts";

const ENTRIES_MAX = 50_000;
/** Text of all entries; what is larger than that alone is not kept. */
const CHARACTERS_MAX = 16 * 1024 * 1024;

/** The cache of the embedded platform (`memory:`): bounded, least recently used goes first. */
export function createMemoryCache(): Cache {
  const entries = new LRUCache<string, string>({
    max: ENTRIES_MAX,
    maxSize: CHARACTERS_MAX,
    sizeCalculation: (value, key) => key.length + value.length,
  });
  return {
    get: async (key) => entries.get(key),
    set: async (key, value, ttlMs) => void entries.set(key, value, { ttl: ttlMs }),
    delete: async (key) => void entries.delete(key),
    increment: async (key, by, ttlMs) => {
      const before = entries.get(key);
      const remaining = before === undefined ? ttlMs : entries.getRemainingTTL(key);
      const value = Number(before ?? 0) + by;
      entries.set(key, String(value), { ttl: remaining });
      return value;
    },
    isReachable: async () => true,
    missed: () => 0,
    stop: async () => entries.clear(),
  };
}
