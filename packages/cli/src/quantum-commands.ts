import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import { type Command, Option } from "commander";
import { solve, SOLVERS, type Improvement, type SolverName } from "@flashloan/qubo/portfolio";
import { objectiveOf } from "@flashloan/qubo/problem";
import { READINGS } from "@flashloan/qubo/sparse-text";
import { timeToSolution } from "@flashloan/qubo/time-to-solution";
import { FlashloanError } from "@flashloan/shared/errors";
import { whole } from "./arguments.ts";
import { table, toJsonLine } from "./format.ts";
import { readProblem, type TextFlags } from "./quantum-problem.ts";

const DEADLINE_MS_MAX = 3_600_000;
/** What a landscape is simulated with at most: more takes minutes for a grid. */
const LANDSCAPE_QUBITS_MAX = 22;
const GRID_MAX = 200;
const SHOTS = 10_000;
const PLOTTED = "write an SVG there";

interface SolveFlags extends TextFlags {
  readonly deadlineMs: number;
  readonly seed: number;
  readonly solver: SolverName;
  readonly json: boolean;
  readonly plot?: string;
}

interface LandscapeFlags extends TextFlags {
  readonly grid: number;
  readonly gammaMax?: string;
  readonly distribution?: string;
  readonly plot?: string;
  readonly json: boolean;
}

interface BenchFlags extends TextFlags {
  readonly deadlineMs: number;
  readonly runs: number;
  readonly target?: string;
  readonly plot?: string;
  readonly json: boolean;
}

/** Adds `quantum solve`, `quantum landscape` and `quantum bench`. */
export function addQuantumCommands(program: Command): void {
  const quantum = program
    .command("quantum")
    .description("binary optimization: the solvers that the platform decides with, and QAOA's energies");
  problemCommand(quantum, "solve", "minimize or maximize a quadratic function of binary variables within a deadline")
    .option(
      "--deadline-ms <n>",
      "how long it may take; 0 answers with what is there at once",
      whole(0, DEADLINE_MS_MAX),
      1_000,
    )
    .option("--seed <n>", "the same seed searches in the same order", whole(0, 2 ** 31 - 1), 1)
    .addOption(new Option("--solver <name>", "who solves it").choices([...SOLVERS]).default("portfolio"))
    .option("--plot <file>", `how the objective got better over time: ${PLOTTED}`)
    .addHelpText(
      "after",
      `
Examples:
  flashloan quantum solve G1.txt --as maxcut --deadline-ms 2000 --plot G1.svg
  flashloan quantum solve bqp50-1.txt --as qubo-max --json
  flashloan quantum solve knapsack.json

A JSON matrix is {"sense": "minimize", "matrix": [[…], …]}, symmetric. A JSON model has variables, an objective, constraints:
  {"variables": {"a": "binary", "k": {"oneHot": ["x", "y"]}, "n": {"integer": [0, 9]}, "s": "spin"},
   "objective": {"sense": "maximize", "linear": {"a": 2, "k=x": 1}, "quadratic": [["a", "n", 0.5]]},
   "constraints": [{"sum": {"a": 3, "n": 1}, "atMost": 7}, {"conflict": ["a", "k=x"]}, {"implies": ["a", "k=y"]},
                   {"atMost": 1, "of": ["a", "k=x"]}, {"sum": {"n": 1}, "equals": 4}]}`,
    )
    .action((file: string, flags: SolveFlags) => solveFile(file, flags));
  problemCommand(
    quantum,
    "landscape",
    `QAOA's energies of one layer over a grid of angles, up to ${LANDSCAPE_QUBITS_MAX} variables`,
  )
    .option("--grid <n>", "points along each angle", whole(2, GRID_MAX), 48)
    .option(
      "--gamma-max <angle>",
      "γ goes from 0 to there; by default to where phases of a typical coefficient have gone round",
    )
    .option("--plot <file>", PLOTTED)
    .option("--distribution <file>", `objectives of ${SHOTS} shots at the best angles: ${PLOTTED}`)
    .action((file: string, flags: LandscapeFlags) => landscapeOf(file, flags));
  problemCommand(quantum, "bench", "how long each solver takes to a target, over several seeds")
    .option("--deadline-ms <n>", "how long one run may take", whole(1, DEADLINE_MS_MAX), 1_000)
    .option("--runs <n>", "runs of each solver, with seeds 1 to n", whole(1, 1_000), 10)
    .option("--target <value>", "objective to reach; by default the best that one run of the portfolio finds")
    .option("--plot <file>", `share of runs at the target over time: ${PLOTTED}`)
    .action((file: string, flags: BenchFlags) => benchOf(file, flags));
}

