import { afterAll, beforeAll, expect, test } from "vitest";
import type { Clock } from "@flashloan/shared/clock";
import type { Cache } from "@flashloan/shared/ports/cache";
import type { Database } from "@flashloan/shared/ports/database";
import { createMetrics, type Metrics } from "@flashloan/shared/telemetry/metrics";
import type { AppendCommand } from "../../src/append.ts";
import { HEAD_AGE_MS_MAX } from "../../src/latest-reads.ts";
import { openLedger, type Ledger } from "../../src/ledger.ts";
import { LEDGER_MIGRATIONS } from "../../src/schema.ts";

/** A cache that is watched: what is written, and when all of it is there. */
export interface WatchedCache extends Cache {
  readonly keys: Set<string>;
  readonly before: ((key: string) => Promise<void>)[];
  written(): Promise<void>;
}

/** @see WatchedCache */
export function watched(cache: Cache): WatchedCache {
  const keys = new Set<string>();
  const before: ((key: string) => Promise<void>)[] = [];
  let writing: Promise<unknown> = Promise.resolve();
  return {
    ...cache,
    keys,
    before,
    written: async () => void (await writing),
    set: (key, value, ttlMs) => {
      keys.add(key);
      const write = Promise.all(before.map((look) => look(key))).then(() => cache.set(key, value, ttlMs));
      writing = Promise.all([writing, write]);
      return write;
    },
  };
}

/** How often each counter of the read path counted. */
export async function readCounts(metrics: Metrics): Promise<Readonly<Record<string, number>>> {
  const counts = (await metrics.text()).matchAll(
    /^flashloan_ledger_(?:reads|cache_misses)_total\{(?:source|reason)="(\w+)",service="checkpoint"\} (\d+)/gm,
  );
  return Object.fromEntries([...counts].map(([, label, count]) => [label, Number(count)]));
}

