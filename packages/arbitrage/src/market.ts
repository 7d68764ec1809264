import { AmmError, type Address, type Pool, type PoolId } from "@flashloan/amm/pool";
import { validatePool } from "@flashloan/amm/validate";
import { DEFAULT_GAS_MODEL, type GasModel } from "./gas-model.ts";
import { LenderDirectory, type Lenders } from "./lender.ts";
import { MarketGraph, POOL_KINDS } from "./market-graph.ts";
import type { Plan } from "./plan.ts";
import { planCycle, refusalOf, type RejectReason, type SearchPrices, type Verdict } from "./planner.ts";
import { CycleSearch } from "./search.ts";

export type { RejectReason, SearchPrices } from "./planner.ts";

/** What a market needs to know. */
export type MarketOptions = {
  readonly weth: Address;
  readonly lenders: Lenders;
  /** The longest cycle. Default 4. */
  readonly maxHops?: 2 | 3 | 4;
  readonly gasModel?: GasModel;
  /** Cycles that one search sizes exactly, the best by estimate. Default `CANDIDATES_MAX`. */
  readonly candidatesMax?: number;
};

/** What became of a pool's new state. */
export type UpsertResult =
  | { readonly status: "added" | "updated" }
  | { readonly status: "quarantined"; readonly reason: string };

/** What a search saw, and why it refused what it refused. */
export type SearchStats = {
  /** Cycles whose marginal price, fees included, is above 1. */
  readonly cyclesExamined: number;
  /** Those with a gross profit, before premium and gas. */
  readonly grossPositive: number;
  /** Those that became plans. */
  readonly netPositive: number;
  readonly rejected: Readonly<Record<RejectReason, number>>;
  /** Pools in quarantine at the time. */
  readonly quarantined: number;
};

/** The plans of a search, best net profit first, and its statistics. */
export type SearchResult = { readonly plans: readonly Plan[]; readonly stats: SearchStats };

/** The pools known to a searcher and the cycles among them. Deterministic, without I/O; nothing here throws. */
export type Market = {
  /** Takes a pool's state. An invalid one takes the pool out of the market until a valid one comes. */
  readonly upsert: (pool: Pool) => UpsertResult;
  /** Forgets a pool, its quarantine included. Returns false when it was not known. */
  readonly remove: (id: PoolId) => boolean;
  /** The present state of a pool that takes part. */
  readonly get: (id: PoolId) => Pool | undefined;
  /** Takes a pool out whatever states come, until `remove`: for pools that lie or take fees on transfers. */
  readonly quarantinePool: (id: PoolId, reason: string) => void;
  readonly setLenders: (lenders: Lenders) => void;
  /** Plans for the cycles through at least one of the pools. */
  readonly searchFrom: (changed: Iterable<PoolId>, prices: SearchPrices) => SearchResult;
  /** A plan's cycle, planned anew on the pools as they are now; undefined when it can't be traded or doesn't pay. */
  readonly planAgain: (plan: Plan, prices: SearchPrices) => Plan | undefined;
  /** Plans for every cycle. */
  readonly scanAll: (prices: SearchPrices) => SearchResult;
  readonly poolCount: number;
  /** Why each pool that is out is out. */
  readonly quarantine: ReadonlyMap<PoolId, string>;
};

/** Cycles that one search sizes exactly unless told otherwise. */
export const CANDIDATES_MAX = 256;

/** A cycle that multiplies money by more than this is a lie of some pool, not an opportunity (natural logarithm). */
const IMPLAUSIBLE_GAIN = Math.log(10);

/**
 * How far an estimate may be below the true profit, by pool kind in the order of `POOL_KINDS`: nothing for Uniswap V2,
 * whose closed form is exact; little for V3 and V4, whose estimate takes the largest liquidity nearby; more where the
 * form is fitted to a curve.
 */
const ESTIMATE_FACTORS = [1 + 1e-6, 1.1, 1.1, 1.5, 4] as const;
/** Above this gain prices move out of what the estimates look at, so they get the widest factor. */
const NEARBY_GAIN = 0.01;
const WIDEST_FACTOR = 4;

