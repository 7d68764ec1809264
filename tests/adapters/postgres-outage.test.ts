import { sql } from "kysely";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { openDatabase } from "@flashloan/shared/adapters/open";
import type { Database } from "@flashloan/shared/ports/database";
import { startPostgres, type TestServer } from "../support/servers.ts";

// What was acknowledged is there; what was not is reported; nothing hangs; nothing needs a restart of the service.
const POLL = { timeout: 60_000, interval: 50 };
/** A silent server is given up after 12 s, and a slow machine. */
const BOUND_MS = 25_000;
let server: TestServer;
let database: Database;

beforeAll(async () => {
  server = await startPostgres();
  database = await openDatabase(server.url);
  await sql`create table written (id bigint primary key)`.execute(database.kysely);
});
afterAll(async () => {
  await database.stop();
  await server.remove();
});

async function writtenIds(): Promise<Set<number>> {
  const { rows } = await sql<{ id: string }>`select id from written`.execute(database.kysely);
  return new Set(rows.map((row) => Number(row.id)));
}

/** How long a failure took, and which it was. */
async function failure(work: Promise<unknown>): Promise<{ ms: number; code: unknown }> {
  const started = performance.now();
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return { ms: performance.now() - started, code: (error as { code?: unknown } | undefined)?.code };
}

test("a server with fsync on survives a power cut, and says so", () => {
  expect(database.durability).toBe("power");
});

test("kill -9 during transactions: every acknowledged commit is there, every other is reported, the pool recovers", async ({
  annotate,
}) => {
  const acknowledged = new Set<number>();
  const failures: unknown[] = [];
  const target = 600;
  let next = 1;
  const killed = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const write = async (): Promise<void> => {
    while (acknowledged.size < target) {
      const id = next++;
      try {
        await database.kysely.transaction().execute(async (tx) => {
          await sql`insert into written (id) values (${id})`.execute(tx);
          await sql`insert into written (id) values (${-id})`.execute(tx);
        });
        acknowledged.add(id);
        if (acknowledged.size === target / 2) begun.resolve();
      } catch (error) {
        failures.push((error as { code?: unknown }).code);
        await killed.promise;
      }
    }
  };
  // One transaction does nothing just when its connection breaks.
  const idle = database.kysely.transaction().execute(async (tx) => {
    await sql`insert into written (id) values (1000000)`.execute(tx);
    await killed.promise;
    await sql`select 1`.execute(tx);
  });
  const idleFailure = failure(idle);
  const writers = Promise.all(Array.from({ length: 8 }, write));
  await begun.promise;
  await server.kill();
  expect(await database.isReachable()).toBe(false);
  await server.start();
  killed.resolve();
  await writers;
  expect((await idleFailure).code).toBe("service_unavailable");
  const found = await writtenIds();
  expect([...acknowledged].filter((id) => !found.has(id) || !found.has(-id))).toEqual([]);
  // A commit without an answer may have taken place, but never half.
  expect([...found].filter((id) => !found.has(-id))).toEqual([]);
  expect(found.has(1_000_000)).toBe(false);
  expect(failures.length).toBeGreaterThan(0);
  expect(new Set(failures)).toEqual(new Set(["service_unavailable"]));
  const unanswered = [...found].filter((id) => id > 0 && !acknowledged.has(id)).length;
  await annotate(
    `${acknowledged.size} acknowledged, 0 lost; ${failures.length} reported as failed, ${unanswered} of them committed`,
  );
});

test("down and restarted: queries fail at once, and work again without a restart of the service", async () => {
  await server.stop();
  const down = await failure(sql`select 1`.execute(database.kysely));
  expect(down.code).toBe("service_unavailable");
  expect(down.ms).toBeLessThan(BOUND_MS);
  await expect(openDatabase(server.url)).rejects.toMatchObject({ code: "service_unavailable" });
  await server.start();
  await expect.poll(() => database.isReachable(), POLL).toBe(true);
  expect((await writtenIds()).size).toBeGreaterThan(0);
});

