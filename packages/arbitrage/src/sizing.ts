import { createCurve, depthOf, type Curve, type CurvePoint } from "@flashloan/amm/curve";
import { AmmError, type Pool } from "@flashloan/amm/pool";
import { quoteExactIn, quoteExactOut } from "@flashloan/amm/quote";

/** One swap of a route: a pool and the indexes of its tokens. */
export type RouteHop = {
  readonly pool: Pool;
  readonly i: number;
  readonly j: number;
};

/** The amounts of a route: what goes into the first hop, then what leaves each hop, base units. */
export type RouteAmounts = readonly bigint[];

/** The size is found to this relative precision; the profit's error is of its square. */
const SIZE_PRECISION = 1e-7;
const BRACKET_STEPS_MAX = 64;
const SEARCH_STEPS_MAX = 80;
/** Below so many base units an intermediate amount is coarse: its rounding, not the curve, decides the best size. */
const COARSE_UNITS = 1_000_000n;
/** Numbers of coarse units tried on both sides of the smooth optimum. */
const COARSE_NEIGHBOURS = 2n;

/**
 * A route of constant products as one fraction: out(x) = b·x ÷ (a + c·x). Exact when every hop is a Uniswap V2 pair;
 * the estimate of the search otherwise.
 */
export type ComposedRoute = { readonly a: number; readonly b: number; readonly c: number };

/** The route of constant products as one fraction. */
export function composeRoute(hops: readonly RouteHop[]): ComposedRoute {
  let [a, b, c] = [1, 1, 0];
  for (const { pool, i, j } of hops) {
    const { reserveIn, reserveOut } = depthOf(pool, i, j);
    [a, b, c] = [a * reserveIn, b * reserveOut, c * reserveIn + b];
  }
  return { a, b, c };
}

/** The input that maximizes out(x) − (1 + premiumRate)·x; zero when none pays. */
export function composedOptimum({ a, b, c }: ComposedRoute, premiumRate = 0): number {
  const root = Math.sqrt(a) * Math.sqrt(b / (1 + premiumRate));
  return root > a ? (root - a) / c : 0;
}

/** The best float size of a route and what it earns there before any premium, base units. */
export type FloatOptimum = { readonly amountIn: number; readonly gross: number };

/**
 * The float input that maximizes a route's output less its repayment.
 *
 * Closed form when all hops are Uniswap V2; otherwise the root of the curves' slope, bracketed from the closed form's
 * estimate and narrowed by secants with bisection. Every pool's curve is concave, so the root is the maximum.
 *
 * @param premiumRate the loan's premium as a share of it.
 * @param sizeMax the most that can be borrowed, base units.
 */
export function floatOptimum(
  hops: readonly RouteHop[],
  premiumRate: number,
  sizeMax = Number.POSITIVE_INFINITY,
): FloatOptimum {
  const composed = composeRoute(hops);
  const start = composedOptimum(composed, premiumRate);
  if (hops.every(({ pool }) => pool.kind === "uniswap-v2")) {
    const amountIn = Math.min(start, sizeMax);
    const { a, b, c } = composed;
    return { amountIn, gross: ((b - a - c * amountIn) * amountIn) / (a + c * amountIn) };
  }
  const curves = hops.map(({ pool, i, j }) => createCurve(pool, i, j));
  const amountIn = optimumOfCurves(curves, 1 + premiumRate, start, sizeMax);
  const point: CurvePoint = { amountOut: amountIn, slope: 0 };
  for (const curve of curves) curve.evaluate(point.amountOut, point);
  return { amountIn, gross: point.amountOut - amountIn };
}

/**
 * The root of 1 ÷ √slope − 1, where the slope is what one more unit in pays over what it costs: for constant products
 * that is linear in the size, so the secant is there at once, and nearly so for the other curves.
 */
function optimumOfCurves(curves: readonly Curve[], unitCost: number, start: number, sizeMax: number): number {
  const point: CurvePoint = { amountOut: 0, slope: 0 };
  /** Negative below the optimum, positive above, infinite beyond what a pool takes. */
  const excessAt = (amountIn: number): number => {
    let slope = 1 / unitCost;
    let amount = amountIn;
    for (const curve of curves) {
      curve.evaluate(amount, point);
      slope *= point.slope;
      amount = point.amountOut;
    }
    return 1 / Math.sqrt(slope) - 1;
  };
  let low = 0;
  let lowExcess = excessAt(0);
  if (!(lowExcess < 0)) return 0;
  let high = Math.min(start > 0 && Number.isFinite(start) ? start : 1, sizeMax);
  let highExcess = excessAt(high);
  for (let step = 0; highExcess < 0; step += 1) {
    if (high >= sizeMax || step === BRACKET_STEPS_MAX) return high;
    const secant = low + ((high - low) * lowExcess) / (lowExcess - highExcess);
    low = high;
    lowExcess = highExcess;
    // First a hair beyond the secant, so that a nearly linear curve is bracketed at once; then in bolder steps.
    const next = secant > high ? secant * (1 + SIZE_PRECISION / 4) : high * 4;
    high = Math.min(step === 0 ? next : Math.max(next, high * 2), high * 4, sizeMax);
    highExcess = excessAt(high);
  }
  let widthBefore = Number.POSITIVE_INFINITY;
  for (let step = 0; step < SEARCH_STEPS_MAX && high - low > high * SIZE_PRECISION; step += 1) {
    const width = high - low;
    // Where the secant gains little, ticks make the slope jump: bisection keeps the worst case logarithmic.
    const isSlow = width > widthBefore / 2 && step % 3 === 2;
    const secant = isSlow ? Number.NaN : low - (width * lowExcess) / (highExcess - lowExcess);
    // Near a root one end hardly moves: a step of the precision past the secant closes the bracket.
    const nudge = (high * SIZE_PRECISION) / 4;
    const guess = secant - low < high - secant ? secant + nudge : secant - nudge;
    const middle = guess > low && guess < high ? guess : (low + high) / 2;
    const excess = excessAt(middle);
    if (excess < 0) [low, lowExcess] = [middle, excess];
    else [high, highExcess] = [middle, excess];
    if (step % 3 === 2) widthBefore = width;
  }
  return low;
}

