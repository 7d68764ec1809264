import { withDeadline } from "../clock.ts";
import type { Running } from "../lifecycle.ts";
import type { Logger } from "../log.ts";
import type { Need } from "./declarations.ts";
import type { Metrics } from "./metrics.ts";

/** How often the needs are looked at. */
const LOOK_EVERY_MS = 1_000;
/** A need that has not answered by then is not met. */
const LOOK_DEADLINE_MS = 2_500;

/** What a service can't do its work without, each with a question whether it is there now. */
export type Needs = Readonly<Partial<Record<Need, () => boolean | Promise<boolean>>>>;

/** Whether a service can do its work now: true while every need is met; it comes and goes with them. */
export class Readiness implements Running {
  readonly #log: Logger;
  readonly #metrics: Metrics;
  #unmet: readonly string[] = ["start"];
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(log: Logger, metrics: Metrics) {
    this.#log = log;
    this.#metrics = metrics;
  }

  /** What is missing, by name; empty when ready. */
  get unmet(): readonly string[] {
    return this.#unmet;
  }

  /** Looks at the needs now, and again and again until stopped; tells every change. */
  async follow(needs: Needs, onChange: (ready: boolean) => void): Promise<void> {
    const look = async (): Promise<void> => {
      const unmet = await this.#ask(needs);
      if (this.#stopped) return;
      this.#timer = setTimeout(() => void look(), LOOK_EVERY_MS);
      if (unmet.join() === this.#unmet.join()) return;
      const changed = (unmet.length === 0) !== (this.#unmet.length === 0);
      this.#unmet = unmet;
      if (unmet.length === 0) this.#log.info({}, "ready");
      else this.#log.warn({ unmet }, "not_ready");
      this.#metrics.set("flashloan_ready", {}, unmet.length === 0 ? 1 : 0);
      if (changed) onChange(unmet.length === 0);
    };
    await look();
  }

  /** Not ready any more, at once. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#unmet = ["stopping"];
    this.#metrics.set("flashloan_ready", {}, 0);
  }

  async #ask(needs: Needs): Promise<string[]> {
    const unmet: string[] = [];
    const questions = Object.entries(needs) as [Need, () => boolean | Promise<boolean>][];
    await Promise.all(
      questions.map(async ([need, isMet]) => {
        const answer = (async () => isMet())();
        const met = await withDeadline(answer, LOOK_DEADLINE_MS, () => new Error("no answer")).catch(() => false);
        this.#metrics.set("flashloan_need_met", { need }, met ? 1 : 0);
        if (!met) unmet.push(need);
      }),
    );
    return unmet.sort();
  }
}
