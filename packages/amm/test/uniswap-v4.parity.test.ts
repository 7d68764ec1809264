import { AbiCoder, keccak256, ZeroAddress, ZeroHash } from "ethers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readArtifact } from "@flashloan/devnet/artifacts";
import { approveAll, byAddress, mappingSlot, startChain, word, type Chain, type Contract } from "./chain.ts";
import { campaign, loadPool, randomRanges, type Venue } from "./concentrated.ts";
import { createRandom } from "./random.ts";
import { NATIVE_TOKEN, type Address, type PoolId, type UniswapV4Pool } from "../src/pool.ts";
import { MAX_SQRT_PRICE_X96, MIN_SQRT_PRICE_X96, sqrtPriceAtTick } from "../src/tick-math.ts";

const SEED = 4;
const ROUNDS = 8;
const V4 = "@uniswap/v4-core/out";
const MODIFY_LIQUIDITY = "modifyLiquidity((address,address,uint24,int24,address),(int24,int24,int256,bytes32),bytes)";
/** Where the PoolManager keeps its pools, and what stands where in a pool's state (StateLibrary.sol). */
const POOLS_SLOT = 6n;
const LIQUIDITY_OFFSET = 3n;
const TICKS_OFFSET = 4n;
const BITMAP_OFFSET = 5n;
const LOW_128_BITS = (1n << 128n) - 1n;
const LOW_160_BITS = (1n << 160n) - 1n;
/** Enough of the chain's own coin for any swap here; the router hands back what is left. */
const VALUE_WEI = 10n ** 23n;

let chain: Chain;
let manager: Contract;
let liquidityRouter: Contract;
let swapRouter: Contract;
let venue: Venue<UniswapV4Pool>;

beforeAll(async () => {
  chain = await startChain();
  manager = await chain.deploy(readArtifact(`${V4}/PoolManager.sol/PoolManager.json`), chain.account);
  liquidityRouter = await chain.deploy(
    readArtifact(`${V4}/PoolModifyLiquidityTest.sol/PoolModifyLiquidityTest.json`),
    manager.address,
  );
  swapRouter = await chain.deploy(readArtifact(`${V4}/PoolSwapTest.sol/PoolSwapTest.json`), manager.address);
  await chain.send(manager, "setProtocolFeeController", [chain.account]);
  const base = (pool: UniswapV4Pool): bigint => BigInt(mappingSlot("bytes32", pool.id, POOLS_SLOT));
  const key = (pool: UniswapV4Pool): unknown[] => [...pool.tokens, pool.keyFee, pool.tickSpacing, pool.hooks];
  const slot = (method: bigint) => ({ to: manager, method: "extsload(bytes32)", args: [word(method)] });
  const swapArgs = (pool: UniswapV4Pool, zeroForOne: boolean, amountSpecified: bigint): unknown[] => [
    key(pool),
    [zeroForOne, amountSpecified, zeroForOne ? MIN_SQRT_PRICE_X96 + 1n : MAX_SQRT_PRICE_X96 - 1n],
    [false, false],
    "0x",
  ];
  const value = (pool: UniswapV4Pool): bigint => (pool.tokens[0] === NATIVE_TOKEN ? VALUE_WEI : 0n);
  venue = {
    readState: async (pool) => {
      const [slot0, liquidity] = await chain.call([slot(base(pool)), slot(base(pool) + LIQUIDITY_OFFSET)]);
      const packed = BigInt(slot0?.[0] as string);
      return {
        sqrtPriceX96: packed & LOW_160_BITS,
        tick: Number(BigInt.asIntN(24, packed >> 160n)),
        liquidity: BigInt(liquidity?.[0] as string) & LOW_128_BITS,
      };
    },
    bitmapCall: (pool, position) => slot(BigInt(mappingSlot("int16", position, base(pool) + BITMAP_OFFSET))),
    bitmapWord: (answer) => BigInt(answer[0] as string),
    tickCall: (pool, tick) => slot(BigInt(mappingSlot("int24", tick, base(pool) + TICKS_OFFSET))),
    tickNet: (answer) => BigInt.asIntN(128, BigInt(answer[0] as string) >> 128n),
    quoteCall: (pool, zeroForOne, amount, exactIn) => ({
      to: swapRouter,
      method: "swap",
      args: swapArgs(pool, zeroForOne, exactIn ? -amount : amount),
      valueWei: value(pool),
    }),
    quoted: (answer, zeroForOne, amount, exactIn) => {
      const delta = answer[0] as bigint;
      const amounts = [BigInt.asIntN(128, delta >> 128n), BigInt.asIntN(128, delta)];
      const [input, output] = (zeroForOne ? amounts : amounts.toReversed()) as [bigint, bigint];
      if (exactIn) return -input === amount ? output : undefined;
      return output === amount ? -input : undefined;
    },
    swap: (pool, zeroForOne, amountIn) =>
      chain.send(swapRouter, "swap", swapArgs(pool, zeroForOne, -amountIn), value(pool)),
  };
}, 60_000);

