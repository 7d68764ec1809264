/** The benchmark of the quantum engine under load: `node quantum-engine.bench.ts --help`. */
import { parseArgs } from "node:util";
import {
  QuantumEngineServiceService as Quantum,
  type SelectOpportunitiesRequest,
  type SolveRequest,
  type Timing,
} from "@flashloan/proto/quantum/v1/quantum";
import { freePort } from "@flashloan/devnet/anvil";
import { toFlashloanError } from "@flashloan/shared/errors";
import { createRandom } from "@flashloan/shared/random";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { ServiceProcess } from "../support/platform-process.ts";
import { measuredBy, writeSection } from "./document.ts";

const USAGE = `Measures the quantum engine as a process of its own, over gRPC: idle, and under 100 solves at once.

  npm run bench -- quantum-engine             the whole table
  npm run bench -- quantum-engine --write     and write it into docs/benchmarks.md

  --questions N    of each kind when idle (default 200)
  --concurrent N   solves at once (default 100)
  --json           print the figures as JSON
  --write          write the table into docs/benchmarks.md
  --help           this text
`;
const SERVING_DEADLINE_MS = 60_000;
const CALL_DEADLINE_MS = 120_000;
/** What the trading loop gives a block's choice. */
const SELECTION_DEADLINE_MS = 5;
const IDLE_DEADLINE_MS = 50;
const LOADED_DEADLINE_MS = 1_000;
const ASKING_INTERVAL_MS = 20;

/** Of some figures, the middle, the 95th percentile and the largest. */
interface Spread {
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
}
interface Results {
  readonly idle: {
    /** An answer of grpc.health.v1, which asks no thread: what the wire takes. */
    readonly health: Spread;
    readonly selection: Spread;
    readonly selectionOvershoot: Spread;
    readonly solveOvershoot: Spread;
  };
  readonly loaded: {
    readonly asked: number;
    readonly answered: number;
    readonly refused: number;
    readonly failed: number;
    /** From the question to its refusal. */
    readonly refusal: Spread;
    readonly overshoot: Spread;
    readonly health: Spread;
    readonly selection: Spread;
  };
}

function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  return { p50: at(0.5), p95: at(0.95), max: at(1) };
}

/** A dense problem that nobody proves within its deadline. */
function hard(seed: number, deadlineMs: number): SolveRequest {
  const random = createRandom(seed);
  const size = 150;
  const value = { size, offset: 0, linear: [], first: [] as number[], second: [] as number[], weights: [] as number[] };
  for (let i = 0; i < size; i++)
    for (let j = i + 1; j < size; j++) {
      if (random.next() >= 0.5) continue;
      value.first.push(i);
      value.second.push(j);
      value.weights.push(random.below(201) - 100);
    }
  return { problem: { statement: { $case: "quadratic", value } }, budget: { deadlineMs, seed }, solver: "" };
}

