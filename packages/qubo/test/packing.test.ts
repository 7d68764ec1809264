import fc from "fast-check";
import { expect, test } from "vitest";
import { createRandom } from "@flashloan/shared/random";
import { pack, type Packing } from "../src/packing.ts";

const AMPLE = { deadlineMs: 60_000, seed: 1, now: () => performance.now() };
const SIZE = 8;
const item = fc.integer({ min: 0, max: SIZE - 1 });
const anyPacking: fc.Arbitrary<Packing> = fc.record({
  values: fc.array(fc.integer({ min: -5, max: 20 }), { minLength: SIZE, maxLength: SIZE }),
  pairs: fc
    .array(fc.tuple(item, item, fc.integer({ min: -15, max: 15 })), { maxLength: 12 })
    .map((pairs) => pairs.filter(([i, j]) => i !== j)),
  limits: fc.array(
    fc.record({
      weights: fc
        .array(fc.integer({ min: 0, max: 6 }), { minLength: SIZE, maxLength: SIZE })
        .map((weights) => [...weights.entries()]),
      capacity: fc.integer({ min: 0, max: 15 }),
    }),
    { maxLength: 3 },
  ),
});

const worth = ({ values, pairs }: Packing, x: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value, i) => sum + value * (x[i] ?? 0), 0) +
  pairs.reduce((sum, [i, j, gain]) => sum + gain * (x[i] ?? 0) * (x[j] ?? 0), 0);
const fits = ({ limits }: Packing, x: ArrayLike<number>): boolean =>
  limits.every(
    ({ weights, capacity }) => weights.reduce((sum, [i, weight]) => sum + weight * (x[i] ?? 0), 0) <= capacity,
  );

test("of every choice within the limits the best, and it is proven", () => {
  fc.assert(
    fc.property(anyPacking, (packing) => {
      let best = 0;
      for (let bits = 0; bits < 2 ** SIZE; bits++) {
        const x = Array.from({ length: SIZE }, (_, i) => (bits >> i) & 1);
        if (fits(packing, x)) best = Math.max(best, worth(packing, x));
      }
      const solution = pack(packing, AMPLE);
      expect(fits(packing, solution.x)).toBe(true);
      expect([solution.value, worth(packing, solution.x), solution.provenOptimal, solution.bound]).toEqual([
        best,
        best,
        true,
        best,
      ]);
      expect(solution.greedy).toBeLessThanOrEqual(best);
    }),
    { numRuns: 300 },
  );
});

/** A problem that no tree is through with in short. */
function large(size: number): Packing {
  const random = createRandom(5);
  const items = [...Array(size).keys()];
  return {
    values: items.map(() => 10 + random.below(90)),
    pairs: items.flatMap((i) =>
      items.slice(i + 1).flatMap((j) => (random.next() < 0.1 ? [[i, j, random.below(41) - 20] as const] : [])),
    ),
    limits: [0, 1, 2].map(() => ({
      weights: items.map((i) => [i, 1 + random.below(40)] as const),
      capacity: 5 * size,
    })),
  };
}

test("stopped early: within the limits, no worse than greedy, below its bound, and not called proven", () => {
  for (const deadlineMs of [0, 20, 60]) {
    let ms = 0;
    const packing = large(150);
    const solution = pack(packing, { deadlineMs, seed: 1, now: () => (ms += 0.02) });
    expect(fits(packing, solution.x)).toBe(true);
    expect(solution.value).toBeCloseTo(worth(packing, solution.x), 6);
    expect(solution.value).toBeGreaterThanOrEqual(solution.greedy);
    expect(solution.bound).toBeGreaterThanOrEqual(solution.value);
    expect(solution.bound).toBeLessThan(Infinity);
    expect([solution.provenOptimal, solution.degraded]).toEqual([false, deadlineMs === 0]);
  }
});

test("more time is never worse, and the same seed finds the same", () => {
  const run = (deadlineMs: number): number => {
    let ms = 0;
    return pack(large(100), { deadlineMs, seed: 3, now: () => (ms += 0.02) }).value;
  };
  expect(run(100)).toBeGreaterThanOrEqual(run(10));
  expect(run(100)).toBe(run(100));
});

test("nothing to choose from, and nothing that fits", () => {
  expect(pack({ values: [], pairs: [], limits: [] }, AMPLE)).toMatchObject({ value: 0, provenOptimal: true });
  const full = {
    values: [5, 6],
    pairs: [],
    limits: [
      {
        weights: [
          [0, 2],
          [1, 3],
        ] as const,
        capacity: 1,
      },
    ],
  };
  expect(pack(full, AMPLE)).toMatchObject({ value: 0, provenOptimal: true, bound: 0 });
});

test.each([
  [{ values: [Number.NaN], pairs: [], limits: [] }, /the value of item 0 is NaN/],
  [{ values: [1], pairs: [[0, 1, 2]], limits: [] }, /a pair names item 1: there are 1, counted from 0/],
  [{ values: [1, 1], pairs: [[0, 1, -Infinity]], limits: [] }, /the pair of 0 and 1 gains -Infinity/],
  [{ values: [1], pairs: [], limits: [{ weights: [[0, -1]], capacity: 1 }] }, /limit 0: the weight of item 0 is -1/],
  [{ values: [1], pairs: [], limits: [{ weights: [], capacity: -1 }] }, /the capacity of limit 0 is -1/],
] as const)("refuses %j", (packing, message) => {
  expect(() => pack(packing as Packing, AMPLE)).toThrow(message);
});
