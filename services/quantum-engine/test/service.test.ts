import fc from "fast-check";
import { z } from "zod";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  QuantumEngineServiceService as Quantum,
  type Budget,
  type Problem,
  type SolveRequest,
} from "@flashloan/proto/quantum/v1/quantum";
import { readConfig } from "@flashloan/shared/config";
import { testContext } from "@flashloan/shared/contract/context";
import { createRandom } from "@flashloan/shared/random";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { ANSWERS, timingSchema } from "../src/answers.ts";
import { quantumConfigSchema } from "../src/config.ts";
import { QUESTIONS } from "../src/questions.ts";
import { createQuantumEngineService } from "../src/service.ts";

const DEADLINE_MS = 30_000;
const lifecycle = new Lifecycle();
const context = testContext("quantum-engine");
let client: RpcClient;
let rest: string;

beforeAll(async () => {
  const config = readConfig(quantumConfigSchema, { QUANTUM_PORT: "0", QUANTUM_REST_PORT: "0" });
  const service = lifecycle.add("engine", await createQuantumEngineService(config, context));
  client = lifecycle.add("client", new RpcClient(service.address));
  rest = `http://${service.restAddress}`;
});
afterAll(() => lifecycle.stop());

const budget: Budget = { deadlineMs: DEADLINE_MS, seed: 1 };
/** The cut of a ring with chords: 12 vertices of degree 3. */
const edges = Array.from({ length: 12 }, (_, i) => [i, (i + 1) % 12] as const).concat(
  Array.from({ length: 6 }, (_, i) => [i, i + 6] as const),
);
const CUT_TEXT = `12 ${edges.length}\n${edges.map(([i, j]) => `${i + 1} ${j + 1} 1`).join("\n")}\n`;
const cut: Problem = { statement: { $case: "sparseText", value: { text: CUT_TEXT, as: "maxcut", offdiagonal: "" } } };
/** The largest cut of it, by looking at all of them. */
const LARGEST = Math.max(
  ...Array.from({ length: 2 ** 12 }, (_, x) => edges.filter(([i, j]) => ((x >> i) & 1) !== ((x >> j) & 1)).length),
);
const question = (more: Partial<SolveRequest> = {}): SolveRequest => ({ problem: cut, budget, solver: "", ...more });
const post = (path: string, body: unknown): Promise<Response> =>
  fetch(rest + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
const answered = async (path: string, body: unknown): Promise<unknown> => (await post(path, body)).json();
const solved = ANSWERS.solve.extend({ timing: timingSchema });
/** The value of a metric's line. */
const metric = async (start: string): Promise<number> => {
  const line = (await context.metrics.text()).split("\n").find((one) => one.startsWith(start));
  return Number(line?.split(" ").at(1));
};

test("a problem is solved, proven, and read in its model's words; the same question again comes from the cache", async () => {
  const first = await client.unary(Quantum.solve, question());
  expect(first.provenance).toEqual({
    solver: expect.any(String),
    provenOptimal: true,
    objective: LARGEST,
    bound: LARGEST,
    greedy: expect.any(Number),
    degraded: false,
  });
  expect([first.variables, first.couplings, first.assignment.length]).toEqual([12, 18, 12]);
  expect(first.timing).toMatchObject({ overshootMs: 0, cached: false });
  const again = await client.unary(Quantum.solve, question({ budget: { deadlineMs: 10, seed: 1 } }));
  expect(again.timing?.cached).toBe(true);
  expect(again.assignment).toEqual(first.assignment);
  // Another seed is another question.
  expect((await client.unary(Quantum.solve, question({ budget: { ...budget, seed: 2 } }))).timing?.cached).toBe(false);

  const model = {
    variables: { a: "binary", b: "binary", k: { oneHot: ["x", "y"] } },
    objective: { sense: "maximize", linear: { a: 2, b: 3, "k=y": 1 } },
    constraints: [{ conflict: ["a", "b"] }],
  };
  const problem: Problem = { statement: { $case: "modelJson", value: JSON.stringify(model) } };
  const read = await client.unary(Quantum.solve, question({ problem }));
  expect(read.reading).toEqual({ values: { a: "0", b: "1", k: "y" }, feasible: true, violations: [] });
  expect(read.provenance?.objective).toBe(4);
  const overRest = await (await post("/v1/solve", { problem: { model }, deadlineMs: DEADLINE_MS })).json();
  expect(overRest).toMatchObject({
    provenance: { objective: 4, provenOptimal: true },
    reading: { values: { a: 0, b: 1, k: "y" }, feasible: true, violations: [] },
  });
});

test("matrix and quadratic form mean what they say", async () => {
  const rows = [
    [-1, 2],
    [2, -1],
  ].map((entries) => ({ entries }));
  const matrix: Problem = { statement: { $case: "matrix", value: { sense: "minimize", rows } } };
  const quadratic: Problem = {
    statement: {
      $case: "quadratic",
      value: { size: 2, offset: 0, linear: [-1, -1], first: [0], second: [1], weights: [4] },
    },
  };
  for (const problem of [matrix, quadratic]) {
    const { provenance } = await client.unary(Quantum.solve, question({ problem }));
    expect([provenance?.objective, provenance?.provenOptimal]).toEqual([-1, true]);
  }
});

test("QAOA's second opinion says what it reached, by the right measure", async () => {
  const { opinion } = await client.unary(
    Quantum.solve,
    question({ secondOpinion: { layers: 3, shots: 2_000 }, budget: { ...budget, seed: 5 } }),
  );
  expect(opinion?.refused).toBe("");
  expect(opinion?.gammas).toHaveLength(3);
  // No cut has no edges: the ratio is the mean cut's share of the largest.
  expect(opinion?.approximationRatio).toBeCloseTo((opinion?.energy ?? 0) / LARGEST, 12);
  expect(opinion?.approximationRatio).toBeGreaterThan(0.9);
  expect(opinion?.approximationRatio).toBeLessThan(1);
  expect(opinion?.bestMeasured).toBe(LARGEST);
  expect(opinion?.optimumShare).toBeGreaterThan(0.1);
  expect(await metric("flashloan_quantum_approximation_ratio_count")).toBe(1);
  const many = { quadratic: { size: 60, linear: Array.from({ length: 60 }, () => 1), couplings: [] } };
  const body = await (await post("/v1/solve", { problem: many, secondOpinion: { layers: 1 } })).json();
  expect(body).toMatchObject({
    opinion: { refused: expect.stringContaining("60 qubits") },
    provenance: { objective: 0 },
  });
});

test("a stream tells each better answer, then the result; over REST as server-sent events", async () => {
  const problem = { text: CUT_TEXT, as: "maxcut" };
  const steps = [];
  const asked = { question: question({ budget: { ...budget, seed: 3 } }) };
  for await (const { step } of client.serverStream(Quantum.solveStream, asked, AbortSignal.timeout(DEADLINE_MS)))
    steps.push(step);
  expect(steps.at(-1)).toMatchObject({ $case: "result", value: { provenance: { objective: LARGEST } } });
  expect(steps.slice(0, -1).map((step) => step?.$case)).toEqual(steps.slice(1).map(() => "improvement"));
  expect(steps.length).toBeGreaterThan(1);
  const response = await post("/v1/solve/stream", { problem, deadlineMs: DEADLINE_MS, seed: 4 });
  const events = (await response.text()).trim().split("\n\n");
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  expect(events[0]).toMatch(/^event: improvement\ndata: \{"solver":"greedy"/);
  expect(events.at(-1)).toMatch(/^event: result\ndata: \{/);
  expect(JSON.parse(events.at(-1)?.split("data: ")[1] ?? "")).toMatchObject({ provenance: { objective: LARGEST } });
});

test("opportunities, tasks, completions and patches are chosen, and each choice says how good it is", async () => {
  const one = (id: string, netWei: string, pools: string[]) => ({
    id,
    netWei,
    pools,
    gas: 100_000n,
    loanSource: "vault",
    loanAmount: "10",
  });
  const selection = await client.unary(Quantum.selectOpportunities, {
    opportunities: [one("a", "5000000000", ["p"]), one("b", "4000000000", ["p"]), one("c", "3000000000", ["q"])],
    sequels: [],
    room: { transactionsMax: 5, gasMax: 1_000_000n, liquidity: { vault: "20" }, riskAversion: 0 },
    budget: { deadlineMs: 1_000, seed: 1 },
  });
  expect(selection.chosen.toSorted()).toEqual(["a", "c"]);
  expect([selection.netWei, selection.provenance?.objective]).toEqual(["8000000000", 8]);
  expect(selection.provenance?.provenOptimal).toBe(true);
  const agents = [
    { id: "one", skills: { code: 1, text: 0.5 }, load: 0, capacity: 1, cost: 0 },
    { id: "two", skills: { code: 0.9, text: 0.1 }, load: 0, capacity: 1, cost: 0 },
  ];
  const tasks = ["code", "text"].map((skill) => ({ id: skill, skill, value: 10, affinity: {} }));
  const allocation = await client.unary(Quantum.allocateTasks, { agents, tasks, budget });
  expect(allocation.assignments).toEqual({ code: "two", text: "one" });
  const candidate = (id: string, output: string) => ({ id, quality: 0.5, outputs: [output], passed: [true] });
  const candidates = [candidate("x", "1"), candidate("y", "1"), candidate("z", "2")];
  const ranked = await client.unary(Quantum.rankCompletions, {
    candidates: { $case: "completions", value: { candidates, count: 2 } },
    budget,
  });
  expect([ranked.chosen.length, ranked.chosen.includes("z")]).toEqual([2, true]);
  const patches = [
    { id: "p", mends: ["1", "2"], conflictsWith: ["q"] },
    { id: "q", mends: ["2", "3"], conflictsWith: [] },
    { id: "r", mends: ["3"], conflictsWith: [] },
  ];
  const composed = await client.unary(Quantum.rankCompletions, {
    candidates: { $case: "patches", value: { patches } },
    budget,
  });
  expect([composed.chosen.toSorted(), composed.mended.toSorted()]).toEqual([
    ["p", "r"],
    ["1", "2", "3"],
  ]);
});

test("VQE's energies are those of the literature", async () => {
  const hydrogen = await client.unary(Quantum.minimizeEnergy, {
    hamiltonian: { statement: { $case: "molecule", value: { first: "H", second: "H", distance: 0.735 } } },
    ansatz: { kind: "coupled-cluster", layers: 0 },
    budget,
    evaluationsMax: 0,
    includeCircuit: true,
  });
  expect(hydrogen.energy + hydrogen.repulsion).toBeCloseTo(-1.137306, 5);
  expect(hydrogen.circuit).toMatch(/^OPENQASM 3.0;/);
  const chain = ANSWERS["minimize-energy"].parse(
    await answered("/v1/minimize-energy", {
      hamiltonian: { isingChain: { qubits: 4 } },
      ansatz: { kind: "hamiltonian-variational", layers: 4 },
      deadlineMs: DEADLINE_MS,
    }),
  );
  // The chain's exact energy: 1 − 1/sin(π/(2(2n+1))).
  expect(chain.exact).toBeCloseTo(1 - 1 / Math.sin(Math.PI / 18), 9);
  expect(chain.energy).toBeCloseTo(chain.exact ?? Number.NaN, 6);
});

test("a landscape has its optimum and its plots, and a circuit is exported", async () => {
  const landscape = await client.unary(Quantum.landscape, { problem: cut, grid: 24, budget });
  expect([landscape.gammas.length, landscape.betas.length, landscape.energies.length]).toEqual([24, 24, 576]);
  expect(landscape.bestEnergy).toBe(Math.max(...landscape.energies));
  expect([landscape.optimum, landscape.provenOptimal, landscape.degraded]).toEqual([LARGEST, true, false]);
  // At γ = 0 nothing has happened: every edge is cut with the chance of a coin.
  expect(landscape.energies[0]).toBeCloseTo(edges.length / 2, 9);
  const circuit = await client.unary(Quantum.exportCircuit, {
    problem: cut,
    gammas: [],
    betas: [],
    layers: 2,
    version: 2,
  });
  expect(circuit.qubits).toBe(12);
  expect(circuit.circuit.match(/^rx\(/gm)).toHaveLength(24);
  expect(circuit.circuit).toMatch(/^OPENQASM 2.0;[\s\S]*measure q\[11\]/);
  const problem = { text: CUT_TEXT, as: "maxcut" };
  for (const plot of ["landscape", "convergence", "distribution", "time-to-solution"]) {
    const response = await post(`/v1/plots/${plot}`, {
      problem,
      deadlineMs: DEADLINE_MS,
      ...(plot === "time-to-solution" && { deadlineMs: 500, runs: 2 }),
    });
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "image/svg+xml"]);
    expect(await response.text()).toMatch(/^<svg [\s\S]*<\/svg>$/);
  }
});

const ring = { problem: { text: CUT_TEXT, as: "maxcut" } };
const refusals: readonly (readonly [what: string, path: string, body: unknown, status: number, detail: RegExp])[] = [
  ["no JSON", "/v1/solve", "{", 400, /JSON/],
  ["no problem", "/v1/solve", {}, 400, /problem/],
  ["an unknown field", "/v1/solve", { ...ring, sed: 1 }, 400, /sed/],
  ["a deadline below 0", "/v1/solve", { ...ring, deadlineMs: -1 }, 400, /deadlineMs/],
  ["a deadline over the limit", "/v1/solve", { ...ring, deadlineMs: 3_000_000 }, 400, /QUANTUM_DEADLINE_MS_MAX/],
  ["an unknown solver", "/v1/solve", { ...ring, solver: "magic" }, 400, /solver/],
  [
    "a matrix that isn't symmetric",
    "/v1/solve",
    {
      problem: {
        sense: "minimize",
        matrix: [
          [1, 2],
          [3, 4],
        ],
      },
    },
    400,
    /not symmetric/,
  ],
  ["NaN", "/v1/solve", { problem: { sense: "minimize", matrix: [[null]] } }, 400, /finite/],
  [
    "contradictory constraints",
    "/v1/solve",
    {
      problem: {
        model: {
          variables: { a: "binary" },
          objective: { sense: "minimize" },
          constraints: [{ sum: { a: 1 }, atLeast: 2 }],
        },
      },
    },
    400,
    /can never hold/,
  ],
  ["sparse text that is cut off", "/v1/solve", { problem: { text: "3 2\n1 2 1\n", as: "maxcut" } }, 400, /cut off/],
  ["40 qubits", "/v1/landscape", { problem: { quadratic: { size: 40 } } }, 400, /MiB/],
  [
    "40 qubits of a Hamiltonian",
    "/v1/minimize-energy",
    { hamiltonian: { isingChain: { qubits: 40 } }, ansatz: { kind: "hardware-efficient" } },
    400,
    /qubits/,
  ],
  ["angles that don't match", "/v1/export-circuit", { ...ring, gammas: [1], betas: [] }, 400, /betas/],
  ["a body that is too large", "/v1/solve", "x".repeat(5 * 1024 * 1024), 413, /bytes/],
  ["nowhere", "/v1/nowhere", {}, 404, /openapi/],
];
test.each(refusals)("refused with what is wrong: %s", async (_, path, body, status, detail) => {
  const response = await post(path, body);
  expect([response.status, response.headers.get("content-type")]).toEqual([
    status,
    "application/problem+json; charset=utf-8",
  ]);
  expect(await response.json()).toMatchObject({ status, detail: expect.stringMatching(detail), retryable: false });
});

test("over gRPC the same is refused with the same words", async () => {
  const refused = { code: "argument_invalid" };
  await expect(client.unary(Quantum.solve, question({ problem: undefined }))).rejects.toMatchObject(refused);
  await expect(client.unary(Quantum.solve, question({ solver: "magic" }))).rejects.toMatchObject(refused);
  const value = { size: 2, offset: 0, linear: [], first: [0], second: [], weights: [1] };
  await expect(
    client.unary(Quantum.solve, question({ problem: { statement: { $case: "quadratic", value } } })),
  ).rejects.toThrow("each coupling has one of each");
  await expect(
    client.unary(Quantum.solve, question({ problem: { statement: { $case: "modelJson", value: "{" } } })),
  ).rejects.toThrow("model_json is not JSON");
  expect(await metric('flashloan_quantum_questions_total{kind="solve",outcome="failed"')).toBe(0);
});

test("a deadline of 0 and 10,000 variables are answered, labelled", async () => {
  const none = solved.parse(await answered("/v1/solve", { ...ring, deadlineMs: 0, seed: 77 }));
  expect(none.provenance).toMatchObject({ degraded: true, provenOptimal: false, solver: "greedy" });
  expect(none.timing.overshootMs).toBeGreaterThan(0);
  // What had no time is not kept for the next who asks.
  const again = solved.parse(await answered("/v1/solve", { ...ring, deadlineMs: 0, seed: 77 }));
  expect([again.timing.cached, again.provenance.degraded]).toEqual([false, true]);
  const size = 10_000;
  const random = createRandom(1);
  const couplings = Array.from({ length: 60_000 }, () => [random.below(size), random.below(size), random.below(9) - 4]);
  const large = solved.parse(
    await answered("/v1/solve", { problem: { quadratic: { size, couplings } }, deadlineMs: 300 }),
  );
  expect(large.assignment).toHaveLength(size);
  expect(large.provenance.objective).toBeLessThanOrEqual(large.provenance.greedy);
  expect(large.provenance.bound).toBeLessThanOrEqual(large.provenance.objective);
  expect(large.provenance.provenOptimal).toBe(false);
});

test("REST describes itself", async () => {
  const api = z
    .object({ openapi: z.string(), paths: z.record(z.string(), z.looseObject({})) })
    .parse(await (await fetch(`${rest}/openapi.json`)).json());
  expect(api.openapi).toMatch(/^3\./);
  expect(Object.keys(api.paths).toSorted()).toEqual([
    "/health",
    "/v1/allocate-tasks",
    "/v1/export-circuit",
    "/v1/landscape",
    "/v1/minimize-energy",
    "/v1/plots/convergence",
    "/v1/plots/distribution",
    "/v1/plots/landscape",
    "/v1/plots/time-to-solution",
    "/v1/rank-completions",
    "/v1/select-opportunities",
    "/v1/solve",
    "/v1/solve/stream",
  ]);
  expect(api.paths["/v1/solve"]).toMatchObject({ post: { requestBody: { required: true }, responses: { 200: {} } } });
});

test("whatever is sent, the answer is an answer or says what is wrong; nothing fails", async () => {
  const paths = Object.keys(QUESTIONS).map((kind) =>
    kind.startsWith("plot-") ? `/v1/plots/${kind.slice("plot-".length)}` : `/v1/${kind}`,
  );
  const fields = [
    "problem",
    "deadlineMs",
    "seed",
    "opportunities",
    "room",
    "agents",
    "tasks",
    "candidates",
    "hamiltonian",
    "ansatz",
    "grid",
    "layers",
    "secondOpinion",
  ];
  const inner = [
    "text",
    "as",
    "model",
    "matrix",
    "sense",
    "quadratic",
    "size",
    "couplings",
    "pauliSum",
    "isingChain",
    "completions",
  ];
  const junk = fc.dictionary(
    fc.constantFrom(...fields),
    fc.oneof(fc.jsonValue(), fc.dictionary(fc.constantFrom(...inner), fc.jsonValue())),
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...paths), fc.oneof(junk, fc.jsonValue()), async (path, body) => {
      const response = await post(path, JSON.stringify(body));
      const answer = await response.text();
      expect([200, 400], `${path} ${JSON.stringify(body)}: ${answer}`).toContain(response.status);
    }),
    { numRuns: 400, seed: 1 },
  );
});

test("an engine that is left behind lets go of its ports, although nobody stops it", async () => {
  const start = async (ports: Record<string, string>, abandoned: AbortSignal) => {
    const config = readConfig(quantumConfigSchema, ports);
    return lifecycle.add(
      "another engine",
      await createQuantumEngineService(config, testContext("quantum-engine", { abandoned })),
    );
  };
  const leave = new AbortController();
  const first = await start({ QUANTUM_PORT: "0", QUANTUM_REST_PORT: "0" }, leave.signal);
  const portOf = (address: string): string => address.split(":").at(-1) ?? "";
  const ports = { QUANTUM_PORT: portOf(first.address), QUANTUM_REST_PORT: portOf(first.restAddress) };
  const health = `http://${first.restAddress}/health`;
  expect((await fetch(health)).status).toBe(200);
  leave.abort();
  await expect.poll(() => fetch(health).catch(() => "refused")).toBe("refused");
  const next = await start(ports, new AbortController().signal);
  expect([next.address, next.restAddress, (await fetch(health)).status]).toEqual([
    first.address,
    first.restAddress,
    200,
  ]);
});
