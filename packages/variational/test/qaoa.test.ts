import { describe, expect, test } from "vitest";
import { Distribution } from "@flashloan/statevector/distribution";
import { QaoaSimulator } from "@flashloan/statevector/qaoa";
import { fixedAngles, FIXED_LAYERS_MAX, type Angles } from "../src/fixed-angles.ts";
import {
  conditionalValueAtRisk,
  growQaoa,
  interpolate,
  optimizeCvar,
  optimizeQaoa,
  optimizeShots,
  rampAngles,
} from "../src/qaoa.ts";
import { minimizeLbfgs, minimizeNelderMead } from "../src/optimizers.ts";
import { treeValue } from "../src/tree-value.ts";

/** −1 for each edge that is cut. */
function minusCut(qubits: number, edges: readonly (readonly [number, number])[]) {
  const linear = Array.from({ length: qubits }, () => 0);
  for (const edge of edges) for (const vertex of edge) linear[vertex]! -= 1;
  return { qubits, cost: { linear, quadratic: edges.map(([i, j]) => [i, j, 2] as const) } };
}

function ring(qubits: number) {
  return minusCut(
    qubits,
    Array.from({ length: qubits }, (_, i) => [i, (i + 1) % qubits] as const),
  );
}

/** The Heawood graph: 3-regular, 14 vertices, no cycle shorter than 6. */
const HEAWOOD = Array.from({ length: 14 }, (_, i) => [
  [i, (i + 1) % 14] as const,
  ...(i % 2 === 0 ? [[i, (i + 5) % 14] as const] : []),
]).flat();

/** Shares of the edges that p = 1, 2, … cut on 3-regular graphs (Wurtz and Lykov 2021). */
const SHARES = [0.69245, 0.755906, 0.792398, 0.816876, 0.836379, 0.849894, 0.859793, 0.867407];

describe("angles that are known", () => {
  test.each(SHARES.map((share, k) => [k + 1, share] as const))(
    "p = %i cuts %f of a 3-regular graph",
    (layers, share) => {
      expect(treeValue(fixedAngles(layers), 3)).toBeCloseTo(share, layers <= 6 ? 5 : 4);
    },
  );

  test("the simulator says the same of a graph without short cycles", async () => {
    const simulator = await QaoaSimulator.create(minusCut(14, HEAWOOD));
    for (const layers of [1, 2]) {
      const { gammas, betas } = fixedAngles(layers);
      // −C is simulated: γ turns its sign.
      const energy = simulator.energy(
        gammas.map((gamma) => -gamma),
        betas,
      );
      expect(-energy / HEAWOOD.length).toBeCloseTo(treeValue(fixedAngles(layers), 3), 10);
    }
    expect(() => fixedAngles(0)).toThrow(`layers must be 1 to ${FIXED_LAYERS_MAX}`);
  });

  test("a tree's value at p = 1 is the closed form, whatever the degree", () => {
    for (const degree of [2, 3, 5]) {
      const [gamma, beta] = [0.4, 0.7];
      const expected = 0.5 + 0.5 * Math.sin(4 * beta) * Math.sin(gamma) * Math.cos(gamma) ** (degree - 1);
      expect(treeValue({ gammas: [gamma], betas: [beta] }, degree)).toBeCloseTo(expected, 12);
    }
  });
});

test("at a great degree, optimized, it is the Sherrington–Kirkpatrick model's energy (Farhi et al. 2022)", () => {
  const degree = 1e5;
  // Each layer costs as many digits as the degree has: two are what f64 allows.
  const values = [0.3033, 0.4075];
  let angles: Angles = { gammas: [1], betas: [Math.PI / 8] };
  for (const [k, expected] of values.entries()) {
    if (k > 0) angles = interpolate(angles);
    // γ is of the order of 1/√degree.
    const value = (point: Float64Array): number => {
      const gammas = Array.from(point.slice(0, k + 1), (gamma) => gamma / Math.sqrt(degree));
      return (0.5 - treeValue({ gammas, betas: Array.from(point.slice(k + 1)) }, degree)) * Math.sqrt(degree);
    };
    const h = 1e-3;
    const slope = (point: Float64Array, i: number): number =>
      (value(point.with(i, point[i]! + h)) - value(point.with(i, point[i]! - h))) / (2 * h);
    const { point, value: least } = minimizeLbfgs(
      (point) => ({ value: value(point), gradient: point.map((_, i) => slope(point, i)) }),
      [...angles.gammas, ...angles.betas],
      { evaluationsMax: 60, tolerance: 1e-5 },
    );
    expect(-least).toBeCloseTo(expected, 4);
    angles = { gammas: Array.from(point.slice(0, k + 1)), betas: Array.from(point.slice(k + 1)) };
  }
});

