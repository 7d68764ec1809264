import type {
  Address,
  BalancerStablePool,
  BalancerWeightedPool,
  PoolId,
  UniswapV2Pool,
  UniswapV3Pool,
  UniswapV4Pool,
} from "@flashloan/amm/pool";
import { NATIVE_TOKEN } from "@flashloan/amm/pool";
import { tickAtSqrtPrice } from "@flashloan/amm/tick-math";

/** An address that ends in a number. */
export function address(number: number): Address {
  return `0x${number.toString(16).padStart(40, "0")}`;
}

export const WETH = address(1);
export const USDC = address(2);
export const DAI = address(3);
export const VAULT = address(0xba);
export const MANAGER = address(0x44);
export const AAVE = address(0xaa);
export const ETHER = 10n ** 18n;

/** A pair; the reserves are in whole units of `decimals`. */
export function pair(number: number, tokens: [Address, Address], reserves: [bigint, bigint]): UniswapV2Pool {
  return {
    kind: "uniswap-v2",
    id: address(0x2000 + number),
    address: address(0x2000 + number),
    tokens,
    reserves,
    feeNumerator: 997n,
    feeDenominator: 1000n,
  };
}

function concentrated(reserves: [bigint, bigint]) {
  const sqrtPriceX96 = BigInt(Math.floor(Math.sqrt(Number(reserves[1]) / Number(reserves[0])) * 2 ** 96));
  const tick = tickAtSqrtPrice(sqrtPriceX96);
  const liquidity = BigInt(Math.floor(Math.sqrt(Number(reserves[0]) * Number(reserves[1]))));
  const lower = Math.floor(tick / 60) * 60 - 6_000;
  return {
    tickSpacing: 60,
    sqrtPriceX96,
    tick,
    liquidity,
    ticks: [lower, lower + 12_000],
    liquidityNets: [liquidity, -liquidity],
  };
}

/** A V3 pool with one position around the price of the virtual reserves. */
export function v3(
  number: number,
  tokens: [Address, Address],
  reserves: [bigint, bigint],
  feePpm = 3000,
): UniswapV3Pool {
  const id = address(0x3000 + number);
  return { kind: "uniswap-v3", id, address: id, tokens, feePpm, ...concentrated(reserves) };
}

/** A V4 pool with one position around the price of the virtual reserves. */
export function v4(number: number, tokens: [Address, Address], reserves: [bigint, bigint]): UniswapV4Pool {
  return {
    kind: "uniswap-v4",
    id: `0x44${number.toString(16).padStart(62, "0")}` as PoolId,
    address: MANAGER,
    tokens,
    keyFee: 3000,
    lpFeePpm: 3000,
    protocolFee: 0,
    hooks: NATIVE_TOKEN,
    ...concentrated(reserves),
  };
}

/** A Balancer pool of equal weights and 18-decimals tokens. */
export function weighted(number: number, tokens: Address[], balances: bigint[]): BalancerWeightedPool {
  const weight = ETHER / BigInt(tokens.length);
  return {
    kind: "balancer-weighted",
    id: `0xba${number.toString(16).padStart(62, "0")}` as PoolId,
    address: VAULT,
    tokens,
    balances,
    scalingFactors: tokens.map(() => 1n),
    swapFee: 10n ** 15n,
    weights: tokens.map((_, k) => (k === 0 ? ETHER - weight * BigInt(tokens.length - 1) : weight)),
  };
}

/** A stable pool of 18-decimals tokens. */
export function stable(number: number, tokens: Address[], balances: bigint[]): BalancerStablePool {
  const { weights: _, ...pool } = weighted(0x5000 + number, tokens, balances);
  return { ...pool, kind: "balancer-stable", amplification: 200_000n };
}
