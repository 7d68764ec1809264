import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const MAIN = new URL("../src/main.ts", import.meta.url).pathname;
let folder = "";
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "quantum-"))));
afterAll(() => rmSync(folder, { recursive: true }));

type Ended = { code: number; out: string; err: string };
const solve = (text: string, ...flags: string[]): Promise<Ended> => quantum("solve", text, ...flags);

/** Runs a command on a file with this text. */
function quantum(name: string, text: string, ...flags: string[]): Promise<Ended> {
  const file = join(folder, "problem");
  writeFileSync(file, text);
  const args = ["--conditions=@flashloan/source", MAIN, "quantum", name, file, ...flags];
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

const PETERSEN = "1 2 2 3 3 4 4 5 5 1 1 6 2 7 3 8 4 9 5 10 6 8 8 10 10 7 7 9 9 6";
const petersen = `10 15\n${PETERSEN.replace(/(\d+) (\d+) ?/g, "$1 $2\n")}`;

test("a landscape: its best is what one layer of QAOA reaches on a 3-regular graph without triangles", async () => {
  const [plot, shots] = [join(folder, "landscape.svg"), join(folder, "shots.svg")];
  const flags = ["--as", "maxcut", "--grid", "60", "--plot", plot, "--distribution", shots, "--json"];
  const { code, out } = await quantum("landscape", petersen, ...flags);
  expect(code).toBe(0);
  const result = JSON.parse(out) as { energy: number; points: unknown[] };
  expect(result).toMatchObject({ optimum: 12, provenOptimal: true, random: 7.5, qubits: 10 });
  const reachable = 15 * (1 / 2 + 1 / (3 * Math.sqrt(3)));
  expect(result.energy).toBeLessThanOrEqual(reachable + 1e-9);
  expect(result.energy).toBeGreaterThan(reachable - 0.01);
  expect(result.points).toHaveLength(3_600);
  expect(readFileSync(shots, "utf8")).toContain("optimum 12");
  expect(readFileSync(plot, "utf8")).toMatch(/^<svg .*highest on the grid: 10\.38/s);
});

test("a bench: each solver's runs, and how many came to the target", async () => {
  const plot = join(folder, "bench.svg");
  const flags = ["--as", "maxcut", "--runs", "3", "--target", "12", "--deadline-ms", "20000", "--plot", plot];
  const { code, out } = await quantum("bench", petersen, ...flags, "--json");
  expect(code).toBe(0);
  expect(JSON.parse(out)).toEqual({
    target: 12,
    deadlineMs: 20_000,
    solvers: ["portfolio", "exact", "tabu", "annealing", "descent"].map((solver) => ({
      solver,
      reached: 3,
      runs: 3,
      medianMs: expect.any(Number) as number,
    })),
  });
  expect(readFileSync(plot, "utf8")).toContain("share of runs at the target");
});

test("a plot of how the objective got better, and one that can't be written", async () => {
  const plot = join(folder, "solve.svg");
  expect((await solve(petersen, "--as", "maxcut", "--plot", plot)).code).toBe(0);
  expect(readFileSync(plot, "utf8")).toContain("the best objective over time");
  const refused = await solve(petersen, "--as", "maxcut", "--plot", join(folder, "nowhere", "solve.svg"));
  expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(/solve\.svg can't be written/)]);
});

test("a landscape of too many variables is refused before anything is simulated", async () => {
  const { code, err } = await quantum("landscape", "40 1\n1 40 1\n");
  expect([code, err]).toEqual([1, expect.stringMatching(/has 40 variables, a qubit each: a landscape takes 1 to 22/)]);
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
