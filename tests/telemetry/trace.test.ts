import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { quantitySchema } from "@flashloan/evm/hex";
import {
  ExecutionState,
  HftExecutorServiceService as ExecutorApi,
  type Trade,
} from "@flashloan/proto/executor/v1/executor";
import { RiskManagerServiceService as RiskApi } from "@flashloan/proto/risk/v1/risk";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { SERVICES, SPANS, type ServiceName, type SpanDeclaration } from "@flashloan/shared/telemetry/declarations";
import { etherOf } from "@flashloan/shared/telemetry/metrics";
import { startOtlpReceiver, type OtlpReceiver, type ReceivedSpan } from "../support/otlp-receiver.ts";
import { ServiceFleet } from "../support/service-fleet.ts";

// The services as containers run them, and a collector: what a trade leaves in traces, metrics and logs.
const POLL = { timeout: 60_000, interval: 100 };
const DEADLINE_MS = 60_000;
const declared: Readonly<Record<string, SpanDeclaration>> = SPANS;
const lifecycle = new Lifecycle();
let fleet: ServiceFleet;
let receiver: OtlpReceiver;
let [executor, risk]: [RpcClient, RpcClient] = [] as never;

beforeAll(async () => {
  receiver = lifecycle.add("receiver", await startOtlpReceiver());
  fleet = lifecycle.add(
    "fleet",
    await ServiceFleet.open({
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      // Two to choose between, of which one can be had.
      EXECUTOR_OPPORTUNITIES_MAX: "2",
      EXECUTOR_IN_FLIGHT_MAX: "1",
      EXECUTOR_SELECTION_DEADLINE_MS: "1000",
    }),
  );
  await fleet.migrate();
  const ready = (service: ServiceName) =>
    fleet.processOf(service).waitFor(({ event }) => event === "ready", DEADLINE_MS);
  // The executor connects to an engine that is there.
  fleet.start("quantum-engine");
  await ready("quantum-engine");
  const others = SERVICES.filter((service) => service !== "quantum-engine");
  for (const service of others) fleet.start(service);
  await Promise.all(others.map(ready));
  executor = lifecycle.add("executor client", new RpcClient(fleet.addressOf("hft-executor")));
  risk = lifecycle.add("risk client", new RpcClient(fleet.addressOf("risk-manager")));
});
afterAll(() => lifecycle.stop());

/** Opens a gap, waits until a trade for it is on the wire, and has nothing else taken up until the next. */
async function submit(): Promise<Trade> {
  const { devnet } = fleet;
  const order = (state: ExecutionState) => executor.unary(ExecutorApi.setState, { state, reason: "one at a time" });
  const { state } = await executor.unary(ExecutorApi.getStatus, {});
  if (state === ExecutionState.EXECUTION_STATE_PAUSED) await order(ExecutionState.EXECUTION_STATE_ACTIVE);
  const { events } = fleet.processOf("hft-executor");
  const from = events.length;
  await devnet.swap(devnet.pair(0, "WETH", "LINK"), devnet.token("WETH"), 8n * 10n ** 18n);
  await devnet.mine();
  const { intentId } = await intentIn("SUBMITTED", from);
  await order(ExecutionState.EXECUTION_STATE_PAUSED);
  return tradeOf(String(intentId));
}

const intentIn = (state: string, from = 0): Promise<Readonly<Record<string, unknown>>> =>
  fleet
    .processOf("hft-executor")
    .waitFor((event) => event.event === "intent_changed" && event["state"] === state, DEADLINE_MS, from);

async function tradeOf(intentId: string): Promise<Trade> {
  const { trades } = await executor.unary(ExecutorApi.listTrades, { pageSize: 10, pageToken: "" }, { retries: 5 });
  const trade = trades.find((candidate) => candidate.intentId === intentId);
  if (!trade) throw new Error(`the executor has no trade ${intentId}`);
  return trade;
}

