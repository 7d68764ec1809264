import { FlashloanError } from "@flashloan/shared/errors";
import { createRandom } from "@flashloan/shared/random";

/** A function to be minimized. */
export type Objective = (point: Float64Array) => number;

/** A function to be minimized, with its gradient. */
export type SmoothObjective = (point: Float64Array) => { readonly value: number; readonly gradient: Float64Array };

/** Where an optimizer stops. */
export interface Limits {
  /** Values, or values with gradients, that may be asked for. */
  readonly evaluationsMax: number;
  /** Ends when the steps (Nelder–Mead: the simplex) or the gradient are this small. Default 1e-8. */
  readonly tolerance?: number;
  /** Asked before each iteration; true stops. */
  readonly isOver?: () => boolean;
}

/** The best point that was seen. */
export interface Minimum {
  readonly point: Float64Array;
  readonly value: number;
  readonly evaluations: number;
}

const TOLERANCE = 1e-8;

/** Counts evaluations and keeps the best point. */
class Record {
  best: { point: Float64Array; value: number } = { point: new Float64Array(0), value: Infinity };
  evaluations = 0;
  readonly #limits: Limits;

  constructor(limits: Limits) {
    if (!(limits.evaluationsMax >= 1)) {
      throw new FlashloanError("argument_invalid", `evaluationsMax must be 1 or more, not ${limits.evaluationsMax}`);
    }
    this.#limits = limits;
  }

  /** Whether so many more evaluations are within the limits. */
  allows(evaluations: number): boolean {
    return this.evaluations + evaluations <= this.#limits.evaluationsMax && !this.#limits.isOver?.();
  }

  take(point: Float64Array, value: number): number {
    this.evaluations += 1;
    if (value < this.best.value || this.evaluations === 1) this.best = { point: point.slice(), value };
    return value;
  }

  get minimum(): Minimum {
    return { ...this.best, evaluations: this.evaluations };
  }
}

const HISTORY = 10;
const ARMIJO = 1e-4;
const CURVATURE = 0.9;
/** The first step's length: angles are of order one. */
const FIRST_STEP = 0.1;
const LINE_EVALUATIONS_MAX = 20;

/** L-BFGS (Liu and Nocedal 1989), its line search by bisection for the weak Wolfe conditions. */
export function minimizeLbfgs(objective: SmoothObjective, start: ArrayLike<number>, limits: Limits): Minimum {
  const record = new Record(limits);
  const tolerance = limits.tolerance ?? TOLERANCE;
  const evaluate = (point: Float64Array) => {
    const { value, gradient } = objective(point);
    return { point, value: record.take(point, value), gradient };
  };
  let here = evaluate(Float64Array.from(start));
  const pairs: { s: Float64Array; y: Float64Array; rho: number }[] = [];
  while (norm(here.gradient) > tolerance) {
    let direction = newtonDirection(here.gradient, pairs);
    let slope = dot(direction, here.gradient);
    if (!(slope < 0)) {
      pairs.length = 0;
      direction = here.gradient.map((value) => -value);
      slope = dot(direction, here.gradient);
    }
    let step = pairs.length === 0 ? Math.min(1, FIRST_STEP / norm(direction)) : 1;
    let [low, high] = [0, Infinity];
    let next: ReturnType<typeof evaluate> | undefined;
    for (let k = 0; k < LINE_EVALUATIONS_MAX; k++) {
      if (!record.allows(1)) return record.minimum;
      const there = evaluate(here.point.map((value, i) => value + step * direction[i]!));
      if (!(there.value <= here.value + ARMIJO * step * slope)) high = step;
      else {
        next = there;
        if (dot(there.gradient, direction) >= CURVATURE * slope) break;
        low = step;
      }
      step = high === Infinity ? 2 * step : (low + high) / 2;
    }
    // No step is better: rounding ends it.
    if (!next) return record.minimum;
    const s = next.point.map((value, i) => value - here.point[i]!);
    const y = next.gradient.map((value, i) => value - here.gradient[i]!);
    if (dot(s, y) > 1e-14 * norm(s) * norm(y)) {
      pairs.push({ s, y, rho: 1 / dot(s, y) });
      if (pairs.length > HISTORY) pairs.shift();
    }
    here = next;
    if (norm(s) <= tolerance) break;
  }
  return record.minimum;
}

/** The two loops: −H·gradient for the inverse Hessian that the pairs imply. */
function newtonDirection(
  gradient: Float64Array,
  pairs: readonly { readonly s: Float64Array; readonly y: Float64Array; readonly rho: number }[],
): Float64Array {
  const q = gradient.slice();
  const alphas = pairs.toReversed().map(({ s, y, rho }) => {
    const alpha = rho * dot(s, q);
    for (let i = 0; i < q.length; i++) q[i]! -= alpha * y[i]!;
    return alpha;
  });
  const last = pairs.at(-1);
  const scale = last ? 1 / (last.rho * dot(last.y, last.y)) : 1;
  for (let i = 0; i < q.length; i++) q[i]! *= scale;
  for (const [k, { s, y, rho }] of pairs.entries()) {
    const beta = alphas[pairs.length - 1 - k]! - rho * dot(y, q);
    for (let i = 0; i < q.length; i++) q[i]! += beta * s[i]!;
  }
  return q.map((value) => -value);
}

