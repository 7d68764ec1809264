import { randomUUID } from "node:crypto";
import { z } from "zod";
import { withDeadline, type Clock } from "@flashloan/shared/clock";
import type { Cache } from "@flashloan/shared/ports/cache";
import type { Metrics } from "@flashloan/shared/telemetry/metrics";
import { NewestPositions } from "./newest-positions.ts";
import type { LedgerRecord } from "./record.ts";

/** The longest that the ledger's head may be unconfirmed while entries are still served: how late another writer's commit shows. */
export const HEAD_AGE_MS_MAX = 100;
/** A cache that has not answered then is passed by, and left alone for a while. */
const CACHE_DEADLINE_MS = 25;
const CACHE_REST_MS = 1_000;
/** Entries nobody asks for go. */
const ENTRY_TTL_MS = 3_600_000;
/** Streams whose entries are kept up to date with each commit, since somebody asked for them: the last that were asked for. */
const WANTED_MAX = 10_000;
/** Text on its way to the cache; beyond it nothing is written, and a later read repairs that. */
const WRITING_CHARACTERS_MAX = 8 * 1024 * 1024;
/** Records of other writers that are taken in one by one; after more, everything is forgotten. */
const CATCH_UP_MAX = 10_000n;

const entrySchema = z.object({
  position: z.coerce.bigint(),
  streamId: z.string(),
  sequence: z.coerce.bigint(),
  state: z.string(),
  terminal: z.boolean(),
  payload: z.base64().transform((text) => new Uint8Array(Buffer.from(text, "base64"))),
  committedAtMs: z.number(),
  restores: z.object({ sequence: z.coerce.bigint(), reason: z.string() }).optional(),
  compactedRecords: z.coerce.bigint(),
});

/** What is asked of the tables. */
export interface LatestSource {
  /** Place of the newest record. */
  head(): Promise<bigint>;
  /** By stream: the newest place after `after` and up to `through`. */
  newestBetween(after: bigint, through: bigint): Promise<ReadonlyMap<string, bigint>>;
  latest(streamId: string): Promise<LedgerRecord | undefined>;
}

/**
 * The newest record of a stream, from the cache where it is proved to be the newest.
 *
 * An entry is served only when its place is the one that this process knows as the stream's newest: from its own commits,
 * at once, and from the tables, which it asks for the commits of others when it has not for `HEAD_AGE_MS_MAX`. Everything
 * else is read from the tables and put back. Entries of an earlier run are under other keys, so that a database that was
 * restored from a backup never meets what was cached before.
 */
export class LatestReads {
  readonly #source: LatestSource;
  readonly #cache: Cache;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  #positions: NewestPositions;
  #run = randomUUID();
  /** When it was last known that #positions.head is the ledger's. */
  #confirmedMs = Number.NEGATIVE_INFINITY;
  #confirming: Promise<void> | undefined;
  #cacheRestsUntilMs = Number.NEGATIVE_INFINITY;
  #writingCharacters = 0;
  readonly #wanted = new Set<string>();

  constructor(source: LatestSource, cache: Cache, clock: Clock, metrics: Metrics, head: bigint) {
    this.#source = source;
    this.#cache = cache;
    this.#clock = clock;
    this.#metrics = metrics;
    this.#positions = new NewestPositions(head);
    metrics.countFrom("flashloan_ledger_cache_failures_total", {}, () => cache.missed());
  }

  async latest(streamId: string): Promise<LedgerRecord | undefined> {
    this.#want(streamId);
    if (this.#clock.monotonic() - this.#confirmedMs > HEAD_AGE_MS_MAX) {
      // This read asks the tables anyway; those that follow may use what is confirmed meanwhile.
      this.#confirm();
      return this.#fromTables(streamId);
    }
    const newest = this.#positions.of(streamId);
    const cached = newest === undefined ? undefined : await this.#fromCache(streamId, newest);
    if (cached) this.#metrics.add("flashloan_ledger_reads_total", { source: "cache" });
    return cached ?? this.#fromTables(streamId);
  }