/** What the newest records' path must do on every pair of database and cache. */
export function latestContract(
  name: string,
  openDatabase: () => Promise<Database>,
  openCache: () => Promise<Cache>,
): void {
  let nowMs = 0;
  const clock: Clock = { now: () => 1_700_000_000_000, monotonic: () => nowMs, sleep: async () => undefined };
  const later = (): void => void (nowMs += HEAD_AGE_MS_MAX + 1);
  let [database, cache, metrics, ledger]: [Database, WatchedCache, Metrics, Ledger] = [] as never;
  let streams = 0;

  beforeAll(async () => {
    database = await openDatabase();
    await database.migrate(LEDGER_MIGRATIONS);
    cache = watched(await openCache());
    metrics = createMetrics("checkpoint");
    ledger = await openLedger(database, clock, metrics, cache);
  });
  afterAll(async () => {
    await ledger.stop();
    await cache.stop();
    await database.stop();
  });

  const newStream = (): string => `latest:${++streams}`;
  /** A stream that somebody asked for already: what is appended to it goes into the cache at once. */
  const wantedStream = async (): Promise<string> => {
    const stream = newStream();
    await ledger.latest(stream);
    return stream;
  };
  const command = (streamId: string, sequence: bigint, text = `${sequence}`): AppendCommand => ({
    streamId,
    expectedSequence: sequence,
    idempotencyKey: `${sequence}`,
    records: [{ state: "STEP", terminal: false, payload: Buffer.from(text) }],
  });
  const keyOf = (streamId: string): string => [...cache.keys].findLast((key) => key.endsWith(`:${streamId}`)) ?? "";
  /** What a read answers, and what it counted. */
  const read = async (from: Ledger, streamId: string, counted = metrics): Promise<unknown[]> => {
    const counts = await readCounts(counted);
    const record = await from.latest(streamId);
    await cache.written();
    const moved = Object.entries(await readCounts(counted)).filter(([label, count]) => count !== counts[label]);
    return [record?.sequence, record && Buffer.from(record.payload).toString(), ...moved.map(([label]) => label)];
  };

  test(`${name}: a stream goes into the cache when it is first asked for, and from then on with each commit`, async () => {
    const stream = newStream();
    await ledger.append(command(stream, 0n));
    await cache.written();
    expect(keyOf(stream)).toBe("");
    expect(await read(ledger, stream)).toEqual([1n, "0", "database", "absent"]);
    expect(await read(ledger, stream)).toEqual([1n, "0", "cache"]);
    await ledger.append(command(stream, 1n));
    await cache.written();
    expect(await read(ledger, stream)).toEqual([2n, "1", "cache"]);
  });

  test(`${name}: what was just appended is read from the cache, as it is in the tables`, async () => {
    const stream = await wantedStream();
    await ledger.append(command(stream, 0n, "é\u0000"));
    await cache.written();
    const cached = await ledger.latest(stream);
    const uncached = await openLedger(database, clock, createMetrics("checkpoint"));
    expect(cached).toEqual(await uncached.latest(stream));
    expect(await read(ledger, stream)).toEqual([1n, "é\u0000", "cache"]);
    expect(await read(ledger, "latest:none")).toEqual([undefined, undefined, "database"]);
    await uncached.stop();
  });

  test(`${name}: nothing is in the cache before it is committed, and nothing of what is refused`, async () => {
    const stream = newStream();
    const missing: string[] = [];
    let looked = 0;
    cache.before.push(async (key) => {
      looked += 1;
      const streamId = key.slice(key.indexOf("latest:") + "latest:".length);
      if ((await ledger.history(streamId, 0n, 1)).records.length === 0) missing.push(key);
    });
    await Promise.all(Array.from({ length: 20 }, async () => ledger.append(command(await wantedStream(), 0n))));
    await expect(ledger.append(command(stream, 3n))).rejects.toMatchObject({ code: "sequence_conflict" });
    await cache.written();
    cache.before.pop();
    expect(missing).toEqual([]);
    expect(looked).toBe(20);
    expect(keyOf(stream)).toBe("");
  });

  test(`${name}: an old entry, another stream's, and nonsense are never served, and are put right`, async () => {
    const [stream, other] = [await wantedStream(), await wantedStream()];
    await ledger.append(command(stream, 0n));
    await ledger.append(command(other, 0n));
    await cache.written();
    const old = (await cache.get(keyOf(stream))) ?? "";
    const foreign = (await cache.get(keyOf(other))) ?? "";
    await ledger.append(command(stream, 1n));
    await cache.written();
    const right = (await cache.get(keyOf(stream))) ?? "";
    const future = right.replace(/"position":"\d+"/, '"position":"999999"');
    for (const [planted, reason] of [
      [old, "behind"],
      [future, "behind"],
      [foreign, "unreadable"],
      ["{", "unreadable"],
      ["{}", "unreadable"],
    ] as const) {
      await cache.set(keyOf(stream), planted, 60_000);
      expect(await read(ledger, stream)).toEqual([2n, "1", "database", reason]);
      expect(await read(ledger, stream)).toEqual([2n, "1", "cache"]);
    }
  });

  test(`${name}: what a rollback restored is the newest at once, from the cache too`, async () => {
    const stream = await wantedStream();
    await ledger.append(command(stream, 0n));
    await ledger.append(command(stream, 1n));
    await ledger.rollback({ streamId: stream, toSequence: 1n, reason: "r", idempotencyKey: "back" });
    expect(await read(ledger, stream)).toEqual([3n, "0", "cache"]);
    const uncached = await openLedger(database, clock, createMetrics("checkpoint"));
    expect(await ledger.latest(stream)).toEqual(await uncached.latest(stream));
    await uncached.stop();
  });

  test(`${name}: a stream that is compacted is not served as it was before`, async () => {
    const stream = await wantedStream();
    await ledger.append(command(stream, 0n));
    await ledger.append({
      ...command(stream, 1n),
      records: [{ state: "END", terminal: true, payload: Buffer.from("1") }],
    });
    expect(await read(ledger, stream)).toEqual([2n, "1", "cache"]);
    expect(await ledger.compact(clock.now() + 1)).toEqual({ streams: 1, records: 1 });
    expect(await ledger.latest(stream)).toMatchObject({ compactedRecords: 1n });
    await cache.written();
    expect(await read(ledger, stream)).toEqual([2n, "1", "cache"]);
    expect(await ledger.latest(stream)).toMatchObject({ compactedRecords: 1n });
  });

  test(`${name}: a cache that was emptied is filled again by what is read`, async () => {
    const names = await Promise.all(Array.from({ length: 10 }, wantedStream));
    await Promise.all(names.map((stream) => ledger.append(command(stream, 0n))));
    await cache.written();
    await Promise.all([...cache.keys].map((key) => cache.delete(key)));
    for (const stream of names) expect(await read(ledger, stream)).toEqual([1n, "0", "database", "absent"]);
    for (const stream of names) expect(await read(ledger, stream)).toEqual([1n, "0", "cache"]);
  });

  test(`${name}: a ledger that was opened again takes nothing over from the run before`, async () => {
    const stream = await wantedStream();
    await ledger.append(command(stream, 0n));
    await cache.written();
    const counted = createMetrics("checkpoint");
    const again = await openLedger(database, clock, counted, cache);
    expect(await read(again, stream, counted)).toEqual([1n, "0", "database"]);
    // The question for the ledger's head goes beside the first read, and may be answered after it.
    await expect.poll(() => read(again, stream, counted)).toEqual([1n, "0", "cache"]);
    await again.stop();
  });

  test(`${name}: what another ledger committed on the same database is seen ${HEAD_AGE_MS_MAX} ms later at the latest`, async () => {
    const counted = createMetrics("checkpoint");
    const other = await openLedger(database, clock, counted, cache);
    const stream = newStream();
    await ledger.append(command(stream, 0n));
    await cache.written();
    for (let step = 1n; step < 12n; step += 2n) {
      await other.append(command(stream, step));
      // Its own commits are there at once.
      expect(await other.latest(stream)).toMatchObject({ sequence: step + 1n });
      later();
      expect(await read(ledger, stream)).toEqual([step + 1n, `${step}`, "database"]);
      await ledger.append(command(stream, step + 1n));
      expect(await ledger.latest(stream)).toMatchObject({ sequence: step + 2n });
      later();
      expect(await other.latest(stream)).toMatchObject({ sequence: step + 2n });
    }
    // Taken in from the tables, without a commit of its own: then the cache may be used again.
    await other.append(command(stream, 13n));
    later();
    await ledger.latest("latest:none");
    await expect.poll(() => read(ledger, stream)).toEqual([14n, "13", "cache"]);
    await other.stop();
  });

  test(`${name}: a cache that does not answer costs a moment, once, and is asked again later`, async () => {
    let [silent, asked] = [true, 0];
    const slow: Cache = {
      ...cache,
      get: (key) => {
        asked += 1;
        return silent ? new Promise<never>(() => undefined) : cache.get(key);
      },
    };
    const counted = createMetrics("checkpoint");
    const behind = await openLedger(database, clock, counted, slow);
    const stream = newStream();
    await behind.append(command(stream, 0n));
    expect(await read(behind, stream, counted)).toEqual([1n, "0", "database", "late"]);
    expect(await read(behind, stream, counted)).toEqual([1n, "0", "database", "late"]);
    expect(asked).toBe(1);
    silent = false;
    nowMs += 10_000;
    await behind.append(command(stream, 1n));
    await cache.written();
    expect(await read(behind, stream, counted)).toEqual([2n, "1", "cache"]);
    await behind.stop();
  });
}
