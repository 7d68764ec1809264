import { hash } from "node:crypto";
import { sql, type Kysely } from "kysely";
import { FlashloanError } from "@flashloan/shared/errors";
import type { AppendCommand, Appended, Restored } from "./append.ts";
import { isCompactable } from "./compaction.ts";
import type { LedgerTables } from "./schema.ts";

/** Streams whose heads are kept in memory; the oldest is forgotten, and read again when it is needed. */
const HEADS_MAX = 50_000;
const HASH_BYTES = 32;

/** An append that waits for its commit. */
export interface Waiting {
  readonly command: AppendCommand;
  readonly contentHash: Buffer;
  readonly resolve: (appended: Appended) => void;
  readonly reject: (error: FlashloanError) => void;
}

/** Where a stream stands. */
export interface Head {
  readonly sequence: bigint;
  readonly terminal: boolean;
  readonly latestPosition: bigint;
}
/** Of a stream that has no record. */
export const NO_HEAD: Head = { sequence: 0n, terminal: false, latestPosition: 0n };

/** A request that was appended before. */
export interface KnownRequest {
  readonly contentHash: Buffer;
  readonly sequence: bigint;
  readonly position: bigint;
}

/** What a ledger remembers of its tables. */
export class Known {
  readonly heads = new Map<string, Head>();
  readonly requests = new Map<string, KnownRequest>();
  readonly fences = new Map<string, bigint>();
  /** True while all that the next group may meet was read for it. */
  isFresh = false;

  /** Takes over what was committed. */
  take(plan: GroupPlan): void {
    for (const [streamId, head] of plan.heads) {
      this.heads.delete(streamId);
      this.heads.set(streamId, head);
    }
    for (const [scope, token] of plan.fences) this.fences.set(scope, token);
    for (const streamId of this.heads.keys()) {
      if (this.heads.size <= HEADS_MAX) break;
      this.heads.delete(streamId);
    }
    this.requests.clear();
    this.isFresh = false;
  }
}

interface PlannedRecord {
  readonly streamId: string;
  readonly sequence: bigint;
  readonly state: string;
  readonly terminal: boolean;
  readonly payload: Uint8Array;
  readonly position: bigint;
  readonly restores: Restored | undefined;
}

/** What a group's commit writes, and what is then answered. */
export interface GroupPlan {
  /** Place of the newest record after it. */
  readonly position: bigint;
  readonly records: readonly PlannedRecord[];
  readonly requests: readonly (KnownRequest & { readonly streamId: string; readonly idempotencyKey: string })[];
  /** By stream: where it stands after it. */
  readonly heads: ReadonlyMap<string, Head>;
  /** Streams that begin with it, and the place of their first record. */
  readonly begun: ReadonlyMap<string, bigint>;
  readonly fences: ReadonlyMap<string, bigint>;
  /** True when something is refused, or answered as a repetition. */
  readonly refused: boolean;
  readonly answers: readonly (() => void)[];
}

