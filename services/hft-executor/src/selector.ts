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
import { netWeiOf, poolsOf, readSelection, selectGreedily, type Choice, type Offer, type Room } from "./selection.ts";

/** Who chose: the engine, or the greedy choice since nobody else was asked (greedy) or for the reason that it says. */
export type SelectionOutcome = (typeof METRICS.flashloan_selections_total.labels.outcome)[number];

/** What to trade in a block, the first first. */
export interface Selection {
  readonly chosen: readonly Choice[];
  readonly outcome: SelectionOutcome;
  /** What it is worth beyond the greedy choice, as the opportunities were found. */
  readonly gainWei: bigint;
}

/** Chooses among a block's opportunities. Never throws: whatever fails, there is a choice. */
export interface Selector {
  select(offer: Offer, room: Room): Promise<Selection>;
}

/** The built-in choice. */
export const greedySelector: Selector = {
  select: async (offer, room) => ({ chosen: selectGreedily(offer, room), outcome: "greedy", gainWei: 0n }),
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
    options.client.keepConnected();
  }

  async select(offer: Offer, room: Room): Promise<Selection> {
    const greedy = await greedySelector.select(offer, room);
    if (offer.opportunities.length < 2 || room.transactionsMax < 1) return greedy;
    const { chosen, outcome, reason } = await this.#ask(offer, room);
    const gainWei = netWeiOf(chosen) - netWeiOf(greedy.chosen);
    if (outcome === "engine" && gainWei < 0n) return this.#told({ ...greedy, outcome: "worse" }, `${gainWei} wei`);
    return this.#told(outcome === "engine" ? { chosen, outcome, gainWei } : { ...greedy, outcome }, reason);
  }

  async #ask(
    offer: Offer,
    room: Room,
  ): Promise<{ chosen: readonly Choice[]; outcome: SelectionOutcome; reason?: string }> {
    const { client, deadlineMs } = this.#options;
    if (!client.isConnected) return { chosen: [], outcome: "down", reason: "not connected" };
    const question = questionOf(offer, room, Math.floor(deadlineMs * ENGINE_SHARE));
    try {
      const answer = await this.#breaker.run((signal) => client.unary(SELECT, question, { deadlineMs, signal }));
      const read = "fault" in answer ? answer : readSelection(answer.chosen, offer, room);
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

function questionOf({ opportunities, sequels }: Offer, room: Room, deadlineMs: number): SelectOpportunitiesRequest {
  return {
    opportunities: opportunities.map((opportunity) => ({
      id: opportunity.id,
      netWei: opportunity.netWei,
      pools: [...new Set(poolsOf(opportunity))],
      gas: opportunity.gasUnits,
      loanSource: `${opportunity.loan?.source ?? ""}:${opportunity.loan?.token ?? ""}`,
      loanAmount: opportunity.loan?.amount ?? "0",
    })),
    sequels: sequels.map(({ first, second, opportunity }) => ({ first, second, netWei: opportunity?.netWei ?? "0" })),
    // Each transaction repays its loan before the next one borrows: together they need no more liquidity than alone.
    room: { transactionsMax: room.transactionsMax, gasMax: room.gasMax, liquidity: {}, riskAversion: 0 },
    budget: { deadlineMs, seed: SEED },
  };
}
