import type { Opportunity } from "@flashloan/proto/predictor/v1/predictor";
import {
  QuantumEngineServiceService as Quantum,
  type SelectOpportunitiesRequest,
  type SelectOpportunitiesResponse,
} from "@flashloan/proto/quantum/v1/quantum";
import { circuitBreaker, type CircuitBreaker } from "@flashloan/recovery/circuit-breaker";
import type { RecoveryEvent } from "@flashloan/recovery/pattern";
import { toFlashloanError, type FlashloanError } from "@flashloan/shared/errors";
import type { Logger } from "@flashloan/shared/log";
import type { RpcClient, RpcMethod } from "@flashloan/shared/rpc-client";
import type { METRICS } from "@flashloan/shared/telemetry/declarations";
import { netWeiOf, readSelection, selectGreedily, type Room } from "./selection.ts";

/** Who chose: the engine, or the greedy choice since nobody else was asked (greedy) or for the reason that it says. */
export type SelectionOutcome = (typeof METRICS.flashloan_selections_total.labels.outcome)[number];

/** Which opportunities of a block to execute, the first first. */
export interface Selection {
  readonly chosen: readonly Opportunity[];
  readonly outcome: SelectionOutcome;
  /** What it is worth beyond the greedy choice, as the opportunities were found. */
  readonly gainWei: bigint;
}

/** Chooses among a block's opportunities. Never throws: whatever fails, there is a choice. */
export interface Selector {
  /** @param offered what may be taken now, best first; their pools are free */
  select(offered: readonly Opportunity[], room: Room): Promise<Selection>;
}

/** The built-in choice. */
export const greedySelector: Selector = {
  select: async (offered, room) => ({ chosen: selectGreedily(offered, room), outcome: "greedy", gainWei: 0n }),
};

/** So many questions in a row without an answer, and it is not asked for a while: each costs its deadline. */
const FAILURES_MAX = 3;
const NOT_ASKED_MS = 3_000;
/** Of the deadline; what is left is for the way there and back. */
const ENGINE_SHARE = 0.6;
const SEED = 1;

/** An answer that can't be read is one that is told from the engine's refusals. */
const SELECT: RpcMethod<SelectOpportunitiesRequest, SelectOpportunitiesResponse | { readonly fault: string }> = {
  ...Quantum.selectOpportunities,
  responseDeserialize: (bytes) => {
    try {
      return Quantum.selectOpportunities.responseDeserialize(bytes);
    } catch (error) {
      return { fault: toFlashloanError(error).message };
    }
  },
};

/** How the engine is asked. */
export interface EngineSelectorOptions {
  readonly client: RpcClient;
  /** From the question to its answer, ms; then the greedy choice is taken. */
  readonly deadlineMs: number;
  readonly log: Logger;
  /** Hears what the breaker does. */
  readonly observe?: (event: RecoveryEvent) => void;
}

/**
 * Asks the quantum engine, and makes the greedy choice when it is late, down, refuses, answers what can't be, or chooses
 * worse. One that is not connected, or has failed several times in a row, is not waited for.
 */
export class EngineSelector implements Selector {
  readonly #options: EngineSelectorOptions;
  readonly #breaker: CircuitBreaker;
  #lastOutcome: SelectionOutcome | undefined;

  constructor(options: EngineSelectorOptions) {
    this.#options = options;
    const { observe = () => undefined } = options;
    this.#breaker = circuitBreaker({ operation: "rpc", observe, failuresMax: FAILURES_MAX, openMs: NOT_ASKED_MS });
    // Connected by the time that the first block comes.
    options.client.isConnected();
  }

  async select(offered: readonly Opportunity[], room: Room): Promise<Selection> {
    const greedy = await greedySelector.select(offered, room);
    if (offered.length < 2 || room.transactionsMax < 1) return greedy;
    const { chosen, outcome, reason } = await this.#ask(offered, room);
    const gainWei = netWeiOf(chosen) - netWeiOf(greedy.chosen);
    if (outcome === "engine" && gainWei < 0n) return this.#told({ ...greedy, outcome: "worse" }, `${gainWei} wei`);
    return this.#told(outcome === "engine" ? { chosen, outcome, gainWei } : { ...greedy, outcome }, reason);
  }

  async #ask(
    offered: readonly Opportunity[],
    room: Room,
  ): Promise<{ chosen: readonly Opportunity[]; outcome: SelectionOutcome; reason?: string }> {
    const { client, deadlineMs } = this.#options;
    if (!client.isConnected()) return { chosen: [], outcome: "down", reason: "not connected" };
    const question = questionOf(offered, room, Math.floor(deadlineMs * ENGINE_SHARE));
    try {
      const answer = await this.#breaker.run((signal) => client.unary(SELECT, question, { deadlineMs, signal }));
      const read = "fault" in answer ? answer : readSelection(answer.chosen, offered, room);
      return "fault" in read
        ? { chosen: [], outcome: "invalid", reason: read.fault }
        : { chosen: read, outcome: "engine" };
    } catch (error) {
      const failure = toFlashloanError(error);
      return { chosen: [], outcome: outcomeOf(failure), reason: failure.message };
    }
  }

  /** Says so when it is not as it was in the block before. */
  #told(selection: Selection, reason?: string): Selection {
    const { outcome } = selection;
    if (outcome !== this.#lastOutcome) {
      const { log } = this.#options;
      if (outcome === "engine") log.info({ outcome }, "selection_changed");
      else log.warn({ outcome, reason }, "selection_changed");
    }
    this.#lastOutcome = outcome;
    return selection;
  }
}

function outcomeOf({ code }: FlashloanError): SelectionOutcome {
  if (code === "deadline_exceeded") return "late";
  return code === "service_unavailable" || code === "circuit_open" ? "down" : "refused";
}

function questionOf(offered: readonly Opportunity[], room: Room, deadlineMs: number): SelectOpportunitiesRequest {
  return {
    opportunities: offered.map(({ id, netWei, gasUnits, loan, hops, conversion }) => ({
      id,
      netWei,
      pools: [...new Set([...hops, ...conversion].map(({ poolId }) => poolId))],
      gas: gasUnits,
      loanSource: `${loan?.source ?? ""}:${loan?.token ?? ""}`,
      loanAmount: loan?.amount ?? "0",
    })),
    // A plan's amounts are for the block as it is: nothing can be taken on the state that another one leaves.
    sequels: [],
    // Each transaction repays its loan before the next one borrows: together they need no more liquidity than alone.
    room: { transactionsMax: room.transactionsMax, gasMax: room.gasMax, liquidity: {}, riskAversion: 0 },
    budget: { deadlineMs, seed: SEED },
  };
}
