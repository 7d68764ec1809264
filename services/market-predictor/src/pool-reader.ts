import { FunctionFragment, Interface, keccak256 } from "ethers";
import { FlashloanError } from "@flashloan/shared/errors";
import { bytesSchema, toWord, type Hex } from "@flashloan/evm/hex";
import type { JsonRpc } from "@flashloan/evm/json-rpc";
import { initializedTicks, tickWordRange } from "@flashloan/amm/ticks";
import type { Pool, PoolId } from "@flashloan/amm/pool";
import type { PoolSeed } from "./events.ts";
import type { Venues } from "./venues.ts";

const ABI = new Interface([
  "function getReserves() view returns (uint112,uint112,uint32)",
  "function slot0() view returns (uint160 sqrtPriceX96,int24 tick,uint16,uint16,uint16,uint8 feeProtocol,bool)",
  "function liquidity() view returns (uint128)",
  "function tickBitmap(int16) view returns (uint256)",
  "function ticks(int24) view returns (uint128,int128,uint256,uint256,int56,uint160,uint32,bool)",
  "function extsload(bytes32[]) view returns (bytes32[])",
  "function getPoolTokens(bytes32) view returns (address[],uint256[],uint256)",
  "function getNormalizedWeights() view returns (uint256[])",
  "function getAmplificationParameter() view returns (uint256,bool,uint256)",
  "function getSwapFeePercentage() view returns (uint256)",
  "function decimals() view returns (uint8)",
  "function balanceOf(address) view returns (uint256)",
  "function getReservesList() view returns (address[])",
  "function FLASHLOAN_PREMIUM_TOTAL() view returns (uint128)",
  "function getReserveData(address) view returns (tuple(uint256 configuration,uint128,uint128,uint128,uint128,uint128,uint40,uint16,address aToken,address,address,address,uint128,uint128,uint128))",
]);
const SELECTORS = new Map(
  ABI.fragments.filter((one) => one instanceof FunctionFragment).map((one) => [one.name, one.selector]),
);
/** Calls that wait for the node at once. */
const CONCURRENT_MAX = 256;
/** Where a list stands in a call or an answer that is nothing else: behind this word. */
const OFFSET = 32;
/** Storage slots in one extsload. */
const SLOTS_MAX = 500;
/** PoolManager's mapping of pools, and the places in a pool's state (StateLibrary of v4-core). */
const V4 = { poolsSlot: 6n, liquidity: 3n, ticks: 4n, bitmap: 5n } as const;

/** An argument that takes one word: a number, an address, 32 bytes. */
type Word = bigint | number | Hex;

/** A contract that does not behave as a pool or token of its kind must: its own fault, whoever asks again. */
export class PoolFault extends Error {
  override readonly name = "PoolFault";
}

/** How nodes say that the contract itself failed; anything else that they refuse may succeed later. */
const CONTRACT_FAILED = /revert|opcode|out ?of ?gas|stack (over|under)flow|bad jump|invalid jump|memory limit/i;

/** Bits of a reserve's configuration (ReserveConfiguration of core-v3). */
const AAVE = { active: 56n, paused: 60n, flashLoans: 63n } as const;

/** Reads pools from the chain as they stand at the end of one block. */
export class PoolReader {
  /** Stable pools among those read whose amplification changes with time, without events. */
  readonly moving = new Set<PoolId>();
  readonly #rpc: JsonRpc;
  readonly #venues: Venues;
  readonly #block: Hex;

  /** @param blockHash the block; by hash, so that a reorganisation can't mix two states */
  constructor(rpc: JsonRpc, venues: Venues, blockHash: Hex) {
    this.#rpc = rpc;
    this.#venues = venues;
    this.#block = blockHash;
  }

  /** The pool's state, or undefined while it has no price yet. @throws PoolFault; FlashloanError what the node fails with */
  async read(seed: PoolSeed): Promise<Pool | undefined> {
    switch (seed.kind) {
      case "uniswap-v2":
        return this.#readV2(seed);
      case "uniswap-v3":
        return this.#readV3(seed);
      case "uniswap-v4":
        return this.#readV4(seed);
      case "balancer":
        return this.#readBalancer(seed);
    }
  }

  /** A token balance in its base units. */
  async balanceOf(token: Hex, account: Hex): Promise<bigint> {
    return this.#one(token, "balanceOf", [account]);
  }

