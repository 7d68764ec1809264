import { sql } from "kysely";
import type { SchemaMigration } from "@flashloan/shared/ports/database";

/** The ledger's tables. */
export type LedgerTables = {
  ledger_record: {
    position: string;
    stream_id: string;
    sequence: string;
    state: string;
    terminal: boolean;
    payload: Uint8Array;
    committed_at_ms: string;
    restores_sequence: string | null;
    reason: string | null;
    compacted_records: string;
  };
  ledger_stream: {
    stream_id: string;
    sequence: string;
    terminal: boolean;
    first_position: string;
    latest_position: string;
    compacted_records: string;
    /** It has ended, and records before its last may go. */
    compactable: boolean;
  };
  ledger_request: {
    stream_id: string;
    idempotency_key: string;
    content_hash: Uint8Array;
    sequence: string;
    position: string;
  };
  ledger_compaction: {
    compacted_through: string;
  };
  ledger_fence: {
    scope: string;
    token: string;
  };
};

/** Forward-only; names never change once released. */
export const LEDGER_MIGRATIONS: readonly SchemaMigration[] = [
  {
    name: "0001_ledger",
    up: async (db) => {
      await sql`
        create table ledger_record (
          position bigint primary key,
          stream_id text not null,
          sequence bigint not null check (sequence > 0),
          state text not null,
          terminal boolean not null,
          payload bytea not null,
          committed_at_ms bigint not null,
          unique (stream_id, sequence)
        )`.execute(db);
      await sql`
        create table ledger_stream (
          stream_id text primary key,
          sequence bigint not null,
          terminal boolean not null,
          first_position bigint not null,
          latest_position bigint not null
        )`.execute(db);
      await sql`create index ledger_stream_open on ledger_stream (first_position) where not terminal`.execute(db);
      await sql`
        create table ledger_request (
          id bigint generated always as identity primary key,
          stream_id text not null,
          idempotency_key text not null,
          content_hash bytea not null,
          sequence bigint not null,
          position bigint not null,
          unique (stream_id, idempotency_key)
        )`.execute(db);
    },
  },
  {
    name: "0002_group_commit",
    up: async (db) => {
      // One index less to write with each append: a request's own key identifies it.
      await sql`alter table ledger_request drop column id`.execute(db);
      await sql`
        create table ledger_fence (
          scope text primary key,
          token bigint not null check (token > 0)
        )`.execute(db);
    },
  },
  {
    name: "0003_rollback",
    up: async (db) => {
      await sql`alter table ledger_record add column restores_sequence bigint, add column reason text`.execute(db);
    },
  },
  {
    name: "0004_compaction",
    up: async (db) => {
      await sql`alter table ledger_record add column compacted_records bigint not null default 0`.execute(db);
      await sql`alter table ledger_stream add column compacted_records bigint not null default 0`.execute(db);
      await sql`
        create index ledger_stream_compactable on ledger_stream (latest_position)
        where terminal and compacted_records < sequence - 1`.execute(db);
      // One row.
      await sql`
        create table ledger_compaction (
          one boolean primary key default true check (one),
          compacted_through bigint not null
        )`.execute(db);
      await sql`insert into ledger_compaction (compacted_through) values (0)`.execute(db);
    },
  },
  {
    name: "0005_updates_in_place",
    up: async (db) => {
      // No index holds what an append changes, and pages keep room for it: PostgreSQL then updates a stream in place (HOT),
      // without an entry in each index.
      await sql`alter table ledger_stream add column compactable boolean not null default false`.execute(db);
      await sql`
        update ledger_stream set compactable = true
        where terminal and compacted_records < sequence - 1 and not starts_with(stream_id, 'intent:')
          and not starts_with(stream_id, 'platform:')`.execute(db);
      await sql`drop index ledger_stream_compactable`.execute(db);
      await sql`create index ledger_stream_compactable on ledger_stream (first_position) where compactable`.execute(db);
      await sql`alter table ledger_stream set (fillfactor = 60)`.execute(db);
    },
  },
];
