import fc from "fast-check";
import type { Coupling } from "../src/quadratic.ts";

/** Variables of {@link anyProblem}. */
export const SIZE = 7;
const coefficient = fc.integer({ min: -50, max: 50 });
const index = fc.integer({ min: 0, max: SIZE - 1 });
/** Any problem of seven variables; couplings in any order, several of one pair, and diagonal ones. */
export const anyProblem = fc
  .record({
    offset: coefficient,
    linear: fc.array(coefficient, { maxLength: SIZE }),
    couplings: fc.array(fc.tuple(index, index, coefficient), { maxLength: 30 }),
  })
  .map(({ offset, linear, couplings }) => ({ size: SIZE, offset, linear, couplings: couplings as Coupling[] }));
