import type { MessagePort } from "node:worker_threads";
import { allocateTasks } from "@flashloan/decisions/allocation";
import { chooseCompletions } from "@flashloan/decisions/completions";
import type { Budget } from "@flashloan/decisions/decision";
import { choosePatches } from "@flashloan/decisions/patches";
import { selectOpportunities } from "@flashloan/decisions/selection";
import { solve, type Solution } from "@flashloan/qubo/portfolio";
import { objectiveOf, stateProblem, type Stated } from "@flashloan/qubo/problem";
import { timeToSolution } from "@flashloan/qubo/time-to-solution";
import { errorFields, FlashloanError, toFlashloanError } from "@flashloan/shared/errors";
import type { Answers, Improvement, Provenance } from "./answers.ts";
import { validated } from "@flashloan/shared/validated";
import { QUESTIONS, type Kind, type Question, type QuestionOf } from "./questions.ts";
import { exportCircuit, landscapeOf, minimizeEnergy, opinionOn, sampledAtBest, type Bounds } from "./simulation.ts";

// Runs in a worker thread: one question at a time, from its statement to its answer. It reads a clock and a flag, and
// touches nothing else.

/** The share of a deadline that the solvers get when QAOA is asked too, or a landscape is to be computed. */
const SOLVERS_SHARE = 0.5;
const OPTIMUM_SHARE = 0.2;
/** Improvements that come faster than anybody can look are left out. */
const IMPROVEMENT_INTERVAL_MS = 10;

/** What a worker is given. */
export interface Work {
  readonly kind: Kind;
  /** As JSON; checked here, since that takes time. */
  readonly body: unknown;
  /** When the answer is due, on {@link monotonicMs}'s clock. */
  readonly dueMs: number;
  /** What the simulation may take. */
  readonly memoryBytes: number;
  /** Not 0 once nobody wants the answer. */
  readonly cancel: Int32Array<SharedArrayBuffer>;
  /** Takes improvements, and null after the last. */
  readonly port?: MessagePort;
}

/** What a worker gives back: errors don't keep their class on the way between threads. */
export type Worked = { readonly answer: Answers[Kind] } | { readonly error: ReturnType<typeof errorFields> };

/** Milliseconds on a clock that all threads of a process share and that never goes back. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Answers one question. Never throws. */
export async function work({ kind, body, dueMs, memoryBytes, cancel, port }: Work): Promise<Worked> {
  try {
    const schema = QUESTIONS[kind];
    const question = { kind, body: schema.parse(validated(schema, body)) } as Question;
    const bounds: Bounds = {
      msLeft: () => Math.max(0, dueMs - monotonicMs()),
      cancelled: () => Atomics.load(cancel, 0) !== 0,
      memoryBytes,
      seed: question.body.seed,
    };
    return { answer: await answerTo(question, bounds, port) };
  } catch (error) {
    return { error: errorFields(toFlashloanError(error)) };
  } finally {
    port?.postMessage(null);
  }
}

async function answerTo(question: Question, bounds: Bounds, port?: MessagePort): Promise<Answers[Kind]> {
  switch (question.kind) {
    case "solve":
      return solveProblem(question.body, bounds, port);
    case "select-opportunities":
      return select(question.body, bounds);
    case "allocate-tasks":
      return allocate(question.body, bounds);
    case "rank-completions":
      return rank(question.body, bounds);
    case "minimize-energy":
      return minimizeEnergy(question.body, bounds);
    case "landscape":
      return landscapeFor(question.body, bounds);
    case "export-circuit":
      return exportCircuit(stateProblem(question.body.problem), question.body);
    default:
      return { svg: await plot(question, bounds) };
  }
}

function budgetOf({ msLeft, cancelled, seed }: Bounds, share = 1): Budget {
  return { deadlineMs: share * msLeft(), seed, now: monotonicMs, cancelled };
}

async function solveProblem(
  { problem: statement, solver, secondOpinion }: QuestionOf<"solve">,
  bounds: Bounds,
  port?: MessagePort,
): Promise<Answers["solve"]> {
  const stated = stateProblem(statement);
  let toldMs = -Infinity;
  const tell = (improvement: Improvement): void => {
    if (improvement.elapsedMs - toldMs < IMPROVEMENT_INTERVAL_MS) return;
    toldMs = improvement.elapsedMs;
    port?.postMessage(improvement);
  };
  const solution = solve(stated.problem, {
    ...budgetOf(bounds, secondOpinion ? SOLVERS_SHARE : 1),
    solver,
    ...(port && {
      onImproved: ({ x, value, solver: by, elapsedMs }) =>
        tell({ solver: by, objective: objectiveOf(stated, x, value), elapsedMs }),
    }),
  });
  const reading = stated.read?.(solution.x);
  return {
    provenance: provenanceOf(stated, solution),
    foundMs: solution.foundMs,
    variables: stated.problem.size,
    couplings: stated.problem.couplings,
    assignment: [...solution.x],
    ...(reading && {
      reading: { values: reading.values, feasible: reading.feasible, violations: reading.violations },
    }),
    ...(secondOpinion && { opinion: await opinionOn(stated, secondOpinion, bounds) }),
  };
}

function provenanceOf(stated: Stated, solution: Solution): Provenance {
  const { solver, provenOptimal, degraded } = solution;
  return {
    solver,
    provenOptimal,
    objective: objectiveOf(stated, solution.x, solution.value),
    bound: stated.sign * solution.bound || 0,
    greedy: objectiveOf(stated, solution.greedy.x, solution.greedy.value),
    degraded,
  };
}

