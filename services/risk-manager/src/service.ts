import { z } from "zod";
import {
  CheckStage as WireStage,
  RiskManagerServiceService,
  TradingState as WireState,
  type CheckPlanRequest,
  type GetStatusResponse,
  type Outcome as WireOutcome,
  type RecordOutcomeRequest,
  type RestoreOutcomesRequest,
  type RiskManagerServiceServer,
  type SetStateRequest,
} from "@flashloan/proto/risk/v1/risk";
import { descriptorFile } from "@flashloan/proto/descriptor";
import { FlashloanError } from "@flashloan/shared/errors";
import { consumeFacts } from "@flashloan/shared/events";
import { Lifecycle, type Running } from "@flashloan/shared/lifecycle";
import { startRpcServer, unary } from "@flashloan/shared/rpc-server";
import type { Service, ServiceContext } from "@flashloan/shared/service";
import { RISK_RULES } from "@flashloan/shared/telemetry/declarations";
import { etherOf, type Metrics } from "@flashloan/shared/telemetry/metrics";
import { limitsOf, type RiskConfig } from "./config.ts";
import { OPEN_INTENTS_MAX, OpenIntents } from "./open-intents.ts";
import { checkPlan, type Refusal, type RiskLimits, type RiskRule } from "./rules.ts";
import { TradingGuard, type Outcome, type TradingState } from "./trading-state.ts";

const WIRE_STATES = {
  ACTIVE: WireState.TRADING_STATE_ACTIVE,
  PAUSED: WireState.TRADING_STATE_PAUSED,
  KILLED: WireState.TRADING_STATE_KILLED,
} as const;

const STAGES = { 1: "before_build", 2: "before_send" } as const;
/** A plan whose intent's id begins so is a question to see whether the answer is right: it is judged, and not counted. */
const PROBE_PREFIX = "probe:";
/** Outcomes that one message tells at most. */
const OUTCOMES_TOLD_MAX = 10_000;

const amount = z.string().regex(/^-?\d{1,78}$/, "must be a whole number of base units");
const unsigned = z.string().regex(/^\d{1,78}$/, "must be a whole, non-negative number of base units");
const address = z.string().regex(/^0x[0-9a-f]{40}$/, "must be a lower-case 20-byte hex address");
const checkSchema = z.object({
  intentId: z.string().min(1).max(128),
  stage: z.union([z.literal(1), z.literal(2)], { error: "must be BEFORE_BUILD or BEFORE_SEND" }),
  loanToken: address,
  loanAmount: unsigned,
  loanValueWei: unsigned,
  netProfitWei: amount,
  maxFeePerGasWei: unsigned,
  gasLimit: z.bigint().min(1n).max(100_000_000n),
  depthShareBps: z.number().int().min(0),
  slippageBps: z.number().int().min(0),
  tokens: z.array(address).max(64),
  venues: z.array(address).max(64),
});
const outcomeSchema = z.object({
  intentId: z.string().min(1).max(128),
  success: z.boolean(),
  gasCostWei: unsigned,
  atMs: z.bigint().min(0n),
});
const state = z.union([z.literal(1), z.literal(2), z.literal(3)], { error: "must be ACTIVE, PAUSED or KILLED" });
const historySchema = z.object({
  outcomes: z.array(outcomeSchema).max(OUTCOMES_TOLD_MAX, `must be at most ${OUTCOMES_TOLD_MAX} outcomes`),
  state,
  reason: z.string().max(500),
  resumedAtMs: z.bigint().min(0n),
  openIntents: z
    .array(z.object({ intentId: z.string().min(1).max(128), maxGasWei: unsigned, sequence: z.bigint().min(1n) }))
    .max(OPEN_INTENTS_MAX, `must be at most ${OPEN_INTENTS_MAX} intents`),
});
/** What the executor publishes of an intent, as far as it is looked at here. */
const intentEventSchema = z.object({
  intentId: z.string().min(1).max(128),
  sequence: z.number().int().min(1),
  inFlight: z.boolean(),
  maxGasWei: unsigned,
});
const stateSchema = z.object({
  state,
  reason: z.string().min(1, "must say why").max(500),
});

/** What the risk manager keeps, all of it in memory: the executor tells it again after a start. */
interface Memory {
  readonly limits: RiskLimits;
  readonly guard: TradingGuard;
  readonly openIntents: OpenIntents;
  /** Refusals by rule since the start. */
  readonly refusals: Map<RiskRule, bigint>;
  /** Plans approved since the start, at both stages. */
  approvals: bigint;
}

