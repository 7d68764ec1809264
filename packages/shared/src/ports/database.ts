import type { Kysely } from "kysely";
import type { Running } from "../lifecycle.ts";

/** One forward-only step of a schema; names are ordered and never change once released. */
export interface SchemaMigration {
  readonly name: string;
  readonly up: (db: Kysely<unknown>) => Promise<void>;
}

/** PostgreSQL, through kysely. What must never be lost lives here. */
export interface Database extends Running {
  /** Queries; `db.kysely.withTables<…>()` gives them types. */
  readonly kysely: Kysely<unknown>;
  /** What a commit survives: `process` a kill -9, `power` a power cut too (fsync). */
  readonly durability: "process" | "power";
  /**
   * Brings the schema up to date; forward only. For the one-shot job (`flashloan migrate`) and for tests.
   * @param part whose tables they are, where several services share the database
   * @throws FlashloanError data_folder_unusable when a newer schema is found
   */
  migrate(migrations: readonly SchemaMigration[], part?: string): Promise<void>;
  /**
   * What a service calls before its first query: a database of this process alone is brought up to date; one that others
   * use too is only looked at.
   * @throws FlashloanError service_unavailable until the job has run, data_folder_unusable when a newer schema is found
   */
  ensureSchema(migrations: readonly SchemaMigration[], part?: string): Promise<void>;
  /** Whether a query is answered now; for health, never thrown. */
  isReachable(): Promise<boolean>;
}