/** Decides what becomes of each append of a group, in order. */
export function planGroup(group: readonly Waiting[], from: bigint, known: Known): GroupPlan {
  let position = from;
  let refused = false;
  const records: PlannedRecord[] = [];
  const requests = new Map<string, KnownRequest & { streamId: string; idempotencyKey: string }>();
  const heads = new Map<string, Head>();
  const begun = new Map<string, bigint>();
  const fences = new Map<string, bigint>();
  const answers: (() => void)[] = [];
  for (const { command, contentHash: digest, resolve, reject } of group) {
    const { streamId, idempotencyKey, fence } = command;
    const refuse = (error: FlashloanError): void => {
      refused = true;
      answers.push(() => reject(error));
    };
    const key = requestKey(streamId, idempotencyKey);
    const planned = requests.get(key);
    const earlier = planned ?? known.requests.get(key);
    if (earlier) {
      if (!digest.equals(earlier.contentHash)) refuse(idempotencyConflict(command));
      else answers.push(() => resolve({ sequence: earlier.sequence, position: earlier.position, repeated: true }));
      continue;
    }
    const token = fence && (fences.get(fence.scope) ?? known.fences.get(fence.scope) ?? 0n);
    if (fence && token !== undefined && fence.token < token) {
      refuse(fenced(command, fence.scope, token));
      continue;
    }
    const head = heads.get(streamId) ?? known.heads.get(streamId) ?? NO_HEAD;
    if (head.terminal || head.sequence !== command.expectedSequence) {
      refuse(sequenceConflict(command, head));
      continue;
    }
    if (head.sequence === 0n) begun.set(streamId, position + 1n);
    let { sequence } = head;
    for (const { state, terminal, payload } of command.records) {
      position += 1n;
      sequence += 1n;
      records.push({ streamId, sequence, state, terminal, payload, position, restores: command.restores });
    }
    const terminal = command.records.at(-1)?.terminal === true;
    heads.set(streamId, { sequence, terminal, latestPosition: position });
    if (fence && token !== undefined && fence.token > token) fences.set(fence.scope, fence.token);
    const appended = { sequence, position };
    requests.set(key, { streamId, idempotencyKey, contentHash: digest, ...appended });
    answers.push(() => resolve({ ...appended, repeated: false }));
  }
  return { position, records, requests: [...requests.values()], heads, begun, fences, refused, answers };
}

/**
 * Writes a plan, all or none, in one statement. Payloads travel as one binary value that the server cuts up: arrays of
 * bytea would travel as hexadecimal text.
 */
export async function writeGroup(db: Kysely<LedgerTables>, plan: GroupPlan, nowMs: number): Promise<void> {
  const { records, requests, heads, begun, fences } = plan;
  let end = 1;
  const starts = records.map(({ payload }) => (end += payload.length) - payload.length);
  const continued = [...heads].filter(([streamId]) => !begun.has(streamId));
  const rollbacks = records.flatMap(({ position, restores }) => (restores ? [{ position, ...restores }] : []));
  const started = [...begun].map(([streamId, first]) => ({ streamId, first, ...(heads.get(streamId) ?? NO_HEAD) }));
  await sql`
    with written as (
      insert into ledger_record (position, stream_id, sequence, state, terminal, payload, committed_at_ms,
        restores_sequence, reason)
      select position, stream_id, sequence, state, terminal,
        substring(${Buffer.concat(records.map(({ payload }) => payload))}::bytea from start for length), ${nowMs}::bigint,
        restores_sequence, reason
      from unnest(
        ${records.map(({ position }) => String(position))}::bigint[], ${records.map(({ streamId }) => streamId)}::text[],
        ${records.map(({ sequence }) => String(sequence))}::bigint[], ${records.map(({ state }) => state)}::text[],
        ${records.map(({ terminal }) => terminal)}::boolean[], ${starts}::integer[],
        ${records.map(({ payload }) => payload.length)}::integer[]
      ) as r (position, stream_id, sequence, state, terminal, start, length)
      left join unnest(
        ${rollbacks.map(({ position }) => String(position))}::bigint[],
        ${rollbacks.map(({ sequence }) => String(sequence))}::bigint[], ${rollbacks.map(({ reason }) => reason)}::text[]
      ) as b (position, restores_sequence, reason) using (position)
    ), requested as (
      insert into ledger_request (stream_id, idempotency_key, content_hash, sequence, position)
      select stream_id, idempotency_key,
        substring(${Buffer.concat(requests.map(({ contentHash: digest }) => digest))}::bytea
          from ((ordinal - 1) * ${HASH_BYTES}::integer + 1)::integer for ${HASH_BYTES}::integer), sequence, position
      from unnest(
        ${requests.map(({ streamId }) => streamId)}::text[], ${requests.map((request) => request.idempotencyKey)}::text[],
        ${requests.map(({ sequence }) => String(sequence))}::bigint[],
        ${requests.map(({ position }) => String(position))}::bigint[]
      ) with ordinality as q (stream_id, idempotency_key, sequence, position, ordinal)
    ), begun as (
      insert into ledger_stream (stream_id, sequence, terminal, first_position, latest_position, compactable)
      select * from unnest(
        ${started.map(({ streamId }) => streamId)}::text[], ${started.map(({ sequence }) => String(sequence))}::bigint[],
        ${started.map(({ terminal }) => terminal)}::boolean[], ${started.map(({ first }) => String(first))}::bigint[],
        ${started.map(({ latestPosition }) => String(latestPosition))}::bigint[],
        ${started.map(({ streamId, ...head }) => isCompactable(streamId, head))}::boolean[])
    ), continued as (
      update ledger_stream as s
      set sequence = c.sequence, terminal = c.terminal, latest_position = c.latest_position, compactable = c.compactable
      from unnest(
        ${continued.map(([streamId]) => streamId)}::text[], ${continued.map(([, head]) => String(head.sequence))}::bigint[],
        ${continued.map(([, head]) => head.terminal)}::boolean[],
        ${continued.map(([, head]) => String(head.latestPosition))}::bigint[],
        ${continued.map(([streamId, head]) => isCompactable(streamId, head))}::boolean[]
      ) as c (stream_id, sequence, terminal, latest_position, compactable)
      where s.stream_id = c.stream_id
    )
    insert into ledger_fence (scope, token)
    select * from unnest(${[...fences.keys()]}::text[], ${[...fences.values()].map(String)}::bigint[])
    on conflict (scope) do update set token = excluded.token`.execute(db);
}

