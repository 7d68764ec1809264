import { describe, expect, test } from "vitest";
import { createRandom } from "@flashloan/shared/random";
import { minimizeLbfgs, minimizeNelderMead, minimizeSpsa } from "../src/optimizers.ts";

/** Rosenbrock's valley, whose minimum 0 is at (1, 1). */
function valley([x, y]: Float64Array): number {
  return (1 - x!) ** 2 + 100 * (y! - x! ** 2) ** 2;
}

function valleyGradient([x, y]: Float64Array): Float64Array {
  return Float64Array.of(-2 * (1 - x!) - 400 * x! * (y! - x! ** 2), 200 * (y! - x! ** 2));
}

describe("L-BFGS", () => {
  test("finds the end of a curved valley", () => {
    const objective = (point: Float64Array) => ({ value: valley(point), gradient: valleyGradient(point) });
    const { point, value, evaluations } = minimizeLbfgs(objective, [-1.2, 1], { evaluationsMax: 100 });
    expect(value).toBeLessThan(1e-12);
    expect(point[0]).toBeCloseTo(1, 6);
    expect(evaluations).toBeLessThan(70);
  });

  test("minimizes a quadratic form of more dimensions than it remembers", () => {
    const objective = (point: Float64Array) => ({
      value: point.reduce((sum, x, i) => sum + (i + 1) * (x - i) ** 2, 0),
      gradient: point.map((x, i) => 2 * (i + 1) * (x - i)),
    });
    const { point } = minimizeLbfgs(objective, new Float64Array(25), { evaluationsMax: 200 });
    for (const [i, x] of point.entries()) expect(x).toBeCloseTo(i, 5);
  });

  test("keeps the limits, and the best point", () => {
    let asked = 0;
    const objective = (point: Float64Array) => {
      asked += 1;
      return { value: valley(point), gradient: valleyGradient(point) };
    };
    const few = minimizeLbfgs(objective, [-1.2, 1], { evaluationsMax: 5 });
    expect([few.evaluations, asked]).toEqual([5, 5]);
    expect(few.value).toBe(valley(few.point));
    const over = minimizeLbfgs(objective, [-1.2, 1], { evaluationsMax: 100, isOver: () => asked >= 8 });
    expect(over.evaluations).toBe(3);
    expect(() => minimizeLbfgs(objective, [0, 0], { evaluationsMax: 0 })).toThrow(/evaluationsMax must be/);
  });
});

test("Nelder–Mead finds the end of a curved valley, and keeps the limits", () => {
  const { point, value } = minimizeNelderMead(valley, [-1.2, 1], { evaluationsMax: 400 });
  expect(value).toBeLessThan(1e-10);
  expect(point[1]).toBeCloseTo(1, 4);
  expect(minimizeNelderMead(valley, [-1.2, 1], { evaluationsMax: 20 }).evaluations).toBeLessThanOrEqual(20);
});

test("SPSA comes near a minimum through noise, the same way for the same seed", () => {
  const noisy = (seed: number) => {
    const random = createRandom(seed);
    return ([x, y]: Float64Array): number => (x! - 1) ** 2 + 2 * (y! + 0.5) ** 2 + 0.01 * random.normal();
  };
  const limits = { evaluationsMax: 1_001, seed: 3 };
  const { point, evaluations } = minimizeSpsa(noisy(1), [0, 0], limits);
  expect(evaluations).toBe(1_001);
  expect(Math.abs(point[0]! - 1)).toBeLessThan(0.25);
  expect(Math.abs(point[1]! + 0.5)).toBeLessThan(0.25);
  expect(minimizeSpsa(noisy(1), [0, 0], limits)).toEqual(minimizeSpsa(noisy(1), [0, 0], limits));
});
