import { FlashloanError } from "@flashloan/shared/errors";
import { COUPLINGS_MAX, Quadratic, VARIABLES_MAX, type Coupling } from "./quadratic.ts";

/** How a file of numbers is meant. */
export const READINGS = ["maxcut", "qubo-min", "qubo-max"] as const;
/** @see READINGS */
export type Reading = (typeof READINGS)[number];

/** What was read: the problem as a minimum, and the sign that turns its values into the file's own objective. */
export interface ReadProblem {
  readonly problem: Quadratic;
  readonly sign: 1 | -1;
}

/**
 * Reads the sparse text that benchmark libraries use: a line `n m`, then m lines `i j w`, variables counted from 1. Empty
 * lines and lines that begin with `#` or `c ` are left out.
 *
 * As `maxcut` the lines are edges, and the objective is the weight of those between the two sides. As `qubo-min` or
 * `qubo-max` they are entries of a symmetric matrix Q, each off the diagonal given once, and the objective is x'Qx; there
 * such an entry counts twice (as in Beasley's files) or, with `once`, as the coefficient of x_i x_j itself.
 * @throws FlashloanError argument_invalid, naming the line
 */
export function readSparseText(text: string, reading: Reading, offDiagonal: "twice" | "once" = "twice"): ReadProblem {
  const lines = text.split(/\r?\n/);
  let header: { size: number; count: number } | undefined;
  const entries: Coupling[] = [];
  for (const [index, line] of lines.entries()) {
    const fields = line.trim().split(/\s+/);
    if (fields[0] === "" || fields[0]?.startsWith("#") || fields[0] === "c") continue;
    const numbers = fields.map(Number);
    const fault = (what: string): FlashloanError =>
      new FlashloanError("argument_invalid", `line ${index + 1}, "${line.trim().slice(0, 60)}": ${what}`);
    if (!header) {
      const [size = 0, count = 0] = numbers;
      if (numbers.length !== 2 || !isWhole(size, 1, VARIABLES_MAX) || !isWhole(count, 0, COUPLINGS_MAX))
        throw fault(
          `must be "n m": up to ${VARIABLES_MAX} variables and up to ${COUPLINGS_MAX} entries (a file of several instances has to be taken apart)`,
        );
      header = { size, count };
      continue;
    }
    if (entries.length === header.count)
      throw fault(`the first line announces ${header.count} entries: this is one more`);
    const [i = 0, j = 0, weight = 1] = numbers;
    if (fields.length < 2 || fields.length > 3) throw fault('must be "i j w"');
    for (const variable of [i, j])
      if (!isWhole(variable, 1, header.size))
        throw fault(`variables are 1 to ${header.size}, not ${Number.isNaN(variable) ? "that" : variable}`);
    if (!Number.isFinite(weight)) throw fault("the weight must be a finite number");
    entries.push([i - 1, j - 1, weight]);
  }
  if (!header) throw new FlashloanError("argument_invalid", 'the file is empty: its first line must be "n m"');
  if (entries.length < header.count)
    throw new FlashloanError(
      "argument_invalid",
      `the first line announces ${header.count} entries: there are ${entries.length}; is the file cut off?`,
    );
  return reading === "maxcut"
    ? { problem: cutProblem(header.size, entries), sign: -1 }
    : matrixProblem(header.size, entries, reading, offDiagonal);
}

/** The largest cut as a minimum: an edge between x and y counts −w (x + y − 2xy). */
export function cutProblem(size: number, edges: Iterable<Coupling>): Quadratic {
  const linear = new Float64Array(size);
  const couplings: Coupling[] = [];
  for (const [i, j, weight] of edges) {
    if (i === j) continue;
    linear[i] = (linear[i] as number) - weight;
    linear[j] = (linear[j] as number) - weight;
    couplings.push([i, j, 2 * weight]);
  }
  return Quadratic.of({ size, linear, couplings });
}

function matrixProblem(
  size: number,
  entries: readonly Coupling[],
  reading: Reading,
  offDiagonal: "twice" | "once",
): ReadProblem {
  const seen = new Map<number, number>();
  for (const [i, j] of entries) {
    const key = Math.min(i, j) * size + Math.max(i, j);
    const times = (seen.get(key) ?? 0) + 1;
    if (times > 1)
      throw new FlashloanError(
        "argument_invalid",
        `entry ${i + 1} ${j + 1} is given twice: Q is symmetric, and each entry off its diagonal is given once`,
      );
    seen.set(key, times);
  }
  const sign = reading === "qubo-max" ? -1 : 1;
  const factor = offDiagonal === "twice" ? 2 : 1;
  const couplings = entries.map(([i, j, weight]): Coupling => [i, j, sign * weight * (i === j ? 1 : factor)]);
  return { problem: Quadratic.of({ size, couplings }), sign };
}

function isWhole(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}
