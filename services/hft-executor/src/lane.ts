import { encodeExecute, type ExecuteCall } from "@flashloan/contracts/encode";
import { getHeader, getNonce, getReceipt, nextBaseFee, type Header, type Receipt } from "@flashloan/evm/chain";
import { hashSchema, type Hex } from "@flashloan/evm/hex";
import type { JsonRpc } from "@flashloan/evm/json-rpc";
import type { Signer } from "@flashloan/evm/transaction";
import type { Clock } from "@flashloan/shared/clock";
import { toFlashloanError } from "@flashloan/shared/errors";
import type { Logger } from "@flashloan/shared/log";
import { currentTraceparent, inTrace, type Tracing } from "@flashloan/shared/telemetry/tracing";
import type { Accounts } from "./accounting.ts";
import { replacementFees, type Bid, type BidPolicy } from "./bidding.ts";
import type { FaultPoint } from "./fault-points.ts";
import type { IntentLedger } from "./intent-ledger.ts";
import { isInFlight, type Intent, type IntentStep, type SignedRecord } from "./intent.ts";
import { settle } from "./settlement.ts";

/** What a lane works with. */
export interface LaneDependencies {
  readonly rpc: JsonRpc;
  readonly ledger: IntentLedger;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly log: Logger;
  readonly tracing: Tracing;
  readonly chainId: number;
  readonly accounts: Accounts;
  readonly bidPolicy: BidPolicy;
  /** Blocks, the inclusion's own counted, after which a transaction is final. */
  readonly confirmations: number;
  /** False while trading is killed: then nothing is sent, not even a retry. */
  readonly maySend: () => boolean;
  /** Called after every change of an intent. */
  readonly onIntent: (intent: Intent) => void;
  /** Called when an intent's transaction is final. */
  readonly onFinal: (intent: Intent) => Promise<void>;
  readonly faultPoint: (point: FaultPoint) => void;
}

/** A trade that is ready to be signed. */
export interface ApprovedTrade {
  readonly call: ExecuteCall;
  readonly terms: Bid;
  /** Last block in which it can trade. */
  readonly lastBlock: number;
  /** Called once the node has its bytes. */
  readonly onWire: () => void;
}

/** What is signed, besides the nonce. */
interface Unsigned {
  readonly purpose: SignedRecord["purpose"];
  /** Absent in a cancellation. */
  readonly call?: ExecuteCall;
  readonly terms: Pick<Bid, "maxFeePerGasWei" | "maxPriorityFeePerGasWei" | "gasLimit">;
  readonly lastBlock: number;
}

/** Answers of the ledger after which the append is known not to be in it. */
const REFUSED_FOR_GOOD: ReadonlySet<string> = new Set(["sequence_conflict", "fenced"]);
/** What the node says to bytes that it has already. */
const KNOWN_TO_NODE = [
  "already known",
  "already imported",
  "nonce too low",
  "replacement transaction underpriced",
] as const;

/**
 * One signer's sequence of nonces: ledgers before every side effect, and carries each signed intent to its end.
 * Nothing here runs twice at once; the executor calls it from its one loop.
 */
export class Lane {
  readonly #d: LaneDependencies;
  readonly #intents: Map<Hex, Intent>;
  readonly #open = new Set<Intent>();
  #nextNonce: number;
  /** An append whose answer was lost: nothing new is signed until it is known to be in the ledger. */
  #unresolved: { intent: Intent; steps: readonly IntentStep[]; traceparent: string | undefined } | undefined;

  /** @param intents everything that the ledger holds, in its order */
  constructor(dependencies: LaneDependencies, intents: Map<Hex, Intent>, nextNonce: number) {
    this.#d = dependencies;
    this.#intents = intents;
    this.#nextNonce = nextNonce;
    for (const intent of intents.values()) this.#track(intent);
  }

  get intents(): ReadonlyMap<Hex, Intent> {
    return this.#intents;
  }
  get nextNonce(): number {
    return this.#nextNonce;
  }
  /** Intents that are signed and not final. */
  get open(): ReadonlySet<Intent> {
    return this.#open;
  }
  /** True while the fate of an append is unknown. */
  get isUnresolved(): boolean {
    return this.#unresolved !== undefined;
  }

