import { mkdirSync } from "node:fs";
import { Kysely, PGliteDialect } from "kysely";
import { FlashloanError } from "../errors.ts";
import type { Database } from "../ports/database.ts";
import { migrateToLatest } from "./migrate.ts";

/**
 * PostgreSQL in this process (`pglite:FOLDER`, or `pglite:` in memory). It survives kill -9 but never fsyncs, so
 * its durability is `process`. One folder belongs to one process at a time; the caller holds the lock.
 * @throws FlashloanError data_folder_unusable
 */
export async function openPgliteDatabase(folder?: string): Promise<Database> {
  const { PGlite } = await import("@electric-sql/pglite");
  try {
    if (folder !== undefined) mkdirSync(folder, { recursive: true });
    const pglite = await PGlite.create(folder === undefined ? {} : { dataDir: folder });
    const kysely = new Kysely<unknown>({ dialect: new PGliteDialect({ pglite }) });
    return {
      kysely,
      durability: "process",
      migrate: (migrations, part) => migrateToLatest(kysely, migrations, part),
      ensureSchema: (migrations, part) => migrateToLatest(kysely, migrations, part),
      isReachable: async () => !pglite.closed,
      stop: async () => {
        await kysely.destroy();
        if (!pglite.closed) await pglite.close();
      },
    };
  } catch (error) {
    if (error instanceof FlashloanError) throw error;
    throw new FlashloanError(
      "data_folder_unusable",
      `the database folder "${folder ?? "memory"}" can't be opened (${(error as Error).message}): check its owner and free space, choose another --data-dir, or begin anew with --fresh`,
      { cause: error },
    );
  }
}
