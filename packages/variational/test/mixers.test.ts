import { expect, test } from "vitest";
import { QaoaSimulator } from "@flashloan/statevector/qaoa";
import { createRandom } from "@flashloan/shared/random";
import { createAlternatingAnsatz, warmStartMixer, xMixer, xyMixer } from "../src/mixers.ts";
import { minimizeNelderMead } from "../src/optimizers.ts";
import { recursiveQaoa } from "../src/recursive.ts";

function randomCosts(qubits: number, seed: number): Float64Array {
  const random = createRandom(seed);
  return Float64Array.from({ length: 2 ** qubits }, () => random.below(21) - 10);
}

const ANGLES = { gammas: [0.3, 0.1], betas: [0.7, -0.4] };

test("with ΣX it is QAOA", async () => {
  const costs = randomCosts(4, 1);
  const simulator = await QaoaSimulator.create({ qubits: 4, cost: costs });
  const { energy } = createAlternatingAnsatz(4, costs, xMixer(4));
  expect(energy(ANGLES)).toBeCloseTo(simulator.energy(ANGLES.gammas, ANGLES.betas), 10);
  expect(() => createAlternatingAnsatz(3, costs, xMixer(3))).toThrow(/16 values: it needs 8/);
});

test.each(["ring", "complete"] as const)("XY on a %s keeps groups one-hot and finds the best choice", (shape) => {
  const groups = [
    [0, 1, 2, 3],
    [4, 5, 6],
  ];
  const costs = randomCosts(7, 2);
  const isOneHot = (index: number): boolean =>
    groups.every((group) => group.filter((qubit) => (index >> qubit) & 1).length === 1);
  const ansatz = createAlternatingAnsatz(7, costs, xyMixer(groups, shape));
  const start = ansatz.distribution({ gammas: [], betas: [] }).probabilities;
  for (const [index, probability] of start.entries()) expect(probability).toBeCloseTo(isOneHot(index) ? 1 / 12 : 0, 12);
  const kept = ansatz.distribution(ANGLES).expectation((index) => (isOneHot(index) ? 1 : 0));
  expect(kept).toBeCloseTo(1, 12);
  const least = Math.min(...costs.filter((_, index) => isOneHot(index)));
  const split = (point: Float64Array) => ({ gammas: Array.from(point.slice(0, 3)), betas: Array.from(point.slice(3)) });
  const { value } = minimizeNelderMead((point) => ansatz.energy(split(point)), [0.05, 0.1, 0.15, 0.6, 0.4, 0.2], {
    evaluationsMax: 600,
  });
  const mean = ansatz.energy({ gammas: [], betas: [] });
  expect(value).toBeGreaterThanOrEqual(least - 1e-9);
  // Two thirds of the way from the mean to the best.
  expect(value).toBeLessThan(mean - (2 / 3) * (mean - least));
});

test("a warm start begins at its shares, and its mixer leaves that state alone", () => {
  const costs = randomCosts(3, 3);
  const shares = [0.2, 1, 0.5];
  const ansatz = createAlternatingAnsatz(3, costs, warmStartMixer(shares, 0.1));
  const kept = [0.2, 0.9, 0.5];
  for (const angles of [
    { gammas: [], betas: [] },
    { gammas: [0], betas: [0.8] },
  ]) {
    const { probabilities } = ansatz.distribution(angles);
    for (const [index, probability] of probabilities.entries()) {
      const expected = kept.reduce((product, share, qubit) => product * ((index >> qubit) & 1 ? share : 1 - share), 1);
      expect(probability).toBeCloseTo(expected, 12);
    }
  }
  expect(() => warmStartMixer([1.5])).toThrow(/shares must be/);
});

test("recursive QAOA finds the minimum of small problems, linear terms included", async () => {
  const random = createRandom(11);
  let found = 0;
  const problems = 6;
  for (let problem = 0; problem < problems; problem++) {
    const qubits = 10;
    const linear = Array.from({ length: qubits }, () => random.below(11) - 5);
    const quadratic = Array.from({ length: 18 }, () => {
      const i = random.below(qubits);
      return [i, (i + 1 + random.below(qubits - 1)) % qubits, random.below(11) - 5] as const;
    });
    const costOf = (bit: (index: number) => number): number =>
      3 +
      linear.reduce((sum, weight, i) => sum + weight * bit(i), 0) +
      quadratic.reduce((sum, [i, j, weight]) => sum + weight * bit(i) * bit(j), 0);
    const { bits, cost } = await recursiveQaoa(qubits, { linear, quadratic, constant: 3 }, 1, { evaluationsMax: 60 });
    expect(cost).toBeCloseTo(
      costOf((i) => bits[i]!),
      9,
    );
    const least = Math.min(...Array.from({ length: 2 ** qubits }, (_, x) => costOf((i) => (x >> i) & 1)));
    if (cost < least + 1e-9) found += 1;
  }
  expect(found).toBeGreaterThanOrEqual(problems - 1);
});
