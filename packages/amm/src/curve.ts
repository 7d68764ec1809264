import { AMP_PRECISION } from "./balancer-stable.ts";
import { lastIndexAtMost } from "./concentrated.ts";
import type { BalancerStablePool, BalancerWeightedPool, Pool, UniswapV3Pool, UniswapV4Pool } from "./pool.ts";
import { MAX_TICK, MIN_TICK } from "./tick-math.ts";
import { v4SwapFeePpm } from "./uniswap-v4.ts";

/**
 * A pool seen as a constant product in one direction, fee included: amountOut ≈ reserveOut · x ÷ (reserveIn + x).
 *
 * The spot price is reserveOut ÷ reserveIn. Exact for Uniswap V2. For V3 and V4 the liquidity is the largest within
 * `DEPTH_TICKS` of the price, so the estimate of a profit is not too low; for Balancer it fits the curve's bend.
 * Both are zero when nothing can be bought.
 */
export type Depth = {
  readonly reserveIn: number;
  readonly reserveOut: number;
};

/** An output and the marginal price there, in floats; filled by `Curve.evaluate`. */
export type CurvePoint = {
  /** Base units out. */
  amountOut: number;
  /** Base units out for one more base unit in; zero beyond what the pool can take. */
  slope: number;
};

/** A pool's exact-input curve in one direction as floats: concave, fee included, good to about twelve digits. */
export type Curve = {
  /** The marginal price at zero: base units out per base unit in. */
  readonly spot: number;
  /** Writes the output and the slope at `amountIn` into `point`. */
  readonly evaluate: (amountIn: number, point: CurvePoint) => void;
};

/** How far from the price V3 and V4 liquidity counts in `depthOf`: about 5 %, and at most so many stretches. */
const DEPTH_TICKS = 500;
const DEPTH_STRETCHES = 16;

const Q96 = 2 ** 96;
const LN_SQRT_BASE = Math.log(1.0001) / 2;
const PPM = 1_000_000;
const ONE = 1e18;
const MAX_BALANCE_RATIO = 0.3;
/** Newton steps in floats; the iteration is quadratic, so more would change nothing. */
const MAX_ITERATIONS = 64;
/** Shares of the balance at which a stable curve's bend is measured. */
const BEND_SHARES = [1e-3, 1e-1] as const;

const NO_DEPTH: Depth = { reserveIn: 0, reserveOut: 0 };

/** The pool as a constant product from token i to token j; see `Depth`. */
export function depthOf(pool: Pool, i: number, j: number): Depth {
  switch (pool.kind) {
    case "uniswap-v2": {
      const reserveIn = Number(pool.reserves[i as 0 | 1]);
      const scale = Number(pool.feeDenominator) / Number(pool.feeNumerator);
      return { reserveIn: reserveIn * scale, reserveOut: Number(pool.reserves[j as 0 | 1]) };
    }
    case "uniswap-v3":
    case "uniswap-v4":
      return concentratedDepth(pool, i === 0);
    case "balancer-weighted": {
      const { balanceIn, spot, exponent, keep } = weightedFloats(pool, i, j);
      const reserveIn = (2 * balanceIn) / (exponent + 1) / keep;
      return { reserveIn, reserveOut: spot * reserveIn };
    }
    case "balancer-stable":
      return stableDepth(pool, i, j);
  }
}

/** The pool's curve from token i to token j, for sizing. Build it once and evaluate it often. */
export function createCurve(pool: Pool, i: number, j: number): Curve {
  switch (pool.kind) {
    case "uniswap-v2":
      return constantProductCurve(depthOf(pool, i, j));
    case "uniswap-v3":
    case "uniswap-v4":
      return concentratedCurve(pool, i === 0);
    case "balancer-weighted":
      return weightedCurve(pool, i, j);
    case "balancer-stable":
      return stableCurve(pool, i, j);
  }
}

function constantProductCurve({ reserveIn, reserveOut }: Depth): Curve {
  return {
    spot: reserveOut / reserveIn,
    evaluate: (amountIn, point) => {
      const share = 1 / (reserveIn + amountIn);
      point.amountOut = reserveOut * amountIn * share;
      point.slope = reserveOut * reserveIn * share * share;
    },
  };
}

/** The share of the input that trades after the swap fee. */
function keptShare(pool: UniswapV3Pool | UniswapV4Pool, zeroForOne: boolean): number {
  const feePpm = pool.kind === "uniswap-v3" ? pool.feePpm : v4SwapFeePpm(pool, zeroForOne);
  return (PPM - feePpm) / PPM;
}

