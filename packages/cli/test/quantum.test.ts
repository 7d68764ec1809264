import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const MAIN = new URL("../src/main.ts", import.meta.url).pathname;
let folder = "";
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "quantum-"))));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs `flashloan quantum solve` on a file with this text. */
function solve(text: string, ...flags: string[]): Promise<{ code: number; out: string; err: string }> {
  const file = join(folder, "problem");
  writeFileSync(file, text);
  const args = ["--conditions=@flashloan/source", MAIN, "quantum", "solve", file, ...flags];
  return new Promise((resolve) =>
    execFile(process.execPath, args, { timeout: 60_000 }, (error, out, err) =>
      resolve({ code: error ? Number(error.code ?? -1) : 0, out, err }),
    ),
  );
}

test("a cut, as JSON: the objective, its proof, the baseline and the assignment", async () => {
  const { code, out } = await solve("5 5\n1 2 1\n2 3 1\n3 4 1\n4 5 1\n5 1 1\n", "--as", "maxcut", "--json");
  expect(code).toBe(0);
  const result = JSON.parse(out) as { assignment: number[]; elapsedMs: number };
  expect(result).toMatchObject({ objective: 4, provenOptimal: true, bound: 4, greedy: 4, degraded: false });
  const { assignment } = result;
  expect(assignment.map((x, i) => Math.abs(x - (assignment[(i + 1) % 5] ?? 0))).reduce((a, b) => a + b)).toBe(4);
  expect(result.elapsedMs).toBeGreaterThan(0);
});

test("x'Qx to its maximum, and with entries that count once", async () => {
  const text = "2 3\n1 1 5\n2 2 5\n1 2 -4\n";
  const twice = await solve(text, "--as", "qubo-max", "--json");
  expect(JSON.parse(twice.out)).toMatchObject({ objective: 5, provenOptimal: true });
  const once = await solve(text, "--as", "qubo-max", "--offdiagonal", "once", "--json", "--solver", "exact");
  expect(JSON.parse(once.out)).toMatchObject({ objective: 6, assignment: [1, 1] });
});

test("a model, as text: its values by name", async () => {
  const model = {
    variables: { a: "binary", b: "binary", k: { oneHot: ["x", "y"] } },
    objective: { sense: "maximize", linear: { a: 2, b: 3, "k=x": 1 } },
    constraints: [{ conflict: ["a", "b"] }],
  };
  const { code, out } = await solve(JSON.stringify(model));
  expect([code, out]).toEqual([0, expect.stringMatching(/^objective {2}4 \(proven optimal\)$/m)]);
  expect(out).toMatch(/^values {5}a=0 b=1 k=x$/m);
});

test("a deadline of 0 and a problem of 10,000 variables: an answer that says how good it is", async () => {
  const lines = Array.from({ length: 10_000 }, (_, i) => `${i + 1} ${((i + 1) % 10_000) + 1} -1`);
  const { code, out } = await solve(`10000 10000\n${lines.join("\n")}\n`, "--deadline-ms", "0", "--json");
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ degraded: true, provenOptimal: false, variables: 10_000 });
});

test.each([
  ['{"sense": "minimize", "matrix": [[1, 2], [3, 4]]}', [], /the matrix is not symmetric: row 1, column 2 is 2/],
  ['{"sense": "minimize"', [], /is not JSON/],
  ["3 1\n1 4 1\n", [], /line 2, "1 4 1": variables are 1 to 3, not 4/],
  ["3 1\n1 2 1\n", ["--deadline-ms", "soon"], /must be a whole number from 0 to 3600000/],
  ["3 1\n1 2 1\n", ["--solver", "oracle"], /Allowed choices are portfolio, exact/],
])("refuses %j %j", async (text, flags, message) => {
  const { code, err } = await solve(text, ...flags);
  expect([code, err]).toEqual([1, expect.stringMatching(message)]);
});
