import { BrokenCircuitError, circuitBreaker as policy, CircuitState, ConsecutiveBreaker, handleWhen } from "cockatiel";
import { FlashloanError, isFailure } from "@flashloan/shared/errors";
import { reporter, type Guarded, type Pattern } from "./pattern.ts";

/** A breaker that can be looked at. */
export interface CircuitBreaker extends Pattern {
  readonly state: "closed" | "open" | "half_open";
}

/** What a breaker needs. */
export interface CircuitBreakerOptions extends Guarded {
  /** So many failures in a row open it. */
  readonly failuresMax: number;
  /** How long it stays open before one call may try. */
  readonly openMs: number;
  /** What counts as a failure: by default a callee that could not, not one that would not. */
  readonly counts?: (error: unknown) => boolean;
}

const couldNot = (error: unknown): boolean => !(error instanceof FlashloanError) || isFailure(error);

/** Stops asking a callee that fails: while open, calls end at once with circuit_open, and one after `openMs` tries. */
export function circuitBreaker(options: CircuitBreakerOptions): CircuitBreaker {
  const report = reporter("circuit_breaker", options);
  const breaker = policy(handleWhen(options.counts ?? couldNot), {
    breaker: new ConsecutiveBreaker(options.failuresMax),
    halfOpenAfter: options.openMs,
  });
  breaker.onBreak(() => report("opened"));
  breaker.onReset(() => report("recovered"));
  return {
    get state() {
      if (breaker.state === CircuitState.Closed) return "closed";
      return breaker.state === CircuitState.HalfOpen ? "half_open" : "open";
    },
    run: async (work, signal) => {
      try {
        return await breaker.execute(({ signal: current }) => work(current), signal);
      } catch (error) {
        if (!(error instanceof BrokenCircuitError)) throw error;
        report("refused");
        throw new FlashloanError("circuit_open", `${options.operation} failed ${options.failuresMax} times in a row`, {
          details: { failuresMax: options.failuresMax, openMs: options.openMs },
          cause: breaker.lastFailure && "error" in breaker.lastFailure ? breaker.lastFailure.error : error,
        });
      }
    },
  };
}
