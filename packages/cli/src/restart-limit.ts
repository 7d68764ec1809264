import { backoffMs } from "@flashloan/shared/clock";

/** More restarts than this within `PERIOD_MS` are too many: what fails so often will fail again. */
export const RESTARTS_MAX = 5;
/** @see RESTARTS_MAX */
export const PERIOD_MS = 600_000;
/** The wait before the second restart; it doubles with each further one. */
const BACKOFF_BASE_MS = 2_000;
const BACKOFF_CAP_MS = 60_000;

/** When a process that failed is to be started again: at once the first time, then later and later, and not for ever (OTP's intensity). */
export class RestartLimit {
  readonly #random: () => number;
  #restarts: number[] = [];

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** Takes in a failure: milliseconds to wait before the restart, or undefined when there have been too many. */
  failed(nowMs: number): number | undefined {
    this.#restarts = this.#restarts.filter((at) => nowMs - at < PERIOD_MS);
    const earlier = this.#restarts.length;
    if (earlier >= RESTARTS_MAX) return undefined;
    this.#restarts.push(nowMs);
    // At least half of it: jitter must not make it none.
    return earlier === 0 ? 0 : backoffMs(earlier - 1, BACKOFF_BASE_MS, BACKOFF_CAP_MS, () => 0.5 + this.#random() / 2);
  }
}
