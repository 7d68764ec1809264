import { afterAll, beforeAll, expect, test } from "vitest";
import { readArtifact } from "@flashloan/devnet/artifacts";
import { approveAll, at, byAddress, startChain, type Chain, type Contract } from "./chain.ts";
import { campaign, loadPool, randomRanges, type Venue } from "./concentrated.ts";
import { createRandom } from "./random.ts";
import type { PoolId, UniswapV3Pool } from "../src/pool.ts";
import { MAX_SQRT_PRICE_X96, MIN_SQRT_PRICE_X96, sqrtPriceAtTick } from "../src/tick-math.ts";

const SEED = 3;
const ROUNDS = 8;
const CORE = "@uniswap/v3-core/artifacts/contracts";
const PERIPHERY = "@uniswap/v3-periphery/artifacts/contracts";
const DEADLINE = 10n ** 12n;

let chain: Chain;
let factory: Contract;
let positions: Contract;
let router: Contract;
let quoter: Contract;
let venue: Venue<UniswapV3Pool>;
const poolAbi = readArtifact(`${CORE}/UniswapV3Pool.sol/UniswapV3Pool.json`).abi;

beforeAll(async () => {
  chain = await startChain();
  factory = await chain.deploy(readArtifact(`${CORE}/UniswapV3Factory.sol/UniswapV3Factory.json`));
  await chain.send(factory, "enableFeeAmount", [100, 1]);
  const weth = factory.address;
  positions = await chain.deploy(
    readArtifact(`${PERIPHERY}/NonfungiblePositionManager.sol/NonfungiblePositionManager.json`),
    factory.address,
    weth,
    weth,
  );
  router = await chain.deploy(readArtifact(`${PERIPHERY}/SwapRouter.sol/SwapRouter.json`), factory.address, weth);
  quoter = await chain.deploy(readArtifact(`${PERIPHERY}/lens/QuoterV2.sol/QuoterV2.json`), factory.address, weth);
  venue = {
    readState: async (pool) => {
      const [slot0, liquidity] = await Promise.all([
        chain.read(at(pool.address, poolAbi), "slot0"),
        chain.read(at(pool.address, poolAbi), "liquidity"),
      ]);
      return { sqrtPriceX96: slot0[0] as bigint, tick: Number(slot0[1]), liquidity: liquidity[0] as bigint };
    },
    bitmapCall: (pool, position) => ({ to: at(pool.address, poolAbi), method: "tickBitmap", args: [position] }),
    bitmapWord: (answer) => answer[0] as bigint,
    tickCall: (pool, tick) => ({ to: at(pool.address, poolAbi), method: "ticks", args: [tick] }),
    tickNet: (answer) => answer[1] as bigint,
    quoteCall: (pool, zeroForOne, amount, exactIn) => ({
      to: quoter,
      method: exactIn ? "quoteExactInputSingle" : "quoteExactOutputSingle",
      args: [[pool.tokens[zeroForOne ? 0 : 1], pool.tokens[zeroForOne ? 1 : 0], amount, pool.feePpm, 0]],
    }),
    quoted: (answer) => {
      const priceAfter = answer[1] as bigint;
      const partial = priceAfter === MIN_SQRT_PRICE_X96 + 1n || priceAfter === MAX_SQRT_PRICE_X96 - 1n;
      return partial ? undefined : (answer[0] as bigint);
    },
    swap: (pool, zeroForOne, amountIn) =>
      chain.send(router, "exactInputSingle", [
        [
          pool.tokens[zeroForOne ? 0 : 1],
          pool.tokens[zeroForOne ? 1 : 0],
          pool.feePpm,
          chain.account,
          DEADLINE,
          amountIn,
          0,
          0,
        ],
      ]),
  };
}, 60_000);

afterAll(() => chain.stop());

test("over 1,000 random swaps equal the pool's to the wei, both ways, and leave the same state", async () => {
  const random = createRandom(SEED);
  const plans = [
    { decimals: [6, 18], feePpm: 500, tickSpacing: 10 },
    { decimals: [18, 18], feePpm: 3000, tickSpacing: 60 },
    { decimals: [8, 18], feePpm: 3000, tickSpacing: 60 },
    { decimals: [18, 18], feePpm: 10_000, tickSpacing: 200 },
    { decimals: [6, 6], feePpm: 100, tickSpacing: 1 },
  ];
  let compared = 0;
  let refused = 0;
  let crossings = 0;
  for (const { decimals, feePpm, tickSpacing } of plans) {
    const tokens = byAddress([await chain.token(decimals[0] as number), await chain.token(decimals[1] as number)]);
    await approveAll(chain, tokens, positions.address);
    await approveAll(chain, tokens, router.address);
    const [token0, token1] = tokens.map(({ address }) => address) as [PoolId, PoolId];
    const tick = tickSpacing === 1 ? 3 : random.integer(-120_000, 120_000);
    const price = sqrtPriceAtTick(tick) + BigInt(random.integer(0, 1_000));
    await chain.send(positions, "createAndInitializePoolIfNecessary", [token0, token1, feePpm, price]);
    const [address] = await chain.read(factory, "getPool", [token0, token1, feePpm]);
    for (const { lower, upper } of randomRanges(random, tick, tickSpacing, 12)) {
      const desired = 10n ** BigInt(random.integer(18, 20));
      await chain
        .send(positions, "mint", [
          [token0, token1, feePpm, lower, upper, desired, desired, 0, 0, chain.account, DEADLINE],
        ])
        // A range that the amounts cannot fill at all is refused; the next one is tried.
        .catch(() => undefined);
    }
    const id = String(address).toLowerCase() as PoolId;
    const pool = await loadPool(chain, venue, {
      kind: "uniswap-v3",
      id,
      address: id,
      tokens: [token0, token1],
      feePpm,
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
