import { Kysely, PostgresDialect, type PostgresPool, type PostgresPoolClient } from "kysely";
import pg from "pg";
import { withDeadline } from "../clock.ts";
import { FlashloanError } from "../errors.ts";
import type { Database } from "../ports/database.ts";
import { checkSchema, migrateToLatest } from "./migrate.ts";

/** Connections of one service. */
const POOL_MAX = 10;
/** Callers that may wait for a connection; more are refused. */
const POOL_WAITING_MAX = 1_000;
const CONNECT_DEADLINE_MS = 5_000;
/** A statement that takes longer is ended by the server: nothing of ours may hold a lock for ever. */
const STATEMENT_DEADLINE_MS = 10_000;
/** A server that has not answered then is taken for lost, and the connection with it. */
const ANSWER_DEADLINE_MS = STATEMENT_DEADLINE_MS + 2_000;
const PROBE_DEADLINE_MS = 2_000;
const KEEPALIVE_AFTER_MS = 10_000;
/** A text that was sent so often is prepared from then on: the server plans it once a connection. */
const PREPARE_AFTER = 3;
/** Texts that are counted and prepared; others are planned each time. Lists of varying length make many texts. */
const TEXTS_MAX = 100;
/** SQLSTATE of a prepared statement whose tables changed under it. */
const PLAN_OUTDATED = "0A000";
/** SQLSTATEs (or classes of two characters) by which a server says that it can't serve now. */
const UNAVAILABLE_STATES = ["08", "53", "57P01", "57P02", "57P03"];
const QUERY_CANCELED = "57014";

/**
 * A PostgreSQL server (`postgres:` or `postgresql:` URL). While it is down or silent every query fails within its
 * deadline, and works again when it is back; nothing is buffered, since what was not committed must not look as if it
 * were. After an error at a commit the outcome is unknown until asked.
 * @throws FlashloanError service_unavailable, config_invalid
 */
export async function openPostgresDatabase(url: string): Promise<Database> {
  const pool = new pg.Pool({
    connectionString: url,
    max: POOL_MAX,
    connectionTimeoutMillis: CONNECT_DEADLINE_MS,
    statement_timeout: STATEMENT_DEADLINE_MS,
    query_timeout: ANSWER_DEADLINE_MS,
    idle_in_transaction_session_timeout: STATEMENT_DEADLINE_MS * 3,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEPALIVE_AFTER_MS,
  });
  // An idle connection that breaks is replaced by the pool; without a listener it would end the process.
  pool.on("error", () => undefined);
  const kysely = new Kysely<unknown>({ dialect: new PostgresDialect({ pool: guarded(pool) }) });
  try {
    const durability = await readDurability(pool);
    return {
      kysely,
      durability,
      migrate: (migrations, part) => migrateToLatest(kysely, migrations, part),
      ensureSchema: (migrations, part) => checkSchema(kysely, migrations, part),
      isReachable: async () => {
        try {
          await withDeadline(probe(pool), PROBE_DEADLINE_MS, () => new Error("silent"));
          return true;
        } catch {
          return false;
        }
      },
      stop: async () => {
        await kysely.destroy();
        // kysely ends only a pool that it has used.
        if (!pool.ending) await pool.end();
      },
    };
  } catch (error) {
    await pool.end();
    throw toDatabaseError(error);
  }
}

/** What the server's settings make of an acknowledged commit. */
async function readDurability(pool: pg.Pool): Promise<Database["durability"]> {
  const { rows } = await pool.query<{ fsync: string; synchronous_commit: string }>(
    "select current_setting('fsync') as fsync, current_setting('synchronous_commit') as synchronous_commit",
  );
  if (rows[0]?.synchronous_commit === "off")
    throw new FlashloanError(
      "config_invalid",
      "PostgreSQL runs with synchronous_commit = off, so that an acknowledged commit could be lost: set it to on",
    );
  return rows[0]?.fsync === "on" ? "power" : "process";
}

