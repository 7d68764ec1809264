import { FlashloanError } from "./errors.ts";
import { withDeadline } from "./clock.ts";

/** Something that runs until it is stopped. `stop` is idempotent. */
export interface Running {
  stop(): Promise<void>;
}

const STOP_DEADLINE_MS = 10_000;

/**
 * Collects what was started and stops it in reverse order, each within a deadline; the first failure is thrown
 * after everything had its turn.
 */
export class Lifecycle implements Running {
  readonly #parts: { name: string; stop: () => Promise<void> | void }[] = [];
  #stopping: Promise<void> | undefined;

  /** Registers a part that was just started; returns it. */
  add<T extends Running>(name: string, part: T): T {
    this.onStop(name, () => part.stop());
    return part;
  }

  /** Registers an action for the time of stopping. */
  onStop(name: string, stop: () => Promise<void> | void): void {
    if (this.#stopping) throw new FlashloanError("service_stopping", `"${name}" was started while stopping`);
    this.#parts.push({ name, stop });
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  async #stopAll(): Promise<void> {
    const failures: unknown[] = [];
    for (const part of this.#parts.reverse()) {
      try {
        await withDeadline(
          Promise.resolve(part.stop()),
          STOP_DEADLINE_MS,
          () => new FlashloanError("deadline_exceeded", `"${part.name}" did not stop within ${STOP_DEADLINE_MS} ms`),
        );
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0)
      throw failures.length === 1 ? failures[0] : new AggregateError(failures, "several parts failed to stop");
  }
}
