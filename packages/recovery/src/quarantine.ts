import { systemClock, type Clock } from "@flashloan/shared/clock";
import { FlashloanError } from "@flashloan/shared/errors";
import type { CheckpointLog } from "./checkpoint-log.ts";
import { reporter, type Guarded, type Work } from "./pattern.ts";

/** Keeps apart what keeps failing, until somebody lets it out. */
export interface Quarantine {
  /** @throws FlashloanError quarantined without running the work; else what the work throws */
  run<T>(key: string, work: Work<T>, signal?: AbortSignal): Promise<T>;
  /** Lets it out, its failures forgotten; false when it was not in. */
  release(key: string): Promise<boolean>;
  keys(): readonly string[];
}

/** What a quarantine needs. */
export interface QuarantineOptions extends Guarded {
  /** So many failures within the period put a key in. */
  readonly failuresMax: number;
  readonly periodMs: number;
  /** Keys whose failures are remembered; the longest unseen are forgotten first. */
  readonly keysMax?: number;
  /** Where who is in outlives a restart. */
  readonly log: CheckpointLog;
  readonly streamId: string;
  readonly clock?: Clock;
}

const KEYS_MAX_DEFAULT = 10_000;

/** Opens a quarantine with those who were in it before. */
export async function openQuarantine(options: QuarantineOptions): Promise<Quarantine> {
  const { failuresMax, periodMs, keysMax = KEYS_MAX_DEFAULT, log, streamId, clock = systemClock } = options;
  const report = reporter("quarantine", options);
  const held = new Set<string>();
  for (const { state, payload } of await log.history(streamId)) {
    const { key } = payload as { key: string };
    if (state === "QUARANTINED") held.add(key);
    else held.delete(key);
  }
  const failures = new Map<string, number[]>();

  const recordFailure = async (key: string): Promise<void> => {
    const now = clock.monotonic();
    const recent = [...(failures.get(key) ?? []).filter((at) => now - at < periodMs), now];
    failures.delete(key);
    if (recent.length < failuresMax) {
      failures.set(key, recent);
      const [oldest] = failures.keys();
      if (failures.size > keysMax && oldest !== undefined) failures.delete(oldest);
    } else if (!held.has(key)) {
      held.add(key);
      await log.append(streamId, "QUARANTINED", { key });
      report("quarantined");
    }
  };
  return {
    keys: () => [...held],
    release: async (key) => {
      if (!held.has(key)) return false;
      await log.append(streamId, "RELEASED", { key });
      held.delete(key);
      report("released");
      return true;
    },
    run: async (key, work, signal = new AbortController().signal) => {
      if (held.has(key)) {
        report("refused");
        throw new FlashloanError("quarantined", `${key} failed ${failuresMax} times within ${periodMs} ms`, {
          details: { key, failuresMax, periodMs },
        });
      }
      try {
        return await work(signal);
      } catch (error) {
        if (!signal.aborted) await recordFailure(key);
        throw error;
      }
    },
  };
}