afterAll(() => chain.stop());

test("over 1,000 random swaps equal the PoolManager's to the wei, both ways, and leave the same state", async () => {
  const random = createRandom(SEED);
  const plans = [
    { decimals: [6, 18], feePpm: 500, tickSpacing: 10, protocolFee: 0, native: false },
    { decimals: [18, 18], feePpm: 3000, tickSpacing: 60, protocolFee: 0, native: true },
    { decimals: [8, 18], feePpm: 2345, tickSpacing: 37, protocolFee: 0, native: false },
    { decimals: [18, 6], feePpm: 10_000, tickSpacing: 200, protocolFee: (1000 << 12) | 250, native: false },
    { decimals: [18, 18], feePpm: 0, tickSpacing: 1, protocolFee: 0, native: false },
  ];
  let compared = 0;
  let refused = 0;
  let crossings = 0;
  for (const { decimals, feePpm, tickSpacing, protocolFee, native } of plans) {
    const contracts = byAddress([await chain.token(decimals[0] as number), await chain.token(decimals[1] as number)]);
    await approveAll(chain, contracts, liquidityRouter.address);
    await approveAll(chain, contracts, swapRouter.address);
    const [first, second] = contracts.map(({ address }) => address) as [Address, Address];
    const tokens: [Address, Address] = native ? [NATIVE_TOKEN, second] : [first, second];
    const key = [...tokens, feePpm, tickSpacing, ZeroAddress];
    const id = keccak256(
      AbiCoder.defaultAbiCoder().encode(["address", "address", "uint24", "int24", "address"], key),
    ) as PoolId;
    const tick = tickSpacing === 1 || native ? 5 : random.integer(-60_000, 60_000);
    const price = sqrtPriceAtTick(tick) + BigInt(random.integer(0, 1_000));
    await chain.send(manager, "initialize", [key, price]);
    if (protocolFee !== 0) await chain.send(manager, "setProtocolFee", [key, protocolFee]);
    for (const { lower, upper, liquidity } of randomRanges(random, tick, tickSpacing, 12)) {
      const amount = native ? liquidity * 100n : liquidity;
      await chain.send(
        liquidityRouter,
        MODIFY_LIQUIDITY,
        [key, [lower, upper, amount, ZeroHash], "0x"],
        native ? VALUE_WEI : 0n,
      );
    }
    const pool = await loadPool(chain, venue, {
      kind: "uniswap-v4",
      id,
      address: manager.address,
      tokens,
      keyFee: feePpm,
      lpFeePpm: feePpm,
      protocolFee,
      hooks: NATIVE_TOKEN,
      tickSpacing,
      sqrtPriceX96: price,
      tick,
      liquidity: 0n,
      ticks: [],
      liquidityNets: [],
    });
    expect(pool.ticks.length).toBeGreaterThan(6);
    const result = await campaign(chain, venue, pool, random, ROUNDS);
    compared += result.compared;
    refused += result.refused;
    crossings += result.crossings;
  }
  expect(compared + refused).toBe(plans.length * ROUNDS * 60);
  expect(compared).toBeGreaterThan(1_500);
  expect(crossings).toBeGreaterThan(500);
}, 120_000);
