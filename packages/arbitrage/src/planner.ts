import { AmmError, NATIVE_TOKEN, type Address, type Pool } from "@flashloan/amm/pool";
import { quoteExactIn } from "@flashloan/amm/quote";
import { routeGas, type GasModel } from "./gas-model.ts";
import { isBalancer, withoutDominated, type LenderDirectory, type LenderOption } from "./lender.ts";
import { WETH_TOKEN, type MarketGraph } from "./market-graph.ts";
import type { Hop, Plan } from "./plan.ts";
import { floatOptimum, sizeRoute, type FloatOptimum, type RouteAmounts, type RouteHop } from "./sizing.ts";

/** What a unit of gas costs and may cost, wei. */
export type SearchPrices = {
  /** What gas is expected to cost: the base fee and tip of the next block. */
  readonly gasPriceWei: bigint;
  /** The highest fee that would be signed. */
  readonly maxFeePerGasWei: bigint;
};

/**
 * Why a cycle that pays at the margin gives no plan.
 *
 * - `below-gas`: what it earns does not pay its gas (and premium)
 * - `below-min-profit`: it does, but not the gas limit at the highest fee, which is the least profit that is signed
 * - `no-lender`: no lender has the token, or may lend to this route
 * - `no-conversion`: its surplus is not WETH and no free pool turns it into WETH
 * - `not-executable`: exact arithmetic refuses it or leaves no surplus
 * - `implausible`: it multiplies money by more than any market lets stand, so some pool lies
 * - `candidate-cap`: the search had better candidates than it sizes exactly
 */
export type RejectReason =
  | "below-gas"
  | "below-min-profit"
  | "no-lender"
  | "no-conversion"
  | "not-executable"
  | "implausible"
  | "candidate-cap";

/** What became of a cycle. */
export type Verdict =
  | { readonly plan: Plan; readonly isGrossPositive: true }
  | { readonly rejected: RejectReason; readonly isGrossPositive: boolean };

/** Edges that are tried to convert a surplus, best marginal price first. */
const CONVERSIONS_MAX = 4;

/** Float profits are good to far better than this factor. */
const FLOAT_MARGIN = 1.001;

/** What planning needs besides the cycle. */
export type PlannerContext = {
  readonly graph: MarketGraph;
  readonly lenders: LenderDirectory;
  readonly gasModel: GasModel;
};

/** Sizes a cycle exactly, picks its lender and conversion, and prices it. `edges` may begin anywhere in the cycle. */
export function planCycle(context: PlannerContext, edges: readonly number[], prices: SearchPrices): Verdict {
  const { graph } = context;
  // From the token of the lowest number: WETH where the cycle has it, and the same one wherever the search began.
  let first = 0;
  for (let k = 1; k < edges.length; k += 1) {
    if (graph.fromOf(edges[k] as number) < graph.fromOf(edges[first] as number)) first = k;
  }
  const cycle = rotated(edges, first);
  if (graph.fromOf(cycle[0] as number) === WETH_TOKEN) return planRotation(context, cycle, prices);
  // Without WETH every token may be the one to borrow: what decides is how its surplus converts.
  let best: Verdict = { rejected: "no-conversion", isGrossPositive: false };
  for (let start = 0; start < cycle.length; start += 1) {
    const verdict = planRotation(context, rotated(cycle, start), prices);
    if (isBetter(verdict, best)) best = verdict;
  }
  return best;
}

function rotated(edges: readonly number[], start: number): number[] {
  return [...edges.slice(start), ...edges.slice(0, start)];
}

function isBetter(verdict: Verdict, best: Verdict): boolean {
  if (!("plan" in verdict)) return !("plan" in best) && verdict.isGrossPositive && !best.isGrossPositive;
  if (!("plan" in best)) return true;
  if (verdict.plan.netWei !== best.plan.netWei) return verdict.plan.netWei > best.plan.netWei;
  return verdict.plan.id < best.plan.id;
}