  /** The reserves that Aave lends now, and its premium in basis points. */
  async aaveReserves(pool: Hex): Promise<{ premiumBps: number; reserves: { token: Hex; aToken: Hex }[] }> {
    const premiumBps = await this.#one(pool, "FLASHLOAN_PREMIUM_TOTAL", []);
    const [tokens] = await this.#call(pool, "getReservesList", []);
    const reserves = await mapLimited([...(tokens as string[])], async (listed) => {
      const token = listed.toLowerCase() as Hex;
      const [data] = await this.#call(pool, "getReserveData", [token]);
      const { configuration, aToken } = data as { configuration: bigint; aToken: string };
      const has = (bit: bigint): boolean => (configuration & (1n << bit)) !== 0n;
      return has(AAVE.active) && !has(AAVE.paused) && has(AAVE.flashLoans)
        ? [{ token, aToken: aToken.toLowerCase() as Hex }]
        : [];
    });
    return { premiumBps: Number(premiumBps), reserves: reserves.flat() };
  }

  async #readV2(seed: PoolSeed & { kind: "uniswap-v2" }): Promise<Pool | undefined> {
    const feePpm = this.#venues.uniswapV2.find((venue) => venue.factory === seed.factory)?.feePpm ?? 3000;
    const [reserve0, reserve1] = (await this.#call(seed.id, "getReserves", [])) as [bigint, bigint];
    if (reserve0 === 0n || reserve1 === 0n) return undefined;
    return {
      kind: "uniswap-v2",
      id: seed.id,
      address: seed.id,
      tokens: seed.tokens,
      reserves: [reserve0, reserve1],
      feeNumerator: 1_000_000n - BigInt(feePpm),
      feeDenominator: 1_000_000n,
    };
  }

