import fc from "fast-check";
import { expect, test } from "vitest";
import { Quadratic } from "../src/quadratic.ts";
import { State } from "../src/search.ts";
import { anyProblem, SIZE } from "./instances.ts";

const index = fc.integer({ min: 0, max: SIZE - 1 });
const anyAssignment = fc.array(fc.constantFrom(0, 1), { minLength: SIZE, maxLength: SIZE });

test("the value is what the terms say, term by term", () => {
  fc.assert(
    fc.property(anyProblem, anyAssignment, (terms, x) => {
      let sum = terms.offset;
      for (const [i, weight] of terms.linear.entries()) sum += weight * (x[i] ?? 0);
      for (const [i, j, weight] of terms.couplings) sum += weight * (x[i] ?? 0) * (x[j] ?? 0);
      expect(Quadratic.of(terms).value(x)).toBe(sum);
    }),
  );
});

test("flips are the differences of values, before and after any sequence of flips", () => {
  fc.assert(
    fc.property(anyProblem, anyAssignment, fc.array(index, { maxLength: 20 }), (terms, x, sequence) => {
      const problem = Quadratic.of(terms);
      const state = new State(problem, Uint8Array.from(x));
      for (const i of sequence) state.flip(i);
      expect(state.value).toBe(problem.value(state.x));
      for (let i = 0; i < SIZE; i++) {
        const flipped = state.x.slice();
        flipped[i] = 1 - (flipped[i] ?? 0);
        expect(state.flips[i]).toBeCloseTo(problem.value(flipped) - state.value, 9);
      }
    }),
  );
});

test("as an Ising model it has the same values, and comes back the same", () => {
  fc.assert(
    fc.property(anyProblem, anyAssignment, (terms, x) => {
      const problem = Quadratic.of(terms);
      const { offset, fields, couplings } = problem.toIsing();
      const spin = (i: number): number => 1 - 2 * (x[i] ?? 0);
      let energy = offset;
      for (const [i, field] of fields.entries()) energy += field * spin(i);
      for (const [i, j, weight] of couplings) energy += weight * spin(i) * spin(j);
      expect(energy).toBeCloseTo(problem.value(x), 9);
      expect(Quadratic.fromIsing(fields, couplings, offset).value(x)).toBeCloseTo(problem.value(x), 9);
      expect(problem.negated().value(x) + problem.value(x)).toBe(0);
    }),
  );
});

test("couplings of one pair add up, those that cancel are none, and rows are in order", () => {
  const problem = Quadratic.of({
    size: 4,
    couplings: [
      [3, 0, 2],
      [0, 3, 1],
      [1, 2, 5],
      [2, 1, -5],
      [2, 2, 7],
      [0, 1, 4],
    ],
  });
  expect([...problem.pairs()]).toEqual([
    [0, 1, 4],
    [0, 3, 3],
  ]);
  expect([problem.couplings, [...problem.linear], problem.step]).toEqual([2, [0, 0, 7, 0], 1]);
  expect(Quadratic.of({ size: 2, couplings: [[0, 1, 0.5]] }).step).toBe(0);
});

test.each([
  [{ size: -1, couplings: [] }, /-1 variables: must be a whole number up to 50000/],
  [{ size: 60_000, couplings: [] }, /60000 variables/],
  [{ size: 2, linear: [1, Number.NaN], couplings: [] }, /linear coefficient 1 is NaN/],
  [{ size: 2, offset: Infinity, couplings: [] }, /the offset is Infinity/],
  [{ size: 2, couplings: [[0, 1, Number.NaN]] }, /the coupling of 0 and 1 is NaN/],
  [{ size: 2, couplings: [[0, 2, 1]] }, /a coupling names variable 2: there are 2, counted from 0/],
  [{ size: 1, linear: [1, 2], couplings: [] }, /2 linear coefficients for 1 variables/],
] as const)("refuses %j", (terms, message) => {
  expect(() => Quadratic.of(terms)).toThrow(message);
});
