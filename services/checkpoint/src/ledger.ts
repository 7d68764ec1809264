import { setImmediate } from "node:timers/promises";
import type { Kysely } from "kysely";
import type { Clock } from "@flashloan/shared/clock";
import { FlashloanError, isFailure, toFlashloanError } from "@flashloan/shared/errors";
import type { Running } from "@flashloan/shared/lifecycle";
import type { Cache } from "@flashloan/shared/ports/cache";
import type { Database } from "@flashloan/shared/ports/database";
import type { Metrics } from "@flashloan/shared/telemetry/metrics";
import { inTrace } from "@flashloan/shared/telemetry/tracing";
import type { AppendCommand, Appended, RollbackCommand } from "./append.ts";
import {
  contentHash,
  idempotencyConflict,
  Known,
  NO_HEAD,
  planGroup,
  requestKey,
  writeGroup,
  type GroupPlan,
  type Head,
  type KnownRequest,
  type Waiting,
} from "./group-commit.ts";
import { compactBatch, type Compactable } from "./compaction.ts";
import { LatestReads } from "./latest-reads.ts";
import type { LedgerRecord } from "./record.ts";
import { LEDGER_MIGRATIONS, type LedgerTables } from "./schema.ts";

/** The largest payload of one record, in bytes. */
export const PAYLOAD_BYTES_MAX = 256 * 1024;
/** How often a group is tried again when another ledger's commit came first. */
const COMMIT_ATTEMPTS = 5;
/** How often a rollback is tried again when an append to its stream came first. */
const ROLLBACK_ATTEMPTS = 5;
/** Streams whose records are steps, so that the payload of one does not stand for the whole: they are never rolled back. */
const STEPWISE_PREFIXES = ["intent:", "platform:", "thread:"] as const;
/** State of a compensating record; no append may use it. */
export const ROLLED_BACK = "ROLLED_BACK";
/** Requests that may wait for the next commit; more are refused, so that callers feel the pressure. */
const WAITING_MAX = 10_000;
/** What shares one commit at most: requests, their records and their payloads. */
const GROUP_MAX = 512;
const GROUP_RECORDS_MAX = 4_000;
const GROUP_BYTES_MAX = 8 * 1024 * 1024;
/** SQLSTATE unique_violation. */
const UNIQUE_VIOLATION = "23505";
/** Payloads of one page: a message carries 4 MiB. */
const PAGE_BYTES_MAX = 2 * 1024 * 1024;
/** Records that a watcher may lag behind before it reads them from the tables again. */
const WATCH_PAGE = 500;

/** A page of records; `next` asks for the following one. */
export interface LedgerPage {
  readonly records: readonly LedgerRecord[];
  readonly next: bigint | undefined;
}

/** A page of the history, and from where on the ledger is whole. */
export interface HistoryPage extends LedgerPage {
  /** Every record after this place is there. */
  readonly compactedThrough: bigint;
}

/** The append-only ledger: an append is answered when it is durable, and appends that wait together share a commit. */
export interface Ledger extends Running, Compactable {
  /** Place of the newest record; 0 when there is none. */
  readonly position: bigint;
  /** @throws FlashloanError sequence_conflict, idempotency_conflict, fenced, payload_too_large, queue_full */
  append(command: AppendCommand): Promise<Appended>;
  /**
   * Appends a record that restores the payload of an earlier one; nothing is removed.
   * @throws FlashloanError not_found, argument_invalid, history_compacted, sequence_conflict when the stream has ended, and as `append`
   */
  rollback(command: RollbackCommand): Promise<Appended>;
  /** The newest record, at least of all that this ledger committed before, and of what others did `HEAD_AGE_MS_MAX` ago. */
  latest(streamId: string): Promise<LedgerRecord | undefined>;
  /** Records of a stream (or of all) after a position, in order. */
  history(streamId: string | undefined, after: bigint, limit: number): Promise<HistoryPage>;
  /** Newest record of each stream that has not ended, oldest stream first. */
  listOpen(prefix: string, after: bigint, limit: number): Promise<LedgerPage>;
  /** Every record after a position, then those to come, until the signal aborts. */
  watch(after: bigint, signal: AbortSignal): AsyncGenerator<{ record: LedgerRecord; compactedThrough: bigint }>;
  /** Every record after this place is there. */
  compactedThrough(): Promise<bigint>;
}

