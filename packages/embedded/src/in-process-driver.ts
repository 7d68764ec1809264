import { AsyncLocalStorage } from "node:async_hooks";
import { withDeadline } from "@flashloan/shared/clock";
import { FlashloanError, toFlashloanError } from "@flashloan/shared/errors";
import type { Logger } from "@flashloan/shared/log";
import type { HostedService } from "@flashloan/shared/run-service";
import type { UnitDriver, UnitSighting } from "@flashloan/supervisor/driver";
import type { UnitDeclaration } from "@flashloan/supervisor/unit";

/** What a unit is given to drain when the whole platform stops. */
const DRAIN_MS = 15_000;
/** The end of a unit's grace, in which it finishes nothing more and lets go of its ports and files: a hundred times what that takes. */
const LEAVE_MS = 500;

/** Starts a unit at the place that it had before, so that its clients find it again; `abandoned` aborts when it is left behind. */
export type UnitStart = (abandoned: AbortSignal) => Promise<HostedService>;

/** What a driver needs of its process. */
export interface InProcessDriverOptions {
  /** The newest log lines of a unit. */
  readonly readLog: (unit: string, lines: number) => readonly string[];
  /** The logger of a unit. */
  readonly log: (unit: string) => Logger;
  /** Ends this process: what must not run twice in it can't be ended. */
  readonly giveUp: (error: FlashloanError) => void;
}

/** A unit from one start to its end. Everything that it does, timers and callbacks too, runs in its asynchronous context. */
interface Run {
  readonly unit: Unit;
  readonly abandoned: AbortController;
  /** Settles once it is up, or will not be. */
  hosted?: Promise<HostedService>;
  up: boolean;
  /** What nothing caught. */
  error?: FlashloanError;
}

interface Unit {
  declaration: UnitDeclaration;
  readonly start: UnitStart;
  /** It holds files that no second run may open before it has let go of them. */
  readonly exclusive: boolean;
  run: Run | undefined;
  /** The end of the run before, after which a new one begins; with what went wrong. */
  ending: Promise<unknown>;
  lastError: FlashloanError | undefined;
  starts: number;
  startedAtMs: number;
}

/** The units of this process: a restart ends one and starts it again in place, the others go on. */
export class InProcessDriver implements UnitDriver {
  readonly kind = "in-process";
  readonly #options: InProcessDriverOptions;
  readonly #units = new Map<string, Unit>();
  readonly #context = new AsyncLocalStorage<Run>();
  #hint: () => void = () => undefined;

  constructor(options: InProcessDriverOptions) {
    this.#options = options;
  }

  /** Starts a unit and takes it in. */
  async add(
    declaration: UnitDeclaration,
    start: UnitStart,
    { exclusive = false }: { readonly exclusive?: boolean } = {},
  ): Promise<HostedService> {
    const unit: Unit = {
      declaration,
      start,
      exclusive,
      run: undefined,
      ending: Promise.resolve(),
      lastError: undefined,
      starts: 0,
      startedAtMs: 0,
    };
    const hosted = await this.#begin(unit);
    unit.declaration = { ...declaration, address: hosted.address };
    this.#units.set(declaration.id, unit);
    return hosted;
  }

  /** The unit whose code runs now. */
  current(): string | undefined {
    return this.#context.getStore()?.unit.declaration.id;
  }

  /**
   * Takes in an error that nothing caught, where it arose: its unit has crashed, is ended and waits for its restart. False
   * when it is no unit's error.
   */
  failed(thrown: unknown): boolean {
    const run = this.#context.getStore();
    if (!run) return false;
    const { unit } = run;
    const error = toFlashloanError(thrown);
    const log = this.#options.log(unit.declaration.id);
    if (unit.run !== run) {
      log.warn({ error }, "unit_failed_after_its_end");
      return true;
    }
    log.fatal({ error }, "unit_failed");
    // One that just starts fails to.
    run.error ??= error;
    if (run.up) {
      unit.lastError = error;
      this.#end(unit, 0);
      this.#hint();
    }
    return true;
  }

  async sightings(): Promise<readonly UnitSighting[]> {
    return [...this.#units.values()].map(({ declaration, run, lastError, starts, startedAtMs }) => ({
      declaration,
      state: run ? "running" : "ended",
      incarnation: String(starts),
      startedAtMs,
      lastExit: lastError && { code: undefined, outOfMemory: false, error: lastError.message },
      health: "unknown",
    }));
  }

  onHint(hint: () => void): void {
    this.#hint = hint;
  }

  async restart(id: string, graceMs: number): Promise<void> {
    const unit = this.#units.get(id);
    if (!unit) throw new FlashloanError("not_found", `this process has no unit "${id}"`);
    this.#end(unit, graceMs);
    const failure = await unit.ending;
    if (failure !== undefined && unit.exclusive) {
      const why = `${id} does not end (${toFlashloanError(failure).message}) and holds files that no second one may open: the process has to end`;
      const error = new FlashloanError("internal", why, { cause: failure });
      this.#options.giveUp(error);
      throw error;
    }
    await this.#begin(unit);
  }

  async logs(id: string, lines: number): Promise<readonly string[]> {
    return this.#options.readLog(id, lines);
  }

  /** Ends every unit, the last started first. */
  async stop(): Promise<void> {
    const failures: unknown[] = [];
    for (const unit of [...this.#units.values()].reverse()) {
      this.#end(unit, DRAIN_MS);
      const failure = await unit.ending;
      if (failure !== undefined) failures.push(failure);
    }
    if (failures.length > 0) throw new AggregateError(failures, "several units failed to stop");
  }

  async #begin(unit: Unit): Promise<HostedService> {
    const run: Run = { unit, abandoned: new AbortController(), up: false };
    unit.run = run;
    run.hosted = this.#context.run(run, () => unit.start(run.abandoned.signal));
    try {
      const hosted = await run.hosted;
      if (run.error) throw run.error;
      run.up = true;
      unit.starts += 1;
      unit.startedAtMs = Date.now();
      unit.lastError = undefined;
      return hosted;
    } catch (error) {
      if (unit.run === run) {
        unit.lastError = toFlashloanError(error);
        this.#end(unit, 0);
        await unit.ending;
      }
      throw error;
    }
  }

  /** Begins to end a unit; what has not ended with its grace is left behind, without its ports. */
  #end(unit: Unit, graceMs: number): void {
    const { run } = unit;
    if (!run) return;
    unit.run = undefined;
    unit.ending = this.#leave(run, graceMs);
  }

  async #leave({ unit, hosted, abandoned }: Run, graceMs: number): Promise<unknown> {
    const drainMs = Math.max(0, graceMs - LEAVE_MS);
    const late = (): Error =>
      new FlashloanError("deadline_exceeded", `it did not stop within ${drainMs + LEAVE_MS} ms`);
    const stopped = hosted?.then(
      (service) => service.stop(),
      // What failed to start has undone its beginnings.
      () => undefined,
    );
    try {
      await withDeadline(Promise.resolve(stopped), drainMs, late).catch(() => {
        abandoned.abort();
        return withDeadline(Promise.resolve(stopped), LEAVE_MS, late);
      });
      return undefined;
    } catch (error) {
      this.#options.log(unit.declaration.id).error({ error }, "unit_left_behind");
      return error;
    }
  }
}
