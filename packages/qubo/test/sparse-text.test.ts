import { expect, test } from "vitest";
import { readSparseText } from "../src/sparse-text.ts";

test("edges: a cut is worth what lies between its sides", () => {
  const { problem, sign } = readSparseText("# a triangle and a tail\n4 4\n\n1 2 3\n2 3 -1\n1 3\n3 4 2\n", "maxcut");
  expect(sign * problem.value([1, 0, 0, 0])).toBe(4);
  expect(sign * problem.value([1, 0, 1, 0])).toBe(3 - 1 + 2);
});

test("entries of Q: those off the diagonal count twice, or once where that is said", () => {
  const text = "2 3\n1 1 5\n1 2 -7\n2 2 1\n";
  const values = [
    readSparseText(text, "qubo-min"),
    readSparseText(text, "qubo-min", "once"),
    readSparseText(text, "qubo-max"),
  ].map(({ problem, sign }) => sign * problem.value([1, 1]));
  expect(values).toEqual([5 - 14 + 1, 5 - 7 + 1, 5 - 14 + 1]);
});

test.each([
  ["", /the file is empty: its first line must be "n m"/],
  ["10\n", /line 1, "10": must be "n m"/],
  ["2 1\n1 3 5\n", /line 2, "1 3 5": variables are 1 to 2, not 3/],
  ["2 1\n0 1 5\n", /variables are 1 to 2, not 0/],
  ["2 1\n1 2 x\n", /line 2, "1 2 x": the weight must be a finite number/],
  ["2 1\n1 2 NaN\n", /the weight must be a finite number/],
  ["2 1\n1 2 3 4\n", /must be "i j w"/],
  ["2 2\n1 2 3\n", /announces 2 entries: there are 1; is the file cut off\?/],
  ["2 1\n1 2 3\n1 1 1\n", /line 3, "1 1 1": the first line announces 1 entries: this is one more/],
  ["2 2\n1 2 3\n2 1 3\n", /entry 2 1 is given twice: Q is symmetric/],
  ["70000 1\n1 2 3\n", /must be "n m": up to 50000 variables/],
])("refuses %j", (text, message) => {
  expect(() => readSparseText(text, "qubo-max")).toThrow(message);
});
