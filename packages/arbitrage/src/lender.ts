import type { Address, Pool, PoolId } from "@flashloan/amm/pool";
import { v2FlashRepayment } from "@flashloan/amm/uniswap-v2";
import { v3FlashFee } from "@flashloan/amm/uniswap-v3";
import type { GasModel } from "./gas-model.ts";
import type { LenderKind } from "./plan.ts";

/** Who lends, and how much of which token; amounts are base units. */
export type Lenders = {
  /** Whether a route's own first pool may pay before it is paid. Default true. */
  readonly firstSwap?: boolean;
  readonly aaveV3?: {
    readonly pool: Address;
    /** FLASHLOAN_PREMIUM_TOTAL, basis points. */
    readonly premiumBps: number;
    readonly liquidity: ReadonlyMap<Address, bigint>;
  };
  readonly balancerV2?: {
    readonly vault: Address;
    readonly balances: ReadonlyMap<Address, bigint>;
    /** The protocol's flash-loan fee, basis points. Default 0, as deployed everywhere. */
    readonly feeBps?: number;
  };
  readonly uniswapV4?: {
    readonly poolManager: Address;
    readonly balances: ReadonlyMap<Address, bigint>;
  };
  /** Pairs of the market that may lend by a flash swap; fee and capacity come from the pair's state. */
  readonly uniswapV2?: { readonly poolIds: readonly PoolId[] };
  /** Pools of the market that may lend by `flash`, with their token balances. */
  readonly uniswapV3?: {
    readonly pools: readonly {
      readonly poolId: PoolId;
      readonly balances: ReadonlyMap<Address, bigint>;
    }[];
  };
};

/** One way to fund a route. */
export type LenderOption = {
  readonly kind: LenderKind;
  readonly source: Address;
  readonly poolId?: PoolId;
  /** The most that can be lent, base units; undefined where the route itself is the only limit. */
  readonly capacity?: bigint;
  /** The premium as a share of the loan, for sizing. */
  readonly premiumRate: number;
  /** The exact premium on a loan, base units, rounded as the lender does. */
  readonly premiumOf: (amount: bigint) => bigint;
};

/** What of a route decides who can fund it. */
export type FundedRoute = {
  /** The token to borrow (WETH where the first hop takes the chain's own coin). */
  readonly token: Address;
  readonly pools: readonly Pool[];
};

/** Pools of one kind that are offered for one loan, deepest first. */
const LENDING_POOLS_MAX = 4;

const BPS = 10_000n;
const PPM = 1_000_000;

const noPremium = (): bigint => 0n;

/** Aave's percentMul: half a unit is rounded up. */
function aavePremium(amount: bigint, premiumBps: number): bigint {
  return (amount * BigInt(premiumBps) + BPS / 2n) / BPS;
}

function balancerFee(amount: bigint, feeBps: number): bigint {
  return (amount * BigInt(feeBps) + BPS - 1n) / BPS;
}

/** True for the pools that the Balancer Vault swaps. */
export function isBalancer(pool: Pool): boolean {
  return pool.kind === "balancer-weighted" || pool.kind === "balancer-stable";
}

/** The lenders of a market: which of them can fund a route, and at what price. */
export class LenderDirectory {
  readonly #lenders: Lenders;
  readonly #getPool: (id: PoolId) => Pool | undefined;
  readonly #pairs: ReadonlySet<PoolId>;
  /** Lending pairs by token; filled as the market learns their tokens. */
  readonly #pairsByToken = new Map<Address, Set<PoolId>>();

  /**
   * @param lenders who lends.
   * @param getPool the market's present state of a pool.
   */
  constructor(lenders: Lenders, getPool: (id: PoolId) => Pool | undefined) {
    this.#lenders = lenders;
    this.#getPool = getPool;
    this.#pairs = new Set(lenders.uniswapV2?.poolIds);
    for (const id of this.#pairs) {
      const pool = getPool(id);
      if (pool !== undefined) this.poolAdded(pool);
    }
  }