const NO_CANDIDATES: { readonly kept: readonly Candidate[]; readonly dropped: number } = { kept: [], dropped: 0 };
const ADDED: UpsertResult = { status: "added" };
const UPDATED: UpsertResult = { status: "updated" };

/** A cycle that waits for exact sizing. */
type Candidate = { readonly edges: readonly number[]; readonly estimateWei: number };

/** Creates an empty market. */
export function createMarket(options: MarketOptions): Market {
  const gasModel = options.gasModel ?? DEFAULT_GAS_MODEL;
  const candidatesMax = options.candidatesMax ?? CANDIDATES_MAX;
  const graph = new MarketGraph(options.weth);
  const search = new CycleSearch(graph, options.maxHops ?? 4);
  const quarantine = new Map<PoolId, string>();
  const banned = new Set<PoolId>();
  const get = (id: PoolId): Pool | undefined => {
    const number = graph.poolNumber(id);
    return number === undefined ? undefined : graph.pools[number];
  };
  let lenders = new LenderDirectory(options.lenders, get);

  const gasByKind = Float64Array.from(POOL_KINDS, (kind) => gasModel.hop[kind]);
  const gasBesideHops = gasModel.base + Math.min(...Object.values(gasModel.lender));
  /** The least gas of any plan over these edges: by the cheapest lender, without wraps. */
  const leastGas = (edges: Int32Array, length: number): number => {
    let gas = gasBesideHops;
    for (let k = 0; k < length; k += 1) {
      gas += gasByKind[graph.poolKind[graph.edgePool[edges[k] as number] as number] as number] as number;
    }
    return gas;
  };

  const refuse = (id: PoolId, reason: string): UpsertResult => {
    graph.remove(id);
    quarantine.set(id, reason);
    return { status: "quarantined", reason };
  };

  const upsert = (pool: Pool): UpsertResult => {
    const id = pool?.id;
    if (banned.size > 0 && banned.has(id)) {
      return { status: "quarantined", reason: quarantine.get(id) ?? "" };
    }
    const number = graph.poolNumber(id);
    const previous = number === undefined ? undefined : graph.pools[number];
    const reason =
      invalidity(pool, previous) ?? (previous?.tokens === pool.tokens ? undefined : refusalOf(pool, options.weth));
    if (reason !== undefined) return refuse(id, reason);
    if (quarantine.size > 0) quarantine.delete(id);
    if (number !== undefined && previous !== undefined && hasSameTokens(previous, pool)) {
      graph.update(number, pool);
      return UPDATED;
    }
    graph.remove(id);
    graph.add(pool);
    lenders.poolAdded(pool);
    return ADDED;
  };

  const run = (
    starts: readonly number[],
    prices: SearchPrices,
    accepts: (edges: Int32Array, length: number) => boolean,
  ): SearchResult => {
    const tally = createTally();
    let candidates: CandidateList | undefined;
    const gasPriceWei = Number(prices.gasPriceWei);
    for (const start of starts) {
      search.through(start, (edges, length, gain) => {
        if (!accepts(edges, length)) return;
        tally.cyclesExamined += 1;
        if (gain > IMPLAUSIBLE_GAIN) {
          tally.rejected.implausible += 1;
          return;
        }
        const estimateWei = estimate(graph, edges, length, gain);
        if (estimateWei <= 0) {
          tally.rejected["not-executable"] += 1;
        } else if (estimateWei < leastGas(edges, length) * gasPriceWei) {
          tally.grossPositive += 1;
          tally.rejected["below-gas"] += 1;
        } else if (!(candidates ??= new CandidateList(candidatesMax)).add(edges, length, estimateWei)) {
          tally.grossPositive += 1;
          tally.rejected["candidate-cap"] += 1;
        }
      });
      const cut = search.takeCut();
      tally.rejected["candidate-cap"] += cut;
    }
    const plans: Plan[] = [];
    const { kept, dropped } = candidates?.best() ?? NO_CANDIDATES;
    tally.grossPositive += dropped;
    tally.rejected["candidate-cap"] += dropped;
    for (const { edges } of kept) {
      const verdict = attemptPlan(edges, prices);
      if (verdict.isGrossPositive) tally.grossPositive += 1;
      if ("plan" in verdict) plans.push(verdict.plan);
      else tally.rejected[verdict.rejected] += 1;
    }
    plans.sort(byNet);
    return {
      plans,
      stats: { ...tally, netPositive: plans.length, quarantined: quarantine.size },
    };
  };

  const attemptPlan = (edges: readonly number[], prices: SearchPrices): Verdict => {
    try {
      return planCycle({ graph, lenders, gasModel }, edges, prices);
    } catch (error) {
      // The amounts of absurd but valid states overflow; anything else is a fault of ours and must show.
      if (error instanceof AmmError || error instanceof RangeError) {
        return { rejected: "not-executable", isGrossPositive: false };
      }
      throw error;
    }
  };

  const searchFrom = (changed: Iterable<PoolId>, prices: SearchPrices): SearchResult => {
    const numbers = new Set<number>();
    for (const id of changed) {
      const number = graph.poolNumber(id);
      if (number !== undefined) numbers.add(number);
    }
    if (numbers.size === 1) {
      const [number] = numbers;
      return run(graph.edgesOfPool[number as number] ?? [], prices, acceptAll);
    }
    const starts = [...numbers].flatMap((number) => graph.edgesOfPool[number] ?? []);
    // A cycle through several changed pools is taken from the one with the lowest number.
    return run(starts, prices, (edges, length) => {
      const first = graph.edgePool[edges[0] as number] as number;
      for (let k = 1; k < length; k += 1) {
        const pool = graph.edgePool[edges[k] as number] as number;
        if (pool < first && numbers.has(pool)) return false;
      }
      return true;
    });
  };

  const scanAll = (prices: SearchPrices): SearchResult => {
    // Gains add up to the cycle's, so a profitable cycle has an edge with a positive gain: only those start a search,
    // and the one with the lowest pool takes the cycle.
    const starts: number[] = [];
    for (const edges of graph.edgesOfPool) {
      for (const edge of edges) if (graph.gainOfEdge(edge) > 0) starts.push(edge);
    }
    return run(starts, prices, (edges, length) => {
      const first = graph.edgePool[edges[0] as number] as number;
      for (let k = 1; k < length; k += 1) {
        const edge = edges[k] as number;
        if ((graph.edgePool[edge] as number) < first && graph.gainOfEdge(edge) > 0) return false;
      }
      return true;
    });
  };

  const planAgain = ({ hops }: Plan, prices: SearchPrices): Plan | undefined => {
    const edges: number[] = [];
    for (const { poolId, indexIn, indexOut } of hops) {
      const ofPool = graph.edgesOfPool[graph.poolNumber(poolId) ?? -1] ?? [];
      const edge = ofPool.find((each) => graph.edgeIndexIn[each] === indexIn && graph.edgeIndexOut[each] === indexOut);
      if (edge === undefined) return undefined;
      edges.push(edge);
    }
    const verdict = attemptPlan(edges, prices);
    return "plan" in verdict ? verdict.plan : undefined;
  };

  return {
    upsert,
    get,
    searchFrom,
    planAgain,
    scanAll,
    quarantine,
    remove: (id) => {
      const wasOut = quarantine.delete(id);
      banned.delete(id);
      return graph.remove(id) || wasOut;
    },
    quarantinePool: (id, reason) => {
      banned.add(id);
      refuse(id, reason);
    },
    setLenders: (next) => {
      lenders = new LenderDirectory(next, get);
    },
    get poolCount() {
      return graph.poolCount;
    },
  };
}

