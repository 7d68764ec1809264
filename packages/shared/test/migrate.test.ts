import { expect, test } from "vitest";
import { openPgliteDatabase } from "../src/adapters/pglite-database.ts";
import type { SchemaMigration } from "../src/ports/database.ts";

test("a schema is brought up to date once; one with more in it than is known is refused", async () => {
  const done: string[] = [];
  const migration = (name: string): SchemaMigration => ({ name, up: async () => void done.push(name) });
  const [first, second] = [migration("0001_first"), migration("0002_second")];
  const database = await openPgliteDatabase();
  await database.migrate([first]);
  await database.migrate([first]);
  await database.migrate([first, second]);
  await database.migrate([first, second]);
  await database.migrate([first], "another");
  expect(done).toEqual(["0001_first", "0002_second", "0001_first"]);
  await expect(database.migrate([first])).rejects.toMatchObject({ code: "data_folder_unusable" });
  await database.stop();
});
