import { z } from "zod";
import { SOLVERS } from "@flashloan/qubo/portfolio";
import { problemSchema } from "@flashloan/qubo/problem";

// What the engine is asked, as JSON: REST takes it as it is, and gRPC's messages are turned into it.

/** The most qubits of a simulation; how many there may be at a time is a question of memory. */
export const QUBITS_MAX = 26;
/** The most layers of a circuit. */
export const LAYERS_MAX = 32;
const DEADLINE_DEFAULT_MS = 1_000;
const EVALUATIONS_DEFAULT = 10_000;

const finite = z.number({ error: "must be a finite number" });
const wei = z.string().regex(/^-?\d{1,78}$/, "must be a whole number of base units, as a decimal string");
const unsignedWei = z.string().regex(/^\d{1,78}$/, "must be a whole, non-negative number of base units");
const id = z.string().min(1).max(128);
const angles = z.array(finite).max(100);
const layers = z.int().min(1).max(LAYERS_MAX);
const share = finite.min(0).max(1);

const budget = {
  deadlineMs: z
    .int()
    .min(0)
    .max(3_600_000)
    .default(DEADLINE_DEFAULT_MS)
    .describe("from the question to its answer, ms; 0 answers with what is there at once"),
  seed: z.int().min(0).max(0xffff_ffff).default(1).describe("the same seed searches in the same order"),
};

/** Of any question, what must be known before anybody has time to look into it. */
export const budgetSchema = z.looseObject(budget, { error: "must be an object" });

const solveSchema = z.strictObject({
  problem: problemSchema,
  ...budget,
  solver: z.enum(SOLVERS).default("portfolio"),
  secondOpinion: z
    .strictObject({ layers, shots: z.int().min(1).max(1_000_000).default(1_000) })
    .optional()
    .describe("what QAOA, simulated, makes of it, with the time that the solvers leave"),
});

const selectSchema = z.strictObject({
  opportunities: z
    .array(
      z.strictObject({
        id,
        netWei: wei,
        pools: z.array(id).max(64),
        gas: z.int().min(0),
        loanSource: z.string().max(256),
        loanAmount: unsignedWei,
        failure: z.strictObject({ group: id, chance: share, costWei: unsignedWei }).optional(),
      }),
    )
    .max(500),
  sequels: z
    .array(z.strictObject({ first: id, second: id, netWei: wei }))
    .max(20_000)
    .default([]),
  room: z.strictObject({
    transactionsMax: z.int().min(0),
    gasMax: z.int().min(0),
    liquidity: z.record(z.string().max(256), unsignedWei).default({}),
    riskAversion: finite.min(0).default(0),
  }),
  ...budget,
});

const allocateSchema = z.strictObject({
  agents: z
    .array(
      z.strictObject({
        id,
        skills: z.record(id, share),
        load: z.int().min(0).default(0),
        capacity: z.int().min(1),
        cost: finite.min(0).default(0),
      }),
    )
    .max(1_000),
  tasks: z
    .array(z.strictObject({ id, skill: id, value: finite.min(0), affinity: z.record(id, finite).default({}) }))
    .max(1_000),
  ...budget,
});

const rankSchema = z.strictObject({
  candidates: z.union(
    [
      z.strictObject({
        completions: z
          .array(
            z.strictObject({
              id,
              quality: share,
              outputs: z.array(z.string().max(100_000)).max(1_000),
              passed: z.array(z.boolean()).max(1_000),
            }),
          )
          .max(500),
        count: z.int().min(1).max(500),
      }),
      z.strictObject({
        patches: z
          .array(
            z.strictObject({
              id,
              mends: z.array(id).max(1_000),
              conflictsWith: z.array(id).max(1_000).default([]),
            }),
          )
          .max(200),
      }),
    ],
    { error: "must be {completions, count} or {patches}" },
  ),
  ...budget,
});

const element = z.enum(["H", "He"]);
const minimizeSchema = z.strictObject({
  hamiltonian: z.union(
    [
      z.strictObject({
        pauliSum: z
          .array(
            z.strictObject({
              coefficient: finite,
              string: z.string().regex(/^[IXYZ]{1,26}$/, "must be 1 to 26 letters I, X, Y and Z"),
            }),
          )
          .min(1)
          .max(10_000),
      }),
      z.strictObject({
        isingChain: z.strictObject({
          qubits: z.int().min(2).max(QUBITS_MAX),
          coupling: finite.default(1),
          field: finite.default(1),
        }),
      }),
      z.strictObject({
        molecule: z.strictObject({ first: element, second: element, distance: finite.positive().max(100) }),
      }),
    ],
    { error: "must be one of {pauliSum}, {isingChain} and {molecule}" },
  ),
  ansatz: z.strictObject({
    kind: z.enum(["hardware-efficient", "hamiltonian-variational", "coupled-cluster"]),
    layers: layers.default(1),
  }),
  evaluationsMax: z.int().min(1).max(10_000_000).default(EVALUATIONS_DEFAULT),
  includeCircuit: z.boolean().default(false),
  ...budget,
});

const landscapeSchema = z.strictObject({
  problem: problemSchema,
  grid: z.int().min(2).max(200).default(48),
  gammaMax: finite.positive().optional(),
  ...budget,
});

const circuitSchema = z
  .strictObject({
    problem: problemSchema,
    ...budget,
    gammas: angles.default([]),
    betas: angles.default([]),
    layers: layers.optional(),
    version: z.union([z.literal(2), z.literal(3)]).default(3),
  })
  .refine(({ gammas, betas }) => gammas.length === betas.length, {
    path: ["betas"],
    message: "there must be as many betas as gammas",
  })
  .refine(({ gammas, layers: fixed }) => gammas.length > 0 !== (fixed !== undefined), {
    path: ["gammas"],
    message: "give angles, or the number of layers of fixed ones",
  });

const plotSchema = z.strictObject({
  problem: problemSchema,
  title: z.string().max(200).optional(),
  ...budget,
});

/** Schemas by what is asked. */
export const QUESTIONS = {
  solve: solveSchema,
  "select-opportunities": selectSchema,
  "allocate-tasks": allocateSchema,
  "rank-completions": rankSchema,
  "minimize-energy": minimizeSchema,
  landscape: landscapeSchema,
  "export-circuit": circuitSchema,
  "plot-landscape": plotSchema.extend({ grid: landscapeSchema.shape.grid, gammaMax: landscapeSchema.shape.gammaMax }),
  "plot-convergence": plotSchema.extend({ solver: solveSchema.shape.solver }),
  "plot-distribution": plotSchema.extend({
    grid: landscapeSchema.shape.grid,
    shots: z.int().min(1).max(1_000_000).default(10_000),
  }),
  "plot-time-to-solution": plotSchema.extend({ runs: z.int().min(1).max(100).default(10) }),
} as const;

/** What is asked. */
export type Kind = keyof typeof QUESTIONS;
/** A question of one kind, with its defaults. */
export type QuestionOf<K extends Kind> = z.output<(typeof QUESTIONS)[K]>;
/** A question, with its kind. */
export type Question = { [K in Kind]: { readonly kind: K; readonly body: QuestionOf<K> } }[Kind];
