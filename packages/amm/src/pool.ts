/** A lower-case `0x`-prefixed 20-byte address. */
export type Address = `0x${string}`;

/** What identifies a pool: its lower-case address, or the 32-byte pool id of Uniswap V4 and Balancer V2. */
export type PoolId = `0x${string}`;

/** The currency that Uniswap V4 uses for the chain's own coin. */
export const NATIVE_TOKEN: Address = "0x0000000000000000000000000000000000000000";

/** State of a Uniswap V2 pair or of a fork with another fee. */
export type UniswapV2Pool = {
  readonly kind: "uniswap-v2";
  /** The pair's address. */
  readonly id: PoolId;
  /** The pair's address, which is also what a swap calls. */
  readonly address: Address;
  /** token0 and token1. */
  readonly tokens: readonly [Address, Address];
  /** Reserves of token0 and token1, in base units, as `getReserves` returns them. */
  readonly reserves: readonly [bigint, bigint];
  /** Share of the input that trades: 997 of 1000 for Uniswap V2. */
  readonly feeNumerator: bigint;
  readonly feeDenominator: bigint;
};

/** What Uniswap V3 and V4 share: one price, and liquidity that changes at initialized ticks. */
export type ConcentratedLiquidity = {
  /** Square root of token1 per token0, Q64.96. */
  readonly sqrtPriceX96: bigint;
  /** The current tick as the chain stores it (one below the price's tick after a downward crossing). */
  readonly tick: number;
  /** Liquidity in range. */
  readonly liquidity: bigint;
  readonly tickSpacing: number;
  /** Every initialized tick, ascending. */
  readonly ticks: readonly number[];
  /** liquidityNet of each entry of `ticks`. */
  readonly liquidityNets: readonly bigint[];
};

/** State of a Uniswap V3 pool. */
export type UniswapV3Pool = ConcentratedLiquidity & {
  readonly kind: "uniswap-v3";
  /** The pool's address. */
  readonly id: PoolId;
  /** The pool's address, which is also what a swap calls. */
  readonly address: Address;
  readonly tokens: readonly [Address, Address];
  /** Swap fee, parts per million. */
  readonly feePpm: number;
};

/** State of a Uniswap V4 pool, held by the PoolManager. */
export type UniswapV4Pool = ConcentratedLiquidity & {
  readonly kind: "uniswap-v4";
  /** keccak256 of the pool's key. */
  readonly id: PoolId;
  /** The PoolManager, which is what a swap calls. */
  readonly address: Address;
  /** currency0 and currency1; `NATIVE_TOKEN` is the chain's own coin. */
  readonly tokens: readonly [Address, Address];
  /** The `fee` of the pool's key: equal to `lpFeePpm` unless the pool's fee is dynamic. */
  readonly keyFee: number;
  /** The current fee for liquidity providers, parts per million. */
  readonly lpFeePpm: number;
  /** The protocol's fee as slot0 packs it: 12 bits for each direction, zero-for-one in the low bits. */
  readonly protocolFee: number;
  /** The hooks' address; `NATIVE_TOKEN` (zero) when there are none. Quotes are exact only without hooks. */
  readonly hooks: Address;
};

/** What both Balancer V2 pool kinds share. */
type BalancerPool = {
  /** The pool id; its first 20 bytes are the pool's contract. */
  readonly id: PoolId;
  /** The Vault, which is what a swap calls. */
  readonly address: Address;
  /** The registered tokens in the Vault's order. */
  readonly tokens: readonly Address[];
  /** Balances in the tokens' own base units, in the order of `tokens`. */
  readonly balances: readonly bigint[];
  /** 10^(18 − decimals) of each token. */
  readonly scalingFactors: readonly bigint[];
  /** Swap fee, 18-decimal fixed point. */
  readonly swapFee: bigint;
};

/** State of a Balancer V2 weighted pool (deployment 20210418). */
export type BalancerWeightedPool = BalancerPool & {
  readonly kind: "balancer-weighted";
  /** Normalized weights, 18-decimal fixed point; they sum to 1. */
  readonly weights: readonly bigint[];
};

/** State of a Balancer V2 stable pool (deployment 20220609), the StableSwap invariant. */
export type BalancerStablePool = BalancerPool & {
  readonly kind: "balancer-stable";
  /** Amplification with the precision of 1000 that `getAmplificationParameter` returns: 200 is 200_000. */
  readonly amplification: bigint;
};

/** A pool's state, told apart by `kind`. Never mutated: a swap returns a new one. */
export type Pool = UniswapV2Pool | UniswapV3Pool | UniswapV4Pool | BalancerWeightedPool | BalancerStablePool;

/** The five pool kinds. */
export type PoolKind = Pool["kind"];

/**
 * Why a quote or a state was refused.
 *
 * - `zero-amount`: the amount is zero, negative, or so small that the chain would refuse it
 * - `insufficient-liquidity`: the pool cannot absorb or pay the whole amount
 * - `ratio-exceeded`: a Balancer weighted pool trades at most 30 % of a balance at once
 * - `invalid-token`: no such token index, or the same one twice
 * - `invalid-state`: the state is not one that the protocol could be in
 * - `overflow`: the chain's integer arithmetic would overflow
 * - `no-convergence`: the chain's iteration would not converge
 */
export type AmmErrorCode =
  | "zero-amount"
  | "insufficient-liquidity"
  | "ratio-exceeded"
  | "invalid-token"
  | "invalid-state"
  | "overflow"
  | "no-convergence";

/** The one error that this package throws: the chain would revert, or the state is nonsense. */
export class AmmError extends Error {
  override readonly name = "AmmError";
  readonly code: AmmErrorCode;

  constructor(code: AmmErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
