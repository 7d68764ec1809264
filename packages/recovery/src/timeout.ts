import { TaskCancelledError, timeout as policy, TimeoutStrategy } from "cockatiel";
import { FlashloanError } from "@flashloan/shared/errors";
import { reporter, type Guarded, type Pattern } from "./pattern.ts";

/** Gives work up after `timeoutMs`: its signal aborts, and the caller gets deadline_exceeded even if it does not listen. */
export function timeout(options: Guarded & { readonly timeoutMs: number }): Pattern {
  const { timeoutMs } = options;
  const report = reporter("timeout", options);
  return {
    run: async (work, signal) => {
      const policyOfCall = policy(timeoutMs, TimeoutStrategy.Aggressive);
      let timedOut = false;
      policyOfCall.onTimeout(() => {
        timedOut = true;
      });
      try {
        return await policyOfCall.execute((_, current) => work(current), signal);
      } catch (error) {
        if (signal?.aborted) throw signal.reason;
        if (!timedOut || !(error instanceof TaskCancelledError)) throw error;
        report("timed_out");
        throw new FlashloanError("deadline_exceeded", `not done within ${timeoutMs} ms`, {
          details: { timeoutMs },
          cause: error,
        });
      }
    },
  };
}
