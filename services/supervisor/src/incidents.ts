import type { Kysely } from "kysely";
import { z } from "zod";
import { FlashloanError } from "@flashloan/shared/errors";
import type { Logger } from "@flashloan/shared/log";
import type { Database } from "@flashloan/shared/ports/database";
import type { SupervisorTables } from "./schema.ts";
import type { Fault } from "./unit.ts";

/** Writes that may wait while the database is away; the oldest are given up first, and that is logged. */
const WAITING_MAX = 1_000;
/** Lines of one incident that are kept: the first ones tell how it began. */
const ENTRIES_MAX = 200;
/** Characters of one line. */
const TEXT_MAX = 4_000;

const entrySchema = z.object({
  atMs: z.number(),
  kind: z.enum(["evidence", "action", "diagnosis", "outcome"]),
  text: z.string(),
});
/** One line of an incident. */
export type IncidentEntry = z.infer<typeof entrySchema>;

/** How an incident ended: the unit is up again, it was quarantined, or it is gone. */
export type IncidentOutcome = "healed" | "quarantined" | "gone";

/** One failure and what was done about it. */
export interface Incident {
  readonly id: string;
  readonly unit: string;
  readonly fault: Fault;
  readonly openedAtMs: number;
  closedAtMs: number | undefined;
  outcome: IncidentOutcome | undefined;
  readonly entries: IncidentEntry[];
}

/** An operator's order, as kept. */
export interface CommandRecord {
  readonly atMs: number;
  readonly unit: string;
  readonly command: "restart" | "quarantine" | "release" | "reset";
  readonly operator: string;
  readonly reason: string;
  readonly outcome: string;
}

/** A page; `next` asks for the following one. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | undefined;
}

/** Adds a line to an incident, bounded. */
export function note(incident: Incident, atMs: number, kind: IncidentEntry["kind"], text: string): void {
  if (incident.entries.length < ENTRIES_MAX) incident.entries.push({ atMs, kind, text: text.slice(0, TEXT_MAX) });
}

/**
 * What a supervisor keeps in PostgreSQL: incidents, orders, its own state. Supervision must go on while the database is
 * away, so incidents wait in memory and are written when it is back; an order is refused when it can't be kept.
 */
export class SupervisorStore {
  readonly #db: Kysely<SupervisorTables>;
  readonly #log: Logger;
  readonly #waiting = new Map<string, Incident>();
  /** One writes at a time: an incident's later state must not be overtaken by its earlier one. */
  #writing = Promise.resolve();

  constructor(database: Database, log: Logger) {
    this.#db = database.kysely.withTables<SupervisorTables>();
    this.#log = log;
  }

