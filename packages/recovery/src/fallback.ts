import { systemClock, type Clock } from "@flashloan/shared/clock";
import { FlashloanError, toFlashloanError } from "@flashloan/shared/errors";
import { reporter, type Guarded } from "./pattern.ts";

/** One way to get an answer. */
export interface Alternative<I, O> {
  readonly name: string;
  readonly run: (input: I, signal: AbortSignal) => Promise<O>;
}

/** An answer and who gave it. */
export interface FallbackAnswer<O> {
  readonly value: O;
  readonly by: string;
}

/** Alternatives in the order of preference, with a memory of which is ill. */
export interface Fallback<I, O> {
  run(input: I, signal?: AbortSignal): Promise<FallbackAnswer<O>>;
  /** Names of those that are asked last because they failed lately. */
  ill(): readonly string[];
}

/** What a fallback needs. */
export interface FallbackOptions<I, O> extends Guarded {
  /** At least one, the preferred first. */
  readonly alternatives: readonly [Alternative<I, O>, ...Alternative<I, O>[]];
  /** Which failures move on to the next; by default all. Others are thrown at once. */
  readonly movesOn?: (error: unknown) => boolean;
  /** How long the first failure makes one ill; each failure in a row doubles that. */
  readonly illMs?: number;
  readonly illMsMax?: number;
  readonly clock?: Clock;
}

interface Health {
  failures: number;
  illUntilMs: number;
}

/**
 * Asks alternatives in order until one answers; who failed lately is asked last, until it is time to try it again.
 * @throws FlashloanError alternatives_exhausted, its cause an AggregateError of every failure
 */
export function fallback<I, O>(options: FallbackOptions<I, O>): Fallback<I, O> {
  const { alternatives, illMs = 1_000, illMsMax = 60_000, clock = systemClock } = options;
  const report = reporter("fallback", options);
  const health = new Map<string, Health>();
  const isIll = (name: string): boolean => clock.monotonic() < (health.get(name)?.illUntilMs ?? -Infinity);
  const ordered = (): Alternative<I, O>[] => {
    const ill = new Set(alternatives.filter(({ name }) => isIll(name)));
    return [...alternatives.filter((one) => !ill.has(one)), ...ill];
  };
  const remember = (name: string): void => {
    const failures = (health.get(name)?.failures ?? 0) + 1;
    health.set(name, {
      failures,
      illUntilMs: clock.monotonic() + Math.min(illMsMax, illMs * 2 ** (failures - 1)),
    });
  };
  return {
    ill: () => alternatives.map(({ name }) => name).filter(isIll),
    run: async (input, signal = new AbortController().signal) => {
      const failures: FlashloanError[] = [];
      for (const { name, run } of ordered()) {
        signal.throwIfAborted();
        try {
          const value = await run(input, signal);
          health.delete(name);
          if (name !== alternatives[0].name) report("fell_back");
          return { value, by: name };
        } catch (error) {
          if (signal.aborted || !(options.movesOn?.(error) ?? true)) throw error;
          remember(name);
          failures.push(toFlashloanError(error));
        }
      }
      report("exhausted");
      throw new FlashloanError(
        "alternatives_exhausted",
        `none of ${alternatives.map(({ name }) => name).join(", ")} answered`,
        { cause: new AggregateError(failures) },
      );
    },
  };
}
