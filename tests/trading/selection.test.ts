import { afterEach, expect, test } from "vitest";
import { z } from "zod";
import type { Trade } from "@flashloan/proto/executor/v1/executor";
import { descriptorFile } from "@flashloan/proto/descriptor";
import {
  QuantumEngineServiceService,
  type SelectOpportunitiesRequest,
  type SelectOpportunitiesResponse,
} from "@flashloan/proto/quantum/v1/quantum";
import { testContext } from "@flashloan/shared/contract/context";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { startRpcServer, unary } from "@flashloan/shared/rpc-server";
import { startObservedServices, type ObservedServices } from "../support/observed-services.ts";
import { startStillDevnet, type StillDevnet } from "../support/still-devnet.ts";

// What is executed in a block, chosen by an engine that answers as each test says.
const ETHER = 10n ** 18n;
type Answer = (question: SelectOpportunitiesRequest) => readonly string[];

let lifecycle = new Lifecycle();
afterEach(async () => {
  await lifecycle.stop();
  lifecycle = new Lifecycle();
});

interface Run {
  readonly devnet: StillDevnet;
  readonly observed: ObservedServices;
  readonly questions: readonly SelectOpportunitiesRequest[];
}

async function start(answer: Answer, environment: Readonly<Record<string, string>> = {}): Promise<Run> {
  const context = testContext("hft-executor");
  const questions: SelectOpportunitiesRequest[] = [];
  const selectOpportunities = unary<SelectOpportunitiesRequest, SelectOpportunitiesResponse>(
    z.object({}).loose(),
    context,
    async (question) => {
      questions.push(question);
      return { chosen: [...answer(question)], netWei: "0" };
    },
  );
  const name = "flashloan.quantum.v1.QuantumEngineService";
  const services = [{ name, definition: QuantumEngineServiceService, implementation: { selectOpportunities } }];
  const engine = await startRpcServer({ host: "127.0.0.1", port: 0, services, descriptorFile, context });
  lifecycle.add("engine", engine);
  const devnet = lifecycle.add("devnet", await startStillDevnet());
  const variables = {
    EXECUTOR_QUANTUM_ADDRESS: engine.address,
    // A machine that stalls is not what is tested here.
    EXECUTOR_SELECTION_DEADLINE_MS: "1000",
    ...environment,
  };
  const observed = lifecycle.add("services", await startObservedServices(devnet, variables));
  return { devnet, observed, questions };
}

/** Opens two gaps that have no pool in common, and waits until a trade for each is on the wire: what they were to earn, in order. */
async function tradeTwoGaps({ devnet, observed }: Run): Promise<string[]> {
  await devnet.swap(devnet.pair(0, "WETH", "LINK"), devnet.token("WETH"), 8n * ETHER);
  await devnet.swap(devnet.pair(1, "WETH", "WBTC"), devnet.token("WETH"), 8n * ETHER);
  await devnet.mine();
  const inState = (state: string): Trade[] => observed.trades.filter((trade) => trade.state === state);
  await observed.until(() => inState("SUBMITTED").length === 2, "two trades are on the wire");
  return inState("SIGNED").map(({ predictedNetWei }) => predictedNetWei);
}

/** Blocks by who chose; those of 0 are left out. */
async function outcomes({ observed }: Run): Promise<Record<string, number>> {
  const text = await (await fetch(`http://${observed.services.endpoints.metrics.hftExecutor}/metrics`)).text();
  const counts = text.matchAll(/^flashloan_selections_total\{.*outcome="(\w+)".*\} (\d+)/gm);
  return Object.fromEntries(
    [...counts].flatMap(([, outcome, count]) => (count === "0" ? [] : [[outcome, Number(count)]])),
  );
}

const netsOf = ({ questions }: Run): string[] => questions[0]?.opportunities.map(({ netWei }) => netWei) ?? [];

test("what the engine chooses is executed, in its order, and all that the block shows was offered", async () => {
  const run = await start(({ opportunities }) => [opportunities[1]?.id ?? "", opportunities[0]?.id ?? ""]);
  const traded = await tradeTwoGaps(run);
  expect(traded).toEqual([netsOf(run)[1], netsOf(run)[0]]);
  const block = run.observed.reports.find(({ opportunities }) => opportunities.length > 0);
  expect(netsOf(run)).toEqual(block?.opportunities.map(({ netWei }) => netWei));
  expect(run.questions).toHaveLength(1);
  expect(run.questions[0]?.room).toMatchObject({ transactionsMax: 4, gasMax: 30_000_000n });
  expect(await outcomes(run)).toEqual({ engine: 1 });
});

