import { z } from "zod";
import { SOLVERS, type Finder } from "@flashloan/qubo/portfolio";
import type { Kind } from "./questions.ts";

// What questions are answered with, but for the timing: REST's schemas, and the types that work with them. What the fields
// mean stands in the proto.

const finders = SOLVERS.filter((solver): solver is Finder => solver !== "portfolio");
const numbers = z.array(z.number()).readonly();
const names = z.array(z.string()).readonly();
const ms = z.number();

const provenanceSchema = z
  .object({
    solver: z.enum(finders),
    provenOptimal: z.boolean().describe("true when nothing better exists"),
    objective: z.number(),
    bound: z.number().describe("no answer is better than that"),
    greedy: z.number().describe("what the greedy baseline reaches"),
    degraded: z.boolean().describe("time was up before more than the baseline could be tried"),
  })
  .readonly();
/** How an answer came about. */
export type Provenance = z.output<typeof provenanceSchema>;

/** How long an answer took. */
export const timingSchema = z
  .object({
    elapsedMs: ms.describe("from the question to its answer"),
    queuedMs: ms.describe("how much of that was spent waiting for a thread"),
    overshootMs: ms.describe("by how much the deadline was missed"),
    cached: z.boolean().describe("the same question was answered before, with about as much time"),
  })
  .readonly();
/** @see timingSchema */
export type Timing = z.output<typeof timingSchema>;

const opinionSchema = z.union([
  z
    .object({
      layers: z.int(),
      gammas: numbers,
      betas: numbers,
      energy: z.number().describe("the mean objective"),
      approximationRatio: z.number().describe("(worst - energy) / (worst - best) over all assignments"),
      bestMeasured: z.number(),
      optimumShare: z.number().describe("how often an optimum was measured, of all shots"),
      evaluations: z.int(),
    })
    .readonly(),
  z.object({ refused: z.string().describe("why QAOA was not asked") }).readonly(),
]);
/** What QAOA made of a problem, or why it was not asked. */
export type Opinion = z.output<typeof opinionSchema>;

/** A better answer than all before. */
export const improvementSchema = z.object({ solver: z.enum(finders), objective: z.number(), elapsedMs: ms }).readonly();
/** @see improvementSchema */
export type Improvement = z.output<typeof improvementSchema>;

const plotSchema = z.object({ svg: z.string() });

/** Schemas of the answers to each kind of question. */
export const ANSWERS = {
  solve: z.object({
    provenance: provenanceSchema,
    foundMs: ms,
    variables: z.int(),
    couplings: z.int(),
    assignment: numbers.describe("0 or 1 for each variable"),
    reading: z
      .object({
        values: z.record(z.string(), z.union([z.number(), z.string()])),
        feasible: z.boolean(),
        violations: names,
      })
      .readonly()
      .optional()
      .describe("what the assignment means in the words of a model"),
    opinion: opinionSchema.optional(),
  }),
  "select-opportunities": z.object({
    chosen: names.describe("in the order in which those that share pools were valued"),
    netWei: z.string(),
    provenance: provenanceSchema,
  }),
  "allocate-tasks": z.object({
    assignments: z.record(z.string(), z.string()).describe("the agent of each task"),
    unassigned: names,
    provenance: provenanceSchema,
  }),
  "rank-completions": z.object({ chosen: names, mended: names, provenance: provenanceSchema }),
  "minimize-energy": z.object({
    energy: z.number(),
    repulsion: z.number(),
    exact: z.number().optional(),
    parameters: numbers,
    evaluations: z.int(),
    degraded: z.boolean(),
    circuit: z.string(),
  }),
  landscape: z.object({
    gammas: numbers,
    betas: numbers,
    energies: numbers,
    bestGamma: z.number(),
    bestBeta: z.number(),
    bestEnergy: z.number(),
    optimum: z.number(),
    provenOptimal: z.boolean(),
    degraded: z.boolean(),
  }),
  "export-circuit": z.object({ circuit: z.string(), qubits: z.int(), gates: z.int() }),
  "plot-landscape": plotSchema,
  "plot-convergence": plotSchema,
  "plot-distribution": plotSchema,
  "plot-time-to-solution": plotSchema,
} as const satisfies Record<Kind, z.ZodType>;
/** Answers by kind of question. */
export type Answers = { readonly [K in Kind]: z.output<(typeof ANSWERS)[K]> };
