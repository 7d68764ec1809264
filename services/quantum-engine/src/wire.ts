import type {
  AllocateTasksRequest,
  AllocateTasksResponse,
  Budget,
  ExportCircuitRequest,
  ExportCircuitResponse,
  Hamiltonian,
  LandscapeRequest,
  LandscapeResponse,
  MinimizeEnergyRequest,
  MinimizeEnergyResponse,
  Opinion as WireOpinion,
  Problem,
  RankCompletionsRequest,
  RankCompletionsResponse,
  SelectOpportunitiesRequest,
  SelectOpportunitiesResponse,
  SolveRequest,
  SolveResponse,
} from "@flashloan/proto/quantum/v1/quantum";
import { FlashloanError } from "@flashloan/shared/errors";
import type { Opinion } from "./answers.ts";
import type { Answer } from "./engine.ts";

// gRPC's messages as questions, and answers as its messages. What a question may hold is checked afterwards, in one place
// for both wires. In proto3 what is not set is 0 or "": where that means "the default", it is left out.

type Json = Record<string, unknown>;

function set(fields: Readonly<Record<string, string | number | undefined>>): Json {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== "" && value !== 0),
  );
}

/** A budget that is set has a deadline, be it 0. */
function budget(given: Budget | undefined): Json {
  return given ? { deadlineMs: given.deadlineMs, seed: given.seed } : {};
}

/** Whole numbers of 64 bits as numbers; the schema refuses what is not exact. */
function whole(value: bigint): number {
  return Number(value);
}

function problem(given: Problem | undefined): unknown {
  const statement = given?.statement;
  switch (statement?.$case) {
    case "modelJson":
      return { model: parsed(statement.value) };
    case "matrix":
      return { sense: statement.value.sense, matrix: statement.value.rows.map(({ entries }) => entries) };
    case "sparseText": {
      const { text, as, offdiagonal } = statement.value;
      return { text, as, ...set({ offdiagonal }) };
    }
    case "quadratic": {
      const { size, offset, linear, first, second, weights } = statement.value;
      if (first.length !== second.length || first.length !== weights.length)
        throw new FlashloanError(
          "argument_invalid",
          `problem.quadratic: ${first.length} first, ${second.length} second and ${weights.length} weights: each coupling has one of each`,
        );
      const couplings = first.map((i, k) => [i, second[k], weights[k]]);
      return { quadratic: { size, offset, linear, couplings } };
    }
    default:
      return undefined;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FlashloanError("argument_invalid", `problem.model_json is not JSON: ${(error as Error).message}`);
  }
}

export function solveQuestion({ problem: stated, budget: given, solver, secondOpinion }: SolveRequest): Json {
  return {
    problem: problem(stated),
    ...budget(given),
    ...set({ solver }),
    ...(secondOpinion && { secondOpinion: { layers: secondOpinion.layers, ...set({ shots: secondOpinion.shots }) } }),
  };
}

export function solveResponse({ reading, opinion, ...answer }: Answer<"solve">): SolveResponse {
  return {
    ...answer,
    assignment: Buffer.from(answer.assignment),
    reading: reading && {
      values: Object.fromEntries(Object.entries(reading.values).map(([name, value]) => [name, String(value)])),
      feasible: reading.feasible,
      violations: [...reading.violations],
    },
    opinion: opinion && opinionMessage(opinion),
  };
}

function opinionMessage(opinion: Opinion): WireOpinion {
  const none = {
    layers: 0,
    gammas: [],
    betas: [],
    energy: 0,
    approximationRatio: 0,
    bestMeasured: 0,
    optimumShare: 0,
    evaluations: 0,
    refused: "",
  };
  if ("refused" in opinion) return { ...none, refused: opinion.refused };
  return { ...none, ...opinion, gammas: [...opinion.gammas], betas: [...opinion.betas] };
}

export function selectQuestion({ opportunities, sequels, room, budget: given }: SelectOpportunitiesRequest): Json {
  return {
    opportunities: opportunities.map(({ gas, failure, ...one }) => ({
      ...one,
      gas: whole(gas),
      ...(failure && { failure }),
    })),
    sequels,
    room: room && { ...room, gasMax: whole(room.gasMax) },
    ...budget(given),
  };
}

export function selectResponse(answer: Answer<"select-opportunities">): SelectOpportunitiesResponse {
  return { ...answer, chosen: [...answer.chosen] };
}

export function allocateQuestion({ agents, tasks, budget: given }: AllocateTasksRequest): Json {
  return { agents, tasks, ...budget(given) };
}

export function allocateResponse(answer: Answer<"allocate-tasks">): AllocateTasksResponse {
  return { ...answer, assignments: { ...answer.assignments }, unassigned: [...answer.unassigned] };
}

export function rankQuestion({ candidates, budget: given }: RankCompletionsRequest): Json {
  const stated =
    candidates?.$case === "completions"
      ? { completions: candidates.value.candidates, count: candidates.value.count }
      : candidates?.value;
  return { candidates: stated, ...budget(given) };
}

export function rankResponse(answer: Answer<"rank-completions">): RankCompletionsResponse {
  return { ...answer, chosen: [...answer.chosen], mended: [...answer.mended] };
}

export function minimizeQuestion(request: MinimizeEnergyRequest): Json {
  const { hamiltonian, ansatz, budget: given, evaluationsMax, includeCircuit } = request;
  return {
    hamiltonian: hamiltonianOf(hamiltonian),
    ansatz: ansatz && { kind: ansatz.kind, ...set({ layers: ansatz.layers }) },
    includeCircuit,
    ...set({ evaluationsMax }),
    ...budget(given),
  };
}

function hamiltonianOf(given: Hamiltonian | undefined): unknown {
  const statement = given?.statement;
  if (!statement) return undefined;
  return statement.$case === "pauliSum" ? { pauliSum: statement.value.terms } : { [statement.$case]: statement.value };
}

export function minimizeResponse(answer: Answer<"minimize-energy">): MinimizeEnergyResponse {
  return { ...answer, exact: answer.exact, parameters: [...answer.parameters] };
}

export function landscapeQuestion({ problem: stated, grid, gammaMax, budget: given }: LandscapeRequest): Json {
  return { problem: problem(stated), ...set({ grid, gammaMax }), ...budget(given) };
}

export function landscapeResponse(answer: Answer<"landscape">): LandscapeResponse {
  const { gammas, betas, energies } = answer;
  return { ...answer, gammas: [...gammas], betas: [...betas], energies: [...energies] };
}

export function circuitQuestion({ problem: stated, gammas, betas, layers, version }: ExportCircuitRequest): Json {
  return { problem: problem(stated), gammas, betas, ...set({ layers, version }) };
}

export function circuitResponse(answer: Answer<"export-circuit">): ExportCircuitResponse {
  return answer;
}
