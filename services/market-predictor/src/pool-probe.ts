import { AbiCoder, Interface } from "ethers";
import { z } from "zod";
import { quoteExactIn } from "@flashloan/amm/quote";
import { AmmError, type Address, type Pool, type UniswapV2Pool } from "@flashloan/amm/pool";
import { MAX_RESERVE } from "@flashloan/amm/uniswap-v2";
import { bytesSchema, quantitySchema, type Hex } from "@flashloan/evm/hex";
import type { JsonRpc } from "@flashloan/evm/json-rpc";
import { FlashloanError } from "@flashloan/shared/errors";
import { PoolFault } from "./pool-reader.ts";

const ABI = new Interface([
  "function balanceOf(address) view returns (uint256)",
  "function transfer(address,uint256)",
  "function sync()",
  "function swap(uint256,uint256,address,bytes)",
  "function queryBatchSwap(uint8 kind,(bytes32 poolId,uint256 assetInIndex,uint256 assetOutIndex,uint256 amount,bytes userData)[] swaps,address[] assets,(address sender,bool fromInternalBalance,address recipient,bool toInternalBalance) funds) returns (int256[])",
]);
/** An account without code that nobody uses: the last bytes of keccak256("flashloan probe"). */
const SINK: Address = "0x49f34ae761ddf0aa2c5b51ffdf2b8a9649535344";
/** What is moved: a thousandth of what is held. Less would round a small fee away, more would meet transfer limits. */
const SHARE = 1_000n;
const METHOD_NOT_FOUND = -32_601;
/** Error(string). */
const ERROR_SELECTOR = "0x08c379a0";
const REASON_CHARACTERS = 100;

const simulationSchema = z
  .array(
    z.object({
      calls: z.array(
        z.object({
          status: quantitySchema,
          returnData: bytesSchema,
          error: z.object({ message: z.string() }).optional(),
        }),
      ),
    }),
  )
  .length(1);

interface Call {
  readonly from?: Address;
  readonly to: Address;
  readonly data: string;
}

interface CallResult {
  readonly isOk: boolean;
  readonly returnData: Hex;
  readonly message: string;
}

/**
 * Tries pools and tokens out on the node, in simulation: state alone doesn't show that a token takes a fee on
 * transfer, or that a pair pays out something else than its reserves say. Throws PoolFault with what was found.
 */
export class PoolProbe {
  readonly #rpc: JsonRpc;
  readonly #block: Hex;
  readonly #support: ProbeSupport;

  /** @param blockHash the block on whose state is simulated */
  constructor(rpc: JsonRpc, blockHash: Hex, support: ProbeSupport) {
    this.#rpc = rpc;
    this.#block = blockHash;
    this.#support = support;
  }

