import { z } from "zod";
import { getHead, getHeader, getNonce, getReceipt, type Header } from "@flashloan/evm/chain";
import { addressSchema, hashSchema, type Hex } from "@flashloan/evm/hex";
import type { JsonRpc } from "@flashloan/evm/json-rpc";
import { FlashloanError } from "@flashloan/shared/errors";
import { addUp, holdingsAt, transferSchema, type Accounts, type DeclaredTransfer, type Figures } from "./accounting.ts";
import type { FaultPoint } from "./fault-points.ts";
import type { IntentLedger, PlainRecord } from "./intent-ledger.ts";
import type { Intent } from "./intent.ts";

const BASELINE_STREAM = "platform:baseline";
const TRANSFERS_STREAM = "platform:transfers";

const baselineSchema = z.object({
  chainId: z.number(),
  genesisHash: hashSchema,
  blockNumber: z.number(),
  blockHash: hashSchema,
  holdingsWei: z.string().transform(BigInt),
  firstNonce: z.number(),
});
/** Where the ledger begins: the chain, the block, and what the platform's accounts held then. */
export type Baseline = z.infer<typeof baselineSchema>;

/** What the books work with. */
export interface BooksDependencies {
  readonly rpc: JsonRpc;
  readonly ledger: IntentLedger;
  readonly chainId: number;
  readonly genesisHash: Hex;
  readonly accounts: Accounts;
  readonly faultPoint: (point: FaultPoint) => void;
}

/** Figures of a range of blocks, beside the change of holdings that the chain shows for it. */
export interface Summary extends Figures {
  readonly chainDeltaWei: bigint;
  readonly fromBlock: number;
  readonly toBlock: number;
}

/** Holds the ledger's figures against the chain's. */
export class Books {
  readonly #d: BooksDependencies;
  readonly #intents: ReadonlyMap<Hex, Intent>;
  readonly #transfers: DeclaredTransfer[];
  readonly baseline: Baseline;

  private constructor(
    dependencies: BooksDependencies,
    intents: ReadonlyMap<Hex, Intent>,
    transfers: DeclaredTransfer[],
    baseline: Baseline,
  ) {
    this.#d = dependencies;
    this.#intents = intents;
    this.#transfers = transfers;
    this.baseline = baseline;
  }

  /**
   * Opens the books that a ledger holds, or new ones at the head of the chain.
   * @throws FlashloanError chain_mismatch when the ledger belongs to another chain, or the chain went back
   */
  static async open(
    dependencies: BooksDependencies,
    intents: ReadonlyMap<Hex, Intent>,
    plain: ReadonlyMap<string, readonly PlainRecord[]>,
    head: Header,
  ): Promise<Books> {
    const known = plain.get(BASELINE_STREAM)?.[0];
    const baseline = known ? baselineSchema.parse(known.payload) : await newBaseline(dependencies, head);
    await checkChain(dependencies, baseline, intents.values());
    const transfers = (plain.get(TRANSFERS_STREAM) ?? []).map((record) => transferSchema.parse(record.payload));
    return new Books(dependencies, intents, transfers, baseline);
  }

