import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "@flashloan/shared/random";
import type { Precision } from "../src/engine.ts";
import { memoryBytes, QaoaSimulator, type QaoaOptions } from "../src/qaoa.ts";
import { expectation, qaoaState } from "./reference.ts";

/** The cut count of a graph as a quadratic form: x_i + x_j − 2·x_i·x_j an edge. */
function maxCut(qubits: number, edges: readonly (readonly [number, number])[]) {
  const linear = Array.from({ length: qubits }, () => 0);
  for (const edge of edges) for (const vertex of edge) linear[vertex]! += 1;
  return { linear, quadratic: edges.map(([i, j]) => [i, j, -2] as const) };
}

function ring(qubits: number) {
  return maxCut(
    qubits,
    Array.from({ length: qubits }, (_, i) => [i, (i + 1) % qubits] as const),
  );
}

const DIGITS: Record<Precision, number> = { f64: 9, f32: 4 };

describe.each(["f64", "f32"] as const)("%s", (precision) => {
  test.each([1, 2, 3, 4, 5, 6, 8])("energies of random costs are the definition's on %i qubits", async (qubits) => {
    const random = createRandom(qubits);
    const kinds = {
      "few levels": () => random.below(9) - 4,
      "many levels": () => random.below(30_000) / 4,
      real: () => random.normal(),
    };
    for (const [kind, draw] of Object.entries(kinds)) {
      const costs = Float64Array.from({ length: 2 ** qubits }, draw);
      const simulator = await QaoaSimulator.create({ qubits, cost: costs, precision });
      const scale = kind === "many levels" ? 1e-4 : 1;
      for (const layers of [0, 1, 2, 3, 5]) {
        const gammas = Array.from({ length: layers }, () => 3 * random.normal() * scale);
        const betas = Array.from({ length: layers }, () => 3 * random.normal());
        const expected = expectation(qaoaState(costs, gammas, betas), costs);
        expect(simulator.energy(gammas, betas) * scale, `${kind}, ${layers} layers`).toBeCloseTo(
          expected * scale,
          DIGITS[precision] - 1,
        );
      }
    }
  });

  test.each([4, 6, 9, 10, 11, 13, 14, 15, 16, 17])("ring of %i: p = 1 cuts 3/4 of the edges", async (qubits) => {
    const simulator = await QaoaSimulator.create({ qubits, cost: ring(qubits), precision });
    const share = simulator.energy([Math.PI / 4], [Math.PI / 8]) / qubits;
    expect(share).toBeCloseTo(0.75, DIGITS[precision]);
  });
});

test("a triangle-free 3-regular graph at p = 1: 1/2 + 1/(3√3) of the edges (Wang et al. 2018)", async () => {
  // The cube and, larger than a block, a prism over an 8-ring.
  for (const half of [4, 8]) {
    const around = Array.from({ length: half }, (_, i) => [i, (i + 1) % half] as const);
    const edges = [
      ...around,
      ...around.map(([i, j]) => [half + i, half + j] as const),
      ...around.map(([i]) => [i, half + i] as const),
    ];
    const simulator = await QaoaSimulator.create({ qubits: 2 * half, cost: maxCut(2 * half, edges) });
    const share = simulator.energy([Math.atan(Math.SQRT1_2)], [Math.PI / 8]) / edges.length;
    expect(share).toBeCloseTo(0.5 + 1 / (3 * Math.sqrt(3)), 9);
  }
});

test("a quadratic form is the same as the vector of its values, blocks of more than one included", async () => {
  const random = createRandom(7);
  const qubits = 16;
  const linear = Array.from({ length: qubits }, () => random.below(9) - 4);
  const quadratic = Array.from(
    { length: 40 },
    () => [random.below(qubits), random.below(qubits), random.below(9) - 4] as const,
  );
  const costs = Float64Array.from({ length: 2 ** qubits }, (_, x) => {
    const bit = (i: number): number => (x >> i) & 1;
    return (
      0.5 +
      linear.reduce((sum, weight, i) => sum + weight * bit(i), 0) +
      quadratic.reduce((sum, [i, j, weight]) => sum + weight * bit(i) * bit(j), 0)
    );
  });
  const form = await QaoaSimulator.create({ qubits, cost: { linear, quadratic, constant: 0.5 } });
  const vector = await QaoaSimulator.create({ qubits, cost: costs });
  expect(form.energy([0.1, 0.7], [0.4, 2.2])).toBe(vector.energy([0.1, 0.7], [0.4, 2.2]));
});

