import { sql, type Generated } from "kysely";
import type { SchemaMigration } from "@flashloan/shared/ports/database";

/** The supervisor's tables. */
export type SupervisorTables = {
  supervisor_incident: {
    id: string;
    unit: string;
    fault: string;
    opened_at_ms: string;
    closed_at_ms: string | null;
    outcome: string | null;
    /** IncidentEntry[], as JSON. */
    entries: string;
    place: Generated<string>;
  };
  supervisor_command: {
    at_ms: string;
    unit: string;
    command: string;
    operator: string;
    reason: string;
    outcome: string;
    place: Generated<string>;
  };
  /** One row: the newest state, and the fencing token of the leader that wrote it. */
  supervisor_state: { name: string; fencing_token: string; state: string };
};

/** Names the supervisor's part of a database that others use too. */
export const SUPERVISOR_SCHEMA = "supervisor";

/** Forward-only; names never change once released. */
export const SUPERVISOR_MIGRATIONS: readonly SchemaMigration[] = [
  {
    name: "0001_supervisor",
    up: async (db) => {
      await sql`
        create table supervisor_incident (
          place bigint generated always as identity primary key,
          id text not null unique,
          unit text not null,
          fault text not null,
          opened_at_ms bigint not null,
          closed_at_ms bigint,
          outcome text,
          entries text not null
        )`.execute(db);
      await sql`create index supervisor_incident_unit on supervisor_incident (unit, place)`.execute(db);
      await sql`
        create table supervisor_command (
          place bigint generated always as identity primary key,
          at_ms bigint not null,
          unit text not null,
          command text not null,
          operator text not null,
          reason text not null,
          outcome text not null
        )`.execute(db);
      await sql`
        create table supervisor_state (
          name text primary key,
          fencing_token bigint not null,
          state text not null
        )`.execute(db);
    },
  },
];
