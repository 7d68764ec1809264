import type {
  Address,
  BalancerStablePool,
  BalancerWeightedPool,
  UniswapV2Pool,
  UniswapV3Pool,
  UniswapV4Pool,
} from "../src/pool.ts";
import { NATIVE_TOKEN } from "../src/pool.ts";
import { sqrtPriceAtTick } from "../src/tick-math.ts";

/** An address made of one repeated byte. */
function address(byte: number): Address {
  return `0x${byte.toString(16).padStart(2, "0").repeat(20)}`;
}

const TOKENS: readonly [Address, Address] = [address(1), address(2)];

/** One valid pool of each kind, for tests that need no chain. */
export const v2Pool: UniswapV2Pool = {
  kind: "uniswap-v2",
  id: address(0xa2),
  address: address(0xa2),
  tokens: TOKENS,
  reserves: [1_000n * 10n ** 18n, 3_000_000n * 10n ** 6n],
  feeNumerator: 997n,
  feeDenominator: 1000n,
};

const concentrated = {
  tokens: TOKENS,
  tickSpacing: 60,
  sqrtPriceX96: sqrtPriceAtTick(30) + 12_345n,
  tick: 30,
  liquidity: 5n * 10n ** 18n,
  ticks: [-1200, -60, 120, 600],
  liquidityNets: [2n * 10n ** 18n, 3n * 10n ** 18n, -3n * 10n ** 18n, -2n * 10n ** 18n],
};

export const v3Pool: UniswapV3Pool = {
  ...concentrated,
  kind: "uniswap-v3",
  id: address(0xa3),
  address: address(0xa3),
  feePpm: 3000,
};

export const v4Pool: UniswapV4Pool = {
  ...concentrated,
  kind: "uniswap-v4",
  id: `0x${"a4".repeat(32)}`,
  address: address(0xb4),
  keyFee: 500,
  lpFeePpm: 500,
  protocolFee: 0,
  hooks: NATIVE_TOKEN,
};

export const weightedPool: BalancerWeightedPool = {
  kind: "balancer-weighted",
  id: `0x${"a5".repeat(32)}`,
  address: address(0xb5),
  tokens: [address(1), address(2), address(3)],
  balances: [500n * 10n ** 18n, 800_000n * 10n ** 6n, 10n * 10n ** 8n],
  scalingFactors: [1n, 10n ** 12n, 10n ** 10n],
  swapFee: 2n * 10n ** 15n,
  weights: [5n * 10n ** 17n, 25n * 10n ** 16n, 25n * 10n ** 16n],
};

export const stablePool: BalancerStablePool = {
  kind: "balancer-stable",
  id: `0x${"a6".repeat(32)}`,
  address: address(0xb5),
  tokens: [address(2), address(4), address(5)],
  balances: [1_000_000n * 10n ** 6n, 700_000n * 10n ** 18n, 1_400_000n * 10n ** 18n],
  scalingFactors: [10n ** 12n, 1n, 1n],
  swapFee: 4n * 10n ** 14n,
  amplification: 200_000n,
};

export const everyPool = [v2Pool, v3Pool, v4Pool, weightedPool, stablePool] as const;
