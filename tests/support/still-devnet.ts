import { z } from "zod";
import { startAnvil } from "@flashloan/devnet/anvil";
import { devAccounts, ROLES } from "@flashloan/devnet/deploy";
import type { Deployment } from "@flashloan/devnet/deployment";
import { listPools, swapTransaction, type MarketPool } from "@flashloan/devnet/market-pools";
import { ensureDeployedState } from "@flashloan/devnet/state-cache";
import { getReceipt } from "@flashloan/evm/chain";
import { hashSchema, toQuantity, type Hex } from "@flashloan/evm/hex";
import { connectWebSocket, type JsonRpc } from "@flashloan/evm/json-rpc";
import { Lifecycle, type Running } from "@flashloan/shared/lifecycle";

const GWEI = 10n ** 9n;
/** Base fee of every block. */
const BASE_FEE_WEI = 7n * GWEI;

/** A devnet on which nothing happens unless the test does it: blocks are mined on demand, at a fixed base fee. */
export interface StillDevnet extends Running {
  readonly url: string;
  readonly rpc: JsonRpc;
  readonly deployment: Deployment;
  readonly accounts: readonly Hex[];
  /** Mines one block. */
  mine(): Promise<void>;
  /** Swaps by the whale; in the pool until the next block is mined. */
  swap(pool: MarketPool, tokenIn: Hex, amountIn: bigint, tipWei?: bigint): Promise<Hex>;
  /** A V2 pair of one of the two deployments. */
  pair(venue: 0 | 1, one: string, other: string): MarketPool;
  token(symbol: string): Hex;
  receiptStatus(hash: Hex): Promise<number | undefined>;
}

/** Starts a still devnet from the cached state. */
export async function startStillDevnet(): Promise<StillDevnet> {
  const lifecycle = new Lifecycle();
  const { stateFile, deployment } = await ensureDeployedState();
  const anvil = lifecycle.add("anvil", await startAnvil({ loadState: stateFile }));
  const rpc = lifecycle.add("rpc", await connectWebSocket(anvil.url));
  await rpc.request("evm_setAutomine", [false], z.unknown());
  const accounts = await devAccounts(rpc);
  const token = (symbol: string): Hex => {
    const found = deployment.tokens.find((candidate) => candidate.symbol === symbol);
    if (!found) throw new Error(`no token ${symbol}`);
    return found.address;
  };
  const mine = async (): Promise<void> => {
    await rpc.request("anvil_setNextBlockBaseFeePerGas", [toQuantity(BASE_FEE_WEI)], z.unknown());
    await rpc.request("evm_mine", [], z.unknown());
  };
  await mine();
  return {
    url: anvil.url,
    rpc,
    deployment,
    accounts,
    mine,
    token,
    swap: async (pool, tokenIn, amountIn, tipWei = GWEI) => {
      const whale = accounts[ROLES.whale] as Hex;
      const tokenOut = pool.tokens[0] === tokenIn ? pool.tokens[1] : pool.tokens[0];
      const { to, data, valueWei = 0n } = swapTransaction(deployment, pool, tokenIn, tokenOut, amountIn, whale);
      const fees = { maxFeePerGas: toQuantity(5_000n * GWEI), maxPriorityFeePerGas: toQuantity(tipWei) };
      return rpc.request(
        "eth_sendTransaction",
        [{ from: whale, to, data, value: toQuantity(valueWei), gas: toQuantity(500_000n), ...fees }],
        hashSchema,
      );
    },
    pair: (venue, one, other) => {
      const pairs = deployment.uniswapV2[venue]?.pairs ?? [];
      const address = pairs.find(
        (candidate) => candidate.tokens.includes(token(one)) && candidate.tokens.includes(token(other)),
      )?.address;
      const pool = listPools(deployment).find((candidate) => candidate.kind === "v2" && candidate.address === address);
      if (!pool) throw new Error(`no pair ${one}/${other}`);
      return pool;
    },
    receiptStatus: async (hash) => (await getReceipt(rpc, hash))?.status,
    stop: () => lifecycle.stop(),
  };
}
