import { FlashloanError } from "../errors.ts";
import type { Cache } from "../ports/cache.ts";
import type { Coordination } from "../ports/coordination.ts";
import type { Database } from "../ports/database.ts";
import type { EventBus } from "../ports/event-bus.ts";
import type { LiveFeed } from "../ports/live-feed.ts";

// Adapters load their client only when chosen: a service that runs embedded never loads a driver.

/** The database that a URL names: `pglite:` (in memory), `pglite:FOLDER` or `postgres://…`. @throws FlashloanError config_invalid, service_unavailable */
export async function openDatabase(url: string): Promise<Database> {
  switch (schemeOf(url)) {
    case "pglite":
      return (await import("./pglite-database.ts")).openPgliteDatabase(url.slice("pglite:".length) || undefined);
    case "postgres":
    case "postgresql":
      return (await import("./postgres-database.ts")).openPostgresDatabase(url);
    default:
      throw unknownScheme("database", url, "pglite:FOLDER or postgres://user:password@host/database");
  }
}

/** The event bus that a URL names: `memory:` or `amqp://…`. @throws FlashloanError config_invalid, service_unavailable */
export async function openEventBus(url: string): Promise<EventBus> {
  switch (schemeOf(url)) {
    case "memory":
      return (await import("./memory-event-bus.ts")).createMemoryEventBus();
    case "amqp":
    case "amqps":
      return (await import("./amqp-event-bus.ts")).openAmqpEventBus(url);
    default:
      throw unknownScheme("event bus", url, "memory: or amqp://user:password@host");
  }
}

/** The cache that a URL names: `memory:` or `redis://…`. @throws FlashloanError config_invalid, service_unavailable */
export async function openCache(url: string): Promise<Cache> {
  switch (schemeOf(url)) {
    case "memory":
      return (await import("./memory-cache.ts")).createMemoryCache();
    case "redis":
    case "rediss":
      return (await import("./redis-cache.ts")).openRedisCache(url);
    default:
      throw unknownScheme("cache", url, "memory: or redis://host:port");
  }
}

/** The live feed that a URL names: `memory:` or `redis://…`. @throws FlashloanError config_invalid, service_unavailable */
export async function openLiveFeed(url: string): Promise<LiveFeed> {
  switch (schemeOf(url)) {
    case "memory":
      return (await import("./memory-live-feed.ts")).createMemoryLiveFeed();
    case "redis":
    case "rediss":
      return (await import("./redis-live-feed.ts")).openRedisLiveFeed(url);
    default:
      throw unknownScheme("live feed", url, "memory: or redis://host:port");
  }
}

/** The coordination that a URL names: `memory:` or `etcd:host:port,host:port`. @throws FlashloanError config_invalid, service_unavailable */
export async function openCoordination(url: string): Promise<Coordination> {
  switch (schemeOf(url)) {
    case "memory":
      return (await import("./memory-coordination.ts")).createMemoryCoordination();
    case "etcd":
      return (await import("./etcd-coordination.ts")).openEtcdCoordination(
        url.slice("etcd:".length).replace(/^\/\//, "").split(","),
      );
    default:
      throw unknownScheme("coordination", url, "memory: or etcd:host:port");
  }
}

function schemeOf(url: string): string {
  return url.slice(0, Math.max(0, url.indexOf(":")));
}

function unknownScheme(port: string, url: string, known: string): FlashloanError {
  // The URL may carry a password: only its scheme is shown.
  const scheme = url.includes(":") ? url.slice(0, url.indexOf(":") + 1) : url.slice(0, 20);
  return new FlashloanError("config_invalid", `there is no ${port} adapter for "${scheme}": use ${known}`);
}
