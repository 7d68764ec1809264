/** ACTIVE takes plans; PAUSED finishes what is open; KILLED sends nothing until an operator resumes. */
export type TradingState = "ACTIVE" | "PAUSED" | "KILLED";

/** How one transaction ended. */
export interface Outcome {
  readonly intentId: string;
  readonly success: boolean;
  readonly gasCostWei: bigint;
  readonly atMs: number;
}

/** What the ledger knows of the time before. */
export interface History {
  /** In the order of their nonces: all of the last 24 hours, and as many as the breaker looks at. */
  readonly outcomes: readonly Outcome[];
  /** The operator's word. */
  readonly state: TradingState;
  readonly reason: string;
  /** When an operator last resumed trading; 0 when never. */
  readonly resumedAtMs: number;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Outcomes that are kept at most; older than a day they go anyway. */
const OUTCOMES_MAX = 100_000;
const STRICTNESS: Readonly<Record<TradingState, number>> = { ACTIVE: 0, PAUSED: 1, KILLED: 2 };

/** The switch, the breaker and the gas that was spent: a small state machine without a clock of its own. */
export class TradingGuard {
  readonly #maxConsecutiveFailures: number;
  #outcomes: Outcome[] = [];
  readonly #seen = new Set<string>();
  #state: TradingState = "ACTIVE";
  #reason = "started";
  #consecutiveFailures = 0;
  #breakerOpen = false;
  #resumedAtMs = 0;
  #outcomesKnown = false;

  constructor(maxConsecutiveFailures: number) {
    this.#maxConsecutiveFailures = maxConsecutiveFailures;
  }

  get state(): TradingState {
    return this.#state;
  }
  get reason(): string {
    return this.#reason;
  }
  get consecutiveFailures(): number {
    return this.#consecutiveFailures;
  }
  /** True from when failures in a row paused trading until an operator resumes it. */
  get breakerOpen(): boolean {
    return this.#breakerOpen;
  }
  /** False while what was spent and failed before the start is not known: then nothing may be approved. */
  get outcomesKnown(): boolean {
    return this.#outcomesKnown;
  }

  /** An operator's word. Resuming also resets the breaker. */
  setState(state: TradingState, reason: string, nowMs: number): void {
    this.#state = state;
    this.#reason = reason;
    if (state !== "ACTIVE") return;
    this.#consecutiveFailures = 0;
    this.#breakerOpen = false;
    this.#resumedAtMs = nowMs;
  }

  /** Takes an outcome once per intent and time; enough failures in a row pause trading. */
  record(outcome: Outcome): void {
    if (this.#keep(outcome)) this.#count(outcome);
  }

  /**
   * Takes what the ledger knows in place of what was recorded. The state can only become stricter: an order that reached
   * this guard and not the ledger stands.
   */
  restore(history: History): void {
    this.#resumedAtMs = Math.max(this.#resumedAtMs, history.resumedAtMs);
    this.#outcomes = [];
    this.#seen.clear();
    this.#consecutiveFailures = 0;
    if (STRICTNESS[history.state] > STRICTNESS[this.#state]) {
      this.#state = history.state;
      this.#reason = history.reason;
    }
    for (const outcome of history.outcomes) {
      // An operator who resumed has looked at what failed before.
      const counts = outcome.success || outcome.atMs >= this.#resumedAtMs;
      if (this.#keep(outcome) && counts) this.#count(outcome);
    }
    this.#outcomesKnown = true;
  }

  /** Gas paid within the last hour and the last 24 hours before `nowMs`. */
  gasSpent(nowMs: number): { hourWei: bigint; dayWei: bigint } {
    while (this.#outcomes[0] && this.#outcomes[0].atMs < nowMs - DAY_MS) this.#forget(this.#outcomes.shift());
    let [hourWei, dayWei] = [0n, 0n];
    for (const outcome of this.#outcomes) {
      if (outcome.atMs >= nowMs - DAY_MS) dayWei += outcome.gasCostWei;
      if (outcome.atMs >= nowMs - HOUR_MS) hourWei += outcome.gasCostWei;
    }
    return { hourWei, dayWei };
  }

  /** False when it is known already. */
  #keep(outcome: Outcome): boolean {
    const key = `${outcome.intentId}@${outcome.atMs}`;
    if (this.#seen.has(key)) return false;
    this.#seen.add(key);
    this.#outcomes.push(outcome);
    if (this.#outcomes.length > OUTCOMES_MAX) this.#forget(this.#outcomes.shift());
    return true;
  }

  #count({ success }: Outcome): void {
    this.#consecutiveFailures = success ? 0 : this.#consecutiveFailures + 1;
    if (this.#consecutiveFailures < this.#maxConsecutiveFailures || this.#state !== "ACTIVE") return;
    this.#state = "PAUSED";
    this.#reason = `${this.#consecutiveFailures} failures in a row: look at them, then resume`;
    this.#breakerOpen = true;
  }

  #forget(outcome: Outcome | undefined): void {
    if (outcome) this.#seen.delete(`${outcome.intentId}@${outcome.atMs}`);
  }
}
