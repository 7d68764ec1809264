import { sql, type Kysely } from "kysely";
import { toFlashloanError } from "@flashloan/shared/errors";
import type { Clock } from "@flashloan/shared/clock";
import type { Running } from "@flashloan/shared/lifecycle";
import type { Logger } from "@flashloan/shared/log";
import type { LedgerTables } from "./schema.ts";

/** Streams that are kept whole for ever: what the platform did with money, and what it accounts from. */
const KEPT_PREFIXES = ["intent:", "platform:"] as const;
/** What one transaction takes at most: streams, and records that it removes. */
const BATCH_STREAMS_MAX = 200;
const BATCH_RECORDS_MAX = 5_000;
const PERIOD_MS = 3_600_000;
/** A day of a retention. */
export const DAY_MS = 86_400_000;

/** Whether records of a stream that stands there may go one day. */
export function isCompactable(
  streamId: string,
  head: { readonly sequence: bigint; readonly terminal: boolean },
): boolean {
  return head.terminal && head.sequence > 1n && !KEPT_PREFIXES.some((prefix) => streamId.startsWith(prefix));
}

/** What a compaction did. */
export interface Compacted {
  readonly streamIds: readonly string[];
  /** Records that were removed. */
  readonly records: number;
}

/**
 * Takes one batch, in one statement, all or nothing: of streams that ended before `cutoffMs`, the oldest records but each
 * one's last, which becomes the snapshot and tells how many stood before it. Requests stay, so that a repetition is still
 * recognized; places and sequences are never used again, since the newest of each stream stays. A stream too long for one
 * batch is gone on with in the next.
 */
export async function compactBatch(db: Kysely<LedgerTables>, cutoffMs: number): Promise<Compacted> {
  const { rows } = await sql<{ stream_id: string; records: string }>`
    with ended as (
      select s.stream_id, s.latest_position from ledger_stream s
      where s.compactable and exists (
          select 1 from ledger_record r where r.position = s.latest_position and r.committed_at_ms < ${cutoffMs}::bigint
        )
      order by s.first_position limit ${BATCH_STREAMS_MAX}::integer
      for update skip locked
    ), removable as (
      select r.position from ended e
      join ledger_record r on r.stream_id = e.stream_id and r.position < e.latest_position
      order by r.position limit ${BATCH_RECORDS_MAX}::integer
    ), removed as (
      delete from ledger_record r using removable m where r.position = m.position returning r.position, r.stream_id
    ), counted as (
      select stream_id, count(*) as records, max(position) as through from removed group by stream_id
    ), snapshots as (
      update ledger_record r set compacted_records = r.compacted_records + c.records
      from counted c join ended e on e.stream_id = c.stream_id where r.position = e.latest_position
    ), streams as (
      update ledger_stream s set compacted_records = s.compacted_records + c.records,
        compactable = s.compacted_records + c.records < s.sequence - 1
      from counted c where s.stream_id = c.stream_id
    ), marked as (
      update ledger_compaction
      set compacted_through = greatest(compacted_through, (select max(through) from counted))
      where exists (select 1 from counted)
    )
    select stream_id, records from counted`.execute(db);
  return {
    streamIds: rows.map(({ stream_id: streamId }) => streamId),
    records: rows.reduce((sum, { records }) => sum + Number(records), 0),
  };
}

/** What compacts streams that ended before a time. */
export interface Compactable {
  compact(cutoffMs: number, signal?: AbortSignal): Promise<{ streams: number; records: number }>;
}

/** Compacts at the start and each hour from then on; what fails is told and tried again an hour later. */
export function startCompaction(ledger: Compactable, retentionDays: number, clock: Clock, log: Logger): Running {
  const abort = new AbortController();
  const run = async (): Promise<void> => {
    while (!abort.signal.aborted) {
      try {
        const { streams, records } = await ledger.compact(clock.now() - retentionDays * DAY_MS, abort.signal);
        if (records > 0) log.info({ streams, records }, "ledger_compacted");
      } catch (error) {
        log.warn({ error: toFlashloanError(error) }, "compaction_failed");
      }
      await clock.sleep(PERIOD_MS, abort.signal).catch(() => undefined);
    }
  };
  const running = run();
  return {
    stop: async () => {
      abort.abort();
      await running;
    },
  };
}