function planRotation(context: PlannerContext, edges: readonly number[], prices: SearchPrices): Verdict {
  const { graph, lenders } = context;
  const hops = edges.map((edge) => hopOf(graph, edge));
  const token = graph.tokenAddress(graph.fromOf(edges[0] as number));
  const pools = hops.map(({ pool }) => pool);
  const options = lenders.optionsFor({ token, pools });
  if (options.length === 0) return { rejected: "no-lender", isGrossPositive: true };
  let best: Verdict = { rejected: "not-executable", isGrossPositive: false };
  const optimum = floatOptimum(hops, 0);
  const shortfall = shortfallOf(context, edges, hops, options, optimum, prices);
  if (shortfall !== undefined) return { rejected: shortfall, isGrossPositive: true };
  for (const option of withoutDominated(options, context.gasModel, optimum.amountIn)) {
    const verdict = planWithLender(context, edges, hops, token, option, optimum, prices);
    if (isBetter(verdict, best)) best = verdict;
  }
  return best;
}

/**
 * What a route falls short of when even its float optimum, without a premium, clearly does not pay the gas of the
 * cheapest lender, or the profit that would be signed: most cycles end here, before any exact arithmetic. Only for
 * routes of WETH, whose profit needs no conversion.
 */
function shortfallOf(
  { graph, gasModel }: PlannerContext,
  edges: readonly number[],
  hops: readonly RouteHop[],
  options: readonly LenderOption[],
  { gross }: FloatOptimum,
  prices: SearchPrices,
): "below-gas" | "below-min-profit" | undefined {
  if (graph.fromOf(edges[0] as number) !== WETH_TOKEN || gross <= hops.length) return undefined;
  const lender = options.reduce((least, { kind }) => Math.min(least, gasModel.lender[kind]), Number.POSITIVE_INFINITY);
  const gas = hops.reduce((sum, { pool }) => sum + gasModel.hop[pool.kind], gasModel.base + lender);
  const gasCost = gas * Number(prices.gasPriceWei);
  if (gross * FLOAT_MARGIN < gasCost) return "below-gas";
  // So near the gas that exact arithmetic has to say which it is.
  if (gross < gasCost * FLOAT_MARGIN) return undefined;
  const leastSigned = gas * gasModel.limitMargin * Number(prices.maxFeePerGasWei);
  return gross * FLOAT_MARGIN < leastSigned ? "below-min-profit" : undefined;
}

function hopOf(graph: MarketGraph, edge: number): RouteHop {
  return {
    pool: graph.pools[graph.edgePool[edge] as number] as Pool,
    i: graph.edgeIndexIn[edge] as number,
    j: graph.edgeIndexOut[edge] as number,
  };
}

function planWithLender(
  context: PlannerContext,
  edges: readonly number[],
  hops: readonly RouteHop[],
  token: Address,
  option: LenderOption,
  unbounded: FloatOptimum,
  prices: SearchPrices,
): Verdict {
  const isBounded = option.capacity !== undefined && Number(option.capacity) < unbounded.amountIn;
  const optimum =
    option.premiumRate === 0 && !isBounded
      ? unbounded
      : floatOptimum(hops, option.premiumRate, option.capacity === undefined ? undefined : Number(option.capacity));
  const amounts = sizeRoute(hops, optimum.amountIn, option.premiumOf, option.capacity);
  if (amounts === undefined) return { rejected: "not-executable", isGrossPositive: false };
  const amount = amounts[0] as bigint;
  const premium = option.premiumOf(amount);
  const gross = (amounts.at(-1) as bigint) - amount;
  const surplus = gross - premium;
  if (gross <= 0n) return { rejected: "not-executable", isGrossPositive: false };
  if (surplus <= 0n) return { rejected: "below-gas", isGrossPositive: true };
  const start = context.graph.fromOf(edges[0] as number);
  const conversion = start === WETH_TOKEN ? [] : bestConversion(context.graph, start, hops, option, surplus);
  if (conversion === undefined) return { rejected: "no-conversion", isGrossPositive: true };
  const profitWei = conversion.at(-1)?.amountOut ?? surplus;
  const plan = createPlan(
    context.gasModel,
    { token, option, premium, surplus, profitWei },
    hopsOf(hops, amounts),
    conversion,
    prices,
  );
  if (plan.netWei <= 0n) return { rejected: "below-gas", isGrossPositive: true };
  if (plan.profitWei < plan.minProfitWei) return { rejected: "below-min-profit", isGrossPositive: true };
  return { plan, isGrossPositive: true };
}

function hopsOf(hops: readonly RouteHop[], amounts: RouteAmounts): Hop[] {
  return hops.map((hop, k) => planHop(hop, amounts[k] as bigint, amounts[k + 1] as bigint));
}