  /** Tries a pool by what its kind allows. @throws PoolFault; FlashloanError what the node fails with */
  async probe(pool: Pool): Promise<void> {
    if (!this.#support.simulate) return;
    try {
      if (pool.kind === "uniswap-v2") for (const index of [0, 1] as const) await this.#probePair(pool, index);
      else await this.#probeHolder(pool);
    } catch (error) {
      if (!(error instanceof FlashloanError) || error.details["rpcCode"] !== METHOD_NOT_FOUND) throw error;
      this.#support.simulate = false;
    }
  }

  /**
   * A pair trades with its own tokens: some are taken out, `sync` makes that its state, and swapping them back in must
   * bring exactly the quote.
   */
  async #probePair(pool: UniswapV2Pool, index: 0 | 1): Promise<void> {
    const [token, other] = index === 0 ? pool.tokens : [pool.tokens[1], pool.tokens[0]];
    const held = await this.#balance(token, pool.address);
    const heldOther = await this.#balance(other, pool.address);
    requireHeld(token, held, pool.reserves[index]);
    const amount = held / SHARE;
    if (amount === 0n || heldOther === 0n) return;
    const reserves: [bigint, bigint] = index === 0 ? [held - amount, heldOther] : [heldOther, held - amount];
    const out = quoteOrZero({ ...pool, reserves }, index, 1 - index, amount);
    const outs = index === 0 ? [0n, out] : [out, 0n];
    const results = await this.#simulate({
      ...this.#moves(token, pool.address, amount, { sync: { to: pool.address, data: encode("sync", []) } }),
      before: { to: other, data: encode("balanceOf", [SINK]) },
      ...(out > 0n ? { swap: { from: SINK, to: pool.address, data: encode("swap", [...outs, SINK, "0x"]) } } : {}),
      after: { to: other, data: encode("balanceOf", [SINK]) },
    });
    requireMoved(token, amount, results);
    const { swap, before, after } = results;
    if (out === 0n) return;
    if (!swap?.isOk)
      throw new PoolFault(
        `refuses a swap of ${amount} of ${token} for the ${out} that its state promises (${swap?.message}): is its factory's fee configured right?`,
      );
    const paid = balanceIn(after) - balanceIn(before);
    if (paid !== out) throw new PoolFault(`pays ${paid} of ${other} where its state promises ${out}`);
  }

  /** Other pools are held by code that is checked by parity; only their tokens can be false. */
  async #probeHolder(pool: Exclude<Pool, UniswapV2Pool>): Promise<void> {
    if (pool.kind === "balancer-weighted" || pool.kind === "balancer-stable") await this.#probeBalancer(pool);
    for (const token of pool.tokens) {
      if (BigInt(token) === 0n) continue;
      const key = `${token} ${pool.address}`;
      if (this.#support.honest.has(key)) continue;
      const amount = (await this.#balance(token, pool.address)) / SHARE;
      if (amount === 0n) continue;
      requireMoved(token, amount, await this.#simulate(this.#moves(token, pool.address, amount)));
      this.#support.honest.add(key);
    }
  }

  /** The Vault knows many kinds of pools; one whose own quote differs from the model is of another kind than it seems. */
  async #probeBalancer(pool: Extract<Pool, { kind: "balancer-weighted" | "balancer-stable" }>): Promise<void> {
    for (const [i, balance] of pool.balances.entries()) {
      const j = (i + 1) % pool.tokens.length;
      const amount = balance / SHARE;
      const modelled = amount > 0n ? quoteOrZero(pool, i, j, amount) : 0n;
      if (modelled === 0n) continue;
      const swap = { poolId: pool.id, assetInIndex: i, assetOutIndex: j, amount, userData: "0x" };
      const funds = { sender: SINK, fromInternalBalance: false, recipient: SINK, toInternalBalance: false };
      const data = encode("queryBatchSwap", [0, [swap], pool.tokens, funds]);
      const { query } = await this.#simulate({ query: { from: SINK, to: pool.address, data } });
      if (!query?.isOk) throw new PoolFault(`refuses a quote (${query?.message})`);
      const [deltas] = ABI.decodeFunctionResult("queryBatchSwap", query.returnData) as unknown as [bigint[]];
      const paid = -(deltas[j] ?? 0n);
      if (paid !== modelled)
        throw new PoolFault(`pays ${paid} of ${pool.tokens[j]} where a ${pool.kind} pool pays ${modelled}`);
    }
  }

  /** Out to the sink and back, with something between. */
  #moves(token: Address, holder: Address, amount: bigint, between: Readonly<Record<string, Call>> = {}) {
    const balanceOf = (account: Address): Call => ({ to: token, data: encode("balanceOf", [account]) });
    const transfer = (from: Address, to: Address): Call => ({
      from,
      to: token,
      data: encode("transfer", [to, amount]),
    });
    return {
      sinkBefore: balanceOf(SINK),
      out: transfer(holder, SINK),
      sinkAfter: balanceOf(SINK),
      ...between,
      holderBefore: balanceOf(holder),
      back: transfer(SINK, holder),
      holderAfter: balanceOf(holder),
    };
  }

  async #balance(token: Address, holder: Address): Promise<bigint> {
    const { balance } = await this.#simulate({ balance: { to: token, data: encode("balanceOf", [holder]) } });
    if (balance?.isOk && balance.returnData.length >= 66) return balanceIn(balance);
    const answer = balance?.isOk ? `answers ${balance.returnData}` : `fails (${balance?.message})`;
    throw new PoolFault(`balanceOf of ${token} ${answer}`);
  }

  /** Runs calls one after the other on the block's state; results by the calls' names. */
  async #simulate(calls: Readonly<Record<string, Call>>): Promise<Partial<Record<string, CallResult>>> {
    const parameters = [{ blockStateCalls: [{ calls: Object.values(calls) }] }, { blockHash: this.#block }];
    const [block] = await this.#rpc.request("eth_simulateV1", parameters, simulationSchema);
    const names = Object.keys(calls);
    return Object.fromEntries(
      (block?.calls ?? []).map(({ status, returnData, error }, index) => [
        names[index] ?? "",
        { isOk: status === 1n, returnData, message: reasonIn(returnData) ?? error?.message ?? "reverted" },
      ]),
    );
  }
}

/** What probes of earlier blocks found out, kept by whoever makes probes. */
export interface ProbeSupport {
  /** False once the node said that it can't simulate. */
  simulate: boolean;
  /** Tokens, each with its holder, that move in full. */
  readonly honest: Set<string>;
}

/** A pair that claims more than it holds would promise profits that aren't there. */
function requireHeld(token: Address, held: bigint, claimed: bigint): void {
  if (held < claimed) throw new PoolFault(`claims a reserve of ${claimed} of ${token}, but holds ${held}`);
  if (held > MAX_RESERVE) throw new PoolFault(`holds ${held} of ${token}, more than a reserve can say`);
}

function requireMoved(token: Address, amount: bigint, results: Partial<Record<string, CallResult>>): void {
  const { sinkBefore, out, sinkAfter, holderBefore, back, holderAfter } = results;
  for (const [before, transfer, after] of [
    [sinkBefore, out, sinkAfter],
    [holderBefore, back, holderAfter],
  ]) {
    if (!transfer?.isOk) throw new PoolFault(`a transfer of ${token} fails (${transfer?.message})`);
    const arrived = balanceIn(after) - balanceIn(before);
    if (arrived < amount)
      throw new PoolFault(`token ${token} takes a fee on transfer: of ${amount} sent, ${arrived} arrived`);
  }
}

/** The text of `revert("…")`, if that is what came back. */
function reasonIn(returnData: Hex): string | undefined {
  if (!returnData.startsWith(ERROR_SELECTOR)) return undefined;
  try {
    const [reason] = AbiCoder.defaultAbiCoder().decode(["string"], `0x${returnData.slice(10)}`);
    return String(reason).slice(0, REASON_CHARACTERS);
  } catch {
    // Any contract may send these four bytes and then what it likes.
    return undefined;
  }
}

function balanceIn(result: CallResult | undefined): bigint {
  return result && result.returnData.length >= 66 ? BigInt(result.returnData.slice(0, 66)) : 0n;
}

function quoteOrZero(pool: Pool, i: number, j: number, amount: bigint): bigint {
  try {
    return quoteExactIn(pool, i, j, amount);
  } catch (error) {
    if (error instanceof AmmError) return 0n;
    throw error;
  }
}

function encode(method: string, args: readonly unknown[]): string {
  return ABI.encodeFunctionData(method, args);
}