describe("optimization", () => {
  test.each([1, 2, 3, 4, 5])("p = %i reaches (2p + 1)/(2p + 2) of a ring", async (layers) => {
    const qubits = 2 * layers + 2;
    const simulator = await QaoaSimulator.create(ring(qubits));
    const result = growQaoa(simulator, rampAngles(1), layers, { evaluationsMax: 200 });
    expect(result.gammas).toHaveLength(layers);
    expect(-result.value / qubits).toBeCloseTo((2 * layers + 1) / (2 * layers + 2), 8);
    expect(simulator.energy(result.gammas, result.betas)).toBeCloseTo(result.value, 10);
  });

  test("a triangle-free 3-regular graph reaches 1/2 + 1/(3√3) at p = 1", async () => {
    const simulator = await QaoaSimulator.create(minusCut(14, HEAWOOD));
    const { value } = optimizeQaoa(simulator, rampAngles(1), { evaluationsMax: 50 });
    expect(-value / HEAWOOD.length).toBeCloseTo(0.5 + 1 / (3 * Math.sqrt(3)), 9);
  });

  test("18 gradients reach what 200 values of Nelder–Mead do not", async () => {
    const simulator = await QaoaSimulator.create(minusCut(14, HEAWOOD));
    const start = rampAngles(3);
    const smooth = optimizeQaoa(simulator, start, { evaluationsMax: 18 });
    const simplex = minimizeNelderMead(
      (point) => simulator.energy(point.slice(0, 3), point.slice(3)),
      [...start.gammas, ...start.betas],
      { evaluationsMax: 200 },
    );
    expect(smooth.evaluations).toBeLessThanOrEqual(18);
    expect(smooth.value).toBeLessThan(simplex.value);
  });

  test("a schedule keeps its ends when it is interpolated", () => {
    expect(interpolate({ gammas: [2], betas: [3] })).toEqual({ gammas: [2, 2], betas: [3, 3] });
    const { gammas } = interpolate({ gammas: [1, 3], betas: [0, 0] });
    expect(gammas).toEqual([1, 2, 3]);
  });

  test("the conditional value at risk is the mean of the least costs, and QAOA can minimize it", async () => {
    const distribution = new Distribution(Float64Array.of(0.1, 0.4, 0.3, 0.2));
    const costOf = (index: number): number => [5, 1, 2, -1][index]!;
    expect(conditionalValueAtRisk(distribution, costOf, 1)).toBeCloseTo(distribution.expectation(costOf), 12);
    expect(conditionalValueAtRisk(distribution, costOf, 0.2)).toBeCloseTo(-1, 12);
    expect(conditionalValueAtRisk(distribution, costOf, 0.4)).toBeCloseTo(0, 12);
    expect(() => conditionalValueAtRisk(distribution, costOf, 0)).toThrow(/alpha must be/);
    const simulator = await QaoaSimulator.create(ring(6));
    const best = optimizeCvar(simulator, rampAngles(2), 0.2, { evaluationsMax: 300, tolerance: 1e-4 });
    // A fifth of the probability is on the two perfect cuts.
    expect(best.value).toBeCloseTo(-6, 3);
  });

  test("a mean of shots can be minimized, the same way for the same seed", async () => {
    const simulator = await QaoaSimulator.create(ring(4));
    const limits = { evaluationsMax: 301, shots: 200, seed: 5 };
    const result = optimizeShots(simulator, rampAngles(1), limits);
    expect(simulator.energy(result.gammas, result.betas)).toBeLessThan(-2.9);
    expect(optimizeShots(simulator, rampAngles(1), limits)).toEqual(result);
  });
});