/** A block as busy ones are: 30 opportunities over 20 pools, sequels between some that share one. */
function block(seed: number): SelectOpportunitiesRequest {
  const random = createRandom(seed);
  const opportunities = Array.from({ length: 30 }, (_, i) => ({
    id: `o${i}`,
    netWei: String(BigInt(1 + random.below(1_000_000)) * 10n ** 10n),
    pools: [`p${random.below(20)}`, `q${random.below(20)}`],
    gas: BigInt(200_000 + random.below(300_000)),
    loanSource: "vault",
    loanAmount: String(1 + random.below(100)),
  }));
  const sequels = Array.from({ length: 15 }, (_, i) => ({
    first: `o${2 * i}`,
    second: `o${2 * i + 1}`,
    netWei: "1000000000",
  }));
  const room = { transactionsMax: 8, gasMax: 4_000_000n, liquidity: { vault: "500" }, riskAversion: 1 };
  return { opportunities, sequels, room, budget: { deadlineMs: SELECTION_DEADLINE_MS, seed } };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

const options = { deadlineMs: CALL_DEADLINE_MS };
const overshootOf = (timing: Timing | undefined): number => timing?.overshootMs ?? Number.NaN;

async function measureIdle(client: RpcClient, questions: number): Promise<Results["idle"]> {
  const [health, selection, selectionOvershoots, solveOvershoots]: [number[], number[], number[], number[]] = [
    [],
    [],
    [],
    [],
  ];
  for (let i = 0; i < questions; i++) {
    health.push(await timed(() => client.health(CALL_DEADLINE_MS)));
    selection.push(
      await timed(async () => {
        const { timing } = await client.unary(Quantum.selectOpportunities, block(i), options);
        selectionOvershoots.push(overshootOf(timing));
      }),
    );
    const { timing } = await client.unary(Quantum.solve, hard(i, IDLE_DEADLINE_MS), options);
    solveOvershoots.push(overshootOf(timing));
  }
  return {
    health: spread(health),
    selection: spread(selection),
    selectionOvershoot: spread(selectionOvershoots),
    solveOvershoot: spread(solveOvershoots),
  };
}

async function measureLoaded(client: RpcClient, concurrent: number): Promise<Results["loaded"]> {
  const [refusals, overshoots, failures]: [number[], number[], string[]] = [[], [], []];
  const [health, selection]: [number[], number[]] = [[], []];
  const questions = Array.from({ length: concurrent }, (_, i) => hard(10_000 + i, LOADED_DEADLINE_MS));
  const solves = questions.map(async (question) => {
    const startedMs = performance.now();
    try {
      overshoots.push(overshootOf((await client.unary(Quantum.solve, question, options)).timing));
    } catch (error) {
      const { code } = toFlashloanError(error);
      if (code === "queue_full") refusals.push(performance.now() - startedMs);
      else failures.push(code);
    }
  });
  const progress = { isOver: false };
  const over = Promise.all(solves).then(() => (progress.isOver = true));
  for (let i = 0; !progress.isOver; i++) {
    health.push(await timed(() => client.health(CALL_DEADLINE_MS)));
    selection.push(await timed(() => client.unary(Quantum.selectOpportunities, block(i), options)));
    // As often as blocks may come, and more.
    await new Promise((resolve) => setTimeout(resolve, ASKING_INTERVAL_MS));
  }
  await over;
  return {
    asked: concurrent,
    answered: overshoots.length,
    refused: refusals.length,
    failed: failures.length,
    refusal: spread(refusals),
    overshoot: spread(overshoots),
    health: spread(health),
    selection: spread(selection),
  };
}

async function measure(questions: number, concurrent: number): Promise<Results> {
  const port = await freePort();
  const engine = new ServiceProcess("quantum-engine", { QUANTUM_PORT: String(port), QUANTUM_REST_PORT: "0" });
  const client = new RpcClient(`127.0.0.1:${port}`);
  try {
    const deadline = performance.now() + SERVING_DEADLINE_MS;
    while (!(await client.isServing())) if (performance.now() > deadline) throw new Error(engine.stderr.slice(-2_000));
    // The first question of a thread loads what it needs.
    await client.unary(Quantum.solve, hard(1_000_000, IDLE_DEADLINE_MS), options);
    await client.unary(Quantum.selectOpportunities, block(1_000_000), options);
    const idle = await measureIdle(client, questions);
    return { idle, loaded: await measureLoaded(client, concurrent) };
  } finally {
    await client.stop();
    await engine.stop();
  }
}

const ms = (value: number): string => value.toFixed(value < 10 ? 2 : 0);
const cells = ({ p50, p95, max }: Spread): string => `${ms(p50)} | ${ms(p95)} | ${ms(max)}`;

function report({ idle, loaded }: Results, command: string): string {
  const ratio = (idle.selection.p50 / idle.health.p50).toFixed(1);
  return `## Quantum engine

${measuredBy(command)}. The engine is a process of its own, asked over gRPC from another one on the same machine. The limit is an
answer of \`grpc.health.v1\`, which asks no thread: a block's choice, of 30 opportunities, takes ${ratio} times as long.

| idle, ms | p50 | p95 | max |
| --- | ---: | ---: | ---: |
| a health answer (the wire alone) | ${cells(idle.health)} |
| a block's choice, deadline ${SELECTION_DEADLINE_MS} ms | ${cells(idle.selection)} |
| … its overshoot | ${cells(idle.selectionOvershoot)} |
| a solve of 150 dense variables, deadline ${IDLE_DEADLINE_MS} ms: its overshoot (target: p95 ≤ 10) | ${cells(idle.solveOvershoot)} |

${loaded.asked} such solves at once, deadline ${LOADED_DEADLINE_MS} ms, on one thread: ${loaded.answered} answered, ${loaded.refused} refused at admission, ${loaded.failed} failed.

| under load, ms | p50 | p95 | max |
| --- | ---: | ---: | ---: |
| from a question to its refusal | ${cells(loaded.refusal)} |
| overshoot of what was answered | ${cells(loaded.overshoot)} |
| a health answer meanwhile | ${cells(loaded.health)} |
| a block's choice meanwhile | ${cells(loaded.selection)} |
`;
}

function whole(text: string, flag: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new RangeError(`${flag} is "${text}": must be a whole number from 1`);
}

try {
  const { values } = parseArgs({
    options: {
      questions: { type: "string", default: "200" },
      concurrent: { type: "string", default: "100" },
      json: { type: "boolean", default: false },
      write: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) process.stdout.write(USAGE);
  else {
    const results = await measure(whole(values.questions, "--questions"), whole(values.concurrent, "--concurrent"));
    const text = report(results, "npm run bench -- quantum-engine");
    process.stdout.write(values.json ? `${JSON.stringify(results)}\n` : text);
    if (values.write) writeSection("quantum-engine", text);
  }
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n\n${USAGE}`);
  process.exitCode = 2;
}