/** Walks the pool's liquidity in the direction of a swap, one stretch of constant liquidity at a time. */
function createWalk(pool: UniswapV3Pool | UniswapV4Pool, zeroForOne: boolean) {
  const { ticks, liquidityNets } = pool;
  let index = lastIndexAtMost(ticks, pool.tick) + (zeroForOne ? 0 : 1);
  let sqrtPrice = Number(pool.sqrtPriceX96) / Q96;
  let liquidity = Number(pool.liquidity);
  return {
    /** The next stretch with liquidity, or undefined at the end of the ticks. */
    next(): { from: number; to: number; liquidity: number; tick: number } | undefined {
      for (;;) {
        const tick = ticks[index];
        if (tick === undefined) return undefined;
        const net = Number(liquidityNets[index]);
        const from = sqrtPrice;
        const to = Math.exp(tick * LN_SQRT_BASE);
        const current = liquidity;
        sqrtPrice = to;
        // Sums of floats leave dust of about 1e-16 of what was there: it is not liquidity.
        const next = zeroForOne ? liquidity - net : liquidity + net;
        liquidity = next > Math.abs(net) * 1e-12 ? next : 0;
        index += zeroForOne ? -1 : 1;
        if (current > 0 && from !== to) return { from, to, liquidity: current, tick };
      }
    },
  };
}

function concentratedDepth(pool: UniswapV3Pool | UniswapV4Pool, zeroForOne: boolean): Depth {
  const keep = keptShare(pool, zeroForOne);
  const walk = createWalk(pool, zeroForOne);
  const first = walk.next();
  if (first === undefined || keep <= 0) return NO_DEPTH;
  let liquidity = first.liquidity;
  const reach = zeroForOne ? Math.max(MIN_TICK, pool.tick - DEPTH_TICKS) : Math.min(MAX_TICK, pool.tick + DEPTH_TICKS);
  let stretch: typeof first | undefined = first;
  for (let count = 1; count < DEPTH_STRETCHES; count += 1) {
    if (stretch === undefined || (zeroForOne ? stretch.tick <= reach : stretch.tick >= reach)) break;
    stretch = walk.next();
    if (stretch !== undefined && stretch.liquidity > liquidity) liquidity = stretch.liquidity;
  }
  const spotBeforeFee = zeroForOne ? first.from * first.from : 1 / (first.from * first.from);
  const reserveIn = (zeroForOne ? liquidity / first.from : liquidity * first.from) / keep;
  return { reserveIn, reserveOut: reserveIn * spotBeforeFee * keep };
}

function concentratedCurve(pool: UniswapV3Pool | UniswapV4Pool, zeroForOne: boolean): Curve {
  const keep = keptShare(pool, zeroForOne);
  const walk = createWalk(pool, zeroForOne);
  // Each stretch is a constant product; they are added as larger inputs ask for them.
  type Stretch = { inBefore: number; outBefore: number; in: number; out: number; inMax: number };
  const stretches: Stretch[] = [];
  let ended = false;
  const extend = (): void => {
    const stretch = walk.next();
    if (stretch === undefined || keep <= 0) {
      ended = true;
      return;
    }
    const last = stretches.at(-1);
    const { from, to, liquidity } = stretch;
    const inMax = (zeroForOne ? liquidity / to - liquidity / from : liquidity * (to - from)) / keep;
    const before = last === undefined ? 0 : last.inBefore + last.inMax;
    const outBefore = last === undefined ? 0 : last.outBefore + (last.out * last.inMax) / (last.in + last.inMax);
    stretches.push({
      inBefore: before,
      outBefore,
      in: (zeroForOne ? liquidity / from : liquidity * from) / keep,
      out: zeroForOne ? liquidity * from : liquidity / from,
      inMax,
    });
  };
  extend();
  const first = stretches[0];
  return {
    spot: first === undefined ? 0 : first.out / first.in,
    evaluate: (amountIn, point) => {
      let k = 0;
      let stretch = stretches[0];
      while (stretch !== undefined && amountIn > stretch.inBefore + stretch.inMax) {
        k += 1;
        if (k === stretches.length && !ended) extend();
        const next = stretches[k];
        if (next === undefined) {
          point.amountOut = stretch.outBefore + (stretch.out * stretch.inMax) / (stretch.in + stretch.inMax);
          point.slope = 0;
          return;
        }
        stretch = next;
      }
      if (stretch === undefined) {
        point.amountOut = 0;
        point.slope = 0;
        return;
      }
      const inside = amountIn - stretch.inBefore;
      const share = 1 / (stretch.in + inside);
      point.amountOut = stretch.outBefore + stretch.out * inside * share;
      point.slope = stretch.out * stretch.in * share * share;
    },
  };
}