/**
 * The exact amounts of a route for an input, hop by hop.
 *
 * @throws AmmError where a pool refuses its hop.
 */
export function quoteRoute(hops: readonly RouteHop[], amountIn: bigint): RouteAmounts {
  const amounts = [amountIn];
  let amount = amountIn;
  for (const { pool, i, j } of hops) {
    amount = quoteExactIn(pool, i, j, amount);
    amounts.push(amount);
  }
  return amounts;
}

/**
 * The exact amounts of the best integer size: the float optimum re-quoted hop by hop, and where an intermediate token
 * is so coarse that rounding decides, the least input for each neighbouring number of its units.
 *
 * @param optimum the float size, from `floatOptimum`.
 * @param premiumOf the loan's exact premium.
 * @param sizeMax the most that can be borrowed, base units; undefined for no limit.
 * @returns undefined when no size can be executed.
 */
export function sizeRoute(
  hops: readonly RouteHop[],
  optimum: number,
  premiumOf: (amount: bigint) => bigint,
  sizeMax?: bigint,
): RouteAmounts | undefined {
  if (!Number.isFinite(optimum)) return undefined;
  const floor = BigInt(Math.max(1, Math.floor(optimum)));
  const size = sizeMax !== undefined && floor > sizeMax ? sizeMax : floor;
  // A hair inside where the optimum is the edge of what a pool takes.
  let best = attemptRoute(hops, size) ?? attemptRoute(hops, size - size / 1_000_000n - 1n);
  const surplusOf = (amounts: RouteAmounts): bigint =>
    (amounts.at(-1) as bigint) - (amounts[0] as bigint) - premiumOf(amounts[0] as bigint);
  for (const candidate of coarseCandidates(hops, best)) {
    if (sizeMax !== undefined && (candidate[0] as bigint) > sizeMax) continue;
    if (best === undefined || surplusOf(candidate) > surplusOf(best)) best = candidate;
  }
  return best;
}

/**
 * Routes that put the least in for a whole number of the coarsest token's units: a few around what the smooth optimum
 * gives, or the first few of each hop's where that buys nothing at all.
 */
function coarseCandidates(hops: readonly RouteHop[], amounts: RouteAmounts | undefined): RouteAmounts[] {
  const candidates: RouteAmounts[] = [];
  const tryCounts = (hop: number, from: bigint, to: bigint): void => {
    for (let count = from; count <= to; count += 1n) {
      const input = count > 0n ? leastInput(hops.slice(0, hop), count) : undefined;
      const route = input === undefined ? undefined : attemptRoute(hops, input);
      if (route !== undefined) candidates.push(route);
    }
  };
  if (amounts === undefined) {
    for (let hop = 1; hop < hops.length; hop += 1) tryCounts(hop, 1n, 2n * COARSE_NEIGHBOURS);
    return candidates;
  }
  let coarsest = 1;
  for (let k = 2; k < amounts.length; k += 1) {
    if ((amounts[k] as bigint) < (amounts[coarsest] as bigint)) coarsest = k;
  }
  const units = amounts[coarsest] as bigint;
  if (units < COARSE_UNITS) {
    tryCounts(coarsest, units - COARSE_NEIGHBOURS, units + COARSE_NEIGHBOURS);
  }
  return candidates;
}

function leastInput(hops: readonly RouteHop[], amountOut: bigint): bigint | undefined {
  try {
    return hops.reduceRight((amount, { pool, i, j }) => quoteExactOut(pool, i, j, amount), amountOut);
  } catch (error) {
    if (error instanceof AmmError) return undefined;
    throw error;
  }
}

function attemptRoute(hops: readonly RouteHop[], amountIn: bigint): RouteAmounts | undefined {
  if (amountIn <= 0n) return undefined;
  try {
    return quoteRoute(hops, amountIn);
  } catch (error) {
    if (error instanceof AmmError) return undefined;
    throw error;
  }
}