/**
 * Opens the ledger in a database. Several may write to one database: that is slow, not wrong.
 * @param cache of newest records; without one they are always read from the database
 * @throws FlashloanError service_unavailable while the schema is not there yet
 */
export async function openLedger(database: Database, clock: Clock, metrics: Metrics, cache?: Cache): Promise<Ledger> {
  await database.ensureSchema(LEDGER_MIGRATIONS);
  const db = database.kysely.withTables<LedgerTables>();
  return new DatabaseLedger(db, clock, metrics, await readPosition(db), cache);
}

async function readPosition(db: Kysely<LedgerTables>): Promise<bigint> {
  const row = await db
    .selectFrom("ledger_record")
    .select((eb) => eb.fn.max("position").as("position"))
    .executeTakeFirst();
  return BigInt(row?.position ?? 0);
}

async function readLatest(db: Kysely<LedgerTables>, streamId: string): Promise<LedgerRecord | undefined> {
  const row = await db
    .selectFrom("ledger_record")
    .selectAll()
    .where("stream_id", "=", streamId)
    .orderBy("sequence", "desc")
    .limit(1)
    .executeTakeFirst();
  return row && toRecord(row);
}

async function readNewestBetween(
  db: Kysely<LedgerTables>,
  after: bigint,
  through: bigint,
): Promise<Map<string, bigint>> {
  const rows = await db
    .selectFrom("ledger_record")
    .select(["stream_id", (eb) => eb.fn.max("position").as("position")])
    .where("position", ">", after.toString())
    .where("position", "<=", through.toString())
    .groupBy("stream_id")
    .execute();
  return new Map(rows.map((row) => [row.stream_id, BigInt(row.position)]));
}

class DatabaseLedger implements Ledger {
  readonly #db: Kysely<LedgerTables>;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #waiting: Waiting[] = [];
  readonly #watchers = new Set<() => void>();
  readonly #reads: LatestReads | undefined;
  #position: bigint;
  /** What is known of the ledger at #position; empty after a commit whose outcome is unknown. */
  #known = new Known();
  /** True at first, and after a commit whose outcome is unknown: the server may have taken it before the connection broke. */
  #positionDoubtful = true;
  #committing: Promise<void> | undefined;
  #stopped = false;

