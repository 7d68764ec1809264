import fc from "fast-check";
import { expect, test } from "vitest";
import { compile, compileMatrix, type Compiled, type Model, type Reading } from "../src/model.ts";
import { solve } from "../src/portfolio.ts";

const solved = (compiled: Compiled): Reading =>
  compiled.read(solve(compiled.problem, { deadlineMs: 60_000, seed: 1, now: () => performance.now() }).x);

test("a knapsack with a conflict, an implication and a limit on how many", () => {
  const model: Model = {
    variables: { a: "binary", b: "binary", c: "binary", d: "binary" },
    objective: { sense: "maximize", linear: { a: 10, b: 9, c: 4, d: 1 } },
    constraints: [
      { sum: { a: 3, b: 3, c: 2, d: 1 }, atMost: 6 },
      { conflict: ["a", "b"] },
      { implies: ["a", "d"] },
      { atMost: 3, of: ["a", "b", "c", "d"] },
    ],
  };
  expect(solved(compile(model))).toEqual({
    values: { a: 1, b: 0, c: 1, d: 1 },
    objective: 15,
    feasible: true,
    violations: [],
  });
});

test("one-hot, integer and spin variables, with products of them", () => {
  const model: Model = {
    variables: { colour: { oneHot: ["red", "green", "blue"] }, n: { integer: [-3, 9] }, s: "spin" },
    objective: {
      sense: "minimize",
      constant: 100,
      linear: { "colour=red": 3, "colour=blue": 1, n: -2 },
      quadratic: [
        ["n", "n", 1],
        ["s", "n", 6],
        ["s", "colour=green", -50],
      ],
    },
    constraints: [{ sum: { n: 1 }, atLeast: -2 }],
  };
  // s = 1 with green: 100 + n² − 2n + 6n − 50 at n = −2; s = −1 with blue: 100 + n² − 8n + 1 at n = 4.
  expect(solved(compile(model))).toMatchObject({
    values: { colour: "green", n: -2, s: 1 },
    objective: 46,
    feasible: true,
  });
});

/** Small models with every kind of constraint, and their best by trying everything. */
const anyModel = fc.record({
  linear: fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 5, maxLength: 5 }),
  product: fc.integer({ min: -9, max: 9 }),
  weights: fc.array(fc.integer({ min: -4, max: 4 }), { minLength: 5, maxLength: 5 }),
  limit: fc.integer({ min: 0, max: 8 }),
  exactly: fc.integer({ min: 0, max: 3 }),
  sense: fc.constantFrom("minimize" as const, "maximize" as const),
});

test("what it finds is the best that breaks no constraint, of every assignment", () => {
  fc.assert(
    fc.property(anyModel, ({ linear, product, weights, limit, exactly, sense }) => {
      const names = ["a", "b", "c", "d", "e"];
      const named = (values: readonly number[]): Record<string, number> =>
        Object.fromEntries(names.map((key, i) => [key, values[i] ?? 0]));
      const model: Model = {
        variables: Object.fromEntries(names.map((key) => [key, "binary"])),
        objective: { sense, linear: named(linear), quadratic: [["a", "c", product]] },
        constraints: [
          { sum: named(weights), atMost: limit },
          { sum: { a: 1, b: 1, c: 1 }, equals: exactly },
          { conflict: ["d", "e"] },
          { implies: ["a", "e"] },
        ],
      };
      let best: number | undefined;
      for (let bits = 0; bits < 32; bits++) {
        const x = names.map((_, i) => (bits >> i) & 1) as [number, number, number, number, number];
        const of = (values: readonly number[]): number =>
          values.reduce((sum, value, i) => sum + value * (x[i] ?? 0), 0);
        if (of(weights) > limit || x[0] + x[1] + x[2] !== exactly || x[3] + x[4] > 1 || x[0] > x[4]) continue;
        const value = of(linear) + product * x[0] * x[2];
        if (best === undefined || (sense === "maximize" ? value > best : value < best)) best = value;
      }
      const reading = solved(compile(model));
      expect([reading.feasible, reading.feasible ? reading.objective : undefined]).toEqual([best !== undefined, best]);
    }),
    { numRuns: 60 },
  );
});

