import { expect, test } from "vitest";
import { createRandom } from "../src/random.ts";

test("the same seed gives the same numbers, another seed others", () => {
  const draw = (seed: number): number[] => {
    const random = createRandom(seed);
    return Array.from({ length: 5 }, () => random.next());
  };
  expect(draw(7)).toEqual(draw(7));
  expect(draw(7)).not.toEqual(draw(8));
});

test("uniform and normal draws have the moments that they should", () => {
  const random = createRandom(1);
  const count = 100_000;
  let [sum, normalSum, normalSquares] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    sum += random.next();
    const z = random.normal();
    normalSum += z;
    normalSquares += z * z;
  }
  expect(sum / count).toBeCloseTo(0.5, 2);
  expect(normalSum / count).toBeCloseTo(0, 1);
  expect(normalSquares / count).toBeCloseTo(1, 1);
});