  /** Tells the directory of a pool that entered the market. */
  poolAdded(pool: Pool): void {
    if (pool.kind !== "uniswap-v2" || !this.#pairs.has(pool.id)) return;
    for (const token of pool.tokens) {
      const pairs = this.#pairsByToken.get(token);
      if (pairs === undefined) this.#pairsByToken.set(token, new Set([pool.id]));
      else pairs.add(pool.id);
    }
  }

  /**
   * Everyone who can fund the route.
   *
   * - `first-swap`: where the first pool pays out first; that pool is then locked, and is no other hop's.
   * - Balancer V2 lends only to routes without a Balancer hop: `swap` and `flashLoan` share one reentrancy guard.
   * - Uniswap V2 and V3 pools are locked while they lend, so they lend only to routes that do not use them.
   * - The V4 PoolManager unlocks once; V4 hops inside its loan use the open unlock, so it lends to any route.
   * - Aave V3 lends to any route.
   */
  optionsFor(route: FundedRoute): LenderOption[] {
    const { token, pools } = route;
    const options: LenderOption[] = [];
    const first = pools[0];
    if (first !== undefined && this.#lenders.firstSwap !== false && !isBalancer(first)) {
      options.push({
        kind: "first-swap",
        source: first.address,
        poolId: first.id,
        premiumRate: 0,
        premiumOf: noPremium,
      });
    }
    this.#addVaults(token, pools, options);
    this.#addV3(token, pools, options);
    this.#addV2(token, pools, options);
    return options;
  }

  #addVaults(token: Address, pools: readonly Pool[], options: LenderOption[]): void {
    const { aaveV3, balancerV2, uniswapV4 } = this.#lenders;
    const v4Capacity = uniswapV4?.balances.get(token) ?? 0n;
    if (uniswapV4 !== undefined && v4Capacity > 0n) {
      options.push({
        kind: "uniswap-v4",
        source: uniswapV4.poolManager,
        capacity: v4Capacity,
        premiumRate: 0,
        premiumOf: noPremium,
      });
    }
    const vaultCapacity = balancerV2?.balances.get(token) ?? 0n;
    if (balancerV2 !== undefined && vaultCapacity > 0n && !pools.some(isBalancer)) {
      const feeBps = balancerV2.feeBps ?? 0;
      options.push({
        kind: "balancer-v2",
        source: balancerV2.vault,
        capacity: vaultCapacity,
        premiumRate: feeBps / Number(BPS),
        premiumOf: (amount) => balancerFee(amount, feeBps),
      });
    }
    const aaveCapacity = aaveV3?.liquidity.get(token) ?? 0n;
    if (aaveV3 !== undefined && aaveCapacity > 0n) {
      const { premiumBps } = aaveV3;
      options.push({
        kind: "aave-v3",
        source: aaveV3.pool,
        capacity: aaveCapacity,
        premiumRate: premiumBps / Number(BPS),
        premiumOf: (amount) => aavePremium(amount, premiumBps),
      });
    }
  }

  #addV3(token: Address, pools: readonly Pool[], options: LenderOption[]): void {
    const found: LenderOption[] = [];
    for (const { poolId, balances } of this.#lenders.uniswapV3?.pools ?? []) {
      const capacity = balances.get(token) ?? 0n;
      if (capacity <= 0n || pools.some(({ id }) => id === poolId)) continue;
      const pool = this.#getPool(poolId);
      if (pool?.kind !== "uniswap-v3") continue;
      const { feePpm } = pool;
      found.push({
        kind: "uniswap-v3",
        source: pool.address,
        poolId,
        capacity,
        premiumRate: feePpm / PPM,
        premiumOf: (amount) => v3FlashFee(feePpm, amount),
      });
    }
    options.push(...deepest(found));
  }

  #addV2(token: Address, pools: readonly Pool[], options: LenderOption[]): void {
    const found: LenderOption[] = [];
    for (const poolId of this.#pairsByToken.get(token) ?? []) {
      if (pools.some(({ id }) => id === poolId)) continue;
      const pool = this.#getPool(poolId);
      if (pool?.kind !== "uniswap-v2") continue;
      found.push({
        kind: "uniswap-v2",
        source: pool.address,
        poolId,
        capacity: pool.reserves[pool.tokens[0] === token ? 0 : 1] - 1n,
        premiumRate: Number(pool.feeDenominator) / Number(pool.feeNumerator) - 1,
        premiumOf: (amount) => v2FlashRepayment(pool, amount) - amount,
      });
    }
    options.push(...deepest(found));
  }
}

function deepest(options: readonly LenderOption[]): LenderOption[] {
  return options
    .toSorted(
      (a, b) =>
        a.premiumRate - b.premiumRate ||
        Number((b.capacity ?? 0n) - (a.capacity ?? 0n)) ||
        (a.source < b.source ? -1 : 1),
    )
    .slice(0, LENDING_POOLS_MAX);
}

/**
 * Removes the options that another beats in premium, gas and capacity; of equals the first stays.
 *
 * @param sizeMax no route wants more than this, base units, so capacities above it are equal.
 */
export function withoutDominated(options: readonly LenderOption[], gas: GasModel, sizeMax: number): LenderOption[] {
  const capacity = (option: LenderOption): number =>
    Math.min(sizeMax, option.capacity === undefined ? sizeMax : Number(option.capacity));
  const beats = (a: LenderOption, b: LenderOption): boolean =>
    a.premiumRate <= b.premiumRate && gas.lender[a.kind] <= gas.lender[b.kind] && capacity(a) >= capacity(b);
  return options.filter(
    (option, k) => !options.some((other, m) => m !== k && beats(other, option) && (m < k || !beats(option, other))),
  );
}
