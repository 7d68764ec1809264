import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Clock } from "@flashloan/shared/clock";
import type { Database } from "@flashloan/shared/ports/database";
import { LEDGER_MIGRATIONS, type LedgerTables } from "../../src/schema.ts";
import { compactBatch } from "../../src/compaction.ts";
import { createMetrics } from "@flashloan/shared/telemetry/metrics";
import type { AppendCommand } from "../../src/append.ts";
import { openLedger, PAYLOAD_BYTES_MAX, type Ledger } from "../../src/ledger.ts";

const clock: Clock = { now: () => 1_700_000_000_000, monotonic: () => 0, sleep: async () => undefined };

/** What the ledger must do on every Database adapter. */
export function ledgerContract(name: string, open: () => Promise<Database>): void {
  let database: Database;
  let ledger: Ledger;
  let streams = 0;

  beforeAll(async () => {
    database = await open();
    await database.migrate(LEDGER_MIGRATIONS);
    ledger = await openLedger(database, clock, createMetrics("checkpoint"));
  });
  afterAll(async () => {
    await ledger.stop();
    await database.stop();
  });

  const newStream = (): string => `intent:${++streams}`;
  const command = (
    streamId: string,
    expectedSequence: bigint,
    states: readonly string[],
    key = `${expectedSequence}`,
  ): AppendCommand => ({
    streamId,
    expectedSequence,
    idempotencyKey: key,
    records: states.map((state) => ({
      state,
      terminal: state === "SETTLED",
      payload: Buffer.from(`${streamId} ${state}`),
    })),
  });

  test(`${name}: records of one append stand together, in order, with gapless places`, async () => {
    const stream = newStream();
    const before = ledger.position;
    const first = await ledger.append(command(stream, 0n, ["DETECTED", "SIGNED"]));
    expect(first).toEqual({ sequence: 2n, position: before + 2n, repeated: false });
    await ledger.append(command(stream, 2n, ["SUBMITTED"]));
    const { records } = await ledger.history(stream, 0n, 10);
    expect(records.map((r) => [r.sequence, r.state, r.position, Buffer.from(r.payload).toString()])).toEqual([
      [1n, "DETECTED", before + 1n, `${stream} DETECTED`],
      [2n, "SIGNED", before + 2n, `${stream} SIGNED`],
      [3n, "SUBMITTED", before + 3n, `${stream} SUBMITTED`],
    ]);
    expect(await ledger.latest(stream)).toMatchObject({
      state: "SUBMITTED",
      sequence: 3n,
      committedAtMs: 1_700_000_000_000,
    });
  });

  test(`${name}: two ledgers on one database that write at once never lose, double or misplace a record`, async () => {
    const again = await openLedger(database, clock, createMetrics("checkpoint"));
    const streams = Array.from({ length: 6 }, newStream);
    const failures = new Set<unknown>(["service_unavailable"]);
    const write = async (writer: Ledger, stream: string): Promise<void> => {
      for (let step = 0n; step < 8n;) {
        const appended = await writer.append(command(stream, step, ["SIGNED"])).catch((error: unknown) => error);
        if (appended instanceof Error) failures.add((appended as { code?: unknown }).code);
        else step += 1n;
      }
    };
    const before = (await again.history(undefined, ledger.position, 1)).records.length;
    expect(before).toBe(0);
    const start = ledger.position;
    await Promise.all(streams.map((stream, index) => write(index % 2 === 0 ? ledger : again, stream)));
    // Who is overtaken too often is told to try again, and nothing else.
    expect([...failures]).toEqual(["service_unavailable"]);
    const { records } = await ledger.history(undefined, start, 100);
    expect(records.map(({ position }) => position)).toEqual(
      Array.from({ length: 48 }, (_, i) => start + BigInt(i + 1)),
    );
    for (const stream of streams)
      expect((await ledger.history(stream, 0n, 100)).records.map(({ sequence }) => sequence)).toEqual(
        Array.from({ length: 8 }, (_, i) => BigInt(i + 1)),
      );
    await again.stop();
  });

  test(`${name}: a stale leader's append is refused, in the same group, later, and by a ledger that was opened since`, async () => {
    const fenced = (stream: string, token: bigint): AppendCommand => ({
      ...command(stream, 0n, ["SIGNED"]),
      fence: { scope: "executor", token },
    });
    const streams = Array.from({ length: 6 }, newStream);
    const outcomes = await Promise.allSettled([
      ledger.append(fenced(streams[0] ?? "", 1n)),
      ledger.append(fenced(streams[1] ?? "", 2n)),
      ledger.append(fenced(streams[2] ?? "", 1n)),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
    await expect(ledger.append(fenced(streams[3] ?? "", 1n))).rejects.toMatchObject({
      code: "fenced",
      details: { scope: "executor", token: 2n },
    });
    expect(await ledger.latest(streams[3] ?? "")).toBeUndefined();
    const again = await openLedger(database, clock, createMetrics("checkpoint"));
    await expect(again.append(fenced(streams[4] ?? "", 1n))).rejects.toMatchObject({ code: "fenced" });
    expect(await again.append(fenced(streams[4] ?? "", 3n))).toMatchObject({ sequence: 1n });
    // The first ledger learns of the newer token with the newer position.
    await expect(ledger.append(fenced(streams[5] ?? "", 2n))).rejects.toMatchObject({ code: "fenced" });
    // Another scope is another lead, and who does not lead is not asked.
    const other = { ...command(streams[5] ?? "", 0n, ["SIGNED"]), fence: { scope: "orchestrator", token: 1n } };
    expect(await ledger.append(other)).toMatchObject({ sequence: 1n });
    expect(await ledger.append(command(streams[5] ?? "", 1n, ["SUBMITTED"]))).toMatchObject({ sequence: 2n });
    await again.stop();
  });

  test(`${name}: a wrong expected sequence is refused and leaves nothing`, async () => {
    const stream = newStream();
    await ledger.append(command(stream, 0n, ["SIGNED"]));
    const before = ledger.position;
    await expect(ledger.append(command(stream, 0n, ["SIGNED"], "other"))).rejects.toMatchObject({
      code: "sequence_conflict",
      details: { expected: 0n, actual: 1n },
    });
    await expect(ledger.append(command(stream, 5n, ["SIGNED"]))).rejects.toMatchObject({ code: "sequence_conflict" });
    expect(ledger.position).toBe(before);
  });

  test(`${name}: the same request again is answered as it was the first time; the same key with other content is refused`, async () => {
    const stream = newStream();
    const once = await ledger.append(command(stream, 0n, ["SIGNED"], "key"));
    await ledger.append(command(stream, 1n, ["SUBMITTED"]));
    expect(await ledger.append(command(stream, 0n, ["SIGNED"], "key"))).toEqual({ ...once, repeated: true });
    await expect(ledger.append(command(stream, 0n, ["REPLACED"], "key"))).rejects.toMatchObject({
      code: "idempotency_conflict",
    });
    expect((await ledger.history(stream, 0n, 10)).records).toHaveLength(2);
  });

  test(`${name}: a repeated key inside one group commit is one append`, async () => {
    const stream = newStream();
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => ledger.append(command(stream, 0n, ["SIGNED"], "same"))),
    );
    expect(answers.filter((answer) => !answer.repeated)).toHaveLength(1);
    expect((await ledger.history(stream, 0n, 10)).records).toHaveLength(1);
  });

  test(`${name}: nothing follows a terminal record`, async () => {
    const stream = newStream();
    await ledger.append(command(stream, 0n, ["SIGNED", "SETTLED"]));
    await expect(ledger.append(command(stream, 2n, ["SUBMITTED"]))).rejects.toMatchObject({
      code: "sequence_conflict",
      message: expect.stringContaining("ended at sequence 2"),
    });
  });

  test(`${name}: open streams are listed with their newest record, oldest stream first, by pages`, async () => {
    const prefix = `open${++streams}:`;
    for (const name of ["a", "b", "c", "d"]) await ledger.append(command(`${prefix}${name}`, 0n, ["SIGNED"]));
    await ledger.append(command(`${prefix}a`, 1n, ["SUBMITTED"]));
    await ledger.append(command(`${prefix}b`, 1n, ["SETTLED"]));
    const first = await ledger.listOpen(prefix, 0n, 2);
    expect(first.records.map((r) => [r.streamId, r.state])).toEqual([
      [`${prefix}a`, "SUBMITTED"],
      [`${prefix}c`, "SIGNED"],
    ]);
    const second = await ledger.listOpen(prefix, first.next ?? 0n, 2);
    expect(second.records.map((r) => r.streamId)).toEqual([`${prefix}d`]);
    expect(second.next).toBeUndefined();
  });

  test(`${name}: a watch gives what is there, then what comes, each record once and in order`, async () => {
    const start = ledger.position;
    const abort = new AbortController();
    const seen: bigint[] = [];
    const watching = (async () => {
      for await (const { record } of ledger.watch(start, abort.signal)) {
        seen.push(record.position);
        if (seen.length === 60) abort.abort();
      }
    })();
    await Promise.all(
      Array.from({ length: 30 }, () => ledger.append(command(newStream(), 0n, ["DETECTED", "SIGNED"]))),
    );
    await watching;
    expect(seen).toEqual(Array.from({ length: 60 }, (_, i) => start + BigInt(i) + 1n));
  });

  test(`${name}: a rollback appends what an earlier record held; nothing is rewritten, and it is repeated harmlessly`, async () => {
    const stream = `state:${++streams}`;
    for (const [step, state] of ["FIRST", "SECOND", "THIRD"].entries())
      await ledger.append(command(stream, BigInt(step), [state]));
    const before = await ledger.history(stream, 0n, 10);
    const rollback = { streamId: stream, toSequence: 1n, reason: "bad input", idempotencyKey: "back" };
    const answers = await Promise.all([ledger.rollback(rollback), ledger.rollback(rollback)]);
    expect(answers.map(({ sequence, repeated }) => `${sequence} ${repeated}`).toSorted()).toEqual([
      "4 false",
      "4 true",
    ]);
    expect(await ledger.latest(stream)).toMatchObject({
      sequence: 4n,
      state: "ROLLED_BACK",
      terminal: false,
      payload: before.records[0]?.payload,
      restores: { sequence: 1n, reason: "bad input" },
    });
    const after = await ledger.history(stream, 0n, 10);
    expect(after.records.slice(0, 3)).toEqual(before.records);
    expect(after.records).toHaveLength(4);
    // The stream goes on, and the request is known whatever came since.
    await ledger.append(command(stream, 4n, ["FIFTH"]));
    expect(await ledger.rollback(rollback)).toMatchObject({ sequence: 4n, repeated: true });
    await expect(ledger.rollback({ ...rollback, toSequence: 2n })).rejects.toMatchObject({
      code: "idempotency_conflict",
    });
    expect(await ledger.rollback({ ...rollback, toSequence: 4n, idempotencyKey: "again" })).toMatchObject({
      sequence: 6n,
    });
    expect(await ledger.latest(stream)).toMatchObject({
      payload: before.records[0]?.payload,
      restores: { sequence: 4n },
    });
    await ledger.append(command(stream, 6n, ["SETTLED"]));
    await expect(ledger.rollback({ ...rollback, idempotencyKey: "late" })).rejects.toMatchObject({
      code: "sequence_conflict",
      message: expect.stringContaining("ended at sequence 7"),
    });
    expect(await ledger.rollback(rollback)).toMatchObject({ sequence: 4n, repeated: true });
  });

  test(`${name}: a rollback to what is not there, of a stream of steps, or of a lost leader changes nothing`, async () => {
    const stream = `state:${++streams}`;
    const rollback = { streamId: stream, toSequence: 1n, reason: "r", idempotencyKey: "back" };
    await expect(ledger.rollback(rollback)).rejects.toMatchObject({ code: "not_found" });
    await ledger.append(command(stream, 0n, ["FIRST"]));
    await expect(ledger.rollback(rollback)).rejects.toMatchObject({
      code: "argument_invalid",
      message: expect.stringContaining("having one record"),
    });
    await ledger.append(command(stream, 1n, ["SECOND"]));
    await expect(ledger.rollback({ ...rollback, toSequence: 2n })).rejects.toMatchObject({ code: "argument_invalid" });
    for (const streamId of ["intent:1", "platform:baseline", "thread:a"])
      await expect(ledger.rollback({ ...rollback, streamId })).rejects.toMatchObject({ code: "argument_invalid" });
    const scope = `scope:${stream}`;
    await ledger.append({ ...command(stream, 2n, ["THIRD"]), fence: { scope, token: 2n } });
    await expect(ledger.rollback({ ...rollback, fence: { scope, token: 1n } })).rejects.toMatchObject({
      code: "fenced",
    });
    expect((await ledger.history(stream, 0n, 10)).records).toHaveLength(3);
  });

  test(`${name}: a rollback under appends to its stream finds its place`, async () => {
    const stream = `state:${++streams}`;
    await ledger.append(command(stream, 0n, ["FIRST"]));
    await ledger.append(command(stream, 1n, ["SECOND"]));
    const outcomes = await Promise.allSettled([
      ledger.rollback({ streamId: stream, toSequence: 1n, reason: "r", idempotencyKey: "back" }),
      ledger.append(command(stream, 2n, ["THIRD"])),
    ]);
    expect(outcomes[0]).toMatchObject({ status: "fulfilled", value: { repeated: false } });
    const { records } = await ledger.history(stream, 0n, 10);
    expect(records.map(({ sequence }) => sequence)).toEqual(records.map((_, index) => BigInt(index + 1)));
    expect(records.filter(({ state }) => state === "ROLLED_BACK")).toHaveLength(1);
  });

  test(`${name}: a stream that ended is compacted to its last record, which says so; nothing else changes`, async () => {
    await ledger.compact(clock.now() + 1);
    const [ended, open, intent, platform] = [
      `run:${++streams}`,
      `run:${++streams}`,
      newStream(),
      `platform:${streams}`,
    ];
    const start = ledger.position;
    for (const stream of [ended, open, intent, platform])
      for (const [step, state] of ["FIRST", "SECOND", "THIRD"].entries())
        await ledger.append(command(stream, BigInt(step), [state]));
    for (const stream of [intent, platform, ended]) await ledger.append(command(stream, 3n, ["SETTLED"]));
    const before = await ledger.history(undefined, start, 100);
    expect(before.compactedThrough).toBeLessThanOrEqual(start);
    const last = await ledger.latest(ended);
    // What ended at that very time is not yet older.
    expect(await ledger.compact(clock.now())).toEqual({ streams: 0, records: 0 });
    expect(await ledger.compact(clock.now() + 1)).toEqual({ streams: 1, records: 3 });
    expect(await ledger.compact(clock.now() + 1)).toEqual({ streams: 0, records: 0 });

    expect(await ledger.latest(ended)).toEqual({ ...last, compactedRecords: 3n });
    const after = await ledger.history(undefined, start, 100);
    expect(after.compactedThrough).toBe(start + 3n);
    expect(after.records).toEqual([
      ...before.records.filter(({ streamId }) => streamId !== ended),
      { ...last, compactedRecords: 3n },
    ]);
    expect((await ledger.history(ended, 0n, 10)).records).toHaveLength(1);
    const watching = ledger.watch(start, new AbortController().signal);
    expect((await watching.next()).value).toMatchObject({ compactedThrough: start + 3n });
    await watching.return(undefined);
    // Requests are still known, the stream is still ended, places go on.
    expect(await ledger.append(command(ended, 1n, ["SECOND"]))).toEqual({
      sequence: 2n,
      position: start + 2n,
      repeated: true,
    });
    await expect(ledger.append(command(ended, 4n, ["MORE"]))).rejects.toMatchObject({ code: "sequence_conflict" });
    const rollback = { streamId: ended, toSequence: 1n, reason: "r", idempotencyKey: "back" };
    await expect(ledger.rollback(rollback)).rejects.toMatchObject({ code: "history_compacted" });
    const again = await openLedger(database, clock, createMetrics("checkpoint"));
    expect(again.position).toBe(ledger.position);
    expect(await again.append(command(open, 3n, ["FOURTH"]))).toMatchObject({ position: start + 16n });
    await again.stop();
  });

  test(`${name}: a stream longer than a batch is compacted by several, each of which leaves the ledger right`, async () => {
    await ledger.compact(clock.now() + 1);
    const stream = `run:${++streams}`;
    for (let step = 0n; step < 6_000n; step += 3_000n)
      await ledger.append(
        command(
          stream,
          step,
          Array.from({ length: 3_000 }, () => "STEP"),
        ),
      );
    await ledger.append(command(stream, 6_000n, ["SETTLED"]));
    const db = database.kysely.withTables<LedgerTables>();
    const left = async (): Promise<unknown[]> => {
      const { n, first } = await db
        .selectFrom("ledger_record")
        .where("stream_id", "=", stream)
        .select((eb) => [eb.fn.countAll().as("n"), eb.fn.min("sequence").as("first")])
        .executeTakeFirstOrThrow();
      return [Number(n), Number(first), (await ledger.latest(stream))?.compactedRecords];
    };
    expect(await compactBatch(db, clock.now() + 1)).toEqual({ streamIds: [stream], records: 5_000 });
    expect(await left()).toEqual([1_001, 5_001, 5_000n]);
    expect(await compactBatch(db, clock.now() + 1)).toEqual({ streamIds: [stream], records: 1_000 });
    expect(await left()).toEqual([1, 6_001, 6_000n]);
    expect(await compactBatch(db, clock.now() + 1)).toEqual({ streamIds: [], records: 0 });
  });

  test(`${name}: two that compact at once, under appends, remove each record once`, async () => {
    await ledger.compact(clock.now() + 1);
    const again = await openLedger(database, clock, createMetrics("checkpoint"));
    const names = Array.from({ length: 30 }, () => `run:${++streams}`);
    await Promise.all(names.map((stream) => ledger.append(command(stream, 0n, ["FIRST", "SECOND", "SETTLED"]))));
    const others = Array.from({ length: 30 }, newStream);
    const [one, two] = await Promise.all([
      ledger.compact(clock.now() + 1),
      again.compact(clock.now() + 1),
      ...others.map((stream) => ledger.append(command(stream, 0n, ["SIGNED"]))),
    ]);
    const rest = await ledger.compact(clock.now() + 1);
    expect(one.records + two.records + rest.records).toBe(60);
    for (const stream of names)
      expect(await ledger.latest(stream)).toMatchObject({ compactedRecords: 2n, sequence: 3n });
    await again.stop();
  });

  test(`${name}: too large a payload is refused`, async () => {
    const records = [{ state: "SIGNED", terminal: false, payload: new Uint8Array(PAYLOAD_BYTES_MAX + 1) }];
    await expect(
      ledger.append({ streamId: newStream(), expectedSequence: 0n, idempotencyKey: "k", records }),
    ).rejects.toMatchObject({ code: "payload_too_large" });
  });

  test(`${name}: a page of large records is cut where a message would be too large, and the next one goes on`, async () => {
    const stream = newStream();
    const large = { state: "SIGNED", terminal: false, payload: new Uint8Array(PAYLOAD_BYTES_MAX) };
    const records = Array.from({ length: 12 }, () => large);
    await ledger.append({ streamId: stream, expectedSequence: 0n, idempotencyKey: "k", records });
    const first = await ledger.history(stream, 0n, 100);
    const second = await ledger.history(stream, first.next ?? 0n, 100);
    expect([first.records.length, second.records.length, second.next]).toEqual([8, 4, undefined]);
  });

  test(`${name}: many writers at once: every stream is gapless, whoever came first`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 40 }), async (writes) => {
        const names = Array.from({ length: 4 }, newStream);
        const heads = [0n, 0n, 0n, 0n];
        const appends = writes.map((stream) => {
          const head = heads[stream] ?? 0n;
          heads[stream] = head + 1n;
          return ledger.append(command(names[stream] ?? "", head, ["SIGNED"]));
        });
        await Promise.all(appends);
        for (const [index, name] of names.entries()) {
          const { records } = await ledger.history(name, 0n, 100);
          expect(records.map((r) => r.sequence)).toEqual(
            Array.from({ length: Number(heads[index]) }, (_, i) => BigInt(i + 1)),
          );
        }
      }),
      { numRuns: 15 },
    );
  });

  test(`${name}: more than one statement can carry is committed in several groups`, async () => {
    const start = ledger.position;
    const names = Array.from({ length: 40 }, newStream);
    const states = Array.from({ length: 300 }, () => "DETECTED");
    await Promise.all(names.map((stream) => ledger.append(command(stream, 0n, states))));
    expect(ledger.position).toBe(start + 12_000n);
    expect(await ledger.latest(names[39] ?? "")).toMatchObject({ sequence: 300n, position: start + 12_000n });
  });

  test(`${name}: a ledger that is opened again goes on where the last one stopped`, async () => {
    const stream = newStream();
    await ledger.append(command(stream, 0n, ["SIGNED"]));
    const again = await openLedger(database, clock, createMetrics("checkpoint"));
    expect(again.position).toBe(ledger.position);
    const { position } = await again.append(command(stream, 1n, ["SUBMITTED"]));
    // The first one does not know of this commit: its statement fails, it reads anew and finds its place.
    const other = newStream();
    expect(await ledger.append(command(other, 0n, ["SIGNED"]))).toEqual({
      sequence: 1n,
      position: position + 1n,
      repeated: false,
    });
    // What one has refused or repeated from memory would be wrong here: the other one wrote it.
    expect(await again.append(command(other, 0n, ["SIGNED"]))).toMatchObject({ sequence: 1n, repeated: true });
    expect(await ledger.append(command(stream, 2n, ["INCLUDED"]))).toMatchObject({ sequence: 3n });
    await expect(again.append(command(stream, 2n, ["DROPPED"], "x"))).rejects.toMatchObject({
      details: { actual: 3n },
    });
    await again.stop();
  });
}