test("what can't hold together is found out, and said in words", () => {
  const reading = solved(
    compile({
      variables: { a: "binary", b: "binary" },
      objective: { sense: "maximize", linear: { a: 1, b: 1 } },
      constraints: [{ sum: { a: 1, b: 1 }, equals: 2 }, { conflict: ["a", "b"] }],
    }),
  );
  expect([reading.feasible, reading.violations.length]).toEqual([false, 1]);
  expect(reading.violations[0]).toMatch(/constraint [12]: (a and b are in conflict|the sum is [01], not 2)/);
});

test("unbalanced penalties add no variables and take coefficients that are not whole", () => {
  const model: Model = {
    variables: { a: "binary", b: "binary", c: "binary" },
    objective: { sense: "maximize", linear: { a: 5, b: 4, c: 3 } },
    constraints: [{ sum: { a: 1.5, b: 1.5, c: 1.5 }, atMost: 3.1 }],
    inequalities: "unbalanced",
  };
  const compiled = compile(model);
  expect(compiled.problem.size).toBe(3);
  expect(() => compile({ ...model, inequalities: "slack" })).toThrow(
    /constraint 1 has coefficients that are not whole/,
  );
});

const base = { variables: { a: "binary", k: { oneHot: ["x", "y"] }, n: { integer: [0, 3] } } } as const;
const nothing = { sense: "minimize" } as const;
test.each([
  [
    { ...base, objective: { ...nothing, linear: { z: 1 } } },
    /the objective names z, which is no variable; there are: a, k=x/,
  ],
  [
    { ...base, objective: { ...nothing, linear: { k: 1 } } },
    /names k, which is one-hot: name one of its choices, such as k=x/,
  ],
  [{ ...base, objective: { ...nothing, linear: { a: Number.NaN } } }, /objective\.linear\.a: must be a finite number/],
  [
    { ...base, objective: nothing, constraints: [{ sum: { a: 1 }, equals: 2 }] },
    /constraint 1 can never hold: the sum is 0 to 1, not 2/,
  ],
  [{ ...base, objective: nothing, constraints: [{ sum: { n: 1 }, atMost: -1 }] }, /constraint 1 can never hold/],
  [
    { ...base, objective: nothing, constraints: [{ conflict: ["a", "n"] }] },
    /constraint 1 names n, which is not binary/,
  ],
  [{ ...base, objective: nothing, constraints: [{ conflict: ["a", "a"] }] }, /constraint 1 names a variable twice/],
  [{ variables: { n: { integer: [4, 1] } }, objective: nothing }, /n: integer \[4, 1\] holds no number/],
  [{ variables: { "1": "binary" }, objective: nothing }, /variables\.1/],
  [{ variables: { a: "ternary" }, objective: nothing }, /variables\.a: must be "binary", "spin", /],
  [{ ...base, objective: nothing, constraints: [{ never: ["a"] }] }, /constraints\.0: must be \{sum\}/],
  [[], /the model: /],
])("refuses %j", (model, message) => {
  expect(() => compile(model)).toThrow(message);
});

test("a matrix: each entry counts, on both sides of the diagonal", () => {
  const { problem, sign } = compileMatrix({
    sense: "maximize",
    matrix: [
      [1, -2],
      [-2, 3],
    ],
  });
  expect(
    [
      [1, 0],
      [0, 1],
      [1, 1],
    ].map((x) => sign * problem.value(x) || 0),
  ).toEqual([1, 3, 0]);
});

test.each([
  [
    {
      sense: "minimize",
      matrix: [
        [1, 2],
        [3, 4],
      ],
    },
    /not symmetric: row 1, column 2 is 2, row 2, column 1 is 3; use \(Q \+ Q'\)\/2/,
  ],
  [{ sense: "minimize", matrix: [[1, 2], [2]] }, /row 2 has 1 entries: the matrix must have 2/],
  [{ sense: "minimize", matrix: [[Number.NaN]] }, /matrix\.0\.0: must be a finite number/],
  [{ sense: "best", matrix: [[1]] }, /sense: /],
])("refuses the matrix %j", (matrix, message) => {
  expect(() => compileMatrix(matrix)).toThrow(message);
});
