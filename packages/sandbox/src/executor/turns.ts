import { FlashloanError } from "@flashloan/shared/errors";

interface Waiting {
  readonly begin: () => void;
}

/** One at a time, in the order of asking; so many may wait. */
export class Turns {
  readonly #waitingMax: number;
  readonly #waiting = new Set<Waiting>();
  readonly #idle: (() => void)[] = [];
  #isTaken = false;

  constructor(waitingMax: number) {
    this.#waitingMax = waitingMax;
  }

  /**
   * Waits for a turn; the result ends it.
   * @throws FlashloanError queue_full, service_stopping; the signal's reason when it comes first
   */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#isTaken) {
      if (this.#waiting.size >= this.#waitingMax)
        throw new FlashloanError("queue_full", `${this.#waitingMax} runs wait already`);
      await this.#wait(signal);
    }
    this.#isTaken = true;
    return () => this.#end();
  }

  /** When nobody has a turn. */
  async idle(): Promise<void> {
    if (this.#isTaken) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        begin: () => {
          signal.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      const onAbort = (): void => {
        this.#waiting.delete(waiting);
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.add(waiting);
    });
  }

  #end(): void {
    const [next] = this.#waiting;
    // Handed over, never free in between.
    if (next) {
      this.#waiting.delete(next);
      next.begin();
      return;
    }
    this.#isTaken = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
