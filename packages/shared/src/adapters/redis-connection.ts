import { Redis } from "ioredis";
import { backoffMs } from "../clock.ts";
import { FlashloanError } from "../errors.ts";

/** A server that is silent for so long is taken for lost: until it answers again every call fails at once. */
export const REDIS_DEADLINE_MS = 1_000;
const RECONNECT_BASE_MS = 50;
const RECONNECT_CAP_MS = 2_000;
const KEY_PREFIX = "flashloan:";

/**
 * A connection that fails fast and comes back by itself.
 * @param deadlineMs the longest that the server may be silent
 * @throws FlashloanError service_unavailable when the first connection fails
 */
export async function connectRedis(url: string, deadlineMs = REDIS_DEADLINE_MS): Promise<Redis> {
  const redis = new Redis(url, {
    keyPrefix: KEY_PREFIX,
    commandTimeout: deadlineMs,
    socketTimeout: deadlineMs,
    connectTimeout: REDIS_DEADLINE_MS,
    // No queue while it is down: callers learn at once, memory stays bounded, and no old write comes late.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    lazyConnect: true,
    retryStrategy: (attempt) => RECONNECT_BASE_MS + backoffMs(attempt, RECONNECT_BASE_MS, RECONNECT_CAP_MS),
  });
  // Without a listener an error would end the process; what fails says so itself.
  redis.on("error", () => undefined);
  try {
    await redis.connect();
    await redis.ping();
  } catch (cause) {
    redis.disconnect();
    throw redisUnavailable(cause, ": is it running, and is the URL right?");
  }
  return redis;
}

/** Whether the server answers now. */
export async function redisAnswers(redis: Redis): Promise<boolean> {
  try {
    return redis.status === "ready" && (await redis.ping()) === "PONG";
  } catch {
    return false;
  }
}

/** What a failed call is told as. */
export function redisUnavailable(cause: unknown, hint: string): FlashloanError {
  return new FlashloanError("service_unavailable", `Redis can't serve (${(cause as Error).message})${hint}`, { cause });
}
