import type { QuadraticCost } from "@flashloan/statevector/cost";
import type { QaoaSimulator } from "@flashloan/statevector/qaoa";
import type { Angles } from "./fixed-angles.ts";

const BINS_MAX = 60;

/** Mean costs of one layer over a grid of angles. */
export interface Landscape {
  readonly gammas: readonly number[];
  /** One for each row that was computed. */
  readonly betas: readonly number[];
  /** Row by row. */
  readonly energies: readonly number[];
  /** The lowest. */
  readonly best: { readonly gamma: number; readonly beta: number; readonly energy: number };
  /** False when time was up before the last row. */
  readonly isWhole: boolean;
}

/** The γ where the phases of a typical coefficient have gone round once. */
export function gammaPeriod({ linear = [], quadratic = [] }: QuadraticCost): number {
  const sizes = [...Array.from(linear), ...quadratic.map(([, , weight]) => weight)].map(Math.abs).filter((w) => w > 0);
  const typical = sizes.reduce((sum, value) => sum + value, 0) / Math.max(1, sizes.length) || 1;
  return (2 * Math.PI) / typical;
}

/**
 * ⟨C⟩ for γ of 0 to `gammaMax` and β of 0 to π/2, `grid` points each, in equal steps. Ends early before the energy that
 * would not be there in time, as the last ones took; the first row is always computed.
 * @param msLeft how much time there is, asked before each energy
 */
export function computeLandscape(
  simulator: QaoaSimulator,
  grid: number,
  gammaMax: number,
  msLeft: () => number = () => Infinity,
): Landscape {
  const gammas = Array.from({ length: grid }, (_, k) => (gammaMax * k) / (grid - 1));
  const betas: number[] = [];
  const energies: number[] = [];
  let best = { gamma: 0, beta: 0, energy: Infinity };
  let [left, tookMs] = [msLeft(), 0];
  for (let row = 0; row < grid; row++) {
    const beta = ((Math.PI / 2) * row) / (grid - 1);
    const values: number[] = [];
    for (const gamma of gammas) {
      if (row > 0 && left < tookMs) return { gammas, betas, energies, best, isWhole: false };
      const energy = simulator.energy([gamma], [beta]);
      const now = msLeft();
      [left, tookMs] = [now, left - now];
      values.push(energy);
      if (energy < best.energy) best = { gamma, beta, energy };
    }
    betas.push(beta);
    energies.push(...values);
  }
  return { gammas, betas, energies, best, isWhole: true };
}

/** Objectives of measurements at some angles, with their shares; where there are too many different ones, by equal steps. */
export function sampleObjectives(
  simulator: QaoaSimulator,
  { gammas, betas }: Angles,
  shots: number,
  seed: number,
): { objective: number; probability: number }[] {
  const sampled = [...simulator.distribution(gammas, betas).sample(shots, seed)].map(
    ([index, count]) => [simulator.costOf(index), count] as const,
  );
  const [least, most] = sampled.reduce(
    ([low, high], [cost]) => [Math.min(low, cost), Math.max(high, cost)],
    [Infinity, -Infinity],
  );
  const isFew = new Set(sampled.map(([cost]) => cost)).size <= BINS_MAX;
  const width = (most - least) / BINS_MAX;
  const placeOf = (cost: number): number =>
    isFew ? cost : least + (Math.min(BINS_MAX - 1, Math.floor((cost - least) / width)) + 0.5) * width;
  const shares = new Map<number, number>();
  for (const [cost, count] of sampled) shares.set(placeOf(cost), (shares.get(placeOf(cost)) ?? 0) + count / shots);
  return [...shares].map(([objective, probability]) => ({ objective, probability }));
}
