import { randomUUID } from "node:crypto";
import {
  CheckpointServiceService as Checkpoint,
  Durability,
  type AppendRequest,
} from "@flashloan/proto/checkpoint/v1/checkpoint";
import { FlashloanError, toFlashloanError } from "@flashloan/shared/errors";
import type { RpcClient } from "@flashloan/shared/rpc-client";
import type { Hex } from "@flashloan/evm/hex";
import {
  applyStep,
  decodeStep,
  encodePayload,
  newIntent,
  TERMINAL_STATES,
  type Intent,
  type IntentStep,
} from "./intent.ts";

/** Ledger stream of who led a lane, start by start. */
const LEAD_PREFIX = "lead:";
/** How often taking the lead is tried while others take it too. */
const LEAD_ATTEMPTS_MAX = 10;
/** Ledger stream of an intent. */
const INTENT_PREFIX = "intent:";
const PAGE = 1_000;
const APPEND_DEADLINE_MS = 5_000;
const APPEND_RETRIES = 5;

/** A record of one of the platform's own streams (baseline, declared transfers). */
export interface PlainRecord {
  readonly state: string;
  readonly payload: unknown;
  readonly committedAtMs: number;
}

/** The executor's view of the checkpoint service: intents in, intents out. */
export class IntentLedger {
  readonly #client: RpcClient;
  #fence: AppendRequest["fence"];

  constructor(client: RpcClient) {
    this.#client = client;
  }

  /**
   * Makes this ledger the one that writes for a lane: from now on every append of an earlier one is refused as fenced.
   * The lane's stream of leaders is its own election: the place that a start takes in it is its fencing token.
   * @throws FlashloanError sequence_conflict when others take it all the time; service_unavailable when the ledger is down
   */
  async takeLead(lane: string): Promise<void> {
    const streamId = `${LEAD_PREFIX}${lane}`;
    const idempotencyKey = randomUUID();
    for (let attempt = 1; ; attempt++) {
      const expectedSequence = await this.lengthOf(streamId, 0n);
      const fence = { scope: streamId, token: expectedSequence + 1n };
      const records = [{ state: "TAKEN", terminal: false, payload: encodePlain({}) }];
      try {
        await this.#append({ streamId, expectedSequence, idempotencyKey, records, fence });
        this.#fence = fence;
        return;
      } catch (error) {
        if (toFlashloanError(error).code !== "sequence_conflict" || attempt === LEAD_ATTEMPTS_MAX) throw error;
      }
    }
  }

  /** True when a commit survives a power cut. */
  async isPowerSafe(): Promise<boolean> {
    const { durability } = await this.#client.unary(Checkpoint.getStatus, {}, { retries: APPEND_RETRIES });
    return durability === Durability.DURABILITY_POWER;
  }

  /**
   * Appends steps, durably, then applies them. The key makes a repetition harmless, so a lost answer is asked again.
   * @throws FlashloanError sequence_conflict when someone else wrote this intent; fenced when someone else leads since;
   * service_unavailable when the ledger is down
   */
  async append(intent: Intent, steps: readonly IntentStep[], nowMs: number): Promise<void> {
    const records = steps.map((step) => ({
      state: step.state,
      terminal: TERMINAL_STATES.has(step.state),
      payload: encodePayload(step),
    }));
    const idempotencyKey = `${intent.sequence}:${steps.map((step) => step.state).join("+")}`;
    const streamId = `${INTENT_PREFIX}${intent.id}`;
    await this.#append({ streamId, expectedSequence: intent.sequence, idempotencyKey, records, fence: this.#fence });
    for (const step of steps) applyStep(intent, step, nowMs);
  }

  /** How many records a stream of the platform's own has; `known` when it has none. */
  async lengthOf(streamId: string, known: bigint): Promise<bigint> {
    const { record } = await this.#client.unary(Checkpoint.latest, { streamId }, { deadlineMs: APPEND_DEADLINE_MS });
    return record?.sequence ?? known;
  }

  /** Appends one record to a stream of the platform's own. */
  async appendPlain(streamId: string, expectedSequence: bigint, state: string, payload: unknown): Promise<void> {
    const records = [{ state, terminal: false, payload: encodePlain(payload) }];
    const idempotencyKey = `${expectedSequence}:${state}`;
    await this.#append({ streamId, expectedSequence, idempotencyKey, records, fence: this.#fence });
  }

  /** Everything that the ledger holds, in the order in which it was written. */
  async readAll(): Promise<{ intents: Map<Hex, Intent>; plain: Map<string, PlainRecord[]> }> {
    const intents = new Map<Hex, Intent>();
    const plain = new Map<string, PlainRecord[]>();
    let pageToken = "";
    do {
      const page = await this.#client.unary(
        Checkpoint.history,
        { streamId: "", pageSize: PAGE, pageToken },
        { deadlineMs: 30_000, retries: APPEND_RETRIES },
      );
      for (const record of page.records) {
        if (!record.streamId.startsWith(INTENT_PREFIX)) {
          const records = plain.get(record.streamId) ?? [];
          plain.set(record.streamId, records);
          records.push({
            state: record.state,
            payload: JSON.parse(Buffer.from(record.payload).toString("utf8")),
            committedAtMs: Number(record.committedAtMs),
          });
          continue;
        }
        const id = record.streamId.slice(INTENT_PREFIX.length) as Hex;
        const intent = intents.get(id) ?? newIntent(id);
        intents.set(id, intent);
        applyStep(intent, decodeStep(record.state, record.payload), Number(record.committedAtMs));
        if (intent.sequence !== record.sequence)
          throw new FlashloanError(
            "reconciliation_failed",
            `intent ${id} has record ${record.sequence} where ${intent.sequence} was expected: the ledger is incomplete`,
          );
      }
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return { intents, plain };
  }

  async #append(request: AppendRequest): Promise<void> {
    await this.#client.unary(Checkpoint.append, request, { deadlineMs: APPEND_DEADLINE_MS, retries: APPEND_RETRIES });
  }
}

function encodePlain(payload: unknown): Buffer {
  return Buffer.from(
    JSON.stringify(payload, (_, value: unknown) => (typeof value === "bigint" ? value.toString() : value)),
  );
}