test("energies stay within the costs, and angles have the periods of the definition", async () => {
  const simulator = await QaoaSimulator.create({ qubits: 7, cost: ring(7) });
  const angle = fc.double({ min: -10, max: 10, noNaN: true });
  fc.assert(
    fc.property(fc.array(fc.tuple(angle, angle), { minLength: 1, maxLength: 4 }), (layers) => {
      const gammas = layers.map(([gamma]) => gamma);
      const betas = layers.map(([, beta]) => beta);
      const energy = simulator.energy(gammas, betas);
      expect(energy).toBeGreaterThan(-1e-9);
      expect(energy).toBeLessThan(7 + 1e-9);
      const turned = simulator.energy(
        gammas.map((gamma) => gamma + 2 * Math.PI),
        betas.map((beta) => beta - Math.PI),
      );
      expect(turned).toBeCloseTo(energy, 9);
    }),
  );
});

test("p layers cut (2p + 1)/(2p + 2) of a long enough ring's edges, at angles found by following the gradient", async () => {
  for (const layers of [1, 2, 3]) {
    const qubits = 2 * layers + 2;
    const simulator = await QaoaSimulator.create({ qubits, cost: ring(qubits) });
    let [gammas, betas] = [new Float64Array(layers).fill(0.5), new Float64Array(layers).fill(0.3)];
    for (let step = 0; step < 3_000; step++) {
      const gradient = simulator.gradient(gammas, betas);
      gammas = gammas.map((gamma, k) => gamma + 0.02 * gradient.gammas[k]!);
      betas = betas.map((beta, k) => beta + 0.02 * gradient.betas[k]!);
    }
    expect(simulator.energy(gammas, betas) / qubits).toBeCloseTo((2 * layers + 1) / (2 * layers + 2), 6);
  }
});

test.each([1, 2, 3, 4])("gradients are the differences' limits, whatever is fused: %i layers", async (layers) => {
  const random = createRandom(layers);
  // Within one block, and with high qubits.
  for (const [qubits, precision] of [
    [4, "f64"],
    [7, "f64"],
    [15, "f64"],
    [16, "f64"],
    [6, "f32"],
    [16, "f32"],
  ] as const) {
    const kinds = {
      "few levels": { linear: Array.from({ length: qubits }, () => random.below(5) - 2) },
      real: { linear: Array.from({ length: qubits }, () => random.normal() / Math.sqrt(qubits)) },
    };
    const quadratic = Array.from({ length: qubits }, (_, i) => [i, (i + 1) % qubits, random.below(3) - 1] as const);
    for (const [kind, { linear }] of Object.entries(kinds)) {
      const cost = { linear, quadratic };
      const simulator = await QaoaSimulator.create({ qubits, cost, precision });
      const exact = precision === "f64" ? simulator : await QaoaSimulator.create({ qubits, cost });
      const gammas = Array.from({ length: layers }, () => random.normal());
      const betas = Array.from({ length: layers }, () => 2 * random.normal());
      const gradient = simulator.gradient(gammas, betas);
      const digits = precision === "f64" ? 6 : 3;
      const what = `${kind}, ${qubits} qubits, ${precision}`;
      expect(gradient.energy, what).toBeCloseTo(exact.energy(gammas, betas), digits);
      for (let k = 0; k < layers; k++) {
        const nudged = (angles: number[], by: number) => angles.with(k, angles[k]! + by);
        const h = 1e-5;
        const byGamma = exact.energy(nudged(gammas, h), betas) - exact.energy(nudged(gammas, -h), betas);
        const byBeta = exact.energy(gammas, nudged(betas, h)) - exact.energy(gammas, nudged(betas, -h));
        expect(gradient.gammas[k], `${what}: γ${k + 1}`).toBeCloseTo(byGamma / (2 * h), digits - 1);
        expect(gradient.betas[k], `${what}: β${k + 1}`).toBeCloseTo(byBeta / (2 * h), digits - 1);
      }
    }
  }
});

test.each([2, 5, 9])("probabilities are the definition's on %i qubits", async (qubits) => {
  const random = createRandom(qubits);
  const costs = Float64Array.from({ length: 2 ** qubits }, () => random.below(7));
  const simulator = await QaoaSimulator.create({ qubits, cost: costs });
  for (const betas of [[0.4], [1.9], [0.4, 2.9], [1.2, 2.1, -0.3]]) {
    const gammas = betas.map(() => random.normal());
    const { probabilities } = simulator.distribution(gammas, betas);
    const expected = qaoaState(costs, gammas, betas).map(([re, im]) => re * re + im * im);
    for (const [x, probability] of expected.entries()) expect(probabilities[x]).toBeCloseTo(probability, 12);
  }
});

