import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "@flashloan/shared/random";
import { QaoaSimulator, type Precision } from "../src/qaoa.ts";
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
  test.each([1, 2, 3, 4, 5, 6, 8])("energies of random costs are the definition's on %i qubits", (qubits) => {
    const random = createRandom(qubits);
    const kinds = {
      "few levels": () => random.below(9) - 4,
      "many levels": () => random.below(30_000) / 4,
      real: () => random.normal(),
    };
    for (const [kind, draw] of Object.entries(kinds)) {
      const costs = Float64Array.from({ length: 2 ** qubits }, draw);
      const simulator = QaoaSimulator.create({ qubits, cost: costs, precision });
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

  test.each([4, 6, 9, 10, 11, 13, 14, 15, 16, 17])("ring of %i: p = 1 cuts 3/4 of the edges", (qubits) => {
    const simulator = QaoaSimulator.create({ qubits, cost: ring(qubits), precision });
    const share = simulator.energy([Math.PI / 4], [Math.PI / 8]) / qubits;
    expect(share).toBeCloseTo(0.75, DIGITS[precision]);
  });
});

test("a triangle-free 3-regular graph at p = 1: 1/2 + 1/(3√3) of the edges (Wang et al. 2018)", () => {
  // The cube and, larger than a block, a prism over an 8-ring.
  for (const half of [4, 8]) {
    const around = Array.from({ length: half }, (_, i) => [i, (i + 1) % half] as const);
    const edges = [
      ...around,
      ...around.map(([i, j]) => [half + i, half + j] as const),
      ...around.map(([i]) => [i, half + i] as const),
    ];
    const simulator = QaoaSimulator.create({ qubits: 2 * half, cost: maxCut(2 * half, edges) });
    const share = simulator.energy([Math.atan(Math.SQRT1_2)], [Math.PI / 8]) / edges.length;
    expect(share).toBeCloseTo(0.5 + 1 / (3 * Math.sqrt(3)), 9);
  }
});

test("a quadratic form is the same as the vector of its values, blocks of more than one included", () => {
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
  const form = QaoaSimulator.create({ qubits, cost: { linear, quadratic, constant: 0.5 } });
  const vector = QaoaSimulator.create({ qubits, cost: costs });
  expect(form.energy([0.1, 0.7], [0.4, 2.2])).toBe(vector.energy([0.1, 0.7], [0.4, 2.2]));
});

test("energies stay within the costs, and angles have the periods of the definition", () => {
  const simulator = QaoaSimulator.create({ qubits: 7, cost: ring(7) });
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

test("what can't be simulated is refused, and the message says why", () => {
  const cost = ring(4);
  const create = (options: object) => () => QaoaSimulator.create({ qubits: 4, cost, ...options });
  expect(create({ qubits: 40 })).toThrow(/40 qubits need/);
  expect(create({ qubits: 41 })).toThrow(/from 1 to 40, not 41/);
  expect(create({ qubits: 2.5 })).toThrow(/not 2.5/);
  expect(create({ cost: [1, 2, 3] })).toThrow(/3 values: it needs one for each of 16/);
  expect(create({ cost: Array.from({ length: 16 }, () => Number.NaN) })).toThrow(/a cost is NaN/);
  expect(create({ cost: { linear: [0, 0, 0, Infinity] } })).toThrow(/a cost is Infinity/);
  expect(create({ cost: { quadratic: [[0, 4, 1]] } })).toThrow(/quadratic names qubit 4/);
  const simulator = QaoaSimulator.create({ qubits: 4, cost, layersMax: 2 });
  expect(() => simulator.energy([Number.NaN], [0])).toThrow(/layer 1 has γ NaN/);
  expect(() => simulator.energy([0], [])).toThrow(/1 γ and 0 β/);
  expect(() => simulator.energy([1, 2, 3], [1, 2, 3])).toThrow(/at most 2/);
});
