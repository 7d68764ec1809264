import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import {
  QuantumEngineServiceService as Quantum,
  type SelectOpportunitiesRequest,
  type SolveRequest,
  type SolveResponse,
} from "@flashloan/proto/quantum/v1/quantum";
import { readConfig } from "@flashloan/shared/config";
import { testContext } from "@flashloan/shared/contract/context";
import { FlashloanError } from "@flashloan/shared/errors";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { createRandom } from "@flashloan/shared/random";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { quantumConfigSchema } from "../src/config.ts";
import { createQuantumEngineService } from "../src/service.ts";
import { Threads } from "../src/threads.ts";
import { monotonicMs } from "../src/work.ts";

// The engine when more is asked than it can answer, and when nobody waits for its answer.
const PATIENCE = { timeout: 30_000, interval: 10 };
const lifecycle = new Lifecycle();
const context = testContext("quantum-engine");
let client: RpcClient;

beforeAll(async () => {
  const config = readConfig(quantumConfigSchema, { QUANTUM_PORT: "0", QUANTUM_REST_PORT: "0" });
  const service = lifecycle.add("engine", await createQuantumEngineService(config, context));
  service.setServing(true);
  client = lifecycle.add("client", new RpcClient(service.address));
});
afterAll(() => lifecycle.stop());

/** A dense problem that nobody solves within its deadline. */
function hard(seed: number, deadlineMs: number): SolveRequest {
  const random = createRandom(seed);
  const size = 150;
  const pairs = Array.from({ length: size * 40 }, () => [random.below(size), random.below(size)] as const);
  const value = {
    size,
    offset: 0,
    linear: [],
    first: pairs.map(([i]) => i),
    second: pairs.map(([, j]) => j),
    weights: pairs.map(() => random.below(201) - 100),
  };
  return { problem: { statement: { $case: "quadratic", value } }, budget: { deadlineMs, seed }, solver: "" };
}
const selection: SelectOpportunitiesRequest = {
  opportunities: Array.from({ length: 20 }, (_, i) => ({
    id: `o${i}`,
    netWei: String((i + 1) * 10 ** 9),
    pools: [`p${i % 7}`],
    gas: 100_000n,
    loanSource: "",
    loanAmount: "0",
  })),
  sequels: [],
  room: { transactionsMax: 20, gasMax: 30_000_000n, liquidity: {}, riskAversion: 0 },
  budget: { deadlineMs: 1_000, seed: 1 },
};
const gauge = async (name: string): Promise<number> => {
  const line = (await context.metrics.text()).split("\n").find((one) => one.startsWith(name));
  return Number(line?.split(" ").at(1));
};

test("of 100 solves at once those that would wait too long are refused at admission; each answer states its overshoot, and health and the trading loop's choice are answered meanwhile", async () => {
  const startedMs = performance.now();
  const asked = Array.from({ length: 100 }, (_, i) =>
    client.unary(Quantum.solve, hard(i + 1, 400), { deadlineMs: 120_000 }).then(
      (answer) => ({ answer, atMs: performance.now() - startedMs }),
      (error: unknown) => ({ error: error as FlashloanError, atMs: performance.now() - startedMs }),
    ),
  );
  const [healthy, chosen] = await Promise.all([
    client.isServing(),
    client.unary(Quantum.selectOpportunities, selection),
  ]);
  expect(healthy).toBe(true);
  // Every pool's last user is worth most.
  expect(chosen.chosen.toSorted()).toEqual(["o13", "o14", "o15", "o16", "o17", "o18", "o19"]);
  const ended = await Promise.all(asked);
  const answers: SolveResponse[] = ended.flatMap((one) => ("answer" in one ? [one.answer] : []));
  const errors = ended.flatMap((one) => ("error" in one ? [one] : []));
  expect(answers.length).toBeGreaterThanOrEqual(1);
  expect(answers.length + errors.length).toBe(100);
  expect([...new Set(errors.map(({ error }) => `${error.code} ${error.retryable}`))]).toEqual(["queue_full true"]);
  expect(errors[0]?.error.message).toMatch(/would wait about \d+ ms/);
  for (const { timing, provenance } of answers) {
    const { elapsedMs = 0, overshootMs = -1, queuedMs = 0 } = timing ?? {};
    expect(overshootMs).toBe(Math.max(0, elapsedMs - 400));
    expect(queuedMs).toBeLessThan(elapsedMs);
    expect(provenance?.objective).toBeLessThanOrEqual(provenance?.greedy ?? -Infinity);
    expect(provenance?.bound).toBeLessThanOrEqual(provenance?.objective ?? -Infinity);
  }
  // Refused before anything was answered.
  expect(Math.min(...errors.map(({ atMs }) => atMs))).toBeLessThan(
    Math.min(...ended.flatMap((one) => ("answer" in one ? [one.atMs] : []))),
  );
  expect(await gauge('flashloan_quantum_questions_total{kind="solve",outcome="refused"')).toBe(errors.length);
});

test("a caller that leaves frees the thread at once, and one that waits leaves the line", async () => {
  const leaving = new AbortController();
  const first = client.unary(Quantum.solve, hard(1_001, 20_000), { deadlineMs: 60_000, signal: leaving.signal });
  await expect.poll(() => gauge("flashloan_quantum_working"), PATIENCE).toBe(1);
  const second = client.unary(Quantum.solve, hard(1_002, 60_000), { deadlineMs: 120_000, signal: leaving.signal });
  void first.catch(() => undefined);
  void second.catch(() => undefined);
  await expect.poll(() => gauge("flashloan_quantum_waiting"), PATIENCE).toBe(1);
  leaving.abort();
  await expect(first).rejects.toThrow(FlashloanError);
  await expect(second).rejects.toThrow(FlashloanError);
  await expect.poll(() => gauge("flashloan_quantum_working"), PATIENCE).toBe(0);
  expect(await gauge("flashloan_quantum_waiting")).toBe(0);
  const after = await client.unary(Quantum.solve, hard(1_003, 50));
  expect(after.timing?.queuedMs).toBeLessThan(5_000);
});

test("a thread that runs out of memory, or does not end, fails its question alone", async () => {
  const errors: unknown[] = [];
  const threads = new Threads({
    threads: 1,
    kept: 0,
    heapMib: 16,
    graceMs: 200,
    onError: (error) => errors.push(error),
  });
  onTestFinished(() => threads.stop());
  const ask = (body: unknown, deadlineMs: number): Promise<unknown> =>
    threads.answer("solve", body, {
      dueMs: monotonicMs() + deadlineMs,
      memoryBytes: 2 ** 30,
      signal: new AbortController().signal,
    });
  const choices = Array.from({ length: 900 }, (_, i) => `c${i}`);
  const variables = Object.fromEntries(choices.map((name) => [name, "binary"]));
  const large = { variables, objective: { sense: "minimize" }, constraints: [{ conflict: choices }] };
  await expect(ask({ problem: { model: large } }, 60_000)).rejects.toMatchObject({ code: "payload_too_large" });
  const small = { problem: { quadratic: { size: 2, linear: [-1, 1] } } };
  await expect(ask(small, 60_000)).resolves.toMatchObject({ provenance: { objective: -1 } });
  // Reading it alone takes longer than it may.
  const wide = {
    variables,
    objective: { sense: "minimize" },
    constraints: Array.from({ length: 4 }, () => ({ conflict: choices.slice(0, 300) })),
  };
  await expect(ask({ problem: { model: wide } }, -250)).rejects.toMatchObject({ code: "deadline_exceeded" });
  await expect(ask(small, 60_000)).resolves.toMatchObject({ provenance: { objective: -1 } });
});