  constructor(db: Kysely<LedgerTables>, clock: Clock, metrics: Metrics, position: bigint, cache: Cache | undefined) {
    this.#db = db;
    const source = {
      head: () => readPosition(db),
      newestBetween: (after: bigint, through: bigint) => readNewestBetween(db, after, through),
      latest: (streamId: string) => readLatest(db, streamId),
    };
    this.#reads = cache && new LatestReads(source, cache, clock, metrics, position);
    this.#clock = clock;
    this.#metrics = metrics;
    this.#position = position;
    metrics.onScrape(() => metrics.set("flashloan_ledger_position", {}, Number(this.#position)));
  }

  get position(): bigint {
    return this.#position;
  }

  async append(command: AppendCommand): Promise<Appended> {
    const count = (outcome: "appended" | "repeated" | "refused" | "failed"): void =>
      this.#metrics.add("flashloan_ledger_appends_total", { outcome });
    try {
      const appended = await this.#enqueue(command);
      count(appended.repeated ? "repeated" : "appended");
      return appended;
    } catch (error) {
      count(isFailure(toFlashloanError(error)) ? "failed" : "refused");
      throw error;
    }
  }

  async rollback(command: RollbackCommand): Promise<Appended> {
    const { streamId, toSequence, idempotencyKey, fence, reason } = command;
    if (STEPWISE_PREFIXES.some((prefix) => streamId.startsWith(prefix)))
      throw new FlashloanError(
        "argument_invalid",
        `the records of ${streamId} are steps, of which one does not stand for the whole: it can't be rolled back`,
      );
    for (let attempt = 1; ; attempt++) {
      const compensation: AppendCommand = {
        streamId,
        expectedSequence: (await this.#readHeads([streamId])).get(streamId)?.sequence ?? 0n,
        idempotencyKey,
        records: [{ state: ROLLED_BACK, terminal: false, payload: new Uint8Array() }],
        restores: { sequence: toSequence, reason },
        ...(fence && { fence }),
      };
      const earlier = (await this.#readRequests([compensation])).get(requestKey(streamId, idempotencyKey));
      if (earlier) {
        if (!earlier.contentHash.equals(contentHash(compensation))) throw idempotencyConflict(compensation);
        this.#metrics.add("flashloan_ledger_appends_total", { outcome: "repeated" });
        return { sequence: earlier.sequence, position: earlier.position, repeated: true };
      }
      const payload = await this.#readPayload(streamId, toSequence, compensation.expectedSequence);
      const records = [{ state: ROLLED_BACK, terminal: false, payload }];
      try {
        return await this.append({ ...compensation, records });
      } catch (error) {
        const overtaken = error instanceof FlashloanError && error.code === "sequence_conflict";
        // An ended stream is where it was expected to be.
        if (!overtaken || error.details["actual"] === compensation.expectedSequence || attempt === ROLLBACK_ATTEMPTS)
          throw error;
      }
    }
  }

  /** What a rollback restores. */
  async #readPayload(streamId: string, sequence: bigint, head: bigint): Promise<Uint8Array> {
    if (head === 0n) throw new FlashloanError("not_found", `there is no stream ${streamId}`);
    if (sequence >= head)
      throw new FlashloanError(
        "argument_invalid",
        `stream ${streamId} is at sequence ${head}: it can be taken back to ${head === 1n ? "nothing, having one record" : `1 to ${head - 1n}`}, not to ${sequence}`,
      );
    const row = await this.#db
      .selectFrom("ledger_record")
      .select("payload")
      .where("stream_id", "=", streamId)
      .where("sequence", "=", sequence.toString())
      .executeTakeFirst();
    if (!row)
      throw new FlashloanError(
        "history_compacted",
        `record ${sequence} of stream ${streamId} was compacted: nothing can be restored from it`,
        { details: { streamId, sequence } },
      );
    return new Uint8Array(row.payload);
  }

  #enqueue(command: AppendCommand): Promise<Appended> {
    if (this.#stopped) return Promise.reject(new FlashloanError("service_stopping", "the ledger has stopped"));
    const large = command.records.find((record) => record.payload.length > PAYLOAD_BYTES_MAX);
    if (large)
      return Promise.reject(
        new FlashloanError(
          "payload_too_large",
          `the payload of ${large.state} is ${large.payload.length} bytes; at most ${PAYLOAD_BYTES_MAX}`,
        ),
      );
    if (this.#waiting.length >= WAITING_MAX)
      return Promise.reject(new FlashloanError("queue_full", `${WAITING_MAX} appends wait already: try again`));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ command, contentHash: contentHash(command), resolve, reject });
      // Commits serve many callers: they belong to no one's trace.
      this.#committing ??= inTrace(undefined, () => this.#commitAll());
    });
  }

  latest(streamId: string): Promise<LedgerRecord | undefined> {
    return this.#reads?.latest(streamId) ?? readLatest(this.#db, streamId);
  }

  async history(streamId: string | undefined, after: bigint, limit: number): Promise<HistoryPage> {
    let query = this.#db
      .selectFrom("ledger_record")
      .selectAll()
      // By the same statement, so that nothing is compacted between the two.
      .select((eb) => eb.selectFrom("ledger_compaction").select("compacted_through").as("compacted_through"))
      .where("position", ">", after.toString())
      .orderBy("position")
      .limit(limit + 1);
    if (streamId !== undefined) query = query.where("stream_id", "=", streamId);
    const rows = await query.execute();
    const compactedThrough = BigInt(rows[0]?.compacted_through ?? (await this.compactedThrough()));
    return { ...toPage(rows.map(toRecord), limit, (record) => record.position), compactedThrough };
  }

  async listOpen(prefix: string, after: bigint, limit: number): Promise<LedgerPage> {
    const rows = await this.#db
      .selectFrom("ledger_stream as s")
      .innerJoin("ledger_record as r", "r.position", "s.latest_position")
      .selectAll("r")
      .select("s.first_position")
      .where("s.terminal", "=", false)
      .where("s.first_position", ">", after.toString())
      .where((eb) => eb(eb.fn("starts_with", ["s.stream_id", eb.val(prefix)]), "=", true))
      .orderBy("s.first_position")
      .limit(limit + 1)
      .execute();
    const firstPositions = new Map(rows.map((row) => [row.stream_id, BigInt(row.first_position)]));
    return toPage(rows.map(toRecord), limit, (record) => firstPositions.get(record.streamId) ?? 0n);
  }

  async compactedThrough(): Promise<bigint> {
    const row = await this.#db.selectFrom("ledger_compaction").select("compacted_through").executeTakeFirst();
    return BigInt(row?.compacted_through ?? 0);
  }

  async compact(cutoffMs: number, signal?: AbortSignal): Promise<{ streams: number; records: number }> {
    const streams = new Set<string>();
    let records = 0;
    for (;;) {
      const batch = await compactBatch(this.#db, cutoffMs);
      for (const streamId of batch.streamIds) streams.add(streamId);
      records += batch.records;
      this.#metrics.add("flashloan_ledger_compacted_records_total", {}, batch.records);
      this.#reads?.forget(batch.streamIds);
      if (batch.records === 0 || signal?.aborted) break;
    }
    return { streams: streams.size, records };
  }

  async *watch(after: bigint, signal: AbortSignal): AsyncGenerator<{ record: LedgerRecord; compactedThrough: bigint }> {
    let seen = after;
    let wake: () => void = () => undefined;
    const onCommit = (): void => wake();
    this.#watchers.add(onCommit);
    signal.addEventListener("abort", onCommit);
    try {
      while (!signal.aborted && !this.#stopped) {
        const woken = new Promise<void>((resolve) => (wake = resolve));
        const { records, compactedThrough } = await this.history(undefined, seen, WATCH_PAGE);
        for (const record of records) {
          if (signal.aborted) return;
          yield { record, compactedThrough };
          seen = record.position;
        }
        if (records.length === 0 && !signal.aborted && !this.#stopped) await woken;
      }
    } finally {
      this.#watchers.delete(onCommit);
      signal.removeEventListener("abort", onCommit);
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#committing;
    await this.#reads?.stop();
    for (const wake of this.#watchers) wake();
  }

  async #commitAll(): Promise<void> {
    // What came in the same message or turn of the event loop shares the first commit, instead of waiting for it.
    await setImmediate();
    while (this.#waiting.length > 0) {
      const group = this.#takeGroup();
      const startedMs = this.#clock.monotonic();
      try {
        await this.#commit(group);
        const tookMs = this.#clock.monotonic() - startedMs;
        this.#metrics.observe("flashloan_ledger_commit_seconds", {}, tookMs / 1_000);
      } catch (error) {
        // Nothing of the group is known to be durable: every caller is told, and may repeat by its idempotency key.
        this.#forget();
        for (const { reject } of group) reject(toLedgerError(error));
      }
      for (const wake of this.#watchers) wake();
    }
    this.#committing = undefined;
  }

  /** The oldest waiting appends that fit one commit, at least one. */
  #takeGroup(): Waiting[] {
    let [count, records, bytes] = [0, 0, 0];
    for (const { command } of this.#waiting) {
      records += command.records.length;
      for (const { payload } of command.records) bytes += payload.length;
      if (count > 0 && (count >= GROUP_MAX || records > GROUP_RECORDS_MAX || bytes > GROUP_BYTES_MAX)) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  /**
   * One statement, so one round trip and one fsync, for the whole group; answers are given only after its commit.
   *
   * What is planned from memory is safe because places are without gaps and unique: a group takes the places after
   * #position, so when another commit came first the statement fails as a whole, everything is read anew, and the group
   * is planned again. Memory that says "there is no such stream" or "this key is new" is proved right in the same way.
   */
  async #commit(group: readonly Waiting[]): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      if (this.#positionDoubtful) await this.#readAnew(group);
      await this.#readMissing(group);
      const plan = planGroup(group, this.#position, this.#known);
      // A refusal is final, so it must not rest on memory alone.
      if (plan.refused && !this.#known.isFresh) {
        this.#forget();
        continue;
      }
      const [from, startedMs, nowMs] = [this.#position, this.#clock.monotonic(), this.#clock.now()];
      try {
        if (plan.records.length > 0) await writeGroup(this.#db, plan, nowMs);
      } catch (error) {
        if ((error as { code?: unknown }).code !== UNIQUE_VIOLATION || attempt === COMMIT_ATTEMPTS) throw error;
        this.#forget();
        continue;
      }
      this.#position = plan.position;
      this.#known.take(plan);
      // What is answered is never older than what was acknowledged: places first, then answers.
      if (plan.records.length > 0) this.#reads?.committed(from, plan.position, newestOf(plan, nowMs), startedMs);
      for (const answer of plan.answers) answer();
      return;
    }
  }

  #forget(): void {
    this.#known = new Known();
    this.#positionDoubtful = true;
    this.#reads?.doubt();
  }

  /** Everything that a group may meet, as it is now: the position first, so that what is newer shows as a conflict. */
  async #readAnew(group: readonly Waiting[]): Promise<void> {
    const position = await readPosition(this.#db);
    const known = new Known();
    const streamIds = [...new Set(group.map(({ command }) => command.streamId))];
    for (const [streamId, head] of await this.#readHeads(streamIds)) known.heads.set(streamId, head);
    for (const streamId of streamIds) if (!known.heads.has(streamId)) known.heads.set(streamId, NO_HEAD);
    for (const [key, request] of await this.#readRequests(group.map(({ command }) => command)))
      known.requests.set(key, request);
    for (const { scope, token } of await this.#db.selectFrom("ledger_fence").selectAll().execute())
      known.fences.set(scope, BigInt(token));
    known.isFresh = true;
    this.#position = position;
    this.#known = known;
    this.#positionDoubtful = false;
  }

  /** Heads that a group goes on from and memory lacks. A stream that is begun is taken for new: the commit proves it. */
  async #readMissing(group: readonly Waiting[]): Promise<void> {
    const missing = new Set<string>();
    for (const { command } of group)
      if (command.expectedSequence > 0n && !this.#known.heads.has(command.streamId)) missing.add(command.streamId);
    if (missing.size === 0) return;
    for (const [streamId, head] of await this.#readHeads([...missing])) this.#known.heads.set(streamId, head);
  }

  async #readHeads(streamIds: readonly string[]): Promise<Map<string, Head>> {
    const rows = await this.#db.selectFrom("ledger_stream").selectAll().where("stream_id", "in", streamIds).execute();
    return new Map(
      rows.map((row) => [
        row.stream_id,
        { sequence: BigInt(row.sequence), terminal: row.terminal, latestPosition: BigInt(row.latest_position) },
      ]),
    );
  }

  async #readRequests(commands: readonly AppendCommand[]): Promise<Map<string, KnownRequest>> {
    const streamIds = [...new Set(commands.map(({ streamId }) => streamId))];
    const keys = [...new Set(commands.map(({ idempotencyKey }) => idempotencyKey))];
    const rows = await this.#db
      .selectFrom("ledger_request")
      .selectAll()
      .where("stream_id", "in", streamIds)
      .where("idempotency_key", "in", keys)
      .execute();
    return new Map(
      rows.map((row) => [
        requestKey(row.stream_id, row.idempotency_key),
        { contentHash: Buffer.from(row.content_hash), sequence: BigInt(row.sequence), position: BigInt(row.position) },
      ]),
    );
  }
}

/** The newest record of each stream that a group wrote. */
function newestOf(plan: GroupPlan, committedAtMs: number): LedgerRecord[] {
  return plan.records
    .filter(({ streamId, position }) => plan.heads.get(streamId)?.latestPosition === position)
    .map((record) => ({ ...record, committedAtMs, compactedRecords: 0n }));
}

/** A place that is taken means that another commit came first: the same request may succeed at the next place. */
function toLedgerError(error: unknown): FlashloanError {
  const { code } = error as { code?: unknown };
  if (code !== UNIQUE_VIOLATION) return toFlashloanError(error);
  return new FlashloanError("service_unavailable", "another commit came first: try again", { cause: error });
}

function toRecord(row: LedgerTables["ledger_record"]): LedgerRecord {
  return {
    position: BigInt(row.position),
    streamId: row.stream_id,
    sequence: BigInt(row.sequence),
    state: row.state,
    terminal: row.terminal,
    payload: new Uint8Array(row.payload),
    committedAtMs: Number(row.committed_at_ms),
    restores:
      row.restores_sequence === null
        ? undefined
        : { sequence: BigInt(row.restores_sequence), reason: row.reason ?? "" },
    compactedRecords: BigInt(row.compacted_records),
  };
}

/** At most so many records, and no more than one message carries. */
function toPage(records: LedgerRecord[], limit: number, cursor: (record: LedgerRecord) => bigint): LedgerPage {
  let [count, bytes] = [0, 0];
  for (const { payload } of records) {
    bytes += payload.length;
    if (count === limit || (count > 0 && bytes > PAGE_BYTES_MAX)) break;
    count += 1;
  }
  const last = records[count - 1];
  return { records: records.slice(0, count), next: records.length > count && last ? cursor(last) : undefined };
}
