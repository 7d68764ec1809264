import { z } from "zod";
import { getBalance, getTokenBalance } from "@flashloan/evm/chain";
import type { Hex } from "@flashloan/evm/hex";
import type { JsonRpc } from "@flashloan/evm/json-rpc";
import type { Intent } from "./intent.ts";

/** The accounts whose ETH and WETH are the platform's. */
export interface Accounts {
  readonly signer: Hex;
  readonly contract: Hex;
  readonly treasury: Hex;
  readonly weth: Hex;
}

/** Figures of a range of blocks (from, to]; all in wei. */
export interface Figures {
  readonly trades: number;
  readonly reverted: number;
  readonly grossWei: bigint;
  readonly premiumWei: bigint;
  readonly builderWei: bigint;
  readonly gasWei: bigint;
  readonly netWei: bigint;
}

/** A transfer to (positive) or from the platform's accounts that is neither profit nor loss. */
export const transferSchema = z.object({
  transactionHash: z.string(),
  blockNumber: z.number().int(),
  amountWei: z.string().transform(BigInt),
});
/** @see transferSchema */
export type DeclaredTransfer = z.infer<typeof transferSchema>;

/** Adds up the ledger's intents whose transaction was included after block `from` and not after block `to`. */
export function addUp(intents: Iterable<Intent>, from: number, to: number): Figures {
  let [trades, reverted] = [0, 0];
  let [grossWei, premiumWei, builderWei, gasWei, netWei] = [0n, 0n, 0n, 0n, 0n];
  for (const { included, outcome, state, paper } of intents) {
    if (paper || !outcome || !included || included.blockNumber <= from || included.blockNumber > to) continue;
    if (state === "SETTLED" && outcome.netWei > 0n) trades += 1;
    if (state === "REVERTED") reverted += 1;
    grossWei += outcome.grossWei;
    premiumWei += outcome.premiumWei;
    builderWei += outcome.builderWei;
    gasWei += outcome.gasWei;
    netWei += outcome.netWei;
  }
  return { trades, reverted, grossWei, premiumWei, builderWei, gasWei, netWei };
}

/** ETH and WETH of the platform's accounts at the end of a block, each account once; read from the chain alone. */
export async function holdingsAt(rpc: JsonRpc, accounts: Accounts, block: number): Promise<bigint> {
  const owners = [...new Set([accounts.signer, accounts.contract, accounts.treasury])];
  const amounts = await Promise.all(
    owners.flatMap((owner) => [getBalance(rpc, owner, block), getTokenBalance(rpc, accounts.weth, owner, block)]),
  );
  return amounts.reduce((sum, amount) => sum + amount, 0n);
}
