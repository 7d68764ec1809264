import { afterAll, beforeAll, expect, test } from "vitest";
import { latestContract, readCounts } from "@flashloan/checkpoint/contract/latest";
import { openLedger, type Ledger } from "@flashloan/checkpoint/ledger";
import { openCache, openDatabase } from "@flashloan/shared/adapters/open";
import { systemClock } from "@flashloan/shared/clock";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { createMetrics } from "@flashloan/shared/telemetry/metrics";
import { newDatabaseUrl, openLedgerDatabase } from "../support/databases.ts";
import { startPostgres, startRedis, type TestServer } from "../support/servers.ts";

// The newest records' path on the real servers: the suite that it passes on the embedded ones, and what Redis can suffer.
const POLL = { timeout: 30_000, interval: 20 };
const STREAMS = Array.from({ length: 20 }, (_, index) => `read:${index}`);
const lifecycle = new Lifecycle();
const metrics = createMetrics("checkpoint");
let [postgres, redis]: [TestServer, TestServer] = [] as never;
let ledger: Ledger;
let appended = 0n;

beforeAll(async () => {
  [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  lifecycle.onStop("PostgreSQL", () => postgres.remove());
  lifecycle.onStop("Redis", () => redis.remove());
  const database = lifecycle.add("database", await openLedgerDatabase(postgres.url));
  const cache = lifecycle.add("cache", await openCache(redis.url));
  ledger = lifecycle.add("ledger", await openLedger(database, systemClock, metrics, cache));
});
afterAll(() => lifecycle.stop());

latestContract(
  "postgres: and redis:",
  async () => openDatabase(await newDatabaseUrl(postgres.url)),
  () => openCache(redis.url),
);

async function appendAll(): Promise<void> {
  const records = [{ state: "STEP", terminal: false, payload: Buffer.from(String(appended)) }];
  await Promise.all(
    STREAMS.map((streamId) =>
      ledger.append({ streamId, expectedSequence: appended, idempotencyKey: String(appended), records }),
    ),
  );
  appended += 1n;
}

/** Reads every stream, each of which must be as it was appended; answers how many reads the cache served. */
async function readAll(): Promise<number> {
  const before = (await readCounts(metrics))["cache"] ?? 0;
  for (const streamId of STREAMS) expect((await ledger.latest(streamId))?.sequence).toBe(appended);
  return ((await readCounts(metrics))["cache"] ?? 0) - before;
}

test("Redis emptied, killed and paused under reads and appends: each read is right, and the cache serves again by itself", async () => {
  await appendAll();
  await expect.poll(readAll, POLL).toBeGreaterThan(STREAMS.length / 2);
  expect(await redis.command("FLUSHALL\r\n")).toContain("+OK");
  // But for an entry that was on its way.
  expect(await readAll()).toBeLessThan(STREAMS.length / 2);
  await expect.poll(readAll, POLL).toBeGreaterThan(STREAMS.length / 2);

  await redis.kill();
  expect(await readAll()).toBe(0);
  await appendAll();
  expect(await readAll()).toBe(0);
  expect(await metrics.text()).toMatch(/^flashloan_ledger_cache_failures_total\{service="checkpoint"\} [1-9]/m);
  await redis.start();
  await expect.poll(readAll, POLL).toBeGreaterThan(STREAMS.length / 2);

  redis.pause();
  await appendAll();
  expect(await readAll()).toBe(0);
  expect((await readCounts(metrics))["late"]).toBeGreaterThan(0);
  redis.resume();
  await appendAll();
  await expect.poll(readAll, POLL).toBeGreaterThan(STREAMS.length / 2);
});