/** A service's series with their values, without its own label; exemplars beside. */
async function scrape(service: ServiceName): Promise<{ values: Record<string, number>; exemplars: string[] }> {
  const values: Record<string, number> = {};
  const exemplars: string[] = [];
  for (const line of (await fleet.ask(service, "/metrics")).text.split("\n")) {
    const match = /^(\w+)\{(.*?)\} (\S+)(?: # \{trace_id="(\w+)")?/.exec(line);
    if (!match) continue;
    const [, name = "", labels = "", value, traceId] = match;
    const own = labels.split(",").filter((label) => !label.startsWith("service="));
    values[own.length === 0 ? name : `${name}{${own.join(",")}}`] = Number(value);
    if (traceId !== undefined) exemplars.push(`${name} ${traceId}`);
  }
  return { values, exemplars };
}

const ofTrade = (span: ReceivedSpan, intentId: string): boolean =>
  [span.attributes["flashloan.intent_id"], span.attributes["flashloan.event_subject"]].includes(intentId) ||
  span.attributes["flashloan.stream"] === `intent:${intentId}`;
const spansNamed = (name: string, intentId: string): ReceivedSpan[] =>
  receiver.spans.filter((span) => span.name === name && ofTrade(span, intentId));
/** The whole of a trade has arrived once its last event was taken off the bus, and its settlement was sent. */
const untilTraced = (intentId: string): Promise<void> =>
  receiver.until(
    () =>
      spansNamed("risk.observe", intentId).some(
        ({ attributes }) => attributes["flashloan.event_type"] === "flashloan.intent.settled",
      ) &&
      spansNamed("executor.settle", intentId).length > 0 &&
      spansNamed("ledger.append", intentId).length >= 4,
    "the trade's spans arrive",
  );

/** Name and parent's name of every span of a trace, sorted. */
function edgesOf(traceId: string): string[] {
  const spans = receiver.spans.filter((span) => span.traceId === traceId);
  const names = new Map(spans.map(({ spanId, name }) => [spanId, name]));
  return spans
    .map(({ name, parentSpanId }) => `${name} < ${parentSpanId ? (names.get(parentSpanId) ?? "missing") : "nothing"}`)
    .toSorted();
}

let first: Trade;
let firstTrace: string;

test("what is in flight is in the risk manager's view, as the chain has it", async () => {
  const { intentId, transactionHash } = await submit();
  first = await tradeOf(intentId);
  const sent = await fleet.devnet.rpc.request(
    "eth_getTransactionByHash",
    [transactionHash],
    z.object({ gas: quantitySchema, maxFeePerGas: quantitySchema }),
  );
  const exposureWei = sent.gas * sent.maxFeePerGas;
  await expect
    .poll(() => risk.unary(RiskApi.getStatus, {}), POLL)
    .toMatchObject({ openIntents: 1, exposureWei: exposureWei.toString(), outcomesKnown: true });
  const { values } = await scrape("risk-manager");
  expect([values["flashloan_risk_open_intents"], values["flashloan_risk_exposure_ether"]]).toEqual([
    1,
    etherOf(exposureWei),
  ]);
  expect((await scrape("hft-executor")).values["flashloan_in_flight"]).toBe(1);
});

test("one trace from the block that showed the gap to the settled trade, through every service and the bus", async () => {
  await fleet.devnet.mine();
  await fleet.devnet.mine();
  await intentIn("SETTLED");
  await untilTraced(first.intentId);
  first = await tradeOf(first.intentId);
  firstTrace = spansNamed("executor.settle", first.intentId)[0]?.traceId ?? "";
  // Each service sends its spans when it likes.
  const edges = (): string[] => edgesOf(firstTrace).filter((edge) => !edge.startsWith("executor.submit"));
  await expect.poll(edges, POLL).toEqual([
    "executor.opportunity < feed.block",
    "executor.select < feed.block",
    "executor.settle < executor.opportunity",
    "executor.sign < executor.opportunity",
    "executor.simulate < executor.opportunity",
    "feed.block < nothing",
    // Signed with all that led to it, submitted, included; and the end.
    ...Array.from({ length: 3 }, () => "ledger.append < executor.opportunity"),
    "ledger.append < executor.settle",
    "quantum.answer < executor.select",
    ...Array.from({ length: 2 }, () => "risk.check < executor.opportunity"),
    ...Array.from({ length: 3 }, () => "risk.observe < executor.opportunity"),
    "risk.observe < executor.settle",
  ]);
  // The same bytes go out again when the head of their block comes after its report.
  expect(new Set(edgesOf(firstTrace).filter((edge) => edge.startsWith("executor.submit")))).toEqual(
    new Set(["executor.submit < executor.opportunity"]),
  );
  const traced = receiver.spans.filter((span) => span.traceId === firstTrace);
  expect(new Set(traced.map(({ name }) => name))).toEqual(new Set(Object.keys(SPANS)));
  const [block, end] = [
    traced.find(({ name }) => name === "feed.block"),
    spansNamed("executor.settle", first.intentId)[0],
  ];
  expect((end?.endTimeUnixNano ?? 0n) > (block?.startTimeUnixNano ?? 0n)).toBe(true);
  expect(end?.attributes).toMatchObject({
    "flashloan.state": "SETTLED",
    "flashloan.transaction_hash": first.transactionHash,
  });
});

test("its counters moved as the trade says, with its trace as their exemplar", async () => {
  const [executing, appending, feeding, guarding] = await Promise.all(
    (["hft-executor", "checkpoint", "market-predictor", "risk-manager"] as const).map(scrape),
  );
  expect(BigInt(first.netWei)).toBeGreaterThan(0n);
  expect(executing?.values).toMatchObject({
    'flashloan_intents_total{state="SIGNED"}': 1,
    'flashloan_intents_total{state="SUBMITTED"}': 1,
    'flashloan_intents_total{state="INCLUDED"}': 1,
    'flashloan_intents_total{state="SETTLED"}': 1,
    'flashloan_intents_total{state="REVERTED"}': 0,
    flashloan_in_flight: 0,
    flashloan_profit_ether_total: etherOf(BigInt(first.grossWei)),
    flashloan_premium_ether_total: etherOf(BigInt(first.premiumWei)),
    flashloan_gas_ether_total: etherOf(BigInt(first.gasWei)),
    flashloan_block_to_submission_seconds_count: 1,
    'flashloan_execution_state{state="PAUSED"}': 1,
    'flashloan_execution_state{state="ACTIVE"}': 0,
    'flashloan_execution_mode{mode="LIVE"}': 1,
  });
  expect(executing?.exemplars).toEqual(
    expect.arrayContaining([
      `flashloan_intents_total ${firstTrace}`,
      `flashloan_block_to_submission_seconds_bucket ${firstTrace}`,
    ]),
  );
  // The lead and the baseline; then six records with the signature, two steps, the operator's pause between, and two at
  // the end.
  expect(appending?.values).toMatchObject({
    'flashloan_ledger_appends_total{outcome="appended"}': 7,
    'flashloan_ledger_appends_total{outcome="refused"}': 0,
    'flashloan_ledger_appends_total{outcome="failed"}': 0,
    flashloan_ledger_position: 13,
    flashloan_ledger_commit_seconds_count: 7,
  });
  expect(guarding?.values).toMatchObject({
    'flashloan_risk_checks_total{outcome="approved"}': 2,
    'flashloan_risk_gas_spent_ether{window="day"}': etherOf(BigInt(first.gasWei)),
    'flashloan_risk_state{state="ACTIVE"}': 1,
    'flashloan_bus_events_total{outcome="handled"}': 4,
    'flashloan_bus_events_total{outcome="refused"}': 0,
    flashloan_risk_outcomes_known: 1,
    flashloan_risk_open_intents: 0,
    flashloan_risk_exposure_ether: 0,
  });
  const head = await fleet.devnet.rpc.request("eth_blockNumber", [], quantitySchema);
  expect(feeding?.values["flashloan_feed_block"]).toBe(Number(head));
  expect(feeding?.values["flashloan_feed_age_seconds"]).toBeLessThan(60);
  expect(feeding?.values["flashloan_feed_latency_seconds_count"]).toBeGreaterThanOrEqual(4);
  expect(feeding?.values['flashloan_pools{state="watched"}']).toBeGreaterThan(10);
  expect(feeding?.values['flashloan_cycles_total{profit="net"}']).toBeGreaterThanOrEqual(1);
  const changes = fleet.processOf("hft-executor").events.filter(({ event }) => event === "intent_changed");
  expect(changes.map((change) => [change["state"], change["trace_id"]])).toEqual(
    ["SIGNED", "SUBMITTED", "INCLUDED", "SETTLED"].map((state) => [state, firstTrace]),
  );
});

test("a settlement after the executor was killed belongs to the trace that the trade began in, and money counts go on", async () => {
  const { intentId } = await submit();
  await receiver.until(
    () => spansNamed("executor.opportunity", intentId).length === 1,
    "what the executor did before it is killed has been sent",
  );
  fleet.processOf("hft-executor").kill("SIGKILL");
  await fleet.processOf("hft-executor").exit;
  fleet.start("hft-executor");
  await fleet.processOf("hft-executor").waitFor(({ event }) => event === "ready", DEADLINE_MS);
  await fleet.devnet.mine();
  await fleet.devnet.mine();
  await intentIn("SETTLED");
  await untilTraced(intentId);
  const [began] = spansNamed("executor.opportunity", intentId);
  const [end] = spansNamed("executor.settle", intentId);
  expect([end?.traceId, end?.parentSpanId]).toEqual([began?.traceId, began?.spanId]);
  expect(began?.traceId).not.toBe(firstTrace);
  const second = await tradeOf(intentId);
  const { values } = await scrape("hft-executor");
  expect([
    values['flashloan_intents_total{state="SIGNED"}'],
    values['flashloan_intents_total{state="SETTLED"}'],
    values["flashloan_profit_ether_total"],
    values["flashloan_gas_ether_total"],
  ]).toEqual([
    0,
    1,
    etherOf(BigInt(first.grossWei) + BigInt(second.grossWei)),
    etherOf(BigInt(first.gasWei) + BigInt(second.gasWei)),
  ]);
  // The end of the first trade was told to a risk manager that has it already, by the new executor's start.
  const { gasSpentDayWei } = await risk.unary(RiskApi.getStatus, {});
  expect(BigInt(gasSpentDayWei)).toBe(BigInt(first.gasWei) + BigInt(second.gasWei));
});

test("nothing arrives that is not declared: by its service, under its parents, with its attributes", async () => {
  for (const service of SERVICES.toReversed()) {
    fleet.processOf(service).kill("SIGTERM");
    expect(await fleet.processOf(service).exitWithin(DEADLINE_MS)).toEqual({ code: 0, signal: null });
  }
  expect(receiver.faults).toEqual([]);
  const names = new Map(receiver.spans.map(({ spanId, name }) => [spanId, name]));
  expect(names.size).toBe(receiver.spans.length);
  const strange = receiver.spans.flatMap(({ name, service, parentSpanId, attributes, status }) => {
    const declaration = declared[name];
    if (!declaration) return [`${name} is not declared`];
    const parent = parentSpanId ? (names.get(parentSpanId) ?? "a span that never came") : "nothing";
    const parents = declaration.parents.length === 0 ? ["nothing"] : declaration.parents;
    return [
      ...(service === declaration.service ? [] : [`${name} from ${String(service)}`]),
      ...(parents.includes(parent) ? [] : [`${name} under ${parent}`]),
      ...Object.keys(attributes)
        .filter((attribute) => !declaration.attributes.includes(attribute))
        .map((attribute) => `${name} with ${attribute}`),
      ...(status.code === 2 ? [`${name} failed`] : []),
    ];
  });
  expect(strange).toEqual([]);
});