function planHop({ pool, i, j }: RouteHop, amountIn: bigint, amountOut: bigint): Hop {
  return {
    poolId: pool.id,
    kind: pool.kind,
    address: pool.address,
    tokenIn: pool.tokens[i] as Address,
    tokenOut: pool.tokens[j] as Address,
    indexIn: i,
    indexOut: j,
    amountIn,
    amountOut,
  };
}

/**
 * The single swap that turns the surplus into most WETH, through a pool that nothing in the plan locks or moves: no
 * hop, not the lending pool, and no Balancer pool when Balancer lends.
 */
function bestConversion(
  graph: MarketGraph,
  token: number,
  hops: readonly RouteHop[],
  lender: LenderOption,
  surplus: bigint,
): Hop[] | undefined {
  const pair = graph.pairOf(token, WETH_TOKEN);
  if (pair < 0) return undefined;
  let best: Hop | undefined;
  let tried = 0;
  for (const edge of graph.edgesOfPair(pair)) {
    if (tried === CONVERSIONS_MAX) break;
    const hop = hopOf(graph, edge);
    const { pool } = hop;
    if (pool.id === lender.poolId || hops.some((other) => other.pool.id === pool.id)) continue;
    if (lender.kind === "balancer-v2" && isBalancer(pool)) continue;
    tried += 1;
    const amountOut = attemptQuote(hop, surplus);
    if (amountOut === undefined || amountOut <= 0n) continue;
    if (best === undefined || amountOut > best.amountOut) best = planHop(hop, surplus, amountOut);
  }
  return best === undefined ? undefined : [best];
}

function attemptQuote({ pool, i, j }: RouteHop, amountIn: bigint): bigint | undefined {
  try {
    return quoteExactIn(pool, i, j, amountIn);
  } catch (error) {
    if (error instanceof AmmError) return undefined;
    throw error;
  }
}

function createPlan(
  gasModel: GasModel,
  funding: {
    token: Address;
    option: LenderOption;
    premium: bigint;
    surplus: bigint;
    profitWei: bigint;
  },
  hops: readonly Hop[],
  conversion: readonly Hop[],
  prices: SearchPrices,
): Plan {
  const { token, option, premium, surplus, profitWei } = funding;
  const amount = (hops[0] as Hop).amountIn;
  const gas = routeGas(gasModel, option.kind, [...hops, ...conversion]);
  const gasUnits = BigInt(Math.ceil(gas));
  const gasLimit = BigInt(Math.ceil(gas * gasModel.limitMargin));
  const premiumWei = (premium * profitWei + surplus - 1n) / surplus;
  const gasCostWei = gasUnits * prices.gasPriceWei;
  return {
    id: planId(token, option, hops, conversion),
    loan: {
      kind: option.kind,
      source: option.source,
      ...(option.poolId === undefined ? {} : { poolId: option.poolId }),
      token,
      amount,
      premium,
      repay: amount + premium,
    },
    hops,
    conversion,
    surplus,
    gasUnits,
    gasLimit,
    gasPriceWei: prices.gasPriceWei,
    profitWei,
    premiumWei,
    grossWei: profitWei + premiumWei,
    gasCostWei,
    netWei: profitWei - gasCostWei,
    minProfitWei: gasLimit * prices.maxFeePerGasWei,
  };
}

function planId(token: Address, option: LenderOption, hops: readonly Hop[], conversion: readonly Hop[]): string {
  const name = ({ poolId, indexIn, indexOut }: Hop): string => `${poolId}:${indexIn}:${indexOut}`;
  const lender = `${option.kind}:${option.poolId ?? option.source}:${token}`;
  return [lender, hops.map(name).join(">"), conversion.map(name).join(">")].join("|");
}

/** True for pools that the search refuses although their state is valid, with the reason. */
export function refusalOf(pool: Pool, weth: Address): string | undefined {
  if (pool.kind === "uniswap-v4" && pool.hooks !== NATIVE_TOKEN) {
    return `hooks at ${pool.hooks} may change amounts, so quotes would not be exact`;
  }
  if (pool.tokens.includes(weth) && pool.tokens.includes(NATIVE_TOKEN)) {
    return "WETH against the chain's own coin is one token to the search";
  }
  return undefined;
}
