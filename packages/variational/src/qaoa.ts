import { FlashloanError } from "@flashloan/shared/errors";
import type { Distribution } from "@flashloan/statevector/distribution";
import type { QaoaSimulator } from "@flashloan/statevector/qaoa";
import type { Angles } from "./fixed-angles.ts";
import { minimizeLbfgs, minimizeNelderMead, minimizeSpsa, type Limits, type Minimum } from "./optimizers.ts";

/** Angles and what they reach; `value` is what was minimized. */
export interface QaoaResult extends Angles {
  readonly value: number;
  readonly evaluations: number;
}

/** Minimizes ⟨C⟩ from a start, with all its derivatives. For a maximum, simulate −C. */
export function optimizeQaoa(simulator: QaoaSimulator, start: Angles, limits: Limits): QaoaResult {
  const objective = (point: Float64Array) => {
    const { gammas, betas } = split(point);
    const gradient = simulator.gradient(gammas, betas);
    return { value: gradient.energy, gradient: Float64Array.of(...gradient.gammas, ...gradient.betas) };
  };
  return asResult(minimizeLbfgs(objective, join(start), limits));
}

/** Grows p from the start's to `layers` by interpolation, minimizing at each p. `limits` bound each of them. */
export function growQaoa(simulator: QaoaSimulator, start: Angles, layers: number, limits: Limits): QaoaResult {
  let result = optimizeQaoa(simulator, start, limits);
  let { evaluations } = result;
  while (result.gammas.length < layers && !limits.isOver?.()) {
    result = optimizeQaoa(simulator, interpolate(result), limits);
    evaluations += result.evaluations;
  }
  return { ...result, evaluations };
}

/** INTERP (Zhou et al. 2020): the same schedule with a layer more. */
export function interpolate({ gammas, betas }: Angles): Angles {
  const layers = gammas.length;
  const longer = (angles: readonly number[]): number[] =>
    Array.from(
      { length: layers + 1 },
      (_, k) => (k / layers) * (angles[k - 1] ?? 0) + ((layers - k) / layers) * (angles[k] ?? 0),
    );
  return { gammas: longer(gammas), betas: longer(betas) };
}

/** A linear ramp, as of an annealer that takes `timeStep` a layer (Sack and Serbyn 2021); γ in units of 1/`scale`. */
export function rampAngles(layers: number, timeStep = 0.75, scale = 1): Angles {
  const fractions = Array.from({ length: layers }, (_, k) => (k + 0.5) / layers);
  return {
    gammas: fractions.map((fraction) => (fraction * timeStep) / scale),
    // For a minimum the mixer's ground state |+…+⟩ is that of −ΣX.
    betas: fractions.map((fraction) => -(1 - fraction) * timeStep),
  };
}

/** The mean of the least costs that make up a share `alpha` of the probability (Barkoutsos et al. 2020). */
export function conditionalValueAtRisk(
  { probabilities }: Distribution,
  costOf: (index: number) => number,
  alpha: number,
): number {
  if (!(alpha > 0 && alpha <= 1)) {
    throw new FlashloanError("argument_invalid", `alpha must be above 0 and at most 1, not ${alpha}`);
  }
  const states = Array.from(probabilities, (probability, index) => ({ probability, cost: costOf(index) }));
  states.sort((a, b) => a.cost - b.cost);
  let [left, sum] = [alpha, 0];
  for (const { probability, cost } of states) {
    const taken = Math.min(left, probability);
    sum += taken * cost;
    left -= taken;
    if (left <= 0) break;
  }
  // What rounding leaves is the dearest state's.
  return (sum + left * states.at(-1)!.cost) / alpha;
}

/** Minimizes the conditional value at risk, which has no gradient here, by Nelder–Mead. */
export function optimizeCvar(simulator: QaoaSimulator, start: Angles, alpha: number, limits: Limits): QaoaResult {
  const costs = Float64Array.from({ length: 2 ** simulator.qubits }, (_, index) => simulator.costOf(index));
  const objective = (point: Float64Array): number => {
    const { gammas, betas } = split(point);
    return conditionalValueAtRisk(simulator.distribution(gammas, betas), (index) => costs[index]!, alpha);
  };
  return asResult(minimizeNelderMead(objective, join(start), limits));
}

/** Minimizes what a quantum computer would measure: the mean cost of so many shots an evaluation, by SPSA. */
export function optimizeShots(
  simulator: QaoaSimulator,
  start: Angles,
  limits: Limits & { readonly shots: number; readonly seed: number },
): QaoaResult {
  let asked = 0;
  const objective = (point: Float64Array): number => {
    const { gammas, betas } = split(point);
    asked += 1;
    const counts = simulator.distribution(gammas, betas).sample(limits.shots, limits.seed + asked);
    return counts.entries().reduce((sum, [index, count]) => sum + count * simulator.costOf(index), 0) / limits.shots;
  };
  return asResult(minimizeSpsa(objective, join(start), limits));
}

function join({ gammas, betas }: Angles): number[] {
  return [...gammas, ...betas];
}

function split(point: Float64Array): { gammas: Float64Array; betas: Float64Array } {
  return { gammas: point.slice(0, point.length / 2), betas: point.slice(point.length / 2) };
}

function asResult({ point, value, evaluations }: Minimum): QaoaResult {
  const { gammas, betas } = split(point);
  return { gammas: [...gammas], betas: [...betas], value, evaluations };
}
