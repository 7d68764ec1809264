import fc from "fast-check";
import { Interface } from "ethers";
import { describe, expect, test } from "vitest";
import type { Pool, PoolId, UniswapV3Pool, UniswapV4Pool } from "@flashloan/amm/pool";
import type { Log } from "@flashloan/evm/chain";
import type { Hex } from "@flashloan/evm/hex";
import { decodePoolEvent, decodePoolSeed, TOPICS } from "../src/events.ts";

const ABI = {
  v2PairCreated: "event PairCreated(address indexed token0, address indexed token1, address pair, uint256)",
  v2Sync: "event Sync(uint112 reserve0, uint112 reserve1)",
  v3PoolCreated:
    "event PoolCreated(address indexed token0, address indexed token1, uint24 indexed fee, int24 tickSpacing, address pool)",
  v3Initialize: "event Initialize(uint160 sqrtPriceX96, int24 tick)",
  v3Swap:
    "event Swap(address indexed sender, address indexed recipient, int256 amount0, int256 amount1, uint160 sqrtPriceX96, uint128 liquidity, int24 tick)",
  v3Mint:
    "event Mint(address sender, address indexed owner, int24 indexed tickLower, int24 indexed tickUpper, uint128 amount, uint256 amount0, uint256 amount1)",
  v3Burn:
    "event Burn(address indexed owner, int24 indexed tickLower, int24 indexed tickUpper, uint128 amount, uint256 amount0, uint256 amount1)",
  v4Initialize:
    "event Initialize(bytes32 indexed id, address indexed currency0, address indexed currency1, uint24 fee, int24 tickSpacing, address hooks, uint160 sqrtPriceX96, int24 tick)",
  v4Swap:
    "event Swap(bytes32 indexed id, address indexed sender, int128 amount0, int128 amount1, uint160 sqrtPriceX96, uint128 liquidity, int24 tick, uint24 fee)",
  v4ModifyLiquidity:
    "event ModifyLiquidity(bytes32 indexed id, address indexed sender, int24 tickLower, int24 tickUpper, int256 liquidityDelta, bytes32 salt)",
  v4ProtocolFeeUpdated: "event ProtocolFeeUpdated(bytes32 indexed id, uint24 protocolFee)",
  balancerPoolRegistered:
    "event PoolRegistered(bytes32 indexed poolId, address indexed poolAddress, uint8 specialization)",
  balancerSwap:
    "event Swap(bytes32 indexed poolId, address indexed tokenIn, address indexed tokenOut, uint256 amountIn, uint256 amountOut)",
  balancerBalanceChanged:
    "event PoolBalanceChanged(bytes32 indexed poolId, address indexed liquidityProvider, address[] tokens, int256[] deltas, uint256[] protocolFeeAmounts)",
  transfer: "event Transfer(address indexed from, address indexed to, uint256 amount)",
  approval: "event Approval(address indexed owner, address indexed spender, uint256 amount)",
} as const satisfies Record<keyof typeof TOPICS, string>;

const hexOf = (bytes: number): fc.Arbitrary<Hex> =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((array): Hex => `0x${Buffer.from(array).toString("hex")}`);
const address = hexOf(20);
const id = hexOf(32);
const uint = (bits: number): fc.Arbitrary<bigint> => fc.bigInt({ min: 0n, max: (1n << BigInt(bits)) - 1n });
const int = (bits: number): fc.Arbitrary<bigint> =>
  fc.bigInt({ min: -(1n << BigInt(bits - 1)), max: (1n << BigInt(bits - 1)) - 1n });
const tick = fc.integer({ min: -887_272, max: 887_272 });

/** The log that a contract emits, by ethers. */
function emit(name: keyof typeof ABI, values: readonly unknown[], from: Hex): Log {
  const abi = new Interface([ABI[name]]);
  const event = abi.getEvent(ABI[name].slice(6, ABI[name].indexOf("(")));
  if (!event) throw new Error(`no event ${name}`);
  const { topics, data } = abi.encodeEventLog(event, values);
  const hash: Hex = `0x${"00".repeat(32)}`;
  return {
    address: from,
    topics: topics.map(String) as Hex[],
    data: data as Hex,
    blockHash: hash,
    blockNumber: 1,
    transactionHash: hash,
    logIndex: 0,
  };
}

const v3 = (poolId: PoolId): UniswapV3Pool => ({
  kind: "uniswap-v3",
  id: poolId,
  address: poolId,
  tokens: [`0x${"01".repeat(20)}`, `0x${"02".repeat(20)}`],
  feePpm: 500,
  tickSpacing: 1,
  sqrtPriceX96: 1n << 96n,
  tick: 0,
  liquidity: 1_000n,
  ticks: [-10, 10],
  liquidityNets: [1_000n, -1_000n],
});
const v4 = (poolId: PoolId): UniswapV4Pool => ({
  ...v3(poolId),
  kind: "uniswap-v4",
  keyFee: 500,
  lpFeePpm: 500,
  protocolFee: 0,
  hooks: `0x${"00".repeat(20)}`,
});