  /** Signs a trade at the next nonce, ledgers it with the steps that led to it, and sends it. */
  async execute(intent: Intent, prelude: readonly IntentStep[], trade: ApprovedTrade): Promise<void> {
    const signed = await this.#sign(intent, this.#nextNonce, { purpose: "execute", ...trade });
    if (!(await this.append(intent, [...prelude, { state: "SIGNED", payload: signed }]))) return;
    this.#nextNonce = signed.nonce + 1;
    await this.#submit(intent, trade.onWire);
  }

  /** Appends durably; false when the answer was lost, and then nothing new is signed until it is known. */
  async append(intent: Intent, steps: readonly IntentStep[]): Promise<boolean> {
    const { ledger, faultPoint, clock, onIntent, log } = this.#d;
    const last = (steps.at(-1) as IntentStep).state;
    faultPoint(`before_append_${last}`);
    try {
      await ledger.append(intent, steps, clock.now());
    } catch (error) {
      if (REFUSED_FOR_GOOD.has(toFlashloanError(error).code)) throw error;
      this.#unresolved = { intent, steps, traceparent: currentTraceparent() };
      log.error({ error, intentId: intent.id, state: last }, "ledger_append_unresolved");
      return false;
    }
    this.#intents.set(intent.id, intent);
    this.#track(intent);
    faultPoint(`after_append_${last}`);
    onIntent(intent);
    return true;
  }

