import type { UnitSighting } from "./driver.ts";
import type { Verdict } from "./unit.ts";

/** A unit that has not answered for so long, and so often in a row, has failed. */
export const SILENT_MS = 3_500;
const SILENT_TIMES = 3;
/** How long a start may take; longer than a service waits for what it depends on. */
export const START_MS = 120_000;
/** How long the engine is left to restart what ended before the supervisor does. */
export const ENGINE_PATIENCE_MS = 1_500;
/** How long a unit may be without progress, everything else that it needs being there. */
export const STUCK_MS = 15_000;
/** Wrong answers in a row that make a failure: one may have met a restart half-way. */
const WRONG_TIMES = 2;
/** Needs that are a unit's own progress: unmet alone, the unit is stuck; other needs are somebody else's fault. */
const PROGRESS_NEEDS: ReadonlySet<string> = new Set(["feed", "progress"]);

/** How a unit answered when its health was asked. */
export type Answer = "serving" | "not_serving" | { readonly silent: string };

/**
 * What is known of one unit's health, from all sides: its driver's sighting, its answers, its heartbeats, the known
 * questions. No side effects; time is passed in.
 */
export class UnitHealth {
  #sighting: UnitSighting | undefined;
  #endedSinceMs: number | undefined;
  #answer: Answer | undefined;
  #answeredAtMs: number | undefined;
  #silences = 0;
  #stuckSinceMs: number | undefined;
  #unmet: readonly string[] = [];
  #wrongs = 0;
  #wrong = "";

  /** The run that it is in, if it has been seen. */
  get incarnation(): string | undefined {
    return this.#sighting?.incarnation;
  }

  /** What the driver sees; true when it is another run than before. */
  sighted(sighting: UnitSighting, now: number): boolean {
    const changed = this.#sighting !== undefined && this.#sighting.incarnation !== sighting.incarnation;
    if (changed) this.#begin();
    this.#sighting = sighting;
    if (sighting.state === "ended") this.#endedSinceMs ??= now;
    else this.#endedSinceMs = undefined;
    return changed;
  }

  /** How it answered. */
  answered(answer: Answer, now: number): void {
    this.#answer = answer;
    if (typeof answer === "object") this.#silences += 1;
    else {
      this.#silences = 0;
      this.#answeredAtMs = now;
    }
    if (answer === "serving") this.#stuckSinceMs = undefined;
  }

  /** A heartbeat: what it says it needs and has not. */
  beat(unmet: readonly string[], now: number): void {
    this.#unmet = unmet;
    const stuck = unmet.length > 0 && unmet.every((need) => PROGRESS_NEEDS.has(need));
    if (stuck) this.#stuckSinceMs ??= now;
    else this.#stuckSinceMs = undefined;
  }

  /** How it answered a known question: what was wrong, or undefined when the answer was right. */
  probed(wrong: string | undefined): void {
    this.#wrongs = wrong === undefined ? 0 : this.#wrongs + 1;
    this.#wrong = wrong ?? "";
  }

  /** What is thought of it now. */
  verdict(now: number): Verdict {
    const sighting = this.#sighting;
    if (!sighting) return { status: "starting" };
    if (sighting.state === "ended") return this.#ended(sighting, now);
    if (sighting.state === "frozen") return failed("no_answer", "it is frozen: it gets no time");
    if (sighting.declaration.speaks === "nothing") return bySightOnly(sighting);
    if (this.#wrongs >= WRONG_TIMES)
      return failed("wrong_answer", `${this.#wrongs} wrong answers to known questions: ${this.#wrong}`);
    if (this.#answeredAtMs === undefined) return this.#starting(sighting, now);
    if (this.#silences >= SILENT_TIMES && now - this.#answeredAtMs >= SILENT_MS)
      return failed("no_answer", `no answer for ${seconds(now - this.#answeredAtMs)} s: ${this.#silence()}`);
    if (this.#stuckSinceMs !== undefined && now - this.#stuckSinceMs >= STUCK_MS)
      return failed("stuck", `no progress (${this.#unmet.join(", ")}) for ${seconds(now - this.#stuckSinceMs)} s`);
    if (this.#answer === "not_serving")
      return { status: "degraded", reason: `it misses ${this.#unmet.join(", ") || "something it needs"}` };
    return { status: "up" };
  }

  #begin(): void {
    this.#answer = undefined;
    this.#answeredAtMs = undefined;
    this.#silences = 0;
    this.#stuckSinceMs = undefined;
    this.#unmet = [];
    this.#wrongs = 0;
    this.#endedSinceMs = undefined;
  }

  #ended({ lastExit }: UnitSighting, now: number): Verdict {
    if (lastExit?.error !== undefined) return failed("crash", `it failed: ${lastExit.error}`);
    if (now - (this.#endedSinceMs ?? now) < ENGINE_PATIENCE_MS) return { status: "degraded", reason: "it ended" };
    return lastExit?.outOfMemory
      ? failed("out_of_memory", "it ended at its memory limit")
      : failed("crash", `it ended with code ${lastExit?.code ?? "unknown"}`);
  }

  #starting(sighting: UnitSighting, now: number): Verdict {
    // One that was not asked yet may be up for long.
    if (this.#answer === undefined || now - sighting.startedAtMs < START_MS) return { status: "starting" };
    return failed("start_timeout", `it has not answered since its start ${seconds(now - sighting.startedAtMs)} s ago`);
  }

  #silence(): string {
    return typeof this.#answer === "object" ? this.#answer.silent : "";
  }
}

function failed(fault: Extract<Verdict, { status: "failed" }>["fault"], reason: string): Verdict {
  return { status: "failed", fault, reason };
}

function bySightOnly({ health }: UnitSighting): Verdict {
  return health === "unhealthy" ? failed("unhealthy", "its health check fails") : { status: "up" };
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1);
}
