import { sql } from "kysely";
import { LEDGER_MIGRATIONS } from "@flashloan/checkpoint/schema";
import { openDatabase } from "@flashloan/shared/adapters/open";
import type { Database } from "@flashloan/shared/ports/database";

let count = 0;

/** The URL of a new, empty database on a server. */
export async function newDatabaseUrl(serverUrl: string): Promise<string> {
  const name = `test_${++count}`;
  const database = await openDatabase(serverUrl);
  await sql`create database ${sql.id(name)}`.execute(database.kysely);
  await database.stop();
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

/** A new database with the ledger's schema, as `flashloan migrate` leaves it. */
export async function openLedgerDatabase(serverUrl: string): Promise<Database> {
  const database = await openDatabase(await newDatabaseUrl(serverUrl));
  await database.migrate(LEDGER_MIGRATIONS);
  return database;
}