/** What identifies a request in memory. */
export function requestKey(streamId: string, idempotencyKey: string): string {
  return `${streamId}\n${idempotencyKey}`;
}

/** By what a repetition is told from other content under the same key. */
export function contentHash(command: AppendCommand): Buffer {
  const { restores } = command;
  // What a rollback restores is named by its sequence, and it goes wherever its stream's end is when it is carried out.
  if (restores) return sha256([Buffer.from(`rollback\n${restores.sequence}\n${restores.reason}`)]);
  const parts: Uint8Array[] = [];
  let text = `${command.expectedSequence}\n`;
  for (const { state, terminal, payload } of command.records) {
    text += `${state}\n${terminal}\n${payload.length}\n`;
    parts.push(Buffer.from(text), payload);
    text = "";
  }
  return sha256(parts);
}

/** In one go: an object to update costs more than the digest. */
function sha256(parts: readonly Uint8Array[]): Buffer {
  return hash("sha256", Buffer.concat(parts), "buffer");
}

function sequenceConflict(command: AppendCommand, head: Head): FlashloanError {
  const message = head.terminal
    ? `stream ${command.streamId} ended at sequence ${head.sequence}: nothing can follow`
    : `stream ${command.streamId} is at sequence ${head.sequence}, not ${command.expectedSequence}: someone else appended; read Latest and decide anew`;
  return new FlashloanError("sequence_conflict", message, {
    details: { streamId: command.streamId, expected: command.expectedSequence, actual: head.sequence },
  });
}

/** What a key that was used with other content is refused with. */
export function idempotencyConflict(command: AppendCommand): FlashloanError {
  return new FlashloanError(
    "idempotency_conflict",
    `idempotency key "${command.idempotencyKey}" of stream ${command.streamId} was used with other content: use a new key for new content`,
    { details: { streamId: command.streamId } },
  );
}

function fenced(command: AppendCommand, scope: string, token: bigint): FlashloanError {
  return new FlashloanError(
    "fenced",
    `token ${command.fence?.token} of "${scope}" is older than ${token}, which was appended since: whoever sent this has lost the lead and must stop`,
    { details: { streamId: command.streamId, scope, token } },
  );
}
