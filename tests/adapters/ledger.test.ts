import { CompiledQuery } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openDatabase } from "@flashloan/shared/adapters/open";
import { systemClock } from "@flashloan/shared/clock";
import { ledgerContract } from "@flashloan/checkpoint/contract/ledger";
import type { AppendCommand } from "@flashloan/checkpoint/append";
import { openLedger } from "@flashloan/checkpoint/ledger";
import { createMetrics } from "@flashloan/shared/telemetry/metrics";
import { newDatabaseUrl, openLedgerDatabase } from "../support/databases.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";
import { startPostgres, type TestServer } from "../support/servers.ts";

// The checkpoint ledger on the real PostgreSQL: the suite that it passes on the embedded one, and a crash of the server.
let server: TestServer;

beforeAll(async () => {
  server = await startPostgres();
});
afterAll(async () => {
  await server.remove();
});

ledgerContract("postgres:", async () => openDatabase(await newDatabaseUrl(server.url)));

test("kill -9 of PostgreSQL under appends: no acknowledged record is lost, and each stream goes on by its keys", async ({
  annotate,
}) => {
  const database = await openLedgerDatabase(server.url);
  const ledger = await openLedger(database, systemClock, createMetrics("checkpoint"));
  const [streams, steps] = [50, 20];
  let [acknowledged, repeated] = [0, 0];
  const failures: unknown[] = [];
  const half = Promise.withResolvers<void>();
  const back = Promise.withResolvers<void>();
  const command = (stream: number, step: number): AppendCommand => ({
    streamId: `intent:${stream}`,
    expectedSequence: BigInt(step),
    idempotencyKey: `step-${step}`,
    records: [{ state: "SIGNED", terminal: step === steps - 1, payload: Buffer.from(`${stream}/${step}`) }],
  });
  // As the executor does: a step that was not acknowledged is asked for again with the same key.
  const run = async (stream: number): Promise<void> => {
    for (let step = 0; step < steps;) {
      try {
        const appended = await ledger.append(command(stream, step));
        step += 1;
        acknowledged += 1;
        if (appended.repeated) repeated += 1;
        if (acknowledged === (streams * steps) / 2) half.resolve();
      } catch (error) {
        failures.push((error as { code?: unknown }).code);
        await back.promise;
      }
    }
  };
  const running = Promise.all(Array.from({ length: streams }, (_, stream) => run(stream)));
  await half.promise;
  await server.kill();
  await server.start();
  back.resolve();
  await running;
  expect(acknowledged).toBe(streams * steps);
  expect(new Set(failures)).toEqual(new Set(["service_unavailable"]));
  const positions: bigint[] = [];
  for (let stream = 0; stream < streams; stream++) {
    const { records } = await ledger.history(`intent:${stream}`, 0n, 100);
    expect(records.map((record) => [record.sequence, Buffer.from(record.payload).toString()])).toEqual(
      Array.from({ length: steps }, (_, step) => [BigInt(step + 1), `${stream}/${step}`]),
    );
    positions.push(...records.map((record) => record.position));
  }
  expect(positions.toSorted((a, b) => Number(a - b))).toEqual(
    Array.from({ length: streams * steps }, (_, i) => BigInt(i + 1)),
  );
  expect((await ledger.listOpen("intent:", 0n, 10)).records).toEqual([]);
  await annotate(
    `${acknowledged} appends acknowledged, 0 lost; ${failures.length} failed by the crash, ${repeated} of them had been committed`,
  );
  await ledger.stop();
  await database.stop();
});

test("a commit whose answer is lost: the append is reported as failed, its repetition is recognized, the next one follows", async () => {
  const direct = await openLedgerDatabase(server.url);
  const proxy = await TcpProxy.open(server.port);
  const url = new URL(server.url);
  url.port = String(proxy.port);
  url.pathname = `/${(await direct.kysely.executeQuery<{ name: string }>(CompiledQuery.raw("select current_database() as name"))).rows[0]?.name}`;
  const database = await openDatabase(url.href);
  const [ledger, onlooker] = [
    await openLedger(database, systemClock, createMetrics("checkpoint")),
    await openLedger(direct, systemClock, createMetrics("checkpoint")),
  ];
  const command: AppendCommand = {
    streamId: "intent:1",
    expectedSequence: 0n,
    idempotencyKey: "k",
    records: [{ state: "SIGNED", terminal: false, payload: new Uint8Array() }],
  };
  await ledger.append({ ...command, streamId: "intent:0" });
  // The answer to the one statement that is the commit is lost.
  proxy.deafenAfter((text) => text.includes("insert into ledger_record"));
  const lost = ledger.append(command).catch((error: unknown) => error);
  await expect.poll(async () => (await onlooker.latest("intent:1"))?.state, { timeout: 30_000 }).toBe("SIGNED");
  proxy.cut();
  expect(await lost).toMatchObject({ code: "service_unavailable", retryable: true });
  proxy.heal();
  expect(await ledger.append(command)).toEqual({ sequence: 1n, position: 2n, repeated: true });
  const next = { ...command, expectedSequence: 1n, idempotencyKey: "l" };
  expect(await ledger.append(next)).toEqual({ sequence: 2n, position: 3n, repeated: false });
  for (const part of [ledger, onlooker, database, direct, { stop: () => proxy.close() }]) await part.stop();
});
