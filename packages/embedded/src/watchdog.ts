import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { Running } from "@flashloan/shared/lifecycle";

/** How often the main thread shows that its event loop turns, and how often that is looked at. */
export const BEAT_MS = 250;
/** The name under which the watchdog's thread asks the main one whose code it is in. */
export const UNIT_NOW = "flashloan.unit-now";

/** What both threads see. */
export const SHARED = { beats: 0, blockedMsMax: 1 } as const;

/** What the watchdog's thread works with. */
export interface WatchdogData {
  /** What it looks at, by {@link SHARED}: a count that goes up with each beat, and for how long it may not. */
  readonly shared: Int32Array<SharedArrayBuffer>;
  /** Where its last line goes. */
  readonly logPath: string;
  /** Where it writes a {@link PastFailure} for the next process. */
  readonly failurePath: string;
}

/** How the watchdog is set up. */
export interface WatchdogOptions extends Omit<WatchdogData, "shared"> {
  readonly blockedMsMax: number;
  /** The unit whose code runs now. */
  readonly unitNow: () => string | undefined;
}

/** A watchdog that watches. */
export interface Watchdog extends Running {
  /** For how long the event loop may be blocked from now on, ms. */
  allow(blockedMsMax: number): void;
}

/**
 * Kills this process when its event loop has been blocked for too long, which nothing in that loop can notice: a thread of
 * its own looks, writes down whose code it was and where, and sends SIGKILL. It counts its own turns instead of reading a
 * clock, so a process or machine that was suspended as a whole is not taken for a blocked one.
 */
export function startWatchdog({ unitNow, blockedMsMax, ...options }: WatchdogOptions): Watchdog {
  const shared = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
  const allow = (ms: number): void => void Atomics.store(shared, SHARED.blockedMsMax, ms);
  allow(blockedMsMax);
  Object.assign(globalThis, { [UNIT_NOW]: unitNow });
  const fromSource = import.meta.url.endsWith(".ts");
  const entry = fileURLToPath(new URL(fromSource ? "./watchdog-thread.ts" : "./watchdog-thread.js", import.meta.url));
  const thread = new Worker(entry, { workerData: { ...options, shared } satisfies WatchdogData });
  thread.unref();
  const timer = setInterval(() => Atomics.add(shared, SHARED.beats, 1), BEAT_MS);
  return {
    allow,
    stop: async () => {
      clearInterval(timer);
      await thread.terminate();
    },
  };
}
