import { FlashloanError } from "@flashloan/shared/errors";
import type { CheckpointLog, Json } from "./checkpoint-log.ts";
import { reporter, type Guarded } from "./pattern.ts";

/** Runs work once a key; later calls get the stored result. */
export interface Idempotent {
  /**
   * `input` is what the key stands for: the same key with another input is idempotency_conflict.
   * A failure is not stored; work whose end a crash hid runs again with the same key.
   */
  run<T extends Json>(key: string, input: Json, work: (key: string) => Promise<T>): Promise<T>;
}

/** Idempotent replay on a log of checkpoints. */
export function idempotent(options: Guarded & { readonly log: CheckpointLog; readonly scope: string }): Idempotent {
  const { log, scope } = options;
  const report = reporter("idempotent", options);
  const running = new Map<string, { input: string; result: Promise<Json> }>();
  const conflict = (key: string): FlashloanError =>
    new FlashloanError("idempotency_conflict", `${scope}: key ${key} was used with another input`);

  const runOnce = async (key: string, input: string, work: (key: string) => Promise<Json>): Promise<Json> => {
    const streamId = `${scope}/${key}`;
    for (const { state, payload } of await log.history(streamId)) {
      const stored = payload as { input: string; result?: Json };
      if (stored.input !== input) throw conflict(key);
      if (state !== "DONE") continue;
      report("replayed");
      return stored.result ?? null;
    }
    await log.append(streamId, "INTENDED", { input });
    const result = await work(key);
    await log.append(streamId, "DONE", { input, result });
    report("completed");
    return result;
  };
  return {
    run: async <T extends Json>(key: string, input: Json, work: (key: string) => Promise<T>) => {
      const text = JSON.stringify(input);
      const current = running.get(key);
      if (current) {
        if (current.input !== text) throw conflict(key);
        report("replayed");
        return (await current.result) as T;
      }
      const result = runOnce(key, text, work);
      running.set(key, { input: text, result });
      try {
        return (await result) as T;
      } finally {
        running.delete(key);
      }
    },
  };
}