  /** Incidents that are not written yet. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Keeps an incident as it is now; written soon. */
  keep(incident: Incident): void {
    this.#waiting.set(incident.id, incident);
    for (const id of this.#waiting.keys()) {
      if (this.#waiting.size <= WAITING_MAX) break;
      this.#waiting.delete(id);
      this.#log.error({ incidentId: id }, "incident_not_kept");
    }
    void this.flush();
  }

  /** Writes what waits; what can't be written waits on. */
  flush(): Promise<void> {
    return (this.#writing = this.#writing.then(() => this.#writeAll()));
  }

  async #writeAll(): Promise<void> {
    for (const incident of this.#waiting.values()) {
      const entriesBefore = incident.entries.length;
      try {
        await this.#write(incident);
      } catch (error) {
        this.#log.warn({ error, waiting: this.#waiting.size }, "incidents_wait");
        return;
      }
      // It may have grown meanwhile: then it is written once more.
      if (incident.entries.length === entriesBefore) this.#waiting.delete(incident.id);
    }
  }

  /** Incidents that were open when the last supervisor ended. @throws when the database is away */
  async open(): Promise<Incident[]> {
    const rows = await this.#db
      .selectFrom("supervisor_incident")
      .selectAll()
      .where("closed_at_ms", "is", null)
      .execute();
    return rows.map(toIncident);
  }

  /** Newest first. */
  async incidents(unit: string | undefined, after: string | undefined, limit: number): Promise<Page<Incident>> {
    let query = this.#db
      .selectFrom("supervisor_incident")
      .selectAll()
      .orderBy("place", "desc")
      .limit(limit + 1);
    if (unit !== undefined) query = query.where("unit", "=", unit);
    if (after !== undefined) query = query.where("place", "<", after);
    return toPage(await query.execute(), limit, toIncident);
  }

  /** Newest first. */
  async commands(after: string | undefined, limit: number): Promise<Page<CommandRecord>> {
    let query = this.#db
      .selectFrom("supervisor_command")
      .selectAll()
      .orderBy("place", "desc")
      .limit(limit + 1);
    if (after !== undefined) query = query.where("place", "<", after);
    return toPage(await query.execute(), limit, (row) => ({
      atMs: Number(row.at_ms),
      unit: row.unit,
      command: row.command as CommandRecord["command"],
      operator: row.operator,
      reason: row.reason,
      outcome: row.outcome,
    }));
  }

  /** Keeps an order. @throws FlashloanError service_unavailable: what can't be kept must not be done */
  async keepCommand({ atMs, ...command }: CommandRecord): Promise<void> {
    try {
      await this.#db
        .insertInto("supervisor_command")
        .values({ at_ms: atMs.toString(), ...command })
        .execute();
    } catch (error) {
      throw new FlashloanError(
        "service_unavailable",
        "the order can't be kept, so it is not carried out: the supervisor's database does not answer; try again",
        { cause: error },
      );
    }
  }

  /** The newest state that a leader saved. */
  async readState(): Promise<unknown> {
    const row = await this.#db
      .selectFrom("supervisor_state")
      .select("state")
      .where("name", "=", "tree")
      .executeTakeFirst();
    return row && (JSON.parse(row.state) as unknown);
  }

  /** Saves a leader's state; false when a later leader has saved its own: this one leads no more. */
  async saveState(fencingToken: bigint, state: unknown): Promise<boolean> {
    const { numInsertedOrUpdatedRows } = await this.#db
      .insertInto("supervisor_state")
      .values({ name: "tree", fencing_token: fencingToken.toString(), state: JSON.stringify(state) })
      .onConflict((conflict) =>
        conflict
          .column("name")
          .doUpdateSet((eb) => ({ fencing_token: eb.ref("excluded.fencing_token"), state: eb.ref("excluded.state") }))
          .where((eb) => eb("supervisor_state.fencing_token", "<=", eb.ref("excluded.fencing_token"))),
      )
      .executeTakeFirst();
    return (numInsertedOrUpdatedRows ?? 0n) > 0n;
  }

  async #write(incident: Incident): Promise<void> {
    const { id, unit, fault, openedAtMs, closedAtMs, outcome, entries } = incident;
    const changing = {
      closed_at_ms: closedAtMs?.toString() ?? null,
      outcome: outcome ?? null,
      entries: JSON.stringify(entries),
    };
    await this.#db
      .insertInto("supervisor_incident")
      .values({ id, unit, fault, opened_at_ms: openedAtMs.toString(), ...changing })
      .onConflict((conflict) => conflict.column("id").doUpdateSet(changing))
      .execute();
  }
}

function toIncident(row: {
  id: string;
  unit: string;
  fault: string;
  opened_at_ms: string;
  closed_at_ms: string | null;
  outcome: string | null;
  entries: string;
}): Incident {
  return {
    id: row.id,
    unit: row.unit,
    fault: row.fault as Fault,
    openedAtMs: Number(row.opened_at_ms),
    closedAtMs: row.closed_at_ms === null ? undefined : Number(row.closed_at_ms),
    outcome: (row.outcome ?? undefined) as IncidentOutcome | undefined,
    entries: z.array(entrySchema).parse(JSON.parse(row.entries)),
  };
}

function toPage<R extends { place: string }, T>(rows: readonly R[], limit: number, map: (row: R) => T): Page<T> {
  return {
    items: rows.slice(0, limit).map((row) => map(row)),
    next: rows.length > limit ? String(rows[limit - 1]?.place) : undefined,
  };
}
