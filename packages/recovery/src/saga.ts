import { errorFields, FlashloanError } from "@flashloan/shared/errors";
import type { CheckpointLog, Json } from "./checkpoint-log.ts";
import { reporter, type Guarded, type Pattern } from "./pattern.ts";

/** What a step gets. */
export interface StepContext {
  /** The same at each attempt of this step, after a crash too: give it to whatever takes an idempotency key. */
  readonly key: string;
  /** What earlier steps returned, by name. */
  readonly results: Readonly<Record<string, Json>>;
  readonly signal: AbortSignal;
}

/** One step. Both functions may run twice when a crash falls between the act and its checkpoint. */
export interface SagaStep {
  readonly name: string;
  readonly run: (context: StepContext) => Promise<Json>;
  /** Undoes it; `undefined` when the step was begun and its end is unknown. Nothing to undo: leave it out. */
  readonly compensate?: (result: Json | undefined, context: StepContext) => Promise<void>;
}

/** What a saga needs. */
export interface SagaOptions extends Guarded {
  /** Its stream of checkpoints. The same id continues where an earlier run stopped. */
  readonly id: string;
  readonly steps: readonly SagaStep[];
  readonly log: CheckpointLog;
  /** How steps and compensations are tried, such as a retry. */
  readonly within?: Pattern;
  readonly signal?: AbortSignal;
}

interface Progress {
  readonly intended: Set<string>;
  readonly results: Map<string, Json>;
  readonly compensated: Set<string>;
  failure: { step: string; message: string } | undefined;
  end: "COMPLETED" | "ROLLED_BACK" | undefined;
}

/**
 * Runs steps in order, each checkpointed before (STEP_INTENDED) and after (STEP_DONE); when one fails, everything that
 * was begun is undone in reverse. After a crash the same call goes on: done steps are replayed from their checkpoints.
 * @returns the steps' results by name
 * @throws FlashloanError saga_rolled_back once all is undone; compensation_failed when something could not be: run it again
 */
export async function runSaga(options: SagaOptions): Promise<Readonly<Record<string, Json>>> {
  const { id, steps, log, signal = new AbortController().signal } = options;
  const report = reporter("saga", options);
  const progress = await readProgress(log, id);
  const context = (step: SagaStep): StepContext => ({
    key: `${id}/${step.name}`,
    results: Object.fromEntries(progress.results),
    signal,
  });
  const attempt = <T>(work: () => Promise<T>): Promise<T> =>
    options.within ? options.within.run(work, signal) : work();

  if (progress.end === "COMPLETED") return Object.fromEntries(progress.results);
  if (progress.end === "ROLLED_BACK") throw rolledBack(id, progress);
  if (progress.intended.size > 0) report("resumed");

  for (const step of progress.failure ? [] : steps) {
    if (progress.results.has(step.name)) continue;
    signal.throwIfAborted();
    await log.append(id, "STEP_INTENDED", { step: step.name });
    progress.intended.add(step.name);
    let result: Json;
    try {
      result = await attempt(() => step.run(context(step)));
    } catch (error) {
      // Stopping is not failing: the next run goes on from here.
      if (signal.aborted) throw error;
      progress.failure = { step: step.name, message: String(errorFields(error)["message"]) };
      await log.append(id, "STEP_FAILED", progress.failure);
      break;
    }
    await log.append(id, "STEP_DONE", { step: step.name, result });
    progress.results.set(step.name, result);
  }
  if (!progress.failure) {
    await log.append(id, "COMPLETED", null);
    report("completed");
    return Object.fromEntries(progress.results);
  }

  for (const step of steps.toReversed()) {
    if (!progress.intended.has(step.name) || progress.compensated.has(step.name) || !step.compensate) continue;
    const { compensate } = step;
    await log.append(id, "COMPENSATION_INTENDED", { step: step.name });
    try {
      await attempt(() => compensate(progress.results.get(step.name), context(step)));
    } catch (error) {
      if (signal.aborted) throw error;
      await log.append(id, "COMPENSATION_FAILED", { step: step.name, message: String(errorFields(error)["message"]) });
      report("failed");
      throw new FlashloanError("compensation_failed", `${id}: ${step.name} could not be undone`, { cause: error });
    }
    await log.append(id, "COMPENSATION_DONE", { step: step.name });
    progress.compensated.add(step.name);
  }
  await log.append(id, "ROLLED_BACK", null);
  report("rolled_back");
  throw rolledBack(id, progress);
}

function rolledBack(id: string, { failure }: Progress): FlashloanError {
  return new FlashloanError("saga_rolled_back", `${id}: ${failure?.step} failed (${failure?.message}); all is undone`, {
    details: { saga: id, step: failure?.step ?? "" },
  });
}

async function readProgress(log: CheckpointLog, id: string): Promise<Progress> {
  const progress: Progress = {
    intended: new Set(),
    results: new Map(),
    compensated: new Set(),
    failure: undefined,
    end: undefined,
  };
  for (const { state, payload } of await log.history(id)) {
    const {
      step = "",
      result = null,
      message = "",
    } = (payload ?? {}) as {
      step?: string;
      result?: Json;
      message?: string;
    };
    if (state === "STEP_INTENDED") progress.intended.add(step);
    else if (state === "STEP_DONE") progress.results.set(step, result);
    else if (state === "STEP_FAILED") progress.failure = { step, message };
    else if (state === "COMPENSATION_DONE") progress.compensated.add(step);
    else if (state === "COMPLETED" || state === "ROLLED_BACK") progress.end = state;
  }
  return progress;
}
