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

/** bqp50-1 of the OR-Library (Beasley 1998): its entries `i j q`, counted from 1; best known 2098. */
export const BQP50_1 = `50 111
1 4 39 1 43 -72 1 44 -99 1 49 -57 2 7 78 2 14 -28 2 32 15 3 11 -84 3 44 86 4 11 -77 4 22 43 4 27 -12 4 38 -86 4 39 -81
4 49 -48 5 9 -51 5 16 -75 5 20 -53 6 7 2 6 14 -68 6 15 -3 6 16 -66 6 21 89 6 24 -90 6 31 -76 7 17 -97 7 18 -65 7 32 -50
7 48 2 7 50 -22 8 42 -91 8 49 -19 9 29 -22 9 31 -7 9 45 22 9 48 -10 10 20 -77 10 30 42 10 41 40 11 18 35 11 41 -86
11 42 -62 11 47 75 12 20 94 12 25 -95 12 46 25 12 47 25 13 30 -14 13 40 45 13 43 48 13 47 -25 14 19 -24 14 23 -31
14 30 -78 14 36 59 15 19 -72 15 21 45 15 26 -38 15 27 55 15 36 -53 16 35 40 16 37 -55 17 20 -78 17 23 -65 17 24 -16
17 25 30 18 33 -49 19 19 99 19 22 -60 19 48 78 21 31 -28 21 38 17 22 25 -43 22 29 70 22 35 98 22 46 81 22 50 -87
23 27 70 23 34 -10 23 43 -43 23 48 -90 24 33 -9 24 36 31 25 48 -24 26 39 -50 27 47 3 27 49 65 28 39 -84 28 44 12
29 34 62 29 39 -91 29 50 23 30 50 98 31 33 12 31 35 14 32 35 -48 32 48 -49 34 39 66 35 40 -18 36 41 -88 37 41 -77
37 50 44 38 48 -71 39 47 9 39 50 -36 40 40 -48 40 43 -67 42 45 -64 44 44 58 46 48 -12 47 48 35`.replace(
  /(-?\d+) (-?\d+) (-?\d+)(?: |\n|$)/g,
  "$1 $2 $3\n",
);