/** A command on a problem of a file. */
function problemCommand(quantum: Command, name: string, description: string): Command {
  return quantum
    .command(name)
    .description(description)
    .argument("<file>", "a JSON model, a JSON matrix, or sparse text: `n m`, then lines `i j w`, counted from 1")
    .addOption(new Option("--as <what>", "what sparse text means").choices([...READINGS]).default("qubo-min"))
    .addOption(
      new Option("--offdiagonal <count>", "how an entry i j of Q, given once, counts in x'Qx")
        .choices(["twice", "once"])
        .default("twice"),
    )
    .option("--json", "the result as one JSON object, instead of text", false);
}

const now = (): number => performance.now();

async function solveFile(file: string, flags: SolveFlags): Promise<void> {
  const { deadlineMs, seed, solver, json, plot } = flags;
  const stated = readProblem(file, flags);
  const { problem, sign, read } = stated;
  const improvements: { elapsedMs: number; objective: number; solver: string }[] = [];
  const onImproved = ({ x, value, solver: by, elapsedMs }: Improvement): void => {
    const objective = objectiveOf(stated, x, value);
    improvements.push({ elapsedMs, objective, solver: by });
    if (!json && process.stderr.isTTY)
      process.stderr.write(`  ${elapsedMs.toFixed(0).padStart(6)} ms  ${objective}  ${by}\n`);
  };
  const solution = solve(problem, { solver, deadlineMs, seed, now, onImproved });
  const reading = read?.(solution.x);
  const result = {
    solver: solution.solver,
    objective: objectiveOf(stated, solution.x, solution.value),
    provenOptimal: solution.provenOptimal,
    bound: sign * solution.bound || 0,
    greedy: objectiveOf(stated, solution.greedy.x, solution.greedy.value),
    foundMs: round(solution.foundMs),
    elapsedMs: round(solution.elapsedMs),
    degraded: solution.degraded,
    variables: problem.size,
    couplings: problem.couplings,
    ...(reading && { feasible: reading.feasible, violations: reading.violations, values: reading.values }),
    assignment: [...solution.x],
  };
  if (plot !== undefined) {
    const { convergencePlot } = await import("@flashloan/plots/optimization");
    const levels = solution.provenOptimal ? { optimum: result.objective } : {};
    write(
      plot,
      await convergencePlot(
        improvements,
        solution.elapsedMs,
        levels,
        `${basename(file)}: the best objective over time`,
      ),
    );
  }
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

async function landscapeOf(file: string, flags: LandscapeFlags): Promise<void> {
  const { grid, json, plot } = flags;
  const { problem, sign } = readProblem(file, flags);
  const { size: qubits, linear, offset: constant } = problem;
  if (qubits < 1 || qubits > LANDSCAPE_QUBITS_MAX)
    throw invalid(`${file} has ${qubits} variables, a qubit each: a landscape takes 1 to ${LANDSCAPE_QUBITS_MAX}`);
  const [{ QaoaSimulator }, { computeLandscape, gammaPeriod, sampleObjectives }, plots] = await Promise.all([
    import("@flashloan/statevector/qaoa"),
    import("@flashloan/variational/landscape"),
    import("@flashloan/plots/optimization"),
  ]);
  const quadratic = [...problem.pairs()];
  const cost = { linear, quadratic, constant };
  const simulator = await QaoaSimulator.create({ qubits, cost, gradients: false, layersMax: 1 });
  try {
    const gammaMax = flags.gammaMax === undefined ? gammaPeriod(cost) : angle(flags.gammaMax);
    const { gammas, betas, energies, best } = computeLandscape(simulator, grid, gammaMax);
    const points = energies.map((energy, k) => ({
      gamma: gammas[k % grid] ?? 0,
      beta: betas[Math.floor(k / grid)] ?? 0,
      energy: sign * energy,
    }));
    const optimum = solve(problem, { deadlineMs: 1_000, seed: 1, now });
    const result = {
      gamma: best.gamma,
      beta: best.beta,
      energy: sign * best.energy,
      optimum: sign * optimum.value || 0,
      provenOptimal: optimum.provenOptimal,
      random: points[0]?.energy,
      qubits,
      grid,
    };
    if (plot !== undefined)
      write(
        plot,
        await plots.landscapePlot(points, sign > 0 ? "lowest" : "highest", `${basename(file)}: QAOA, one layer`),
      );
    if (flags.distribution !== undefined) {
      const angles = { gammas: [best.gamma], betas: [best.beta] };
      const bars = sampleObjectives(simulator, angles, SHOTS, 1).map((bar) => ({
        ...bar,
        objective: sign * bar.objective,
      }));
      const title = `${basename(file)}: ${SHOTS} shots at the best angles of one layer`;
      write(flags.distribution, await plots.distributionPlot(bars, result.optimum, title));
    }
    if (json) return void process.stdout.write(`${toJsonLine({ ...result, points })}\n`);
    const lines = [
      `best on the grid  ${result.energy.toPrecision(8)} at γ = ${best.gamma.toFixed(4)}, β = ${best.beta.toFixed(4)}`,
      `optimum           ${result.optimum}${optimum.provenOptimal ? ", proven" : ", best known"}`,
      `at random         ${result.random}`,
    ];
    process.stdout.write(`${lines.join("\n")}\n`);
  } finally {
    await simulator.close();
  }
}

async function benchOf(file: string, flags: BenchFlags): Promise<void> {
  const { deadlineMs, runs, json, plot } = flags;
  const { problem, sign } = readProblem(file, flags);
  const target = flags.target === undefined ? undefined : sign * angle(flags.target);
  const { target: known, times } = timeToSolution(problem, runs, {
    deadlineMs,
    now,
    ...(target !== undefined && { target }),
  });
  if (plot !== undefined) {
    const { timeToSolutionPlot } = await import("@flashloan/plots/optimization");
    write(plot, await timeToSolutionPlot(times, deadlineMs, `${basename(file)}: time to ${sign * known || 0}`));
  }
  const rows = [...Map.groupBy(times, ({ solver }) => solver)].map(([solver, its]) => {
    const reached = its.flatMap(({ ms }) => (ms === undefined ? [] : [ms])).toSorted((a, b) => a - b);
    const isHalf = 2 * reached.length >= runs;
    return {
      solver,
      reached: reached.length,
      runs,
      medianMs: isHalf ? round(reached[(runs - 1) >> 1] ?? 0) : undefined,
    };
  });
  if (json)
    return void process.stdout.write(`${toJsonLine({ target: sign * known || 0, deadlineMs, solvers: rows })}\n`);
  const lines = rows.map(({ solver, reached, medianMs }) => [
    solver,
    `${reached} of ${runs}`,
    medianMs === undefined ? `over ${deadlineMs}` : String(medianMs),
  ]);
  process.stdout.write(`target ${sign * known || 0}\n${table([["solver", "reached", "median ms"], ...lines])}\n`);
}

function write(file: string, svg: string): void {
  try {
    writeFileSync(file, svg);
  } catch (error) {
    throw invalid(`${file} can't be written: ${(error as Error).message}`);
  }
}

/** A finite number from the command line. */
function angle(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw invalid(`"${text}" is no number`);
  return value;
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