test.each(Object.keys(ABI) as (keyof typeof ABI)[])("the topic of %s is the one that ethers computes", (name) => {
  expect(TOPICS[name]).toBe(topicOf(name));
});

function topicOf(name: keyof typeof ABI): string | undefined {
  const [fragment] = new Interface([ABI[name]]).fragments;
  return fragment && "topicHash" in fragment ? String(fragment.topicHash) : undefined;
}

describe("a pool's state after", () => {
  test("Sync is what the event says", () => {
    fc.assert(
      fc.property(address, uint(112), uint(112), (pair, reserve0, reserve1) => {
        const event = decodePoolEvent(emit("v2Sync", [reserve0, reserve1], pair));
        const pool: Pool = {
          kind: "uniswap-v2",
          id: pair,
          address: pair,
          tokens: [pair, pair],
          reserves: [1n, 1n],
          feeNumerator: 997n,
          feeDenominator: 1000n,
        };
        expect(event?.poolId).toBe(pair);
        expect(event?.next(pool)).toEqual({ ...pool, reserves: [reserve0, reserve1] });
        expect(event?.next(v3(pair))).toBeUndefined();
      }),
    );
  });

  test("a V3 or V4 swap has the event's price, liquidity and tick", () => {
    fc.assert(
      fc.property(
        address,
        id,
        int(127),
        int(127),
        uint(160),
        uint(128),
        tick,
        (from, poolId, amount0, amount1, price, liquidity, at) => {
          const swap3 = decodePoolEvent(emit("v3Swap", [from, from, amount0, amount1, price, liquidity, at], from));
          expect(swap3?.poolId).toBe(from);
          expect(swap3?.next(v3(from))).toEqual({ ...v3(from), sqrtPriceX96: price, liquidity, tick: at });
          expect(swap3?.next(v4(from))).toBeUndefined();
          const swap4 = decodePoolEvent(
            emit("v4Swap", [poolId, from, amount0, amount1, price, liquidity, at, 500], from),
          );
          expect(swap4?.poolId).toBe(poolId);
          expect(swap4?.next(v4(poolId))).toEqual({ ...v4(poolId), sqrtPriceX96: price, liquidity, tick: at });
        },
      ),
    );
  });

  test("a V3 or V4 change of liquidity has it at both ticks, and is read back where a net comes to zero", () => {
    // Not at the pool's own ticks, where a net may cancel at once.
    const range = fc
      .tuple(tick, tick)
      .filter(([lower, upper]) => lower < upper && ![lower, upper].some((at) => Math.abs(at) === 10));
    fc.assert(
      fc.property(
        address,
        id,
        range,
        fc.bigInt({ min: 1n, max: 1n << 100n }),
        (from, poolId, [lower, upper], amount) => {
          const minted = decodePoolEvent(emit("v3Mint", [from, from, lower, upper, amount, 1n, 1n], from))?.next(
            v3(from),
          ) as UniswapV3Pool;
          const netAt = (pool: UniswapV3Pool | UniswapV4Pool, at: number): bigint =>
            pool.liquidityNets[pool.ticks.indexOf(at)] ?? 0n;
          const before = v3(from);
          expect(netAt(minted, lower) - netAt(before, lower)).toBe(amount);
          expect(netAt(minted, upper) - netAt(before, upper)).toBe(-amount);
          expect(minted.liquidity).toBe(before.liquidity + (lower <= 0 && upper > 0 ? amount : 0n));
          const added = decodePoolEvent(emit("v4ModifyLiquidity", [poolId, from, lower, upper, amount, poolId], from));
          expect(added?.poolId).toBe(poolId);
          expect(added?.next(v4(poolId))).toEqual({
            ...v4(poolId),
            ticks: minted.ticks,
            liquidityNets: minted.liquidityNets,
            liquidity: minted.liquidity,
          });
          // What was added is taken away: whether the ticks are still in use only the chain knows.
          expect(
            decodePoolEvent(emit("v3Burn", [from, lower, upper, amount, 1n, 1n], from))?.next(minted),
          ).toBeUndefined();
          const removed = decodePoolEvent(
            emit("v4ModifyLiquidity", [poolId, from, lower, upper, -amount, poolId], from),
          );
          expect(removed?.next({ ...v4(poolId), ...pick(minted) })).toBeUndefined();
          expect(decodePoolEvent(emit("v3Burn", [from, lower, upper, 0n, 1n, 1n], from))?.next(before)).toEqual(before);
        },
      ),
    );
  });

  test("a partial burn is exact by the event alone", () => {
    const pool = v3(`0x${"aa".repeat(20)}`);
    const event = decodePoolEvent(emit("v3Burn", [pool.id, -10, 10, 400n, 1n, 1n], pool.id));
    expect(event?.next(pool)).toEqual({ ...pool, liquidity: 600n, liquidityNets: [600n, -600n] });
  });

  test("a Balancer swap has both balances moved", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(address, { minLength: 3, maxLength: 3 }),
        id,
        uint(100),
        uint(100),
        (tokens, poolId, amountIn, amountOut) => {
          const [a, b, c] = tokens as [Hex, Hex, Hex];
          const pool: Pool = {
            kind: "balancer-weighted",
            id: poolId,
            address: a,
            tokens: [a, b, c],
            balances: [1n << 110n, 1n << 109n, 5n],
            scalingFactors: [1n, 1n, 1n],
            swapFee: 0n,
            weights: [],
          };
          const event = decodePoolEvent(emit("balancerSwap", [poolId, b, a, amountIn, amountOut], a));
          expect(event?.next(pool)).toEqual({
            ...pool,
            balances: [(1n << 110n) - amountOut, (1n << 109n) + amountIn, 5n],
          });
        },
      ),
    );
  });

  test.each<[keyof typeof ABI, readonly unknown[]]>([
    ["v3Initialize", [1n << 96n, 0]],
    ["v4ProtocolFeeUpdated", [`0x${"33".repeat(32)}`, 100]],
    ["balancerBalanceChanged", [`0x${"33".repeat(32)}`, `0x${"44".repeat(20)}`, [], [], []]],
  ])("%s is read from the chain", (name, values) => {
    const from: Hex = `0x${"55".repeat(20)}`;
    const event = decodePoolEvent(emit(name, values, from));
    expect(event?.poolId).toBe(name === "v3Initialize" ? from : `0x${"33".repeat(32)}`);
    expect(event?.next(v4(`0x${"33".repeat(32)}`))).toBeUndefined();
  });

  test("anything else is not touched, whatever the log holds", () => {
    const log = fc.record({
      address,
      topics: fc.array(id, { maxLength: 4 }),
      data: fc.uint8Array({ maxLength: 200 }).map((array): Hex => `0x${Buffer.from(array).toString("hex")}`),
    });
    fc.assert(
      fc.property(log, fc.constantFrom(undefined, ...Object.values(TOPICS)), (parts, topic) => {
        const hash: Hex = `0x${"00".repeat(32)}`;
        const topics = topic ? [topic, ...parts.topics.slice(1)] : parts.topics;
        const whole: Log = { ...parts, topics, blockHash: hash, blockNumber: 1, transactionHash: hash, logIndex: 0 };
        // Rubbish behind a known topic may decode to nonsense, which validation refuses, but never throws here.
        const seed = decodePoolSeed(whole);
        const event = decodePoolEvent(whole);
        expect(seed === undefined || /^0x[0-9a-f]{40,64}$/.test(seed.id)).toBe(true);
        expect(event === undefined || topic !== undefined).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("a pool is announced by", () => {
  test("its factory's event", () => {
    fc.assert(
      fc.property(
        address,
        address,
        address,
        address,
        id,
        uint(24),
        fc.integer({ min: 1, max: 32_767 }),
        address,
        (from, token0, token1, pool, poolId, fee, spacing, hooks) => {
          expect(decodePoolSeed(emit("v2PairCreated", [token0, token1, pool, 7], from))).toEqual({
            kind: "uniswap-v2",
            id: pool,
            factory: from,
            tokens: [token0, token1],
          });
          expect(decodePoolSeed(emit("v3PoolCreated", [token0, token1, fee, spacing, pool], from))).toEqual({
            kind: "uniswap-v3",
            id: pool,
            tokens: [token0, token1],
            feePpm: Number(fee),
            tickSpacing: spacing,
          });
          expect(
            decodePoolSeed(emit("v4Initialize", [poolId, token0, token1, fee, spacing, hooks, 1n, 0], from)),
          ).toEqual({
            kind: "uniswap-v4",
            id: poolId,
            manager: from,
            tokens: [token0, token1],
            keyFee: Number(fee),
            tickSpacing: spacing,
            hooks,
          });
          expect(decodePoolSeed(emit("balancerPoolRegistered", [poolId, pool, 2], from))).toEqual({
            kind: "balancer",
            id: poolId,
            vault: from,
            pool,
          });
        },
      ),
    );
  });
});

function pick({
  ticks,
  liquidityNets,
  liquidity,
}: UniswapV3Pool): Pick<UniswapV3Pool, "ticks" | "liquidityNets" | "liquidity"> {
  return { ticks, liquidityNets, liquidity };
}
