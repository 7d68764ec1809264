import { id } from "ethers";
import type { Log } from "@flashloan/evm/chain";
import type { Hex } from "@flashloan/evm/hex";
import { applyLiquidityChange } from "@flashloan/amm/ticks";
import type { Pool, PoolId, UniswapV3Pool, UniswapV4Pool } from "@flashloan/amm/pool";

/** The events that create or change pools, by their first topic. */
export const TOPICS = {
  v2PairCreated: id("PairCreated(address,address,address,uint256)") as Hex,
  v2Sync: id("Sync(uint112,uint112)") as Hex,
  v3PoolCreated: id("PoolCreated(address,address,uint24,int24,address)") as Hex,
  v3Initialize: id("Initialize(uint160,int24)") as Hex,
  v3Swap: id("Swap(address,address,int256,int256,uint160,uint128,int24)") as Hex,
  v3Mint: id("Mint(address,address,int24,int24,uint128,uint256,uint256)") as Hex,
  v3Burn: id("Burn(address,int24,int24,uint128,uint256,uint256)") as Hex,
  v4Initialize: id("Initialize(bytes32,address,address,uint24,int24,address,uint160,int24)") as Hex,
  v4Swap: id("Swap(bytes32,address,int128,int128,uint160,uint128,int24,uint24)") as Hex,
  v4ModifyLiquidity: id("ModifyLiquidity(bytes32,address,int24,int24,int256,bytes32)") as Hex,
  v4ProtocolFeeUpdated: id("ProtocolFeeUpdated(bytes32,uint24)") as Hex,
  balancerPoolRegistered: id("PoolRegistered(bytes32,address,uint8)") as Hex,
  balancerSwap: id("Swap(bytes32,address,address,uint256,uint256)") as Hex,
  balancerBalanceChanged: id("PoolBalanceChanged(bytes32,address,address[],int256[],uint256[])") as Hex,
  transfer: id("Transfer(address,address,uint256)") as Hex,
  approval: id("Approval(address,address,uint256)") as Hex,
} as const;

/** What one log means for a pool that is watched. */
export interface PoolEvent {
  readonly poolId: PoolId;
  /** The pool after the event; undefined when the event does not say, and the pool must be read from the chain. */
  readonly next: (pool: Pool) => Pool | undefined;
}

const word = (data: string, index: number): bigint =>
  BigInt(`0x${data.slice(2 + index * 64, 2 + (index + 1) * 64) || "0"}`);
const signed = (value: bigint, bits: number): bigint => BigInt.asIntN(bits, value);
const addressOf = (topic: string | undefined): Hex => `0x${(topic ?? "").slice(-40)}`;

const reread = (): undefined => undefined;

/**
 * Reads one log as a change of a pool; undefined when it changes none. Exact: V2's Sync, V3's and V4's Swap and
 * Balancer's Swap carry (or give by addition) the whole state that they change, and so do changes of liquidity, unless
 * a tick's net comes to zero: then only the chain knows whether a position still uses the tick.
 */
export function decodePoolEvent(log: Log): PoolEvent | undefined {
  const { address, data, topics } = log;
  const topicId = topics[1] ?? address;
  switch (topics[0]) {
    case TOPICS.v2Sync:
      return {
        poolId: address,
        next: (pool) => (pool.kind === "uniswap-v2" ? { ...pool, reserves: [word(data, 0), word(data, 1)] } : reread()),
      };
    case TOPICS.v3Swap:
      return { poolId: address, next: (pool) => (pool.kind === "uniswap-v3" ? withPrice(pool, data) : reread()) };
    case TOPICS.v3Mint:
      return {
        poolId: address,
        next: (pool) =>
          pool.kind === "uniswap-v3"
            ? withLiquidity(pool, tickOf(topics[2]), tickOf(topics[3]), word(data, 1))
            : reread(),
      };
    case TOPICS.v3Burn:
      return {
        poolId: address,
        next: (pool) =>
          pool.kind === "uniswap-v3"
            ? withLiquidity(pool, tickOf(topics[2]), tickOf(topics[3]), -word(data, 0))
            : reread(),
      };
    case TOPICS.v4Swap:
      return { poolId: topicId, next: (pool) => (pool.kind === "uniswap-v4" ? withPrice(pool, data) : reread()) };
    case TOPICS.v4ModifyLiquidity:
      return {
        poolId: topicId,
        next: (pool) =>
          pool.kind === "uniswap-v4"
            ? withLiquidity(pool, tickAt(data, 0), tickAt(data, 1), signed(word(data, 2), 256))
            : reread(),
      };
    case TOPICS.balancerSwap:
      return {
        poolId: topicId,
        next: (pool) => withBalances(pool, addressOf(topics[2]), addressOf(topics[3]), word(data, 0), word(data, 1)),
      };
    case TOPICS.v3Initialize:
      return { poolId: address, next: reread };
    case TOPICS.v4ProtocolFeeUpdated:
    case TOPICS.balancerBalanceChanged:
      return { poolId: topicId, next: reread };
    default:
      return undefined;
  }
}