function acceptAll(): boolean {
  return true;
}

function invalidity(pool: Pool, previous: Pool | undefined): string | undefined {
  try {
    validatePool(pool, previous);
    return undefined;
  } catch (error) {
    // Rubbish may have any shape, so a TypeError inside the checks is a finding about the pool too.
    if (error instanceof AmmError || error instanceof TypeError || error instanceof RangeError) {
      return error.message;
    }
    throw error;
  }
}

function hasSameTokens(a: Pool, b: Pool): boolean {
  return (
    a.tokens === b.tokens ||
    (a.tokens.length === b.tokens.length && a.tokens.every((token, k) => token === b.tokens[k]))
  );
}

function byNet(a: Plan, b: Plan): number {
  if (a.netWei !== b.netWei) return a.netWei > b.netWei ? -1 : 1;
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

function createTally() {
  return {
    cyclesExamined: 0,
    grossPositive: 0,
    rejected: {
      "below-gas": 0,
      "below-min-profit": 0,
      "no-lender": 0,
      "no-conversion": 0,
      "not-executable": 0,
      implausible: 0,
      "candidate-cap": 0,
    } satisfies Record<RejectReason, number>,
  };
}

/**
 * A cycle's gross profit at its best size, wei, by the closed form over the pools' constant-product depths.
 *
 * High where the form is fitted, so that comparing it with a cost never drops a cycle that pays; zero when rounding
 * alone, one unit of each hop's output, would eat the profit.
 */
function estimate(graph: MarketGraph, edges: Int32Array, length: number, gain: number): number {
  // From the token of the lowest number: from WETH where the cycle has it, so that no potential enters the estimate.
  let start = 0;
  for (let k = 1; k < length; k += 1) {
    if (graph.fromOf(edges[k] as number) < graph.fromOf(edges[start] as number)) start = k;
  }
  let a = 1;
  let b = 1;
  let c = 0;
  let roundingLoss = 0;
  let factor = 1;
  for (let k = 0; k < length; k += 1) {
    const edge = edges[(start + k) % length] as number;
    const reserveIn = graph.edgeReserveIn[edge] as number;
    const reserveOut = graph.edgeReserveOut[edge] as number;
    roundingLoss = (roundingLoss * reserveOut) / reserveIn + 1;
    c = c * reserveIn + b;
    a *= reserveIn;
    b *= reserveOut;
    const kind = graph.poolKind[graph.edgePool[edge] as number] as number;
    factor = Math.max(factor, ESTIMATE_FACTORS[kind] as number);
  }
  const root = Math.sqrt(b) - Math.sqrt(a);
  const gross = (root * root) / c;
  if (gain > NEARBY_GAIN && factor > ESTIMATE_FACTORS[0]) factor = WIDEST_FACTOR;
  if (gross <= roundingLoss) return 0;
  const priceWei = Math.exp(graph.potential[graph.fromOf(edges[start] as number)] as number);
  return Number.isFinite(gross) ? gross * factor * priceWei : Number.POSITIVE_INFINITY;
}

/** The candidates with the highest estimates, kept within a bound while they arrive. */
class CandidateList {
  readonly #max: number;
  #list: Candidate[] = [];
  #floorWei = Number.NEGATIVE_INFINITY;
  #dropped = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Adds a cycle; returns false where it is already certain that it is not among the best. */
  add(edges: Int32Array, length: number, estimateWei: number): boolean {
    if (estimateWei < this.#floorWei) return false;
    this.#list.push({ edges: Array.from(edges.subarray(0, length)), estimateWei });
    if (this.#list.length >= this.#max * 4) this.#trim();
    return true;
  }

  best(): { kept: readonly Candidate[]; dropped: number } {
    this.#trim();
    return { kept: this.#list, dropped: this.#dropped };
  }

  #trim(): void {
    if (this.#list.length <= this.#max) return;
    this.#list.sort((a, b) => b.estimateWei - a.estimateWei);
    this.#dropped += this.#list.length - this.#max;
    this.#list.length = this.#max;
    this.#floorWei = this.#list.at(-1)?.estimateWei ?? this.#floorWei;
  }
}