function weightedFloats(pool: BalancerWeightedPool, i: number, j: number) {
  const balanceIn = Number(pool.balances[i]);
  const balanceOut = Number(pool.balances[j]);
  const exponent = Number(pool.weights[i]) / Number(pool.weights[j]);
  const keep = (ONE - Number(pool.swapFee)) / ONE;
  const spot = (balanceOut / balanceIn) * exponent * keep;
  return { balanceIn, balanceOut, exponent, keep, spot };
}

function weightedCurve(pool: BalancerWeightedPool, i: number, j: number): Curve {
  const { balanceIn, balanceOut, exponent, keep, spot } = weightedFloats(pool, i, j);
  return {
    spot,
    evaluate: (amountIn, point) => {
      const limit = balanceIn * MAX_BALANCE_RATIO;
      const traded = Math.min(amountIn * keep, limit);
      // expm1 and log1p keep the digits of small trades that 1 − (…)^k would lose.
      const power = -exponent * Math.log1p(traded / balanceIn);
      point.amountOut = -balanceOut * Math.expm1(power);
      point.slope =
        amountIn * keep > limit ? 0 : ((balanceOut * exponent * keep) / (balanceIn + traded)) * Math.exp(power);
    },
  };
}

function stableFloats(pool: BalancerStablePool) {
  const balances = pool.balances.map((b, k) => Number(b * (pool.scalingFactors[k] as bigint)));
  const count = balances.length;
  const amplification = (Number(pool.amplification) / Number(AMP_PRECISION)) * count;
  const sum = balances.reduce((total, balance) => total + balance, 0);
  let invariant = sum;
  for (let iteration = 0; iteration < MAX_ITERATIONS; iteration += 1) {
    let product = invariant;
    for (const balance of balances) product = (product * invariant) / (balance * count);
    const next =
      ((amplification * sum + product * count) * invariant) / ((amplification - 1) * invariant + (count + 1) * product);
    const change = Math.abs(next - invariant);
    invariant = next;
    if (change <= invariant * 1e-15) break;
  }
  return { balances, count, amplification, invariant, keep: (ONE - Number(pool.swapFee)) / ONE };
}

function stableCurve(pool: BalancerStablePool, i: number, j: number): Curve {
  const { balances, count, amplification, invariant, keep } = stableFloats(pool);
  const scaleIn = Number(pool.scalingFactors[i]);
  const scaleOut = Number(pool.scalingFactors[j]);
  const balanceIn = balances[i] as number;
  const balanceOut = balances[j] as number;
  let othersSum = 0;
  // D^(n+1) ÷ (n^n × the product of the balances other than in and out).
  let others = invariant / count;
  for (let k = 0; k < count; k += 1) others *= invariant / count;
  others *= count;
  balances.forEach((balance, k) => {
    if (k === i || k === j) return;
    othersSum += balance;
    others /= balance;
  });
  const evaluate = (amountIn: number, point: CurvePoint): void => {
    const x = balanceIn + amountIn * keep * scaleIn;
    const c = others / x / amplification;
    const b = othersSum + x + invariant / amplification;
    // Newton from the present balance, for y² + (b − D) y = c.
    let y = balanceOut;
    for (let iteration = 0; iteration < MAX_ITERATIONS; iteration += 1) {
      const next = (y * y + c) / (2 * y + b - invariant);
      const change = Math.abs(next - y);
      y = next;
      if (change <= y * 1e-16) break;
    }
    const product = others / (x * y);
    point.amountOut = Math.max(0, (balanceOut - y) / scaleOut);
    point.slope = (((amplification + product / x) / (amplification + product / y)) * keep * scaleIn) / scaleOut;
  };
  const origin: CurvePoint = { amountOut: 0, slope: 0 };
  evaluate(0, origin);
  return { spot: origin.slope, evaluate };
}

function stableDepth(pool: BalancerStablePool, i: number, j: number): Depth {
  const curve = stableCurve(pool, i, j);
  const balanceIn = Number(pool.balances[i]);
  const point: CurvePoint = { amountOut: 0, slope: 0 };
  let reserveIn = balanceIn;
  for (const share of BEND_SHARES) {
    curve.evaluate(balanceIn * share, point);
    // A constant product's slope falls as (1 + x ÷ reserveIn)^−2.
    const bend = Math.sqrt(curve.spot / point.slope) - 1;
    if (bend > 0) reserveIn = Math.max(reserveIn, (balanceIn * share) / bend);
  }
  return { reserveIn, reserveOut: curve.spot * reserveIn };
}