/** Both Swap events end alike: price, liquidity, tick. */
function withPrice<P extends UniswapV3Pool | UniswapV4Pool>(pool: P, data: string): P {
  return { ...pool, sqrtPriceX96: word(data, 2), liquidity: word(data, 3), tick: tickAt(data, 4) };
}

function withLiquidity<P extends UniswapV3Pool | UniswapV4Pool>(
  pool: P,
  lower: number,
  upper: number,
  delta: bigint,
): P | undefined {
  // Collecting fees burns nothing.
  if (delta === 0n) return pool;
  const next = applyLiquidityChange(pool, lower, upper, delta);
  const isCertain = [lower, upper].every((tick) => next.liquidityNets[next.ticks.indexOf(tick)] !== 0n);
  return isCertain ? next : undefined;
}

function withBalances(pool: Pool, tokenIn: Hex, tokenOut: Hex, amountIn: bigint, amountOut: bigint): Pool | undefined {
  if (pool.kind !== "balancer-weighted" && pool.kind !== "balancer-stable") return undefined;
  const balances = pool.balances.map((balance, index) => {
    if (pool.tokens[index] === tokenIn) return balance + amountIn;
    return pool.tokens[index] === tokenOut ? balance - amountOut : balance;
  });
  return { ...pool, balances };
}

function tickOf(topic: string | undefined): number {
  return Number(signed(BigInt(topic ?? "0x0"), 24));
}

function tickAt(data: string, index: number): number {
  return Number(signed(word(data, index), 24));
}

/** A pool that a factory announced, before its state is read. */
export type PoolSeed =
  | { readonly kind: "uniswap-v2"; readonly id: PoolId; readonly factory: Hex; readonly tokens: readonly [Hex, Hex] }
  | {
      readonly kind: "uniswap-v3";
      readonly id: PoolId;
      readonly tokens: readonly [Hex, Hex];
      readonly feePpm: number;
      readonly tickSpacing: number;
    }
  | {
      readonly kind: "uniswap-v4";
      readonly id: PoolId;
      readonly manager: Hex;
      readonly tokens: readonly [Hex, Hex];
      readonly keyFee: number;
      readonly tickSpacing: number;
      readonly hooks: Hex;
    }
  | { readonly kind: "balancer"; readonly id: PoolId; readonly vault: Hex; readonly pool: Hex };

/**
 * Reads one log as the announcement of a pool; undefined when it is none, or one that no honest factory would make.
 * The caller has checked that a known factory sent it.
 */
export function decodePoolSeed(log: Log): PoolSeed | undefined {
  const seed = readSeed(log);
  if (!seed) return undefined;
  const addresses = seed.kind === "balancer" ? [seed.pool] : seed.tokens;
  return POOL_ID.test(seed.id) && addresses.every((address) => ADDRESS.test(address)) ? seed : undefined;
}

const ADDRESS = /^0x[0-9a-f]{40}$/;
const POOL_ID = /^0x([0-9a-f]{40}|[0-9a-f]{64})$/;

function readSeed(log: Log): PoolSeed | undefined {
  const { topics, data } = log;
  const tokensFrom = (first: number): [Hex, Hex] => [addressOf(topics[first]), addressOf(topics[first + 1])];
  switch (topics[0]) {
    case TOPICS.v2PairCreated:
      return { kind: "uniswap-v2", id: addressOf(data.slice(0, 66)), factory: log.address, tokens: tokensFrom(1) };
    case TOPICS.v3PoolCreated:
      return {
        kind: "uniswap-v3",
        id: addressOf(`0x${data.slice(66, 130)}`),
        tokens: tokensFrom(1),
        feePpm: Number(BigInt(topics[3] ?? "0x0")),
        tickSpacing: tickAt(data, 0),
      };
    case TOPICS.v4Initialize:
      return {
        kind: "uniswap-v4",
        id: topics[1] ?? "0x",
        manager: log.address,
        tokens: tokensFrom(2),
        keyFee: Number(word(data, 0)),
        tickSpacing: tickAt(data, 1),
        hooks: addressOf(`0x${data.slice(130, 194)}`),
      };
    case TOPICS.balancerPoolRegistered:
      return { kind: "balancer", id: topics[1] ?? "0x", vault: log.address, pool: addressOf(topics[2]) };
    default:
      return undefined;
  }
}
