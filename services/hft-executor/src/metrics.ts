import { METRICS } from "@flashloan/shared/telemetry/declarations";
import { etherOf, type Metrics } from "@flashloan/shared/telemetry/metrics";
import type { Intent } from "./intent.ts";
import type { Selection } from "./selector.ts";

const COUNTED_STATES = METRICS.flashloan_intents_total.labels.state;

/** Where an opportunity may end before it is signed. */
export type RejectionStage = (typeof METRICS.flashloan_opportunities_rejected_total.labels.stage)[number];

/** What is looked at with each scrape. */
interface Standing {
  readonly state: (typeof METRICS.flashloan_execution_state.labels.state)[number];
  readonly mode: (typeof METRICS.flashloan_execution_mode.labels.mode)[number];
  readonly lane: { readonly open: ReadonlySet<Intent> };
}

/** What the executor counts of its work. */
export class ExecutorMetrics {
  readonly #metrics: Metrics;
  /** What final transactions earned and cost since the ledger began: the counters go on where the last run ended. */
  #grossWei = 0n;
  #premiumWei = 0n;
  #gasWei = 0n;

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
    metrics.countFrom("flashloan_profit_ether_total", {}, () => etherOf(this.#grossWei));
    metrics.countFrom("flashloan_premium_ether_total", {}, () => etherOf(this.#premiumWei));
    metrics.countFrom("flashloan_gas_ether_total", {}, () => etherOf(this.#gasWei));
  }

  /** What the ledger holds at the start; nothing of it is told again by `intentChanged`. */
  ledgerRead(intents: Iterable<Intent>): void {
    for (const intent of intents) this.#addOutcome(intent);
  }

  /** An intent reached another state: told once for each, so that its outcome is counted once. */
  intentChanged(intent: Intent): void {
    const state = COUNTED_STATES.find((name) => name === intent.state);
    if (state) this.#metrics.add("flashloan_intents_total", { state });
    this.#addOutcome(intent);
  }

  rejected(stage: RejectionStage): void {
    this.#metrics.add("flashloan_opportunities_rejected_total", { stage });
  }

  /** A block's opportunities were chosen from, in so long. */
  selected({ outcome, gainWei }: Selection, seconds: number): void {
    this.#metrics.add("flashloan_selections_total", { outcome });
    this.#metrics.add("flashloan_selection_gain_ether_total", {}, etherOf(gainWei));
    this.#metrics.observe("flashloan_selection_seconds", {}, seconds);
  }

  /** A transaction is on the wire, so long after its report came. */
  submitted(seconds: number): void {
    this.#metrics.observe("flashloan_block_to_submission_seconds", {}, seconds);
  }

  /** Shows with each scrape where the executor stands. */
  follow(standing: Standing): void {
    this.#metrics.onScrape(() => {
      this.#metrics.set("flashloan_in_flight", {}, standing.lane.open.size);
      for (const state of METRICS.flashloan_execution_state.labels.state)
        this.#metrics.set("flashloan_execution_state", { state }, standing.state === state ? 1 : 0);
      for (const mode of METRICS.flashloan_execution_mode.labels.mode)
        this.#metrics.set("flashloan_execution_mode", { mode }, standing.mode === mode ? 1 : 0);
    });
  }

  /** From the chain, never from the plan; what is on paper earned and cost nothing. */
  #addOutcome({ outcome, paper }: Intent): void {
    if (!outcome || paper) return;
    this.#grossWei += outcome.grossWei;
    this.#premiumWei += outcome.premiumWei;
    this.#gasWei += outcome.gasWei;
  }
}