  /**
   * Takes in a commit of this process: the newest record of each stream that it wrote.
   * @param from place of the newest record before it
   * @param startedMs when its statement was sent: it succeeded, so nothing else had been committed after `from` then
   */
  committed(from: bigint, through: bigint, newest: readonly LedgerRecord[], startedMs: number): void {
    for (const { streamId, position } of newest) this.#positions.take(streamId, position);
    if (this.#positions.head === from) {
      this.#positions.advance(through);
      this.#confirmedMs = Math.max(this.#confirmedMs, startedMs);
    } else if (this.#positions.head < from) this.doubt();
    for (const record of newest) if (this.#wanted.has(record.streamId)) this.#put(record);
  }

  /** Somebody may have committed what is not known here: nothing is served from the cache until the tables were asked. */
  doubt(): void {
    this.#confirmedMs = Number.NEGATIVE_INFINITY;
  }

  /** Streams whose newest records have changed in place: they became snapshots. */
  forget(streamIds: readonly string[]): void {
    for (const streamId of streamIds) this.#positions.forget(streamId);
  }

  /** Waits for questions that are under way. */
  async stop(): Promise<void> {
    await this.#confirming;
  }

  async #fromTables(streamId: string): Promise<LedgerRecord | undefined> {
    const { head } = this.#positions;
    const record = await this.#source.latest(streamId);
    this.#metrics.add("flashloan_ledger_reads_total", { source: "database" });
    if (record && this.#positions.learn(streamId, record.position, head)) this.#put(record);
    return record;
  }

  async #fromCache(streamId: string, newest: bigint): Promise<LedgerRecord | undefined> {
    const miss = (reason: "absent" | "behind" | "unreadable" | "late"): undefined =>
      this.#metrics.add("flashloan_ledger_cache_misses_total", { reason }) as undefined;
    if (this.#clock.monotonic() < this.#cacheRestsUntilMs) return miss("late");
    let text: string | undefined;
    try {
      const late = (): Error => new Error("the cache is late");
      text = await withDeadline(this.#cache.get(this.#keyOf(streamId)), CACHE_DEADLINE_MS, late);
    } catch {
      this.#cacheRestsUntilMs = this.#clock.monotonic() + CACHE_REST_MS;
      return miss("late");
    }
    if (text === undefined) return miss("absent");
    const record = decode(text);
    if (record?.streamId !== streamId) return miss("unreadable");
    return record.position === newest ? record : miss("behind");
  }

  #want(streamId: string): void {
    this.#wanted.delete(streamId);
    this.#wanted.add(streamId);
    for (const oldest of this.#wanted) {
      if (this.#wanted.size <= WANTED_MAX) break;
      this.#wanted.delete(oldest);
    }
  }

  #put(record: LedgerRecord): void {
    const text = encode(record);
    if (this.#writingCharacters + text.length > WRITING_CHARACTERS_MAX) return;
    this.#writingCharacters += text.length;
    // A write that fails is counted by the cache; the next read finds the entry behind.
    void this.#cache
      .set(this.#keyOf(record.streamId), text, ENTRY_TTL_MS)
      .catch(() => undefined)
      .then(() => (this.#writingCharacters -= text.length));
  }

  #keyOf(streamId: string): string {
    return `ledger:${this.#run}:latest:${streamId}`;
  }

  #confirm(): void {
    this.#confirming ??= this.#catchUp()
      // What is not confirmed is read from the tables; they say themselves that they can't be reached.
      .catch(() => undefined)
      .finally(() => (this.#confirming = undefined));
  }

  /** Takes in what others have committed. */
  async #catchUp(): Promise<void> {
    const startedMs = this.#clock.monotonic();
    const after = this.#positions.head;
    const head = await this.#source.head();
    if (head < after) {
      // Another database than before: a backup that was restored under a running service.
      this.#positions = new NewestPositions(head);
      this.#run = randomUUID();
    } else if (head - after > CATCH_UP_MAX) this.#positions = new NewestPositions(maxOf(head, this.#positions.head));
    else if (head > after) {
      const { head: known } = this.#positions;
      for (const [streamId, position] of await this.#source.newestBetween(after, head))
        this.#positions.take(streamId, position);
      this.#positions.advance(maxOf(head, known));
    }
    this.#confirmedMs = Math.max(this.#confirmedMs, startedMs);
  }
}

const maxOf = (a: bigint, b: bigint): bigint => (a > b ? a : b);

/** Written with each commit, so without a replacer, which would cost more than all the rest. */
function encode({ position, sequence, restores, compactedRecords, payload, ...record }: LedgerRecord): string {
  return JSON.stringify({
    ...record,
    position: String(position),
    sequence: String(sequence),
    compactedRecords: String(compactedRecords),
    payload: Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString("base64"),
    ...(restores && { restores: { ...restores, sequence: String(restores.sequence) } }),
  });
}

function decode(text: string): LedgerRecord | undefined {
  try {
    const entry = entrySchema.parse(JSON.parse(text));
    return { ...entry, restores: entry.restores };
  } catch {
    return undefined;
  }
}
