import { NATIVE_TOKEN, type PoolKind } from "@flashloan/amm/pool";
import type { Hop, LenderKind } from "./plan.ts";

/** Gas by part of a plan, in gas units. */
export type GasModel = {
  /** The transaction itself, its calldata and the contract's own accounting. */
  readonly base: number;
  readonly lender: Readonly<Record<LenderKind, number>>;
  readonly hop: Readonly<Record<PoolKind, number>>;
  /** One wrap or unwrap of the chain's own coin. */
  readonly wrap: number;
  /** The gas limit is the estimate times this. */
  readonly limitMargin: number;
};

/**
 * Gas by the contract's own snapshots on the real protocols (packages/contracts/snapshots), taken apart so that every
 * measured route adds up to within 5 %. The decision to send rests on the simulation's gas, not on this.
 */
export const DEFAULT_GAS_MODEL: GasModel = {
  base: 22_000,
  lender: {
    "first-swap": 0,
    "uniswap-v4": 34_000,
    "balancer-v2": 48_000,
    "uniswap-v3": 61_000,
    "uniswap-v2": 50_000,
    "aave-v3": 129_000,
  },
  hop: {
    "uniswap-v2": 73_000,
    "uniswap-v3": 97_000,
    "uniswap-v4": 101_000,
    "balancer-weighted": 110_000,
    "balancer-stable": 125_000,
  },
  wrap: 30_000,
  limitMargin: 1.3,
};

/** The gas that a route takes with a lender, in gas units: an estimate, not a bound. */
export function routeGas(
  model: GasModel,
  lender: LenderKind,
  hops: readonly Pick<Hop, "kind" | "tokenIn" | "tokenOut">[],
): number {
  let gas = model.base + model.lender[lender];
  let holdsNative = false;
  for (const hop of hops) {
    // The route's token is WETH: each hop that wants the other form of it costs a wrap or an unwrap.
    const wantsNative = hop.tokenIn === NATIVE_TOKEN;
    if (wantsNative !== holdsNative) gas += model.wrap;
    gas += model.hop[hop.kind];
    holdsNative = hop.tokenOut === NATIVE_TOKEN;
  }
  return holdsNative ? gas + model.wrap : gas;
}
