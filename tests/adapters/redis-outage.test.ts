import { afterAll, beforeAll, expect, test } from "vitest";
import { openCache, openLiveFeed } from "@flashloan/shared/adapters/open";
import type { Cache } from "@flashloan/shared/ports/cache";
import { startRedis, type TestServer } from "../support/servers.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";

// A cache may forget and must never delay: reads are misses, writes are dropped, both counted, within a second.
const POLL = { timeout: 30_000, interval: 20 };
/** One command's deadline (1 s), and a slow machine. */
const BOUND_MS = 3_000;
let server: TestServer;
let cache: Cache;

beforeAll(async () => {
  server = await startRedis();
  cache = await openCache(server.url);
});
afterAll(async () => {
  await cache.stop();
  await server.remove();
});

async function timed<T>(work: Promise<T>): Promise<{ ms: number; result: unknown }> {
  const started = performance.now();
  const result = await work.catch((error: unknown) => error);
  return { ms: performance.now() - started, result };
}

test("down: reads miss and writes are dropped at once and counted, only rate limits fail; back: all works by itself", async () => {
  await cache.set("k", "v", 60_000);
  await server.kill();
  await expect.poll(() => cache.isReachable(), POLL).toBe(false);
  const before = cache.missed();
  const calls = await timed(Promise.all(Array.from({ length: 500 }, () => cache.get("k"))));
  expect(calls.result).toEqual(Array.from({ length: 500 }, () => undefined));
  expect(calls.ms).toBeLessThan(BOUND_MS);
  await cache.set("k", "w", 60_000);
  await cache.delete("k");
  expect(cache.missed() - before).toBe(502);
  await expect(cache.increment("n", 1, 60_000)).rejects.toMatchObject({ code: "service_unavailable", retryable: true });
  await server.start();
  await expect.poll(() => cache.isReachable(), POLL).toBe(true);
  // Nothing that was dropped comes late.
  expect(await cache.get("k")).toBeUndefined();
  await cache.set("k", "x", 60_000);
  expect(await cache.get("k")).toBe("x");
  expect(await cache.increment("n", 1, 60_000)).toBe(1);
});

test("paused: the first reads miss within the deadline, later ones at once; it recovers by itself", async () => {
  await cache.set("k", "v", 60_000);
  server.pause();
  const first = await timed(Promise.all(Array.from({ length: 100 }, () => cache.get("k"))));
  expect(first.ms).toBeLessThan(BOUND_MS);
  // The connection is given up: no later call waits for a server that was silent.
  await expect.poll(async () => (await timed(cache.get("k"))).ms, POLL).toBeLessThan(50);
  expect((await timed(cache.increment("n", 1, 60_000))).result).toMatchObject({ code: "service_unavailable" });
  expect(await cache.isReachable()).toBe(false);
  server.resume();
  await expect.poll(() => cache.get("k"), POLL).toBe("v");
});

test("full: writes are dropped and counted, what is there is still read, rate limits fail", async () => {
  await cache.set("kept", "v", 60_000);
  // Its policy by default is to evict nothing.
  expect(await server.command("CONFIG SET maxmemory 1\r\n")).toContain("+OK");
  const before = cache.missed();
  await cache.set("k", "v".repeat(1_000), 60_000);
  expect(cache.missed()).toBe(before + 1);
  expect(await cache.get("kept")).toBe("v");
  await expect(cache.increment("full", 1, 60_000)).rejects.toMatchObject({
    code: "service_unavailable",
    message: expect.stringContaining("OOM"),
  });
  await server.command("CONFIG SET maxmemory 0\r\n");
  expect(await cache.increment("full", 1, 60_000)).toBe(1);
});

test("slow: answers are waited for up to the deadline, and are right", async () => {
  const proxy = await TcpProxy.open(server.port);
  const slow = await openCache(`redis://127.0.0.1:${proxy.port}`);
  proxy.slowDown(100);
  await slow.set("slow", "v", 60_000);
  expect(await slow.get("slow")).toBe("v");
  expect(slow.missed()).toBe(0);
  proxy.silence();
  expect((await timed(slow.get("slow"))).ms).toBeLessThan(BOUND_MS);
  expect(slow.missed()).toBe(1);
  proxy.heal();
  proxy.slowDown(0);
  await expect.poll(() => slow.get("slow"), POLL).toBe("v");
  await slow.stop();
  await proxy.close();
});

test("a server that can't be reached at the start is named as unavailable, and keeps no process alive", async () => {
  const proxy = await TcpProxy.open(server.port);
  const { port } = proxy;
  await proxy.close();
  await expect(openCache(`redis://127.0.0.1:${port}`)).rejects.toMatchObject({ code: "service_unavailable" });
});

test("live feed: writers never wait for an outage and count what it cost, readers go on where they were", async () => {
  const proxy = await TcpProxy.open(server.port);
  const feed = await openLiveFeed(`redis://127.0.0.1:${proxy.port}`);
  const abort = new AbortController();
  const seen: string[] = [];
  const reading = (async () => {
    for await (const { text } of feed.read("outage", "oldest", abort.signal)) seen.push(text);
  })();
  await feed.append("outage", "before");
  await expect.poll(() => seen, POLL).toEqual(["before"]);
  // The server is there, but not for us: what others write meanwhile is told afterwards.
  proxy.cut();
  const lost = await timed(Promise.all(Array.from({ length: 100 }, () => feed.append("outage", "lost"))));
  expect(lost.ms).toBeLessThan(BOUND_MS);
  expect(feed.dropped()).toBe(100);
  expect(await feed.isReachable()).toBe(false);
  const other = await openLiveFeed(server.url);
  await other.append("outage", "meanwhile");
  proxy.heal();
  await expect.poll(() => feed.isReachable(), POLL).toBe(true);
  await feed.append("outage", "after");
  await expect.poll(() => seen, POLL).toEqual(["before", "meanwhile", "after"]);
  // A server that lost everything: what is new still comes.
  await server.kill();
  await server.start();
  await expect.poll(() => feed.isReachable(), POLL).toBe(true);
  await feed.append("outage", "anew");
  await expect.poll(() => seen.at(-1), POLL).toBe("anew");
  abort.abort();
  await reading;
  await Promise.all([feed.stop(), other.stop(), proxy.close()]);
});