async function probe(pool: pg.Pool): Promise<void> {
  const client = await pool.connect();
  let broken = true;
  const onError = (): void => undefined;
  client.on("error", onError);
  try {
    await withDeadline(client.query("select 1"), PROBE_DEADLINE_MS, () => new Error("silent"));
    broken = false;
  } finally {
    client.removeListener("error", onError);
    client.release(broken);
  }
}

/**
 * The pool with three faults of pg mended: a connection that breaks while it is checked out would end the process, one
 * that ran into a deadline would go back into the pool still waiting for its answer, and callers would wait without bound.
 */
function guarded(pool: pg.Pool): PostgresPool {
  const texts = new Map<string, PreparedText>();
  return {
    options: pool.options,
    end: () => pool.end(),
    connect: async () => {
      if (pool.waitingCount >= POOL_WAITING_MAX)
        throw new FlashloanError("queue_full", `${POOL_WAITING_MAX} queries wait for a connection to PostgreSQL`);
      try {
        return guardedClient(await pool.connect(), texts);
      } catch (error) {
        throw toDatabaseError(error);
      }
    },
  };
}

interface PreparedText {
  readonly name: string;
  sent: number;
}

/** What a text is prepared as, once it is worth it. */
function preparedName(texts: Map<string, PreparedText>, text: string): string | undefined {
  const known = texts.get(text);
  if (!known) {
    if (texts.size < TEXTS_MAX) texts.set(text, { name: `flashloan_${texts.size}`, sent: 1 });
    return undefined;
  }
  known.sent += 1;
  return known.sent > PREPARE_AFTER ? known.name : undefined;
}

function guardedClient(client: pg.PoolClient, texts: Map<string, PreparedText>): PostgresPoolClient {
  let fault: FlashloanError | undefined;
  const onError = (error: Error): void => void (fault = toDatabaseError(error) as FlashloanError);
  client.on("error", onError);
  const query = async (text: string, parameters: readonly unknown[]): Promise<unknown> => {
    // A transaction whose connection broke can't go on: say so at once instead of after another deadline.
    if (fault) throw fault;
    try {
      const name = parameters.length > 0 ? preparedName(texts, text) : undefined;
      return await client.query({ text, values: [...parameters], ...(name !== undefined && { name }) });
    } catch (cause) {
      const error = toDatabaseError(cause);
      // A connection that planned for tables as they were is replaced.
      if (cause instanceof pg.DatabaseError && cause.code === PLAN_OUTDATED)
        throw (fault = unavailable(cause.message, cause));
      if (error instanceof FlashloanError && !isCanceled(cause)) fault = error;
      throw error;
    }
  };
  return {
    query: query as PostgresPoolClient["query"],
    release: (destroy) => {
      client.removeListener("error", onError);
      client.release(destroy === true || fault !== undefined);
    },
  };
}

function isCanceled(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === QUERY_CANCELED;
}

/** What keeps the server from serving as our error; what it says about a statement stays as it is. */
function toDatabaseError(error: unknown): unknown {
  if (error instanceof FlashloanError) return error;
  if (isCanceled(error))
    return new FlashloanError("deadline_exceeded", `PostgreSQL ended a statement after ${STATEMENT_DEADLINE_MS} ms`, {
      cause: error,
    });
  if (error instanceof pg.DatabaseError) {
    const { code = "", message } = error;
    return UNAVAILABLE_STATES.some((state) => code.startsWith(state)) ? unavailable(message, error) : error;
  }
  if (!(error instanceof Error)) return error;
  if (error.message === "Query read timeout")
    return new FlashloanError("deadline_exceeded", `PostgreSQL did not answer within ${ANSWER_DEADLINE_MS} ms`, {
      cause: error,
    });
  // Whatever else the driver throws is about the connection: it checks no statements.
  return unavailable(error.message, error);
}

function unavailable(message: string, cause: unknown): FlashloanError {
  return new FlashloanError(
    "service_unavailable",
    `PostgreSQL can't serve (${message}): is it running, with room on its disk, and are host, user and password right?`,
    { cause },
  );
}