test("paused: queries fail within their deadline and the connections are given up; it recovers by itself", async ({
  annotate,
}) => {
  onTestFinished(() => server.resume());
  // Some connections are open when it falls silent, others would have to be made.
  await Promise.all(Array.from({ length: 5 }, () => sql`select pg_sleep(0.2)`.execute(database.kysely)));
  server.pause();
  const started = performance.now();
  expect(await database.isReachable()).toBe(false);
  const probeMs = performance.now() - started;
  expect(probeMs).toBeLessThan(10_000);
  const transaction = database.kysely.transaction().execute(async (tx) => {
    await sql`insert into written (id) values (2000000)`.execute(tx);
    await sql`insert into written (id) values (-2000000)`.execute(tx);
  });
  const failed = await Promise.all([
    failure(transaction),
    ...Array.from({ length: 20 }, () => failure(sql`select 1`.execute(database.kysely))),
  ]);
  expect(new Set(failed.map(({ code }) => String(code)))).toEqual(
    new Set(["deadline_exceeded", "service_unavailable"]),
  );
  const slowest = Math.max(...failed.map(({ ms }) => ms));
  expect(slowest).toBeLessThan(BOUND_MS);
  server.resume();
  await expect.poll(() => database.isReachable(), POLL).toBe(true);
  await sql`insert into written (id) values (3000000)`.execute(database.kysely);
  // The server may have done what it was asked before it was paused, never half of it.
  expect((await writtenIds()).has(-2_000_000)).toBe(false);
  await annotate(
    `health after ${Math.round(probeMs)} ms, the slowest of 21 queries failed after ${Math.round(slowest)} ms`,
  );
});

test("full: a statement that takes too long is ended, callers wait for a connection a while, a server that has no more is unavailable", async () => {
  await sql`create role limited login connection limit 2`.execute(database.kysely);
  const url = new URL(server.url);
  url.username = "limited";
  const limited = await openDatabase(url.href);
  const sleep = (seconds: number): Promise<{ ms: number; code: unknown }> =>
    failure(sql`select pg_sleep(${seconds})`.execute(limited.kysely));
  const asleep = async (): Promise<number> =>
    (
      await sql<{ count: number }>`select count(*)::int as count from pg_stat_activity
        where usename = 'limited' and query like '%pg_sleep%' and state = 'active'`.execute(database.kysely)
    ).rows[0]?.count ?? -1;
  // One after the other: two that connect at the same moment each count the other, and PostgreSQL refuses both.
  const first = sleep(7);
  await expect.poll(asleep, POLL).toBe(1);
  const second = sleep(7);
  await expect.poll(asleep, POLL).toBe(2);
  const third = await sleep(7);
  expect(third.code).toBe("service_unavailable");
  expect((await Promise.all([first, second])).map(({ code }) => code)).toEqual([undefined, undefined]);
  await limited.stop();

  const busy = await openDatabase(server.url);
  const hold = (): Promise<{ ms: number; code: unknown }> => failure(sql`select pg_sleep(60)`.execute(busy.kysely));
  const holding = Array.from({ length: 10 }, hold);
  const waiting = Array.from({ length: 1_050 }, () => failure(sql`select 1`.execute(busy.kysely)));
  const codes = (await Promise.all(waiting)).map(({ code }) => code);
  expect(codes.filter((code) => code === "queue_full").length).toBeGreaterThanOrEqual(40);
  expect(codes.filter((code) => code !== "queue_full" && code !== "service_unavailable")).toEqual([]);
  const held = await Promise.all(holding);
  expect(held.map(({ code }) => code)).toEqual(Array.from({ length: 10 }, () => "deadline_exceeded"));
  expect(Math.max(...held.map(({ ms }) => ms))).toBeLessThan(BOUND_MS);
  await sql`select 1`.execute(busy.kysely);
  await busy.stop();
});