function choiceProvenance({ solver, provenOptimal, objective, bound, greedy, degraded }: Provenance): Provenance {
  return { solver, provenOptimal, objective, bound, greedy, degraded };
}

function select(
  { opportunities, sequels, room }: QuestionOf<"select-opportunities">,
  bounds: Bounds,
): Answers["select-opportunities"] {
  const selection = selectOpportunities(
    opportunities.map(({ id, netWei, pools, gas, loanSource, loanAmount, failure }) => ({
      id,
      netWei: BigInt(netWei),
      pools,
      gas,
      loan: { source: loanSource, amount: BigInt(loanAmount) },
      ...(failure && { failure: { ...failure, costWei: BigInt(failure.costWei) } }),
    })),
    sequels.map(({ first, second, netWei }) => ({ first, second, netWei: BigInt(netWei) })),
    {
      ...room,
      liquidity: Object.fromEntries(Object.entries(room.liquidity).map(([source, most]) => [source, BigInt(most)])),
    },
    budgetOf(bounds),
  );
  return {
    chosen: selection.chosen,
    netWei: String(selection.netWei),
    provenance: choiceProvenance(selection),
  };
}

function allocate({ agents, tasks }: QuestionOf<"allocate-tasks">, bounds: Bounds): Answers["allocate-tasks"] {
  const choice = allocateTasks(agents, tasks, budgetOf(bounds));
  return {
    assignments: choice.assignments,
    unassigned: choice.unassigned,
    provenance: choiceProvenance(choice),
  };
}

function rank({ candidates }: QuestionOf<"rank-completions">, bounds: Bounds): Answers["rank-completions"] {
  if ("patches" in candidates) {
    const choice = choosePatches(candidates.patches, budgetOf(bounds));
    return { chosen: choice.chosen, mended: choice.mended, provenance: choiceProvenance(choice) };
  }
  const choice = chooseCompletions(candidates.completions, candidates.count, budgetOf(bounds));
  return { chosen: choice.chosen, mended: [], provenance: choiceProvenance(choice) };
}

async function landscapeFor(
  { problem, grid, gammaMax }: Pick<QuestionOf<"landscape">, "problem" | "grid" | "gammaMax">,
  bounds: Bounds,
): Promise<Answers["landscape"]> {
  const stated = stateProblem(problem);
  const { value, provenOptimal } = solve(stated.problem, budgetOf(bounds, OPTIMUM_SHARE));
  const landscape = await landscapeOf(stated, grid, gammaMax, bounds);
  return { ...landscape, optimum: stated.sign * value || 0, provenOptimal };
}

type PlotQuestion = Extract<Question, { kind: `plot-${string}` }>;

async function plot(question: PlotQuestion, bounds: Bounds): Promise<string> {
  // The renderer takes a while to load, and most threads never plot.
  const plots = await import("@flashloan/plots/optimization");
  const { problem: statement, title } = question.body;
  if (question.kind === "plot-landscape") {
    const { gammas, betas, energies } = await landscapeFor(question.body, bounds);
    const points = energies.map((energy, k) => ({
      gamma: gammas[k % gammas.length] ?? 0,
      beta: betas[Math.floor(k / gammas.length)] ?? 0,
      energy,
    }));
    const best = stateProblem(statement).sign > 0 ? "lowest" : "highest";
    return plots.landscapePlot(points, best, title ?? "QAOA, one layer");
  }
  const stated = stateProblem(statement);
  if (question.kind === "plot-convergence") {
    const points: Improvement[] = [];
    const solution = solve(stated.problem, {
      ...budgetOf(bounds),
      solver: question.body.solver,
      onImproved: ({ x, value, solver, elapsedMs }) =>
        points.push({ solver, objective: objectiveOf(stated, x, value), elapsedMs }),
    });
    const { objective, provenOptimal, bound } = provenanceOf(stated, solution);
    const levels = provenOptimal ? { optimum: objective } : { bound };
    return plots.convergencePlot(points, solution.elapsedMs, levels, title ?? "The best objective over time");
  }
  if (question.kind === "plot-time-to-solution") {
    const { runs } = question.body;
    // The run that finds the target, and those of five solvers, share the time.
    const limitMs = bounds.msLeft() / (1 + 5 * runs);
    const { target, times } = timeToSolution(stated.problem, runs, { ...budgetOf(bounds), deadlineMs: limitMs });
    return plots.timeToSolutionPlot(times, limitMs, title ?? `Time to ${stated.sign * target || 0}`);
  }
  const { grid, shots } = question.body;
  const optimum = solve(stated.problem, budgetOf(bounds, OPTIMUM_SHARE));
  const bars = await sampledAtBest(stated, grid, shots, bounds);
  return plots.distributionPlot(
    bars,
    stated.sign * optimum.value || 0,
    title ?? `${shots} measurements at the best angles of one layer`,
  );
}

/** An error that a worker gave back, as it was thrown. */
export function revived(error: ReturnType<typeof errorFields>): FlashloanError {
  const { code, message, stack } = error as { code: FlashloanError["code"]; message: string; stack?: string };
  const cause = new Error(message);
  if (stack !== undefined) cause.stack = stack;
  return new FlashloanError(code, message, code === "internal" ? { cause } : {});
}
