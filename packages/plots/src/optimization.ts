import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";

/** The energy at one pair of angles. */
export interface LandscapePoint {
  readonly gamma: number;
  readonly beta: number;
  readonly energy: number;
}

/**
 * A QAOA energy landscape of one layer: colour is ⟨C⟩, lower is darker; the best point of the grid is marked.
 * @param points a full grid, each angle in equal steps
 * @param best which of its energies is
 */
export function landscapePlot(
  points: readonly LandscapePoint[],
  best: "lowest" | "highest",
  title: string,
): Promise<string> {
  const sign = best === "lowest" ? 1 : -1;
  const marked = points.reduce((a, b) => (sign * b.energy < sign * a.energy ? b : a));
  const [gammaStep, betaStep] = [stepOf(points.map(({ gamma }) => gamma)), stepOf(points.map(({ beta }) => beta))];
  // A little wider than a step, so that no background shines through between two.
  const cells = points.map(({ gamma, beta, energy }) => ({
    gamma: gamma - gammaStep / 2,
    gammaEnd: gamma + 0.52 * gammaStep,
    beta: beta - betaStep / 2,
    betaEnd: beta + 0.52 * betaStep,
    energy,
  }));
  return toSvg({
    title: {
      text: title,
      subtitle: `${best} on the grid: ${short(marked.energy)} at γ = ${short(marked.gamma)}, β = ${short(marked.beta)}`,
    },
    width: 480,
    height: 360,
    layer: [
      {
        data: { values: cells },
        mark: "rect",
        encoding: {
          x: { field: "gamma", type: "quantitative", title: "γ", scale: { zero: false, nice: false } },
          x2: { field: "gammaEnd" },
          y: { field: "beta", type: "quantitative", title: "β", scale: { zero: false, nice: false } },
          y2: { field: "betaEnd" },
          color: { field: "energy", type: "quantitative", title: "⟨C⟩", scale: { scheme: "viridis", zero: false } },
        },
      },
      {
        data: { values: [marked] },
        mark: { type: "point", shape: "cross", size: 120, color: "crimson", strokeWidth: 2 },
        encoding: {
          x: { field: "gamma", type: "quantitative" },
          y: { field: "beta", type: "quantitative" },
        },
      },
    ],
  });
}

/** A better objective than all before, and when and by whom it was found. */
export interface ConvergencePoint {
  readonly elapsedMs: number;
  readonly objective: number;
  readonly solver: string;
}

/** How the best objective got better over time, beside what is known of the optimum; time is on a logarithmic scale. */
export function convergencePlot(
  points: readonly ConvergencePoint[],
  endMs: number,
  levels: Readonly<Record<string, number>>,
  title: string,
): Promise<string> {
  const visible = points.map((point) => ({ ...point, elapsedMs: Math.max(0.01, point.elapsedMs) }));
  const last = visible.at(-1);
  const values = last ? [...visible, { ...last, elapsedMs: Math.max(endMs, last.elapsedMs) }] : [];
  return toSvg({
    title,
    width: 480,
    height: 300,
    layer: [
      {
        data: { values },
        mark: { type: "line", interpolate: "step-after", color: "#4c78a8" },
        encoding: {
          x: { field: "elapsedMs", type: "quantitative", title: "ms", scale: { type: "log" } },
          y: { field: "objective", type: "quantitative", title: "objective", scale: { zero: false } },
        },
      },
      {
        data: { values: visible },
        mark: { type: "point", filled: true, size: 25 },
        encoding: {
          x: { field: "elapsedMs", type: "quantitative" },
          y: { field: "objective", type: "quantitative" },
          color: { field: "solver", type: "nominal", title: "found by" },
        },
      },
      {
        data: { values: Object.entries(levels).map(([level, objective]) => ({ level, objective })) },
        mark: { type: "rule", strokeDash: [4, 3] },
        encoding: {
          y: { field: "objective", type: "quantitative" },
          color: { field: "level", type: "nominal", title: "found by" },
        },
      },
    ],
  });
}

/** How often an objective was sampled, or with what probability. */
export interface DistributionBar {
  readonly objective: number;
  readonly probability: number;
}

/** The distribution of sampled objectives against the optimum. */
export function distributionPlot(bars: readonly DistributionBar[], optimum: number, title: string): Promise<string> {
  return toSvg({
    title,
    width: 480,
    height: 300,
    layer: [
      {
        data: { values: [...bars] },
        mark: { type: "bar", size: Math.max(2, Math.min(18, 300 / Math.max(1, bars.length))), color: "#4c78a8" },
        encoding: {
          x: { field: "objective", type: "quantitative", title: "objective", scale: { zero: false } },
          y: { field: "probability", type: "quantitative", title: "probability" },
        },
      },
      {
        data: { values: [{ objective: optimum, name: "optimum" }] },
        mark: { type: "rule", color: "#e45756", strokeWidth: 2 },
        encoding: { x: { field: "objective", type: "quantitative" } },
      },
      {
        data: { values: [{ objective: optimum, name: `optimum ${short(optimum)}` }] },
        mark: { type: "text", color: "#e45756", align: "left", dx: 4, y: 8 },
        encoding: { x: { field: "objective", type: "quantitative" }, text: { field: "name" } },
      },
    ],
  });
}

/** How long one run took to the target; undefined when it did not reach it. */
export interface SolutionTime {
  readonly solver: string;
  readonly ms: number | undefined;
}

/** Time to solution: after so long, in what share of runs each solver had reached the target. */
export function timeToSolutionPlot(times: readonly SolutionTime[], limitMs: number, title: string): Promise<string> {
  const values = [...Map.groupBy(times, ({ solver }) => solver)].flatMap(([solver, runs]) => {
    const reached = runs.flatMap(({ ms }) => (ms === undefined ? [] : [Math.max(0.01, ms)])).toSorted((a, b) => a - b);
    const steps = reached.map((ms, i) => ({ solver, ms, share: (i + 1) / runs.length }));
    return [{ solver, ms: 0.01, share: 0 }, ...steps, { solver, ms: limitMs, share: reached.length / runs.length }];
  });
  return toSvg({
    title,
    width: 480,
    height: 300,
    data: { values },
    mark: { type: "line", interpolate: "step-after" },
    encoding: {
      x: { field: "ms", type: "quantitative", title: "ms", scale: { type: "log" } },
      y: { field: "share", type: "quantitative", title: "share of runs at the target", scale: { domain: [0, 1] } },
      color: { field: "solver", type: "nominal", title: "solver" },
    },
  });
}

/** Draws without a browser. */
async function toSvg(spec: TopLevelSpec): Promise<string> {
  const whole: TopLevelSpec = {
    background: "white",
    padding: 12,
    config: { font: "DejaVu Sans, sans-serif" },
    ...spec,
  };
  const view = new View(parse(compile(whole).spec), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

function stepOf(values: readonly number[]): number {
  const distinct = [...new Set(values)].toSorted((a, b) => a - b);
  const [first = 0, second = first + 1] = distinct;
  return second - first;
}

function short(value: number): string {
  return String(Number(value.toPrecision(6)));
}