  /** Figures of (from, to] by the ledger and by the chain; 0 means the ledger's start, and the head. */
  async summarize(from: number, to: number): Promise<Summary> {
    const { rpc, accounts } = this.#d;
    const fromBlock = from === 0 ? this.baseline.blockNumber : from;
    const toBlock = to === 0 ? (await getHead(rpc)).number : to;
    if (fromBlock > toBlock)
      throw new FlashloanError("argument_invalid", `from_block ${fromBlock} is after to_block ${toBlock}`);
    const [before, after] = await Promise.all([
      // The chain may no longer keep the state of the ledger's first block; the ledger does.
      fromBlock === this.baseline.blockNumber ? this.baseline.holdingsWei : holdingsAt(rpc, accounts, fromBlock),
      holdingsAt(rpc, accounts, toBlock),
    ]);
    const declaredWei = this.#transfers
      .filter((transfer) => transfer.blockNumber > fromBlock && transfer.blockNumber <= toBlock)
      .reduce((sum, transfer) => sum + transfer.amountWei, 0n);
    const figures = addUp(this.#intents.values(), fromBlock, toBlock);
    return { ...figures, chainDeltaWei: after - before - declaredWei, fromBlock, toBlock };
  }

  /**
   * Ledgers a transfer to or from the platform's accounts, as the chain shows it.
   * @throws FlashloanError not_found, idempotency_conflict, argument_invalid; service_unavailable while a trade of the
   * same block is not final, since its profit could not be told from the transfer
   */
  async declareTransfer(hash: Hex): Promise<DeclaredTransfer> {
    const { rpc, accounts, ledger, faultPoint } = this.#d;
    const receipt = await getReceipt(rpc, hash);
    if (!receipt) throw new FlashloanError("not_found", `the chain knows no included transaction ${hash}`);
    if (this.#transfers.some((transfer) => transfer.transactionHash === hash))
      throw new FlashloanError("idempotency_conflict", `transfer ${hash} is declared already`);
    for (const intent of this.#intents.values())
      if (intent.signed.some((signed) => signed.hash === hash))
        throw new FlashloanError("argument_invalid", `${hash} is a trade of ours: it is accounted for already`);
    const { blockNumber } = receipt;
    await this.#requireFinal(hash, blockNumber);
    const [before, after] = await Promise.all([
      holdingsAt(rpc, accounts, blockNumber - 1),
      holdingsAt(rpc, accounts, blockNumber),
    ]);
    const tradedWei = addUp(this.#intents.values(), blockNumber - 1, blockNumber).netWei;
    const transfer = { transactionHash: hash, blockNumber, amountWei: after - before - tradedWei };
    faultPoint("before_append_TRANSFER");
    await ledger.appendPlain(TRANSFERS_STREAM, BigInt(this.#transfers.length), "TRANSFER", transfer);
    faultPoint("after_append_TRANSFER");
    this.#transfers.push(transfer);
    return transfer;
  }

  /** Every transaction of the signer in the block must be final in the ledger, or be the transfer itself. */
  async #requireFinal(hash: Hex, blockNumber: number): Promise<void> {
    const { rpc, accounts } = this.#d;
    const [before, after, transfer] = await Promise.all([
      getNonce(rpc, accounts.signer, blockNumber - 1),
      getNonce(rpc, accounts.signer, blockNumber),
      rpc.request("eth_getTransactionByHash", [hash], z.object({ from: addressSchema })),
    ]);
    const own = transfer.from === accounts.signer ? 1 : 0;
    const final = [...this.#intents.values()].filter(
      (intent) => intent.outcome && intent.included?.blockNumber === blockNumber,
    );
    if (after - before === final.length + own) return;
    throw new FlashloanError(
      "service_unavailable",
      `a trade in block ${blockNumber} is not final yet: declare the transfer again in a few blocks`,
    );
  }
}

async function newBaseline(dependencies: BooksDependencies, head: Header): Promise<Baseline> {
  const { ledger, rpc, chainId, genesisHash, accounts, faultPoint } = dependencies;
  const [holdingsWei, firstNonce] = await Promise.all([
    holdingsAt(rpc, accounts, head.number),
    getNonce(rpc, accounts.signer, head.number),
  ]);
  const at = { blockNumber: head.number, blockHash: head.hash };
  const baseline: Baseline = { chainId, genesisHash, ...at, holdingsWei, firstNonce };
  faultPoint("before_append_BASELINE");
  await ledger.appendPlain(BASELINE_STREAM, 0n, "BASELINE", baseline);
  faultPoint("after_append_BASELINE");
  return baseline;
}

/** The chain must be the one that the ledger began on, and must still have what the ledger calls final. */
async function checkChain(
  { rpc, chainId, genesisHash }: BooksDependencies,
  baseline: Baseline,
  intents: Iterable<Intent>,
): Promise<void> {
  const anchor = await getHeader(rpc, baseline.blockNumber);
  if (baseline.chainId !== chainId || baseline.genesisHash !== genesisHash || anchor?.hash !== baseline.blockHash)
    throw mismatch(
      `the ledger began at block ${baseline.blockNumber} of another chain (id ${baseline.chainId}, genesis ${baseline.genesisHash})`,
    );
  let newest: Intent["included"];
  for (const { outcome, included } of intents)
    if (outcome && included && included.blockNumber > (newest?.blockNumber ?? 0)) newest = included;
  if (!newest || (await getHeader(rpc, newest.blockNumber))?.hash === newest.blockHash) return;
  throw mismatch(
    `the chain went back: it no longer has block ${newest.blockNumber} (${newest.blockHash}), in which the ledger has a final transaction`,
  );
}

function mismatch(why: string): FlashloanError {
  const cure = "use another data folder, or --fresh to archive the ledger and begin anew";
  return new FlashloanError("chain_mismatch", `${why}: ${cure}`, { details: { why } });
}