/** Starts the risk manager's gRPC server. @throws FlashloanError port_taken, service_unavailable */
export async function createRiskManagerService(config: RiskConfig, context: ServiceContext): Promise<Service> {
  const limits = limitsOf(config);
  const memory: Memory = {
    limits,
    guard: new TradingGuard(limits.maxConsecutiveFailures),
    openIntents: new OpenIntents(),
    refusals: new Map(RISK_RULES.map((rule) => [rule, 0n])),
    approvals: 0n,
  };
  reportMemory(memory, context);
  const lifecycle = new Lifecycle();
  try {
    lifecycle.add("intent events", await followIntents(memory.openIntents, context));
    const implementation = implement(memory, context);
    const server = lifecycle.add(
      "rpc",
      await startRpcServer({
        host: config.RISK_HOST,
        port: config.RISK_PORT,
        services: [
          { name: "flashloan.risk.v1.RiskManagerService", definition: RiskManagerServiceService, implementation },
        ],
        descriptorFile,
        context,
      }),
    );
    return { ...server, needs: {}, stop: () => lifecycle.stop() };
  } catch (error) {
    await lifecycle.stop().catch((stopError: unknown) => context.log.error({ error: stopError }, "stop_failed"));
    throw error;
  }
}

function implement(memory: Memory, context: ServiceContext): RiskManagerServiceServer {
  const { guard } = memory;
  const { clock, log, tracing } = context;
  /** Runs a change of the guard and says when it changed the state. */
  const change = (work: () => void): { state: WireState } => {
    const before = `${guard.state} ${guard.reason}`;
    work();
    if (before !== `${guard.state} ${guard.reason}`)
      log.warn({ state: guard.state, reason: guard.reason }, "trading_state_changed");
    return { state: WIRE_STATES[guard.state] };
  };
  return {
    checkPlan: unary(checkSchema, context, (request: CheckPlanRequest) => {
      const stage = STAGES[request.stage as keyof typeof STAGES];
      const attributes = { "flashloan.intent_id": request.intentId, "flashloan.stage": stage };
      return tracing.span("risk.check", attributes, async (annotate) => {
        const refusals = judge(memory, request, clock.now());
        if (!request.intentId.startsWith(PROBE_PREFIX)) count(memory, refusals, context.metrics);
        if (refusals.length > 0) annotate({ "flashloan.refusal": refusals.map(({ rule }) => rule).join(",") });
        return { approved: refusals.length === 0, refusals };
      });
    }),
    recordOutcome: unary(outcomeSchema, context, async (request: RecordOutcomeRequest) =>
      change(() => guard.record(toOutcome(request))),
    ),
    restoreOutcomes: unary(historySchema, context, async (request: RestoreOutcomesRequest) => {
      const answer = change(() =>
        guard.restore({
          outcomes: request.outcomes.map(toOutcome),
          state: fromWire(request.state),
          reason: request.reason,
          resumedAtMs: Number(request.resumedAtMs),
        }),
      );
      memory.openIntents.restore(
        request.openIntents.map(({ intentId, maxGasWei, sequence }) => ({
          intentId,
          sequence,
          inFlight: true,
          maxGasWei: BigInt(maxGasWei),
        })),
      );
      const { length: outcomes } = request.outcomes;
      log.info({ outcomes, openIntents: request.openIntents.length, state: guard.state }, "outcomes_restored");
      return answer;
    }),
    getStatus: unary(z.object({}), context, async () => describe(memory, clock.now())),
    setState: unary(stateSchema, context, async (request: SetStateRequest) => {
      const next = fromWire(request.state);
      if (guard.state === "KILLED" && next === "PAUSED")
        throw new FlashloanError("trading_killed", `trading is killed (${guard.reason}): resume it before pausing it`);
      return change(() => guard.setState(next, request.reason, clock.now()));
    }),
  };
}

