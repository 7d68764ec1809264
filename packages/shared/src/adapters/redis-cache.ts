import type { Cache } from "../ports/cache.ts";
import { connectRedis, redisAnswers, redisUnavailable } from "./redis-connection.ts";

/** INCRBY that starts the counter's life with its first addition, in one step on the server. */
const INCREMENT = `
local value = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return value`;

/**
 * A Redis server (`redis:` or `rediss:` URL). What is in it can be rebuilt, so while it is down or full a read is a miss
 * and a write is dropped, both counted; only `increment` fails, since a rate limit that forgets is none.
 * @throws FlashloanError service_unavailable when the first connection fails
 */
export async function openRedisCache(url: string): Promise<Cache> {
  const redis = await connectRedis(url);
  let missed = 0;
  const orMiss = async <T>(work: Promise<T>): Promise<T | undefined> => {
    try {
      return await work;
    } catch {
      missed += 1;
      return undefined;
    }
  };
  return {
    get: async (key) => (await orMiss(redis.get(key))) ?? undefined,
    set: async (key, value, ttlMs) => void (await orMiss(redis.set(key, value, "PX", milliseconds(ttlMs)))),
    delete: async (key) => void (await orMiss(redis.del(key))),
    increment: async (key, by, ttlMs) => {
      try {
        return Number(await redis.eval(INCREMENT, 1, key, by, milliseconds(ttlMs)));
      } catch (cause) {
        throw redisUnavailable(cause, "");
      }
    },
    isReachable: () => redisAnswers(redis),
    missed: () => missed,
    stop: async () => redis.disconnect(),
  };
}

function milliseconds(ttlMs: number): number {
  return Math.max(1, Math.round(ttlMs));
}
