import type { RecoveryOperation, RecoveryOutcome, RecoveryPattern } from "@flashloan/shared/telemetry/declarations";
import { FlashloanError } from "@flashloan/shared/errors";

/** Work that can be given up: it listens to the signal. */
export type Work<T> = (signal: AbortSignal) => Promise<T>;

/** One way to run work so that a failure is dealt with. What can't be dealt with is thrown, never swallowed. */
export interface Pattern {
  run<T>(work: Work<T>, signal?: AbortSignal): Promise<T>;
}

/** Something that a pattern did. */
export interface RecoveryEvent {
  readonly pattern: RecoveryPattern;
  readonly operation: RecoveryOperation;
  readonly outcome: RecoveryOutcome;
}

/** What every pattern wants to know: whose work it guards, and who wants to hear of it. */
export interface Guarded {
  readonly operation: RecoveryOperation;
  readonly observe?: (event: RecoveryEvent) => void;
}

/** Patterns as one, the outermost first: `compose(timeout, retry)` bounds all attempts together. */
export function compose(...patterns: readonly Pattern[]): Pattern {
  return {
    run: (work, signal = new AbortController().signal) =>
      patterns.reduceRight<typeof work>((inner, pattern) => (outer) => pattern.run(inner, outer), work)(signal),
  };
}

/** Whether the very same request may succeed later. What is not ours says nothing of the kind: no. */
export function isRetryable(error: unknown): boolean {
  return error instanceof FlashloanError && error.retryable;
}

/** A function that reports what a pattern did. */
export function reporter(pattern: RecoveryPattern, guarded: Guarded): (outcome: RecoveryOutcome) => void {
  return (outcome) => guarded.observe?.({ pattern, operation: guarded.operation, outcome });
}
