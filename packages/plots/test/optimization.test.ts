import { expect, test } from "vitest";
import { convergencePlot, distributionPlot, landscapePlot, timeToSolutionPlot } from "../src/optimization.ts";

/** Texts of an SVG, as a reader sees them. */
const texts = (svg: string): string[] => [...svg.matchAll(/<text[^>]*>([^<]+)<\/text>/g)].map(([, text]) => text ?? "");
/** Marks of a kind, by the role that Vega writes. */
const marks = (svg: string, kind: string): number => svg.split(`aria-roledescription="${kind}"`).length - 1;

test("a landscape has a cell for each point, both axes, and its best point in words", async () => {
  const points = [0, 1, 2].flatMap((i) =>
    [0, 1, 2, 3].map((j) => ({ gamma: i / 2, beta: j / 3, energy: (i - 1) ** 2 + (j - 2) ** 2 - 5 })),
  );
  const svg = await landscapePlot(points, "lowest", "a bowl");
  expect(marks(svg, "rect mark")).toBe(12);
  expect(texts(svg)).toEqual(
    expect.arrayContaining(["a bowl", "lowest on the grid: -5 at γ = 0.5, β = 0.666667", "γ", "β", "⟨C⟩"]),
  );
  expect(texts(await landscapePlot(points, "highest", "a bowl"))).toContain("highest on the grid: 0 at γ = 0, β = 0");
});

test("a convergence has a point for each improvement and a line for what is known", async () => {
  const points = [
    { elapsedMs: 0, objective: 1, solver: "greedy" },
    { elapsedMs: 5, objective: 4, solver: "tabu" },
  ];
  const svg = await convergencePlot(points, 100, { optimum: 6 }, "better and better");
  expect([marks(svg, "point"), marks(svg, "rule mark")]).toEqual([2, 1]);
  expect(texts(svg)).toEqual(
    expect.arrayContaining(["better and better", "greedy", "tabu", "optimum", "ms", "objective"]),
  );
  expect(await convergencePlot([], 1, {}, "nothing")).toContain("<svg");
});

test("a distribution has a bar for each objective, and the optimum", async () => {
  const bars = [1, 2, 3].map((objective) => ({ objective, probability: objective / 6 }));
  const svg = await distributionPlot(bars, 4, "samples");
  expect(marks(svg, "bar")).toBe(3);
  expect(texts(svg)).toContain("optimum 4");
});

test("a time to solution has a line for each solver, which ends at its share of runs", async () => {
  const times = [
    { solver: "tabu", ms: 1 },
    { solver: "tabu", ms: 3 },
    { solver: "exact", ms: undefined },
  ];
  const svg = await timeToSolutionPlot(times, 10, "a race");
  expect(marks(svg, "line mark")).toBe(2);
  expect(texts(svg)).toEqual(expect.arrayContaining(["a race", "tabu", "exact", "share of runs at the target"]));
});