  /** Brings every open intent as far as the chain is at this head. */
  async advance(head: Header): Promise<void> {
    await this.#resolve();
    if (this.#unresolved) return;
    for (const intent of [...this.#open].sort((a, b) => nonceOf(a) - nonceOf(b)))
      await inTrace(intent.plan?.traceparent, () => this.#advanceOne(intent, head));
  }

  #track(intent: Intent): void {
    if (isInFlight(intent)) this.#open.add(intent);
    else this.#open.delete(intent);
  }

  async #resolve(): Promise<void> {
    const unresolved = this.#unresolved;
    if (!unresolved) return;
    this.#unresolved = undefined;
    const { intent, steps, traceparent } = unresolved;
    if (!(await inTrace(traceparent, () => this.append(intent, steps)))) return;
    this.#nextNonce = Math.max(this.#nextNonce, nonceOf(intent) + 1);
  }

  #sign(intent: Intent, nonce: number, { purpose, call, terms, lastBlock }: Unsigned): Promise<SignedRecord> {
    const { signer, chainId, accounts, tracing } = this.#d;
    const { gasLimit, maxFeePerGasWei, maxPriorityFeePerGasWei } = terms;
    const attributes = { "flashloan.intent_id": intent.id, "flashloan.purpose": purpose, "flashloan.nonce": nonce };
    return tracing.span("executor.sign", attributes, async (annotate) => {
      const { raw, hash } = signer.sign({
        chainId,
        nonce,
        to: call ? accounts.contract : signer.address,
        data: call ? encodeExecute(call) : "0x",
        valueWei: 0n,
        gasLimit,
        maxFeePerGasWei,
        maxPriorityFeePerGasWei,
      });
      annotate({ "flashloan.transaction_hash": hash });
      return { purpose, nonce, raw, hash, gasLimit, maxFeePerGasWei, maxPriorityFeePerGasWei, lastBlock };
    });
  }

  /** Puts the newest signed bytes on the wire. Sending the same bytes twice is harmless. */
  async #submit(intent: Intent, onWire: () => void = () => undefined): Promise<void> {
    const signed = intent.signed.at(-1);
    if (!signed || !this.#d.maySend()) return;
    const attributes = { "flashloan.intent_id": intent.id, "flashloan.transaction_hash": signed.hash };
    if (!(await this.#d.tracing.span("executor.submit", attributes, () => this.#send(intent, signed)))) return;
    onWire();
    if (intent.state === "SIGNED" || intent.state === "REPLACED" || intent.state === "REORGED")
      await this.append(intent, [{ state: "SUBMITTED", payload: { hash: signed.hash } }]);
  }

  /** False when the node refuses the bytes. */
  async #send(intent: Intent, { raw, hash }: SignedRecord): Promise<boolean> {
    const { rpc, log, faultPoint } = this.#d;
    faultPoint("before_send");
    try {
      await rpc.request("eth_sendRawTransaction", [raw], hashSchema);
    } catch (error) {
      const message = toFlashloanError(error).message.toLowerCase();
      if (!KNOWN_TO_NODE.some((words) => message.includes(words))) {
        log.warn({ error, intentId: intent.id, hash }, "submission_refused");
        return false;
      }
    }
    faultPoint("after_send");
    return true;
  }

  async #advanceOne(intent: Intent, head: Header): Promise<void> {
    const receipt = await this.#findReceipt(intent);
    if (intent.included && receipt?.blockHash !== intent.included.blockHash) {
      // The block that held it is gone. The nonce is ours still: the same bytes go out again.
      const { hash, blockNumber } = intent.included;
      if (!(await this.append(intent, [{ state: "REORGED", payload: { hash, blockNumber } }]))) return;
    }
    if (!receipt) return this.#pushOn(intent, head);
    if (!intent.included) {
      const included = {
        hash: receipt.transactionHash,
        blockNumber: receipt.blockNumber,
        blockHash: receipt.blockHash,
        success: receipt.status === 1,
        gasUsed: receipt.gasUsed,
        effectiveGasPriceWei: receipt.effectiveGasPrice,
      };
      if (!(await this.append(intent, [{ state: "INCLUDED", payload: included }]))) return;
    }
    if (head.number - receipt.blockNumber + 1 >= this.#d.confirmations) await this.#settle(intent, receipt);
  }

  async #findReceipt(intent: Intent): Promise<Receipt | undefined> {
    const receipts = await Promise.all(intent.signed.map((signed) => getReceipt(this.#d.rpc, signed.hash)));
    return receipts.find((receipt) => receipt !== null) ?? undefined;
  }

  /** Not included: sent again while it can still trade, then replaced by a transaction that only uses the nonce up. */
  async #pushOn(intent: Intent, head: Header): Promise<void> {
    const { rpc, signer, log, bidPolicy, maySend } = this.#d;
    const newest = intent.signed.at(-1) as SignedRecord;
    if ((await getNonce(rpc, signer.address, "latest")) > newest.nonce) {
      // Asked again, since the transaction may have been included between the two questions.
      if (await this.#findReceipt(intent)) return;
      log.error({ intentId: intent.id, nonce: newest.nonce }, "key_used_elsewhere");
      const reason = `nonce ${newest.nonce} was used by a transaction that is not in the ledger: the key is used elsewhere`;
      await this.append(intent, [{ state: "DROPPED", payload: { reason } }]);
      return;
    }
    if (head.number < newest.lastBlock) return this.#submit(intent);
    if (!maySend()) return;
    const fees = replacementFees(newest, nextBaseFee(head));
    const lastBlock = head.number + bidPolicy.validBlocks;
    const terms = { ...fees, gasLimit: 21_000n };
    const cancel = await this.#sign(intent, newest.nonce, { purpose: "cancel", terms, lastBlock });
    if (await this.append(intent, [{ state: "REPLACED", payload: cancel }])) await this.#submit(intent);
  }

  #settle(intent: Intent, receipt: Receipt): Promise<void> {
    const attributes = {
      "flashloan.intent_id": intent.id,
      "flashloan.block": receipt.blockNumber,
      "flashloan.transaction_hash": receipt.transactionHash,
    };
    return this.#d.tracing.span("executor.settle", attributes, async (annotate) => {
      await this.#close(intent, receipt);
      annotate({ "flashloan.state": intent.state });
    });
  }

  /** The transaction is final: what it earned and cost is read from the chain and the intent ends. */
  async #close(intent: Intent, receipt: Receipt): Promise<void> {
    const { accounts, rpc, onFinal } = this.#d;
    const header = await getHeader(rpc, receipt.blockNumber);
    if (header?.hash !== receipt.blockHash) return;
    const { transactionHash: hash, blockNumber } = receipt;
    const final: IntentStep = { state: "FINALIZED", payload: { hash, blockNumber, timestampS: header.timestamp } };
    const end = endOf(intent, receipt, settle(receipt, intent.id, accounts));
    if (await this.append(intent, [final, end])) await onFinal(intent);
  }
}

function endOf(intent: Intent, receipt: Receipt, outcome: ReturnType<typeof settle>): IntentStep {
  const used = intent.signed.find((signed) => signed.hash === receipt.transactionHash);
  if (used?.purpose === "cancel") {
    const reason = "not included in time; its nonce was used up by a cancellation";
    return { state: "ABANDONED", payload: { ...outcome, reason } };
  }
  if (receipt.status === 1) return { state: "SETTLED", payload: outcome };
  const reason = "the trade no longer met its minimum profit when it was executed";
  return { state: "REVERTED", payload: { ...outcome, reason } };
}

function nonceOf(intent: Intent): number {
  return intent.signed[0]?.nonce ?? -1;
}