/** Every rule that a plan breaks now. */
function judge({ guard, limits }: Memory, request: CheckPlanRequest, nowMs: number): Refusal[] {
  // Nothing can be said of a plan while budgets and breaker are not known: not even what else is wrong with it.
  if (!guard.outcomesKnown) return [{ rule: "outcomes_unknown", value: "0", limit: "the last 24 hours' outcomes" }];
  const { stage } = request;
  // What was approved before a pause may still be sent; nothing may after a kill.
  const blocked =
    guard.state === "KILLED" || (guard.state === "PAUSED" && stage === WireStage.CHECK_STAGE_BEFORE_BUILD);
  const spent = guard.gasSpent(nowMs);
  const facts = {
    ...request,
    loanValueWei: BigInt(request.loanValueWei),
    netProfitWei: BigInt(request.netProfitWei),
    maxFeePerGasWei: BigInt(request.maxFeePerGasWei),
  };
  return [
    ...(blocked ? [{ rule: "trading_state" as const, value: guard.state, limit: "ACTIVE" }] : []),
    ...checkPlan(facts, limits, { gasSpentHourWei: spent.hourWei, gasSpentDayWei: spent.dayWei }),
  ];
}

function count(memory: Memory, refusals: readonly Refusal[], metrics: Metrics): void {
  metrics.add("flashloan_risk_checks_total", { outcome: refusals.length === 0 ? "approved" : "refused" });
  if (refusals.length === 0) memory.approvals += 1n;
  for (const { rule } of refusals) {
    memory.refusals.set(rule, (memory.refusals.get(rule) ?? 0n) + 1n);
    metrics.add("flashloan_risk_refusals_total", { rule });
  }
}

/** Keeps the view of what is open up to date by the executor's events; one that is malformed is refused. */
function followIntents(openIntents: OpenIntents, context: ServiceContext): Promise<Running> {
  const consumption = {
    group: "risk-manager",
    pattern: "flashloan.intent.*",
    data: intentEventSchema,
    span: "risk.observe" as const,
  };
  return consumeFacts(context, consumption, (data) =>
    openIntents.observe({ ...data, sequence: BigInt(data.sequence), maxGasWei: BigInt(data.maxGasWei) }),
  );
}

/** What the risk manager keeps, asked with each scrape. */
function reportMemory({ guard, openIntents }: Memory, { metrics, clock }: ServiceContext): void {
  metrics.onScrape(() => {
    for (const name of ["ACTIVE", "PAUSED", "KILLED"] as const)
      metrics.set("flashloan_risk_state", { state: name }, guard.state === name ? 1 : 0);
    const spent = guard.gasSpent(clock.now());
    metrics.set("flashloan_risk_gas_spent_ether", { window: "hour" }, etherOf(spent.hourWei));
    metrics.set("flashloan_risk_gas_spent_ether", { window: "day" }, etherOf(spent.dayWei));
    metrics.set("flashloan_risk_outcomes_known", {}, guard.outcomesKnown ? 1 : 0);
    metrics.set("flashloan_risk_consecutive_failures", {}, guard.consecutiveFailures);
    metrics.set("flashloan_risk_breaker_open", {}, guard.breakerOpen ? 1 : 0);
    metrics.set("flashloan_risk_open_intents", {}, openIntents.count);
    metrics.set("flashloan_risk_exposure_ether", {}, etherOf(openIntents.exposureWei));
  });
}

function describe({ guard, limits, openIntents, refusals, approvals }: Memory, nowMs: number): GetStatusResponse {
  const spent = guard.gasSpent(nowMs);
  return {
    state: WIRE_STATES[guard.state],
    reason: guard.reason,
    limits: describeLimits(limits),
    refusals: Object.fromEntries(refusals),
    approvals,
    gasSpentHourWei: spent.hourWei.toString(),
    gasSpentDayWei: spent.dayWei.toString(),
    consecutiveFailures: guard.consecutiveFailures,
    outcomesKnown: guard.outcomesKnown,
    openIntents: openIntents.count,
    exposureWei: openIntents.exposureWei.toString(),
    breakerOpen: guard.breakerOpen,
  };
}

function toOutcome(outcome: WireOutcome | RecordOutcomeRequest): Outcome {
  const { intentId, success, gasCostWei, atMs } = outcome;
  return { intentId, success, gasCostWei: BigInt(gasCostWei), atMs: Number(atMs) };
}

function fromWire(state: number): TradingState {
  const entry = Object.entries(WIRE_STATES).find(([, wire]) => wire === state);
  if (!entry) throw new FlashloanError("argument_invalid", `state: ${state} is not ACTIVE, PAUSED or KILLED`);
  return entry[0] as TradingState;
}

function describeLimits(limits: RiskLimits): Record<string, string> {
  return Object.fromEntries(
    Object.entries(limits).map(([name, value]) => [
      name,
      value instanceof Set ? [...value].join(",") : value === undefined ? "*" : String(value),
    ]),
  );
}
