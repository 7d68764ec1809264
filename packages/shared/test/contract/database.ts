import { sql } from "kysely";
import { expect, test } from "vitest";
import type { Database } from "../../src/ports/database.ts";

/** What every Database adapter must do. */
export function databaseContract(name: string, open: () => Promise<Database>): void {
  const create = {
    name: "0001_things",
    up: async (db: Database["kysely"]) =>
      void (await sql`create table thing (id bigint primary key, body bytea not null)`.execute(db)),
  };

  test(`${name}: migrates forward, once each`, async () => {
    const database = await open();
    await database.migrate([create]);
    await database.migrate([
      create,
      { name: "0002_more", up: async (db) => void (await sql`alter table thing add column note text`.execute(db)) },
    ]);
    const { rows } = await sql<{
      note: string | null;
    }>`insert into thing (id, body) values (1, '\\x00ff') returning note`.execute(database.kysely);
    expect(rows).toEqual([{ note: null }]);
    await database.stop();
  });

  test(`${name}: refuses a schema that it does not know`, async () => {
    const database = await open();
    await database.migrate([create]);
    await expect(database.migrate([{ name: "0000_other", up: async () => undefined }])).rejects.toMatchObject({
      code: "data_folder_unusable",
    });
    await database.stop();
  });

  test(`${name}: a service finds its schema, and refuses a newer one`, async () => {
    const database = await open();
    await database.migrate([create]);
    await database.ensureSchema([create]);
    await sql`insert into thing (id, body) values (1, '')`.execute(database.kysely);
    await database.migrate([create, { name: "0002_more", up: async () => undefined }]);
    await expect(database.ensureSchema([create])).rejects.toMatchObject({ code: "data_folder_unusable" });
    await database.stop();
  });

  test(`${name}: a transaction that fails leaves nothing, and bytes come back as they went`, async () => {
    const database = await open();
    await database.migrate([create]);
    const insert = (id: number) => sql`insert into thing (id, body) values (${id}, ${Buffer.from([0, 1, 255])})`;
    await expect(
      database.kysely.transaction().execute(async (tx) => {
        await insert(1).execute(tx);
        throw new Error("no");
      }),
    ).rejects.toThrow("no");
    await insert(2).execute(database.kysely);
    const { rows } = await sql<{ id: unknown; body: Uint8Array }>`select id, body from thing`.execute(database.kysely);
    expect(rows.map((row) => [String(row.id), [...row.body]])).toEqual([["2", [0, 1, 255]]]);
    await database.stop();
  });

  test(`${name}: numbers of 64 bits, texts and flags come back exactly`, async () => {
    const database = await open();
    const { rows } = await sql<{ big: unknown; text: string; flag: boolean; none: null }>`
      select 9223372036854775807::bigint as big, ${"é\n'"}::text as text, ${true}::boolean as flag, null as none`.execute(
      database.kysely,
    );
    expect(rows.map((row) => ({ ...row, big: String(row.big) }))).toEqual([
      { big: "9223372036854775807", text: "é\n'", flag: true, none: null },
    ]);
    await database.stop();
  });

  test(`${name}: what the server says about a statement reaches the caller, and the next statement works`, async () => {
    const database = await open();
    await database.migrate([create]);
    const insert = sql`insert into thing (id, body) values (1, '')`;
    await insert.execute(database.kysely);
    await expect(insert.execute(database.kysely)).rejects.toMatchObject({ code: "23505" });
    const { rows } = await sql<{ n: unknown }>`select count(*) as n from thing`.execute(database.kysely);
    expect(rows.map((row) => Number(row.n))).toEqual([1]);
    await database.stop();
  });

  test(`${name}: says that it is there, and until when`, async () => {
    const database = await open();
    expect(await database.isReachable()).toBe(true);
    await database.stop();
    expect(await database.isReachable()).toBe(false);
  });
}
