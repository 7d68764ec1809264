import { ConstantBackoff, handleWhen, retry as policy } from "cockatiel";
import { backoffMs, systemClock, type Clock } from "@flashloan/shared/clock";
import { isRetryable, reporter, type Guarded, type Pattern } from "./pattern.ts";

/** Retries of many calls together: a sick callee gets at most a share more than its usual load. */
export interface RetryBudget {
  /** A first attempt was made. */
  earn(): void;
  /** Whether a retry may be made now; taking it spends it. */
  spend(): boolean;
}

/** Each call earns `share` of a retry; at most `reserveMax` are saved up, and so many there are at the start. */
export function retryBudget(share = 0.2, reserveMax = 10): RetryBudget {
  let tokens = reserveMax;
  return {
    earn: () => {
      tokens = Math.min(reserveMax, tokens + share);
    },
    spend: () => {
      if (tokens < 1) return false;
      tokens -= 1;
      return true;
    },
  };
}

/** How a retry is made. */
export interface RetryOptions extends Guarded {
  /** Attempts after the first. */
  readonly retriesMax: number;
  /** The first wait is up to this, each following up to twice the one before (full jitter). */
  readonly baseMs?: number;
  readonly capMs?: number;
  readonly budget?: RetryBudget;
  /** Which failures are worth another attempt; by default those whose code says so. */
  readonly retryable?: (error: unknown) => boolean;
  readonly clock?: Clock;
  /** In [0, 1): of the jitter. */
  readonly random?: () => number;
}

/** Tries again what may succeed later, within its number of attempts and its budget; throws the last failure. */
export function retry(options: RetryOptions): Pattern {
  const { retriesMax, baseMs = 50, capMs = 2_000, budget, clock = systemClock, random } = options;
  const retryable = options.retryable ?? isRetryable;
  const report = reporter("retry", options);
  return {
    run: async (work, signal) => {
      let attempts = 0;
      budget?.earn();
      const worthIt = (error: unknown): boolean => {
        if (signal?.aborted || !retryable(error)) return false;
        const allowed = attempts <= retriesMax && (budget?.spend() ?? true);
        if (!allowed) report("exhausted");
        return allowed;
      };
      // cockatiel decides about attempts; the waits are made by our clock, so that tests and replays own the time.
      const policyOfCall = policy(handleWhen(worthIt), { maxAttempts: retriesMax, backoff: new ConstantBackoff(0) });
      const result = await policyOfCall.execute(async ({ signal: current }) => {
        if (attempts > 0) {
          report("retried");
          await clock.sleep(backoffMs(attempts - 1, baseMs, capMs, random), current);
        }
        attempts += 1;
        return work(current);
      }, signal);
      if (attempts > 1) report("recovered");
      return result;
    },
  };
}
