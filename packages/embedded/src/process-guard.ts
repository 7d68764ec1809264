import type { Running } from "@flashloan/shared/lifecycle";

/** With this exit code the process ends because it failed, not because it was told to: worth another start. */
export const EXIT_FAILED = 70;
/** By this variable a process that is started again is told how the one before it ended: `MILLISECONDS WHY`. */
export const LAST_END_VARIABLE = "FLASHLOAN_LAST_END";

/**
 * Catches what nothing else did, thrown or rejected, and gives it to whom it belongs; both handlers run in the
 * asynchronous context in which it arose.
 * @param owns takes an error; false when it is nobody's
 * @param giveUp what is nobody's leaves the process in a state that nobody knows: it has to end
 */
export function guardProcess(owns: (error: unknown) => boolean, giveUp: (error: unknown) => void): Running {
  const onError = (error: unknown): void => {
    if (!owns(error)) giveUp(error);
  };
  process.on("uncaughtException", onError).on("unhandledRejection", onError);
  return {
    stop: async () => void process.off("uncaughtException", onError).off("unhandledRejection", onError),
  };
}
