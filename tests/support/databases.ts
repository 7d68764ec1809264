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

/** The URL of a new database with the ledger's schema, as `flashloan migrate` leaves it. */
export async function newLedgerUrl(serverUrl: string): Promise<string> {
  const url = await newDatabaseUrl(serverUrl);
  const database = await openDatabase(url);
  await database.migrate(LEDGER_MIGRATIONS);
  await database.stop();
  return url;
}

/** The same, opened. */
export async function openLedgerDatabase(serverUrl: string): Promise<Database> {
  return openDatabase(await newLedgerUrl(serverUrl));
}
