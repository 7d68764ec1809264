import { type Command, InvalidArgumentError } from "commander";
import { checkpointConfigSchema } from "@flashloan/checkpoint/config";
import { LEDGER_MIGRATIONS } from "@flashloan/checkpoint/schema";
import { openDatabase } from "@flashloan/shared/adapters/open";
import { systemClock } from "@flashloan/shared/clock";
import { readConfig } from "@flashloan/shared/config";
import { toFlashloanError } from "@flashloan/shared/errors";
import type { SchemaMigration } from "@flashloan/shared/ports/database";
import { supervisorConfigSchema } from "@flashloan/supervisor/config";
import { SUPERVISOR_MIGRATIONS, SUPERVISOR_SCHEMA } from "@flashloan/supervisor/schema";
import { toJsonLine } from "./format.ts";

const POLL_MS = 500;

/** Adds the one-shot job that brings the databases' schemas up to date; services only look at them. */
export function addMigrateCommand(program: Command): void {
  program
    .command("migrate")
    .description(
      "bring the databases of CHECKPOINT_DATABASE_URL and SUPERVISOR_DATABASE_URL up to date; services wait until they are",
    )
    .option("--wait-s <n>", "how long to wait for the database server, in seconds", seconds, 60)
    .option("--json", "machine-readable output", false)
    .action(async ({ waitS, json }: { waitS: number; json: boolean }) => {
      const { CHECKPOINT_DATABASE_URL } = checkpointConfigSchema;
      const { SUPERVISOR_DATABASE_URL } = supervisorConfigSchema;
      const urls = readConfig({ CHECKPOINT_DATABASE_URL, SUPERVISOR_DATABASE_URL }, process.env);
      await bringUpToDate(urls.CHECKPOINT_DATABASE_URL, waitS, LEDGER_MIGRATIONS);
      await bringUpToDate(urls.SUPERVISOR_DATABASE_URL, waitS, SUPERVISOR_MIGRATIONS, SUPERVISOR_SCHEMA);
      const schemas = {
        checkpoint: LEDGER_MIGRATIONS.at(-1)?.name ?? "",
        supervisor: SUPERVISOR_MIGRATIONS.at(-1)?.name ?? "",
      };
      const text = `the ledger's schema is at ${schemas.checkpoint}, the supervisor's at ${schemas.supervisor}`;
      process.stdout.write(`${json ? toJsonLine({ event: "migrated", schemas }) : text}\n`);
    });
}

async function bringUpToDate(
  url: string,
  waitS: number,
  migrations: readonly SchemaMigration[],
  part?: string,
): Promise<void> {
  const database = await openPatiently(url, waitS);
  try {
    await database.migrate(migrations, part);
  } finally {
    await database.stop();
  }
}

function seconds(text: string): number {
  if (!/^\d{1,4}$/.test(text)) throw new InvalidArgumentError("must be a whole number from 0 to 9999.");
  return Number(text);
}

/** The server may be starting beside us. */
async function openPatiently(url: string, waitS: number): ReturnType<typeof openDatabase> {
  const until = systemClock.monotonic() + waitS * 1_000;
  for (;;) {
    try {
      return await openDatabase(url);
    } catch (error) {
      if (!toFlashloanError(error).retryable || systemClock.monotonic() >= until) throw error;
      await systemClock.sleep(POLL_MS);
    }
  }
}