/** Nelder and Mead's simplex (1965), with the coefficients for many dimensions of Gao and Han (2012). */
export function minimizeNelderMead(
  objective: Objective,
  start: ArrayLike<number>,
  limits: Limits & { /** The first simplex's edge. Default 0.1. */ readonly edge?: number },
): Minimum {
  const record = new Record(limits);
  const tolerance = limits.tolerance ?? TOLERANCE;
  const evaluate = (point: Float64Array) => ({ point, value: record.take(point, objective(point)) });
  const origin = Float64Array.from(start);
  const n = origin.length;
  const [expansion, contraction, shrinkage] = [1 + 2 / n, 0.75 - 1 / (2 * n), Math.max(0.5, 1 - 1 / n)];
  const simplex = [evaluate(origin)];
  for (let i = 0; i < n && record.allows(1); i++) {
    simplex.push(evaluate(origin.with(i, origin[i]! + (limits.edge ?? FIRST_STEP))));
  }
  while (simplex.length > Math.max(1, n) && record.allows(2 + n)) {
    simplex.sort((a, b) => a.value - b.value);
    const [best, worst] = [simplex[0]!, simplex[n]!];
    const size = Math.max(...simplex.map(({ point }) => norm(point.map((value, i) => value - best.point[i]!))));
    if (size <= tolerance) break;
    const centre = origin.map((_, i) => simplex.slice(0, n).reduce((sum, { point }) => sum + point[i]! / n, 0));
    const along = (by: number) => evaluate(centre.map((value, i) => value + by * (worst.point[i]! - value)));
    const reflected = along(-1);
    let next = reflected;
    if (reflected.value < best.value) {
      const expanded = along(-expansion);
      if (expanded.value < reflected.value) next = expanded;
    } else if (reflected.value >= simplex[n - 1]!.value) {
      next = along(reflected.value < worst.value ? -contraction : contraction);
    }
    if (next.value < worst.value) simplex[n] = next;
    else {
      for (let k = 1; k <= n; k++) {
        const { point } = simplex[k]!;
        simplex[k] = evaluate(point.map((value, i) => best.point[i]! + shrinkage * (value - best.point[i]!)));
      }
    }
  }
  return record.minimum;
}

/** Slopes that are looked at for the size of the first step. */
const CALIBRATIONS = 8;

/**
 * Simultaneous perturbation (Spall 1992, his gains of 1998): two values an iteration whatever the dimension, for values
 * with noise. `step` and `perturbation` are those of the first iteration. The result is the last point, not the luckiest.
 */
export function minimizeSpsa(
  objective: Objective,
  start: ArrayLike<number>,
  limits: Limits & { readonly seed: number; readonly step?: number; readonly perturbation?: number },
): Minimum {
  const record = new Record(limits);
  const random = createRandom(limits.seed);
  const perturbation = limits.perturbation ?? FIRST_STEP;
  let point = Float64Array.from(start);
  const value = (at: Float64Array): number => record.take(at, objective(at));
  /** The slope along random signs, and the signs. */
  const look = (c: number) => {
    const signs = point.map(() => (random.next() < 0.5 ? -1 : 1));
    const [plus, minus] = [1, -1].map((side) => value(point.map((x, i) => x + side * c * signs[i]!)));
    return { slope: (plus! - minus!) / (2 * c), signs };
  };
  // The first step is to be as long as asked for, on average, and the later ones in proportion.
  const steepness = Array.from({ length: CALIBRATIONS }, () =>
    record.allows(3) ? Math.abs(look(perturbation).slope) : 0,
  );
  const steep = steepness.reduce((sum, slope) => sum + slope, 0) / CALIBRATIONS;
  const iterations = Math.floor((limits.evaluationsMax - 1) / 2) - CALIBRATIONS;
  const stability = Math.max(0, iterations / 10);
  const gain = ((limits.step ?? FIRST_STEP) * (1 + stability) ** 0.602) / (steep || 1);
  for (let k = 0; k < iterations && record.allows(3); k++) {
    const { slope, signs } = look(perturbation / (k + 1) ** 0.101);
    const step = (gain * slope) / (k + 1 + stability) ** 0.602;
    point = point.map((x, i) => x - step * signs[i]!);
  }
  return { point, value: value(point), evaluations: record.evaluations };
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

function norm(a: Float64Array): number {
  return Math.sqrt(dot(a, a));
}
