import { z } from "zod";
import {
  CheckpointServiceService as Checkpoint,
  type Record as LedgerRecord,
} from "@flashloan/proto/checkpoint/v1/checkpoint";
import { HftExecutorServiceService as ExecutorApi } from "@flashloan/proto/executor/v1/executor";
import { decodeExecuted } from "@flashloan/contracts/events";
import { getHead, getReceipt } from "@flashloan/evm/chain";
import {
  addressSchema,
  hashSchema,
  quantitySchema,
  smallQuantitySchema,
  toQuantity,
  type Hex,
} from "@flashloan/evm/hex";
import type { JsonRpc } from "@flashloan/evm/json-rpc";
import type { RpcClient } from "@flashloan/shared/rpc-client";

/** What an audit of ledger and chain found; every list of faults must be empty. */
export interface Audit {
  readonly faults: readonly string[];
  readonly intents: number;
  readonly transactions: number;
  readonly settled: number;
  readonly netWei: bigint;
  /** The newest state of each intent that has not ended. */
  readonly open: ReadonlyMap<string, string>;
}

const blockSchema = z.object({
  transactions: z.array(
    z.object({ hash: hashSchema, from: addressSchema, nonce: smallQuantitySchema, value: quantitySchema }),
  ),
});

/**
 * Holds the ledger against the chain: places and sequences without gaps, every transaction of the signer in the
 * ledger (or declared) and signed once per nonce, no nonce missing, no intent executed twice, and the total equal to the chain's.
 */
export async function audit(
  checkpoint: RpcClient,
  executor: RpcClient,
  rpc: JsonRpc,
  contract: Hex,
  declared: ReadonlySet<string> = new Set(),
): Promise<Audit> {
  const faults: string[] = [];
  const records = await readLedger(checkpoint);
  checkOrder(records, faults);
  const signed = new Map<string, { intent: string; nonce: number }>();
  const noncesOf = new Map<string, Set<number>>();
  const latest = new Map<string, LedgerRecord>();
  for (const record of records) {
    if (!record.streamId.startsWith("intent:")) continue;
    latest.set(record.streamId, record);
    if (record.state !== "SIGNED" && record.state !== "REPLACED") continue;
    const { hash, nonce } = JSON.parse(record.payload.toString()) as { hash: string; nonce: number };
    signed.set(hash, { intent: record.streamId, nonce });
    noncesOf.set(record.streamId, (noncesOf.get(record.streamId) ?? new Set()).add(nonce));
  }
  for (const [intent, nonces] of noncesOf)
    if (nonces.size !== 1) faults.push(`${intent} was signed at ${nonces.size} nonces`);
  const owners = new Map<number, string>();
  for (const { intent, nonce } of signed.values()) {
    const other = owners.get(nonce);
    if (other !== undefined && other !== intent) faults.push(`nonce ${nonce} belongs to two intents`);
    owners.set(nonce, intent);
  }

  const status = await executor.unary(ExecutorApi.getStatus, {});
  const head = await getHead(rpc);
  const executions = new Map<string, number>();
  const nonces: number[] = [];
  const included: { intent: string | undefined; block: number }[] = [];
  let transactions = 0;
  for (let number = Number(status.ledgerFromBlock) + 1; number <= head.number; number++) {
    const block = await rpc.request("eth_getBlockByNumber", [toQuantity(number), true], blockSchema);
    for (const transaction of block.transactions.filter((candidate) => candidate.from === status.signer)) {
      transactions += 1;
      included.push({ intent: signed.get(transaction.hash)?.intent, block: number });
      nonces.push(transaction.nonce);
      if (!signed.has(transaction.hash) && !declared.has(transaction.hash))
        faults.push(`transaction ${transaction.hash} of block ${number} is not in the ledger`);
      const receipt = await getReceipt(rpc, transaction.hash);
      for (const log of receipt?.logs ?? []) {
        const executed = log.address === contract ? decodeExecuted(log) : undefined;
        if (executed) executions.set(executed.intentId, (executions.get(executed.intentId) ?? 0) + 1);
      }
    }
  }
  for (const [intent, count] of executions)
    if (count !== 1) faults.push(`intent ${intent} was executed ${count} times`);
  for (const [index, nonce] of nonces.entries())
    if (index > 0 && nonce !== (nonces[index - 1] ?? 0) + 1) faults.push(`nonce ${nonce} follows ${nonces[index - 1]}`);

  const open = new Map(
    [...latest].filter(([, record]) => !record.terminal).map(([stream, record]) => [stream, record.state]),
  );
  const range = { from: Number(status.ledgerFromBlock), head: head.number };
  const netWei = await reconcile(executor, range, included, faults);
  const settled = [...latest.values()].filter((record) => record.state === "SETTLED").length;
  return { faults, intents: latest.size, transactions, settled, netWei, open };
}

async function readLedger(checkpoint: RpcClient): Promise<LedgerRecord[]> {
  const records: LedgerRecord[] = [];
  let pageToken = "";
  do {
    const page = await checkpoint.unary(
      Checkpoint.history,
      { streamId: "", pageSize: 1_000, pageToken },
      { deadlineMs: 30_000 },
    );
    records.push(...page.records);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return records;
}

function checkOrder(records: readonly LedgerRecord[], faults: string[]): void {
  const sequences = new Map<string, bigint>();
  for (const [index, record] of records.entries()) {
    if (record.position !== BigInt(index + 1)) faults.push(`place ${index + 1} of the ledger holds ${record.position}`);
    const expected = (sequences.get(record.streamId) ?? 0n) + 1n;
    if (record.sequence !== expected)
      faults.push(`${record.streamId} has ${record.sequence} where ${expected} belongs`);
    sequences.set(record.streamId, record.sequence);
  }
}

const FINAL_STATES = new Set(["SETTLED", "REVERTED", "ABANDONED"]);

/**
 * The ledger's total against the chain's, up to the newest block by which every transaction of ours is final in the
 * ledger: what was included a moment ago is not, and belongs to neither side yet.
 */
async function reconcile(
  executor: RpcClient,
  range: { readonly from: number; readonly head: number },
  included: readonly { readonly intent: string | undefined; readonly block: number }[],
  faults: string[],
): Promise<bigint> {
  const { trades } = await executor.unary(ExecutorApi.listTrades, { pageSize: 500, pageToken: "" });
  const final = new Set(
    trades.filter((trade) => FINAL_STATES.has(trade.state)).map((trade) => `intent:${trade.intentId}`),
  );
  const pending = included
    .filter(({ intent }) => intent !== undefined && !final.has(intent))
    .map(({ block }) => block - 1);
  const to = Math.min(range.head, ...pending);
  if (to <= range.from) return 0n;
  const summary = await executor.unary(ExecutorApi.summarize, { fromBlock: 0n, toBlock: BigInt(to) });
  if (summary.netWei !== summary.chainDeltaWei)
    faults.push(
      `the ledger says ${summary.netWei} wei for blocks ${range.from + 1} to ${to}, the chain ${summary.chainDeltaWei}`,
    );
  return BigInt(summary.netWei);
}
