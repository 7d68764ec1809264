import { bulkhead as policy, BulkheadRejectedError } from "cockatiel";
import { FlashloanError } from "@flashloan/shared/errors";
import { reporter, type Guarded, type Pattern } from "./pattern.ts";

/** Lets `concurrencyMax` run and `queueMax` wait, so that one kind of work can't take everything; more is queue_full. */
export function bulkhead(options: Guarded & { readonly concurrencyMax: number; readonly queueMax?: number }): Pattern {
  const { concurrencyMax, queueMax = 0 } = options;
  const report = reporter("bulkhead", options);
  const compartment = policy(concurrencyMax, queueMax);
  return {
    run: async (work, signal) => {
      try {
        return await compartment.execute(({ signal: current }) => work(current), signal);
      } catch (error) {
        if (!(error instanceof BulkheadRejectedError)) throw error;
        report("refused");
        throw new FlashloanError("queue_full", `${concurrencyMax} run and ${queueMax} wait already`, {
          details: { concurrencyMax, queueMax },
          cause: error,
        });
      }
    },
  };
}
