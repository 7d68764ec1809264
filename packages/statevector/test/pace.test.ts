import { expect, test } from "vitest";
import { Pace } from "../src/pace.ts";

/** Threads of so many runs that take `took(threads)`. */
function threadsOf(pace: Pace, runs: number, took: (threads: number) => number): number[] {
  return Array.from({ length: runs }, () => {
    const threads = pace.next();
    pace.record(threads, took(threads));
    return threads;
  });
}

test("several threads and one are tried, then the faster runs", () => {
  expect(threadsOf(new Pace(2), 5, (threads) => 1 / threads)).toEqual([2, 1, 2, 1, 2]);
  expect(threadsOf(new Pace(2), 5, (threads) => threads)).toEqual([2, 1, 1, 2, 1]);
});

test("the slower one is looked at again, and taken when it has become the faster", () => {
  const pace = new Pace(4);
  threadsOf(pace, 31, (threads) => (threads === 4 ? 10 : 3));
  // The machine is no longer busy.
  const later = threadsOf(pace, 100, (threads) => (threads === 4 ? 1 : 3));
  expect(later.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => 4));
});