  async #readV3(seed: PoolSeed & { kind: "uniswap-v3" }): Promise<Pool | undefined> {
    const [slot0, liquidity] = await Promise.all([
      this.#call(seed.id, "slot0", []),
      this.#one(seed.id, "liquidity", []),
    ]);
    const [sqrtPriceX96, tick] = slot0 as [bigint, bigint];
    if (sqrtPriceX96 === 0n) return undefined;
    if (seed.tickSpacing < 1) throw new PoolFault(`a tick spacing of ${seed.tickSpacing}`);
    const { first, last } = tickWordRange(seed.tickSpacing);
    const positions = Array.from({ length: last - first + 1 }, (_, index) => first + index);
    const words = new Map<number, bigint>();
    await mapLimited(positions, async (position) =>
      words.set(position, await this.#one(seed.id, "tickBitmap", [position])),
    );
    const ticks = initializedTicks(words, seed.tickSpacing);
    const liquidityNets = await mapLimited(
      ticks,
      async (at) => ((await this.#call(seed.id, "ticks", [at])) as [bigint, bigint])[1],
    );
    return {
      kind: "uniswap-v3",
      id: seed.id,
      address: seed.id,
      tokens: seed.tokens,
      feePpm: seed.feePpm,
      tickSpacing: seed.tickSpacing,
      sqrtPriceX96,
      tick: Number(tick),
      liquidity,
      ticks,
      liquidityNets,
    };
  }

  async #readV4(seed: PoolSeed & { kind: "uniswap-v4" }): Promise<Pool | undefined> {
    const base = BigInt(keccak256(`${seed.id}${toWord(V4.poolsSlot)}`));
    const mapped = (key: number, place: bigint): bigint =>
      BigInt(keccak256(`0x${toWord(BigInt.asUintN(256, BigInt(key)))}${toWord(base + place)}`));
    const { first, last } = tickWordRange(seed.tickSpacing);
    const positions = Array.from({ length: last - first + 1 }, (_, index) => first + index);
    const [slot0 = 0n, liquidity = 0n, ...bitmap] = await this.#slots(seed.manager, [
      base,
      base + V4.liquidity,
      ...positions.map((position) => mapped(position, V4.bitmap)),
    ]);
    const sqrtPriceX96 = BigInt.asUintN(160, slot0);
    if (sqrtPriceX96 === 0n) return undefined;
    const ticks = initializedTicks(
      new Map(positions.map((position, index) => [position, bitmap[index] ?? 0n])),
      seed.tickSpacing,
    );
    const nets = await this.#slots(
      seed.manager,
      ticks.map((at) => mapped(at, V4.ticks)),
    );
    return {
      kind: "uniswap-v4",
      id: seed.id,
      address: seed.manager,
      tokens: seed.tokens,
      keyFee: seed.keyFee,
      lpFeePpm: Number(BigInt.asUintN(24, slot0 >> 208n)),
      protocolFee: Number(BigInt.asUintN(24, slot0 >> 184n)),
      hooks: seed.hooks,
      tickSpacing: seed.tickSpacing,
      sqrtPriceX96,
      tick: Number(BigInt.asIntN(24, slot0 >> 160n)),
      liquidity: BigInt.asUintN(128, liquidity),
      ticks,
      // A tick's first word holds liquidityNet above liquidityGross.
      liquidityNets: nets.map((value) => BigInt.asIntN(128, value >> 128n)),
    };
  }

  async #readBalancer(seed: PoolSeed & { kind: "balancer" }): Promise<Pool | undefined> {
    const [registered, balances] = (await this.#call(seed.vault, "getPoolTokens", [seed.id])) as [string[], bigint[]];
    if (balances.length === 0 || balances.some((balance) => balance === 0n)) return undefined;
    const tokens = [...registered].map((token) => token.toLowerCase() as Hex);
    const scalingFactors = await mapLimited(tokens, async (token) => {
      const decimals = await this.#one(token, "decimals", []);
      if (decimals > 18n) throw new PoolFault(`token ${token} has ${decimals} decimals; Balancer takes at most 18`);
      return 10n ** (18n - decimals);
    });
    const swapFee = await this.#one(seed.pool, "getSwapFeePercentage", []);
    const shared = { id: seed.id, address: seed.vault, tokens, balances: [...balances], scalingFactors, swapFee };
    const weights = await this.#call(seed.pool, "getNormalizedWeights", []).catch((error: unknown) => {
      // A pool without weights is a stable one; a node that fails says nothing about the pool.
      if (error instanceof PoolFault) return undefined;
      throw error;
    });
    if (weights) return { kind: "balancer-weighted", ...shared, weights: [...(weights[0] as bigint[])] };
    const [amplification, isMoving] = (await this.#call(seed.pool, "getAmplificationParameter", [])) as [
      bigint,
      boolean,
    ];
    if (isMoving) this.moving.add(seed.id);
    return { kind: "balancer-stable", ...shared, amplification };
  }

  async #slots(manager: Hex, slots: readonly bigint[]): Promise<bigint[]> {
    const pages: bigint[][] = [];
    for (let at = 0; at < slots.length; at += SLOTS_MAX) pages.push(slots.slice(at, at + SLOTS_MAX));
    const values = await mapLimited(pages, async (page) => {
      const answer = await this.#request(manager, "extsload", [OFFSET, page.length, ...page]);
      const [, length, ...words] = (answer.slice(2).match(/.{64}/g) ?? []).map((word) => BigInt(`0x${word}`));
      if (length !== BigInt(page.length) || words.length !== page.length) throw unexpected("extsload", manager, answer);
      return words;
    });
    return values.flat();
  }

  async #one(to: Hex, method: string, args: readonly Word[]): Promise<bigint> {
    const [value] = await this.#call(to, method, args);
    return value as bigint;
  }

  async #call(to: Hex, method: string, args: readonly Word[]): Promise<readonly unknown[]> {
    const answer = await this.#request(to, method, args);
    try {
      return ABI.decodeFunctionResult(method, answer);
    } catch (cause) {
      throw unexpected(method, to, answer, cause);
    }
  }

  /** What a contract answers. Reading a market takes thousands of calls, all of words; a general encoder takes half of that time. */
  async #request(to: Hex, method: string, args: readonly Word[]): Promise<Hex> {
    const words = args.map((arg) => toWord(BigInt.asUintN(256, BigInt(arg))));
    const data = `${SELECTORS.get(method)}${words.join("")}`;
    return this.#rpc
      .request("eth_call", [{ to, data }, { blockHash: this.#block }], bytesSchema)
      .catch((error: unknown) => {
        if (!isContractFault(error)) throw error;
        throw new PoolFault(`${method} of ${to} fails (${error.message})`, { cause: error });
      });
  }
}

function unexpected(method: string, to: Hex, answer: Hex, cause?: unknown): PoolFault {
  return new PoolFault(`${method} of ${to} answers ${answer.length > 66 ? `${answer.slice(0, 66)}…` : answer}`, {
    cause,
  });
}

/** True for a call that failed by the contract's own doing. */
function isContractFault(error: unknown): error is FlashloanError {
  return (
    error instanceof FlashloanError &&
    error.code === "chain_rejected" &&
    (error.details["rpcCode"] === 3 || CONTRACT_FAILED.test(error.message))
  );
}

/** Maps with at most CONCURRENT_MAX items under way; keeps order. */
export async function mapLimited<T, R>(items: readonly T[], map: (item: T) => Promise<R>): Promise<R[]> {
  const results = Array.from<R>({ length: items.length });
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      results[index] = await map(items[index] as T);
    }
  };
  await Promise.all(Array.from({ length: Math.min(CONCURRENT_MAX, items.length) }, worker));
  return results;
}
