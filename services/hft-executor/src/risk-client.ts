import {
  CheckStage,
  RiskManagerServiceService as Risk,
  type CheckPlanRequest,
  type Refusal,
  type RestoreOutcomesRequest,
} from "@flashloan/proto/risk/v1/risk";
import { circuitBreaker, type CircuitBreaker } from "@flashloan/recovery/circuit-breaker";
import type { RecoveryEvent } from "@flashloan/recovery/pattern";
import type { RpcClient } from "@flashloan/shared/rpc-client";
import type { RISK_RULES } from "@flashloan/shared/telemetry/declarations";

const DEADLINE_MS = 1_000;
const RESTORE_DEADLINE_MS = 5_000;
/** So many questions in a row without an answer, and it is not asked for a while: the loop must not wait for each. */
const FAILURES_MAX = 3;
const NOT_ASKED_MS = 3_000;
/** The rule of a risk manager that was started anew and has not been told what was before. */
const OUTCOMES_UNKNOWN: (typeof RISK_RULES)[number] = "outcomes_unknown";

/** When a plan is asked about. */
export type Stage = "before_build" | "before_send";
/** A plan in the terms that limits are set in. */
export type PlanFacts = Omit<CheckPlanRequest, "stage">;

/**
 * Asks the risk manager. It fails closed: no answer is an error, and an error is no approval. One that hangs is given up
 * by a circuit breaker, since opportunities wait behind each question.
 */
export class RiskClient {
  readonly #client: RpcClient;
  readonly #breaker: CircuitBreaker;
  /** False until it has been told what the ledger knows, and again when an outcome did not reach it. */
  #isTold = false;

  /** @param observe hears what the breaker does */
  constructor(client: RpcClient, observe: (event: RecoveryEvent) => void = () => undefined) {
    this.#client = client;
    this.#breaker = circuitBreaker({ operation: "rpc", observe, failuresMax: FAILURES_MAX, openMs: NOT_ASKED_MS });
  }

  /**
   * The rules that a plan breaks; none when it is approved. A risk manager that does not know what was before, since it
   * was started anew or an outcome was lost on the way, is told first.
   * @param history what the ledger knows
   * @throws FlashloanError circuit_open while it is not asked, deadline_exceeded, service_unavailable
   */
  async check(plan: PlanFacts, stage: Stage, history: () => RestoreOutcomesRequest): Promise<readonly Refusal[]> {
    if (!this.#isTold) await this.restore(history());
    const refusals = await this.#ask(plan, stage);
    if (!refusals.some(({ rule }) => rule === OUTCOMES_UNKNOWN)) return refusals;
    await this.restore(history());
    return this.#ask(plan, stage);
  }

  /** Tells how a transaction ended. Repeating it is harmless; one that did not arrive is told with the next question. */
  async recordOutcome(intentId: string, success: boolean, gasCostWei: bigint, atMs: number): Promise<void> {
    try {
      await this.#breaker.run((signal) =>
        this.#client.unary(
          Risk.recordOutcome,
          { intentId, success, gasCostWei: gasCostWei.toString(), atMs: BigInt(atMs) },
          { deadlineMs: DEADLINE_MS, retries: 3, signal },
        ),
      );
    } catch (error) {
      this.#isTold = false;
      throw error;
    }
  }

  /**
   * Sees that it knows what was before, also when there is no plan to ask it about: until it does, its figures and
   * alerts are of a day that never was.
   * @throws FlashloanError circuit_open while it is not asked, deadline_exceeded, service_unavailable
   */
  async keepTold(history: () => RestoreOutcomesRequest): Promise<void> {
    const isTold =
      this.#isTold &&
      (await this.#breaker.run((signal) => this.#client.unary(Risk.getStatus, {}, { deadlineMs: DEADLINE_MS, signal })))
        .outcomesKnown;
    if (!isTold) await this.restore(history());
  }

  /** Tells all that the ledger knows. Repeating it is harmless. */
  async restore(history: RestoreOutcomesRequest): Promise<void> {
    await this.#breaker.run((signal) =>
      this.#client.unary(Risk.restoreOutcomes, history, { deadlineMs: RESTORE_DEADLINE_MS, signal }),
    );
    this.#isTold = true;
  }

  async #ask(plan: PlanFacts, stage: Stage): Promise<readonly Refusal[]> {
    const wireStage =
      stage === "before_build" ? CheckStage.CHECK_STAGE_BEFORE_BUILD : CheckStage.CHECK_STAGE_BEFORE_SEND;
    const { approved, refusals } = await this.#breaker.run((signal) =>
      this.#client.unary(Risk.checkPlan, { ...plan, stage: wireStage }, { deadlineMs: DEADLINE_MS, signal }),
    );
    if (approved) return [];
    return refusals.length > 0 ? refusals : [{ rule: "unknown", value: "", limit: "" }];
  }
}
