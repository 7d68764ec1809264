import { z } from "zod";
import { FlashloanError } from "@flashloan/shared/errors";
import {
  addressSchema,
  bytesSchema,
  hashSchema,
  quantitySchema,
  smallQuantitySchema,
  toQuantity,
  type Hex,
} from "./hex.ts";
import type { JsonRpc } from "./json-rpc.ts";

/** A block's header, as far as we need it. */
export const headerSchema = z.object({
  number: smallQuantitySchema,
  hash: hashSchema,
  parentHash: hashSchema,
  timestamp: smallQuantitySchema,
  baseFeePerGas: quantitySchema.default(0n),
  gasUsed: quantitySchema,
  gasLimit: quantitySchema,
});
/** @see headerSchema */
export type Header = z.infer<typeof headerSchema>;

const logSchema = z.object({
  address: addressSchema,
  topics: z.array(hashSchema).max(4),
  data: bytesSchema,
  blockHash: hashSchema,
  blockNumber: smallQuantitySchema,
  transactionHash: hashSchema,
  logIndex: smallQuantitySchema,
});
/** One event of a contract. */
export type Log = z.infer<typeof logSchema>;
/** Events in the order of the chain. */
export const logsSchema = z.array(logSchema);

/** What became of a transaction. */
export const receiptSchema = z.object({
  transactionHash: hashSchema,
  blockHash: hashSchema,
  blockNumber: smallQuantitySchema,
  status: smallQuantitySchema,
  gasUsed: quantitySchema,
  effectiveGasPrice: quantitySchema,
  logs: logsSchema,
});
/** @see receiptSchema */
export type Receipt = z.infer<typeof receiptSchema>;

/** The header of a block by number, tag or hash; null when the node does not know it. */
export function getHeader(rpc: JsonRpc, block: number | "latest" | "finalized" | Hex): Promise<Header | null> {
  if (typeof block === "string" && block.startsWith("0x"))
    return rpc.request("eth_getBlockByHash", [block, false], headerSchema.nullable());
  return rpc.request(
    "eth_getBlockByNumber",
    [typeof block === "number" ? toQuantity(block) : block, false],
    headerSchema.nullable(),
  );
}

/** The newest header. @throws FlashloanError chain_response_invalid when the node has none */
export async function getHead(rpc: JsonRpc): Promise<Header> {
  const head = await getHeader(rpc, "latest");
  if (!head) throw new FlashloanError("chain_response_invalid", `${rpc.url} knows no latest block`);
  return head;
}

/** The hash of block 0, which tells chains apart that share a chain id. */
export async function getGenesisHash(rpc: JsonRpc): Promise<Hex> {
  const genesis = await getHeader(rpc, 0);
  if (!genesis) throw new FlashloanError("chain_response_invalid", `${rpc.url} knows no block 0`);
  return genesis.hash;
}

/** The chain id. */
export function getChainId(rpc: JsonRpc): Promise<number> {
  return rpc.request("eth_chainId", [], smallQuantitySchema);
}

/** The receipt of a transaction; null while it is not included. */
export function getReceipt(rpc: JsonRpc, hash: Hex): Promise<Receipt | null> {
  return rpc.request("eth_getTransactionReceipt", [hash], receiptSchema.nullable());
}

/** ETH of an account, in wei, at the end of a block. */
export function getBalance(rpc: JsonRpc, account: Hex, block: number | "latest"): Promise<bigint> {
  return rpc.request(
    "eth_getBalance",
    [account, typeof block === "number" ? toQuantity(block) : block],
    quantitySchema,
  );
}

/** Token balance of an account, in the token's base units, at the end of a block. */
export async function getTokenBalance(
  rpc: JsonRpc,
  token: Hex,
  account: Hex,
  block: number | "latest",
): Promise<bigint> {
  const data = `0x70a08231${account.slice(2).padStart(64, "0")}`;
  const result = await rpc.request(
    "eth_call",
    [{ to: token, data }, typeof block === "number" ? toQuantity(block) : block],
    bytesSchema,
  );
  return result === "0x" ? 0n : BigInt(result.slice(0, 66));
}

/** The nonce that an account's next transaction needs, at a block or counting what is pending. */
export function getNonce(rpc: JsonRpc, account: Hex, block: number | "latest" | "pending"): Promise<number> {
  return rpc.request(
    "eth_getTransactionCount",
    [account, typeof block === "number" ? toQuantity(block) : block],
    smallQuantitySchema,
  );
}

/** The base fee of the block after `header` (EIP-1559), in wei per gas. */
export function nextBaseFee(header: Header): bigint {
  const target = header.gasLimit / 2n;
  if (target === 0n || header.gasUsed === target) return header.baseFeePerGas;
  if (header.gasUsed > target) {
    const delta = (header.baseFeePerGas * (header.gasUsed - target)) / target / 8n;
    return header.baseFeePerGas + (delta > 0n ? delta : 1n);
  }
  return header.baseFeePerGas - (header.baseFeePerGas * (target - header.gasUsed)) / target / 8n;
}
