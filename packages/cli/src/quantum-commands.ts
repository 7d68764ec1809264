import { readFileSync, statSync } from "node:fs";
import { type Command, Option } from "commander";
import { compile, compileMatrix, type Reading } from "@flashloan/qubo/model";
import { solve, SOLVERS, type Improvement, type SolverName } from "@flashloan/qubo/portfolio";
import type { Quadratic } from "@flashloan/qubo/quadratic";
import { READINGS, readSparseText, type Reading as FileReading } from "@flashloan/qubo/sparse-text";
import { FlashloanError } from "@flashloan/shared/errors";
import { whole } from "./arguments.ts";
import { toJsonLine } from "./format.ts";

/** The longest file that is read. */
const FILE_BYTES_MAX = 64 * 1024 * 1024;
const DEADLINE_MS_MAX = 3_600_000;

interface SolveFlags {
  readonly as: FileReading;
  readonly offdiagonal: "twice" | "once";
  readonly deadlineMs: number;
  readonly seed: number;
  readonly solver: SolverName;
  readonly json: boolean;
}

/** What a file states, and how an assignment reads in its words. */
interface Stated {
  readonly problem: Quadratic;
  readonly sign: 1 | -1;
  readonly read?: (x: Uint8Array) => Reading;
}

/** Adds `quantum solve`. */
export function addQuantumCommands(program: Command): void {
  const quantum = program
    .command("quantum")
    .description("binary optimization: solve problems with the solvers that the platform decides with");
  quantum
    .command("solve")
    .description("minimize or maximize a quadratic function of binary variables within a deadline")
    .argument("<file>", "a JSON model, a JSON matrix, or sparse text: `n m`, then lines `i j w`, counted from 1")
    .addOption(new Option("--as <what>", "what sparse text means").choices([...READINGS]).default("qubo-min"))
    .addOption(
      new Option("--offdiagonal <count>", "how an entry i j of Q, given once, counts in x'Qx")
        .choices(["twice", "once"])
        .default("twice"),
    )
    .option(
      "--deadline-ms <n>",
      "how long it may take; 0 answers with what is there at once",
      whole(0, DEADLINE_MS_MAX),
      1_000,
    )
    .option("--seed <n>", "the same seed searches in the same order", whole(0, 2 ** 31 - 1), 1)
    .addOption(new Option("--solver <name>", "who solves it").choices([...SOLVERS]).default("portfolio"))
    .option("--json", "the result as one JSON object, instead of text with progress", false)
    .addHelpText(
      "after",
      `
Examples:
  flashloan quantum solve G1.txt --as maxcut --deadline-ms 2000
  flashloan quantum solve bqp50-1.txt --as qubo-max --json
  flashloan quantum solve knapsack.json

A JSON matrix is {"sense": "minimize", "matrix": [[…], …]}, symmetric. A JSON model has variables, an objective, constraints:
  {"variables": {"a": "binary", "k": {"oneHot": ["x", "y"]}, "n": {"integer": [0, 9]}, "s": "spin"},
   "objective": {"sense": "maximize", "linear": {"a": 2, "k=x": 1}, "quadratic": [["a", "n", 0.5]]},
   "constraints": [{"sum": {"a": 3, "n": 1}, "atMost": 7}, {"conflict": ["a", "k=x"]}, {"implies": ["a", "k=y"]},
                   {"atMost": 1, "of": ["a", "k=x"]}, {"sum": {"n": 1}, "equals": 4}]}`,
    )
    .action((file: string, flags: SolveFlags) => solveFile(file, flags));
}

function solveFile(file: string, flags: SolveFlags): void {
  const { deadlineMs, seed, solver, json } = flags;
  const stated = readProblem(file, flags);
  const { problem, sign, read } = stated;
  const objectiveOf = (x: Uint8Array, value: number): number => read?.(x).objective ?? (sign * value || 0);
  const onImproved = ({ x, value, solver: by, elapsedMs }: Improvement): void => {
    if (!json && process.stderr.isTTY)
      process.stderr.write(`  ${elapsedMs.toFixed(0).padStart(6)} ms  ${objectiveOf(x, value)}  ${by}\n`);
  };
  const now = (): number => performance.now();
  const solution = solve(problem, { solver, deadlineMs, seed, now, onImproved });
  const reading = read?.(solution.x);
  const result = {
    solver: solution.solver,
    objective: objectiveOf(solution.x, solution.value),
    provenOptimal: solution.provenOptimal,
    bound: sign * solution.bound || 0,
    greedy: objectiveOf(solution.greedy.x, solution.greedy.value),
    foundMs: round(solution.foundMs),
    elapsedMs: round(solution.elapsedMs),
    degraded: solution.degraded,
    variables: problem.size,
    couplings: problem.couplings,
    ...(reading && { feasible: reading.feasible, violations: reading.violations, values: reading.values }),
    assignment: [...solution.x],
  };
  if (json) return void process.stdout.write(`${toJsonLine(result)}\n`);
  const { objective, bound } = result;
  const lines = [
    `objective  ${objective} (${solution.provenOptimal ? "proven optimal" : `not proven; ${sign > 0 ? "at least" : "at most"} ${bound} is possible, a gap of ${gap(objective, bound)}`})`,
    `found by   ${solution.solver} after ${result.foundMs} ms of ${result.elapsedMs} ms`,
    `greedy     ${result.greedy}`,
    `problem    ${problem.size} variables, ${problem.couplings} couplings`,
    ...(solution.degraded ? ["degraded   the deadline was over before more than the baseline could be tried"] : []),
    ...(reading && !reading.feasible ? [`infeasible ${reading.violations.join("; ")}`] : []),
    reading
      ? `values     ${Object.entries(reading.values)
          .map(([name, value]) => `${name}=${value}`)
          .join(" ")}`
      : `ones       ${[...solution.x.keys()]
          .filter((i) => solution.x[i])
          .map((i) => i + 1)
          .join(" ")}`,
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

function readProblem(file: string, { as, offdiagonal }: SolveFlags): Stated {
  const text = readText(file);
  if (!/^\s*[[{]/.test(text)) return readSparseText(text, as, offdiagonal);
  let input: unknown;
  try {
    input = JSON.parse(text);
  } catch (error) {
    throw invalid(`${file} is not JSON: ${(error as Error).message}`);
  }
  if (typeof input === "object" && input !== null && "matrix" in input) return compileMatrix(input);
  return compile(input);
}

function readText(file: string): string {
  try {
    const { size } = statSync(file);
    if (size > FILE_BYTES_MAX) throw invalid(`${file} has ${size} bytes: at most ${FILE_BYTES_MAX} are read`);
    return readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof FlashloanError) throw error;
    throw invalid(`${file} can't be read: ${(error as Error).message}`);
  }
}

/** How far an objective is from its bound, in per cent of the bound. */
function gap(objective: number, bound: number): string {
  return bound === 0
    ? `${Math.abs(objective)}`
    : `${((100 * Math.abs(bound - objective)) / Math.abs(bound)).toFixed(1)} %`;
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}

function invalid(message: string): FlashloanError {
  return new FlashloanError("argument_invalid", message);
}
