import { TradingState, type Outcome, type RestoreOutcomesRequest } from "@flashloan/proto/risk/v1/risk";
import { gasAtRisk, isInFlight, type Intent } from "./intent.ts";

const DAY_MS = 24 * 3_600_000;
/** Outcomes that one message tells at most. */
const OUTCOMES_MAX = 10_000;
/** Outcomes that are told whatever their age: the most failures in a row that a breaker may be set to. */
const OUTCOMES_MIN = 1_000;

const STATES = {
  ACTIVE: TradingState.TRADING_STATE_ACTIVE,
  PAUSED: TradingState.TRADING_STATE_PAUSED,
  KILLED: TradingState.TRADING_STATE_KILLED,
} as const;

/** The operator's word, as the executor has it. */
export interface Control {
  readonly state: keyof typeof STATES;
  readonly reason: string;
  /** When trading was last resumed; 0 when never. */
  readonly resumedAtMs: number;
}

/** What the risk manager must know of the time before it was started; from the ledger alone. */
export function riskHistory(intents: Iterable<Intent>, control: Control, nowMs: number): RestoreOutcomesRequest {
  const all = [...intents];
  return {
    outcomes: boundedOutcomes(all, nowMs - DAY_MS),
    state: STATES[control.state],
    reason: control.reason,
    resumedAtMs: BigInt(control.resumedAtMs),
    openIntents: all.filter(isInFlight).map((intent) => ({
      intentId: intent.id,
      maxGasWei: gasAtRisk(intent).toString(),
      sequence: intent.sequence,
    })),
  };
}

/** In the order of nonces, which is the chain's, so that failures in a row are counted as they were. */
function boundedOutcomes(intents: readonly Intent[], sinceMs: number): Outcome[] {
  const ended = intents
    .filter((intent) => intent.outcome && !intent.paper)
    .sort((a, b) => (a.signed[0]?.nonce ?? 0) - (b.signed[0]?.nonce ?? 0));
  const firstRecent = ended.findIndex((intent) => intent.finalAtMs >= sinceMs);
  const recent = firstRecent === -1 ? 0 : ended.length - firstRecent;
  const told = ended.slice(-Math.max(recent, OUTCOMES_MIN)).map(toOutcome);
  if (told.length <= OUTCOMES_MAX) return told;
  return [merged(told.slice(0, 1 - OUTCOMES_MAX)), ...told.slice(1 - OUTCOMES_MAX)];
}

/** Many outcomes as one that counts for at least as long as each of them: a budget is never understated. */
function merged(outcomes: readonly Outcome[]): Outcome {
  const gasCostWei = outcomes.reduce((sum, outcome) => sum + BigInt(outcome.gasCostWei), 0n).toString();
  const atMs = outcomes.reduce((newest, outcome) => (outcome.atMs > newest ? outcome.atMs : newest), 0n);
  return { intentId: "older", success: true, gasCostWei, atMs };
}

function toOutcome(intent: Intent): Outcome {
  return {
    intentId: intent.id,
    success: intent.state === "SETTLED",
    gasCostWei: (intent.outcome?.gasWei ?? 0n).toString(),
    atMs: BigInt(intent.finalAtMs),
  };
}
