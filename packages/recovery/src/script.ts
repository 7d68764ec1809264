import { backoffMs, systemClock, type Clock } from "@flashloan/shared/clock";
import { FlashloanError } from "@flashloan/shared/errors";
import type { RunRequest, RunResult, Sandbox } from "@flashloan/sandbox/port";
import type { CheckpointLog, Json } from "./checkpoint-log.ts";
import { reporter, type Guarded } from "./pattern.ts";

/** One version of a script: the files that it consists of. */
export interface ScriptVersion {
  readonly id: string;
  readonly files: Readonly<Record<string, string>>;
}

/** What a failure is taken for, and so what is done about it. */
export type ScriptFault = "transient" | "code" | "resources";

/** Proposes another version, or nothing. What it proposes is run in the sandbox before anybody believes it. */
export type Patcher = (failing: ScriptVersion, result: RunResult) => Promise<ScriptVersion | undefined>;

/** What the recovery of a script needs. */
export interface ScriptOptions extends Guarded {
  /** The stream of checkpoints. */
  readonly id: string;
  readonly log: CheckpointLog;
  readonly sandbox: Sandbox;
  readonly how: Omit<RunRequest, "files">;
  readonly current: ScriptVersion;
  /** The version before the last change, if there was a change. */
  readonly previous?: ScriptVersion;
  /** The version that worked last. */
  readonly lastGood?: ScriptVersion;
  /** Beyond exiting with 0: whether the result is right. */
  readonly accept?: (result: RunResult) => boolean;
  readonly classify?: (result: RunResult) => ScriptFault;
  readonly patch?: Patcher;
  readonly retriesMax?: number;
  readonly patchesMax?: number;
  readonly clock?: Clock;
  readonly random?: () => number;
}

/** How a script came to its result. */
export interface ScriptOutcome {
  readonly version: ScriptVersion;
  readonly result: RunResult;
  readonly by: "run" | "retry" | "patch" | "rollback" | "fallback";
}

/** By convention of sysexits.h: 75 is EX_TEMPFAIL, "try again later". */
const TRY_AGAIN_LATER = 75;
const TRANSIENT = /\b(EAGAIN|ECONNRESET|ECONNREFUSED|ETIMEDOUT|EBUSY|temporarily unavailable)\b/;
const SAID_CHARACTERS_MAX = 500;

/** Signs of a fault in what a run left behind. */
export function classifyRun(result: RunResult): ScriptFault {
  if (result.end !== "exited" && result.end !== "signalled") return "resources";
  if (result.exitCode === TRY_AGAIN_LATER || TRANSIENT.test(result.stderr)) return "transient";
  return "code";
}

/**
 * run → detect → classify → retry, or patch in the sandbox, or roll the change back, or fall back to the last good
 * version; each step is checkpointed before what follows from it.
 * @throws FlashloanError alternatives_exhausted when no version works
 */
export async function runScript(options: ScriptOptions): Promise<ScriptOutcome> {
  const { id, log, sandbox, how, current, previous, lastGood, clock = systemClock } = options;
  const { retriesMax = 2, patchesMax = 2, classify = classifyRun, accept = () => true } = options;
  const report = reporter("script", options);
  const note = (state: string, payload: Json): Promise<void> => log.append(id, state, payload);

  const attempt = async (version: ScriptVersion, by: ScriptOutcome["by"]): Promise<ScriptOutcome | RunResult> => {
    how.signal?.throwIfAborted();
    await note("RUN", { version: version.id, by });
    const result = await sandbox.run({ ...how, files: version.files });
    // Stopping says nothing about the script.
    how.signal?.throwIfAborted();
    if (result.end === "exited" && result.exitCode === 0 && accept(result)) {
      await note("SUCCEEDED", { version: version.id, by });
      return { version, result, by };
    }
    await note("DETECTED", {
      version: version.id,
      end: result.end,
      exitCode: result.exitCode,
      said: result.stderr.slice(-SAID_CHARACTERS_MAX),
    });
    return result;
  };
  const isOutcome = (ended: ScriptOutcome | RunResult): ended is ScriptOutcome => "version" in ended;

  let failing = current;
  let ended = await attempt(current, "run");
  if (isOutcome(ended)) return ended;
  let fault = classify(ended);
  await note("CLASSIFIED", { version: current.id, fault });

  for (let retries = 0; fault === "transient" && retries < retriesMax; retries++) {
    report("retried");
    await clock.sleep(backoffMs(retries, 100, 5_000, options.random), how.signal);
    ended = await attempt(current, "retry");
    if (isOutcome(ended)) {
      report("recovered");
      return ended;
    }
    fault = classify(ended);
    await note("CLASSIFIED", { version: current.id, fault });
  }

  for (let patches = 0; patches < patchesMax; patches++) {
    const proposed = fault === "transient" ? undefined : await options.patch?.(failing, ended);
    if (!proposed) break;
    await note("PATCH_PROPOSED", { from: failing.id, version: proposed.id });
    ended = await attempt(proposed, "patch");
    if (isOutcome(ended)) {
      await note("PATCH_ACCEPTED", { version: proposed.id });
      report("patched");
      return ended;
    }
    await note("PATCH_REFUSED", { version: proposed.id });
    failing = proposed;
  }

  const tried = new Set([current.id]);
  for (const [version, by, state, outcome] of [
    [previous, "rollback", "ROLLED_BACK", "rolled_back"],
    [lastGood, "fallback", "FELL_BACK", "fell_back"],
  ] as const) {
    if (!version || tried.has(version.id)) continue;
    tried.add(version.id);
    ended = await attempt(version, by);
    if (!isOutcome(ended)) continue;
    await note(state, { from: current.id, to: version.id });
    report(outcome);
    return ended;
  }
  await note("EXHAUSTED", { tried: [...tried] });
  report("exhausted");
  throw new FlashloanError("alternatives_exhausted", `${id}: no version of the script works`, {
    details: { script: id, end: ended.end, exitCode: ended.exitCode ?? -1 },
  });
}