test("an engine that lies changes nothing: the best are executed first", async () => {
  const run = await start(({ opportunities }) => [opportunities[1]?.id ?? "", "of another block"]);
  expect(await tradeTwoGaps(run)).toEqual(netsOf(run).slice(0, 2));
  expect(await outcomes(run)).toEqual({ invalid: 1 });
});

test("where one that was chosen is refused, the next best in its pools is tried", async () => {
  // The best of all borrows more than that.
  const limits = { RISK_MAX_LOAN_WEI: String(5n * ETHER) };
  const run = await start(({ opportunities }) => [opportunities[1]?.id ?? "", opportunities[0]?.id ?? ""], limits);
  const traded = await tradeTwoGaps(run);
  const [best, second] = run.questions[0]?.opportunities ?? [];
  const instead = run.questions[0]?.opportunities.filter(
    ({ id, pools }) => id !== best?.id && pools.some((pool) => best?.pools.includes(pool)),
  );
  expect(traded).toEqual([second?.netWei, instead?.[0]?.netWei]);
  await run.observed.until(() => run.observed.rejections.includes("risk:max_loan"), "the best is refused");
});

test("what is left of a gap is traded after the trade that takes most of it, in the same block and at the size that was foreseen", async () => {
  const run = await start(({ sequels }) => [sequels[0]?.first ?? "", sequels[0]?.second ?? ""]);
  const { devnet, observed } = run;
  await devnet.swap(devnet.pair(0, "WETH", "LINK"), devnet.token("WETH"), 8n * ETHER);
  await devnet.mine();
  const inState = (state: string): Trade[] => observed.trades.filter((trade) => trade.state === state);
  await observed.until(() => inState("SUBMITTED").length === 2, "two trades are on the wire");
  const [sequel] = observed.reports.find(({ sequels }) => sequels.length > 0)?.sequels ?? [];
  const [first, second] = inState("SIGNED");
  expect([first?.predictedNetWei, second?.predictedNetWei]).toEqual([
    run.questions[0]?.opportunities[0]?.netWei,
    sequel?.opportunity?.netWei,
  ]);
  await devnet.mine();
  await devnet.mine();
  await observed.until(() => inState("SETTLED").length === 2, "both trades settle");
  const settled = inState("SETTLED").toSorted((a, b) => Number((a.nonce ?? 0n) - (b.nonce ?? 0n)));
  expect(new Set(settled.map(({ blockNumber }) => blockNumber)).size).toBe(1);
  // To the wei, before gas: the second was sized on the state that the first left.
  expect(settled.map(({ grossWei }) => grossWei)).toEqual(settled.map(({ predictedGrossWei }) => predictedGrossWei));
  expect(settled[1]?.predictedGrossWei).toBe(sequel?.opportunity?.grossWei);
  expect(await outcomes(run)).toEqual({ engine: 1 });
  expect(observed.rejections.filter((reason) => reason !== "pool_in_flight")).toEqual([]);
});

test("where the first is refused, its sequel is not traded in its stead but what the block shows", async () => {
  const limits = { RISK_MAX_LOAN_WEI: String(4n * ETHER) };
  const run = await start(({ sequels }) => [sequels[0]?.first ?? "", sequels[0]?.second ?? ""], limits);
  const { devnet, observed, questions } = run;
  await devnet.swap(devnet.pair(0, "WETH", "LINK"), devnet.token("WETH"), 8n * ETHER);
  await devnet.mine();
  await observed.until(() => observed.trades.some(({ state }) => state === "SUBMITTED"), "a trade is on the wire");
  const [refused, next] = questions[0]?.opportunities ?? [];
  expect(questions[0]?.sequels[0]?.first).toBe(refused?.id);
  await observed.until(() => observed.rejections.includes("risk:max_loan"), "the first is refused");
  expect(observed.trades.find(({ state }) => state === "SIGNED")?.predictedNetWei).toBe(next?.netWei);
});