test("a distribution's mean is the energy, and shots follow it, the same for the same seed", async () => {
  const simulator = await QaoaSimulator.create({ qubits: 6, cost: ring(6) });
  const angles = [[0.7, 0.9] as number[], [0.5, 0.3] as number[]] as const;
  const distribution = simulator.distribution(...angles);
  const mean = distribution.expectation((index) => simulator.costOf(index));
  expect(mean).toBeCloseTo(simulator.energy(...angles), 10);
  const shots = 40_000;
  const counts = distribution.sample(shots, 5);
  expect(counts).toEqual(distribution.sample(shots, 5));
  expect(counts).not.toEqual(distribution.sample(shots, 6));
  expect(counts.values().reduce((sum, count) => sum + count, 0)).toBe(shots);
  for (const [index, probability] of distribution.probabilities.entries()) {
    // Five standard deviations.
    const width = 5 * Math.sqrt((probability * (1 - probability)) / shots);
    expect(Math.abs((counts.get(index) ?? 0) / shots - probability)).toBeLessThanOrEqual(width);
  }
  expect(() => distribution.sample(-1, 0)).toThrow(/shots must be a whole number/);
});

test.each(["f64", "f32"] as const)("several threads give what one gives, to the last bit: %s", async (precision) => {
  const cost = ring(16);
  const one = await QaoaSimulator.create({ qubits: 16, cost, precision });
  await using three = await QaoaSimulator.create({ qubits: 16, cost, precision, threads: 3 });
  for (const layers of [1, 2, 3]) {
    const gammas = Array.from({ length: layers }, (_, k) => 0.3 + 0.2 * k);
    const betas = Array.from({ length: layers }, (_, k) => 0.6 - 0.2 * k);
    // The first run is one of three threads, the second of one, then of whichever were faster.
    for (let run = 0; run < 4; run++) {
      expect(three.energy(gammas, betas)).toBe(one.energy(gammas, betas));
      expect(three.gradient(gammas, betas)).toEqual(one.gradient(gammas, betas));
    }
  }
});

test("24 qubits take less than a gigabyte, whatever the costs, gradients and threads included", () => {
  expect(memoryBytes({ qubits: 24, threads: 2 })).toBeLessThan(1e9);
  expect(memoryBytes({ qubits: 24, levels: 40, gradients: false })).toBeLessThan(300e6);
  expect(memoryBytes({ qubits: 24, precision: "f32", levels: 40, gradients: false })).toBeLessThan(160e6);
});

test("what can't be simulated is refused, and the message says why", async () => {
  const cost = ring(4);
  const create = (options: Partial<QaoaOptions>) => QaoaSimulator.create({ qubits: 4, cost, ...options });
  await expect(create({ qubits: 40 })).rejects.toThrow(/40 qubits need/);
  await expect(create({ qubits: 41 })).rejects.toThrow(/from 1 to 40, not 41/);
  await expect(create({ qubits: 2.5 })).rejects.toThrow(/not 2.5/);
  await expect(create({ threads: 0 })).rejects.toThrow(/threads must be/);
  await expect(create({ layersMax: 0 })).rejects.toThrow(/layersMax must be/);
  await expect(create({ cost: [1, 2, 3] })).rejects.toThrow(/3 values: it needs one for each of 16/);
  await expect(create({ cost: Array.from({ length: 16 }, () => Number.NaN) })).rejects.toThrow(/a cost is NaN/);
  await expect(create({ cost: { linear: [0, 0, 0, Infinity] } })).rejects.toThrow(/a cost is Infinity/);
  await expect(create({ cost: { quadratic: [[0, 4, 1]] } })).rejects.toThrow(/quadratic names qubit 4/);
  const simulator = await create({ layersMax: 2, gradients: false });
  expect(() => simulator.energy([Number.NaN], [0])).toThrow(/layer 1 has γ NaN/);
  expect(() => simulator.energy([0], [])).toThrow(/1 γ and 0 β/);
  expect(() => simulator.energy([1, 2, 3], [1, 2, 3])).toThrow(/at most 2/);
  expect(() => simulator.gradient([1], [1])).toThrow(/without gradients/);
  expect(() => simulator.costOf(16)).toThrow(/no basis state 16/);
});
