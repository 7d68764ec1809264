import type { Redis } from "ioredis";
import { backoffMs, systemClock } from "../clock.ts";
import { FEED_ENTRIES_KEPT, type FeedEntry, type LiveFeed } from "../ports/live-feed.ts";
import { assertEntry, startId } from "./feed-rules.ts";
import { connectRedis, REDIS_DEADLINE_MS, redisAnswers } from "./redis-connection.ts";

/** How long a read waits on the server for something new before it asks again. */
const BLOCK_MS = 1_000;
const BATCH = 100;
const RETRY_BASE_MS = 50;
const RETRY_CAP_MS = 1_000;

/**
 * Redis streams (`redis:` or `rediss:` URL), one a topic, trimmed to about `FEED_ENTRIES_KEPT`. Each reader has a
 * connection of its own, since a blocked read would hold up the writes.
 * @throws FlashloanError service_unavailable when the first connection fails
 */
export async function openRedisLiveFeed(url: string): Promise<LiveFeed> {
  const redis = await connectRedis(url);
  let dropped = 0;
  return {
    append: async (topic, text) => {
      assertEntry(topic, text);
      try {
        await redis.xadd(keyOf(topic), "MAXLEN", "~", FEED_ENTRIES_KEPT, "*", "text", text);
      } catch {
        dropped += 1;
      }
    },
    read: async function* (topic, start, signal) {
      assertEntry(topic, "");
      let at = startId(start);
      let reader: Redis | undefined;
      const disconnect = (): void => reader?.disconnect();
      signal.addEventListener("abort", disconnect, { once: true });
      try {
        for (let attempt = 0; !signal.aborted; attempt += 1) {
          try {
            reader ??= await connectRedis(url, BLOCK_MS + REDIS_DEADLINE_MS);
            at ??= await newestId(reader, topic);
            for (const entry of await nextEntries(reader, topic, at)) {
              if (signal.aborted) return;
              at = entry.id;
              yield entry;
            }
            attempt = 0;
          } catch {
            await systemClock
              .sleep(RETRY_BASE_MS + backoffMs(attempt, RETRY_BASE_MS, RETRY_CAP_MS), signal)
              .catch(() => undefined);
          }
        }
      } finally {
        signal.removeEventListener("abort", disconnect);
        disconnect();
      }
    },
    isReachable: () => redisAnswers(redis),
    dropped: () => dropped,
    stop: async () => redis.disconnect(),
  };
}

function keyOf(topic: string): string {
  return `feed:${topic}`;
}

async function newestId(redis: Redis, topic: string): Promise<string> {
  const [newest] = await redis.xrevrange(keyOf(topic), "+", "-", "COUNT", 1);
  return newest?.[0] ?? "0-0";
}

async function nextEntries(redis: Redis, topic: string, after: string): Promise<FeedEntry[]> {
  const found = await redis.xread("COUNT", BATCH, "BLOCK", BLOCK_MS, "STREAMS", keyOf(topic), after);
  const [stream] = found ?? [];
  return (stream?.[1] ?? []).map(([id, fields]) => ({ id, text: fields[1] ?? "" }));
}
