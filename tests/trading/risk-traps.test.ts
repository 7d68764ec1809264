import { afterEach, expect, test } from "vitest";
import {
  CheckStage,
  RiskManagerServiceService as RiskApi,
  RiskManagerServiceService,
  type CheckPlanRequest,
  type RiskManagerServiceServer,
} from "@flashloan/proto/risk/v1/risk";
import { HftExecutorServiceService as ExecutorApi } from "@flashloan/proto/executor/v1/executor";
import { descriptorFile } from "@flashloan/proto/descriptor";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { testContext } from "@flashloan/shared/contract/context";
import { startRpcServer } from "@flashloan/shared/rpc-server";
import { startObservedServices, type ObservedServices } from "../support/observed-services.ts";
import { startStillDevnet, type StillDevnet } from "../support/still-devnet.ts";

// One gap is planted on a chain where nothing else happens, so that the plan for it is the same each time. A first run
// records what the risk manager is asked; then, rule by rule, a limit just below what the plan has (the trap), and one
// exactly at it (its control twin).

const ONE = { EXECUTOR_OPPORTUNITIES_MAX: "1" };
const lifecycles: Lifecycle[] = [];
afterEach(async () => {
  for (const lifecycle of lifecycles.splice(0)) await lifecycle.stop();
});

/** Plants the gap and lets the services see it: dear LINK on one of the two V2 deployments. */
async function plantGap(devnet: StillDevnet): Promise<void> {
  await devnet.swap(devnet.pair(0, "WETH", "LINK"), devnet.token("WETH"), 5n * 10n ** 18n);
  await devnet.mine();
}

/** Services on a fresh still devnet that see the same gap under the given settings. */
async function run(
  environment: Record<string, string>,
  before: (o: ObservedServices) => Promise<void> = async () => undefined,
): Promise<ObservedServices> {
  const lifecycle = new Lifecycle();
  lifecycles.push(lifecycle);
  const devnet = lifecycle.add("devnet", await startStillDevnet());
  const observed = lifecycle.add("services", await startObservedServices(devnet, { ...ONE, ...environment }));
  await before(observed);
  const ended = observed.rejections.length + observed.trades.length;
  await plantGap(devnet);
  await observed.until(
    () => observed.rejections.length + observed.trades.length > ended,
    "the plan is refused or signed",
  );
  return observed;
}

/** What the risk manager is asked about the planted gap, at both stages. */
async function recordQuestions(): Promise<{ build: CheckPlanRequest; send: CheckPlanRequest }> {
  const questions: CheckPlanRequest[] = [];
  const lifecycle = new Lifecycle();
  lifecycles.push(lifecycle);
  const implementation: RiskManagerServiceServer = {
    checkPlan: (call, callback) => {
      questions.push(call.request);
      callback(null, { approved: true, refusals: [] });
    },
    recordOutcome: (_, callback) => callback(null, { state: 1 }),
    restoreOutcomes: (_, callback) => callback(null, { state: 1 }),
    getStatus: (_, callback) =>
      callback(null, {
        state: 1,
        reason: "",
        limits: {},
        refusals: {},
        approvals: 0n,
        gasSpentHourWei: "0",
        gasSpentDayWei: "0",
        consecutiveFailures: 0,
        outcomesKnown: true,
        openIntents: 0,
        exposureWei: "0",
        breakerOpen: false,
      }),
    setState: (_, callback) => callback(null, { state: 1 }),
  };
  const server = lifecycle.add(
    "recorder",
    await startRpcServer({
      host: "127.0.0.1",
      port: 0,
      descriptorFile,
      context: testContext("risk-manager"),
      services: [
        { name: "flashloan.risk.v1.RiskManagerService", definition: RiskManagerServiceService, implementation },
      ],
    }),
  );
  const observed = await run({ EXECUTOR_RISK_ADDRESS: server.address });
  await observed.until(() => observed.trades.length > 0, "the plan is signed");
  const [build, send] = questions;
  if (build?.stage !== CheckStage.CHECK_STAGE_BEFORE_BUILD || send?.stage !== CheckStage.CHECK_STAGE_BEFORE_SEND)
    throw new Error("the risk manager was not asked at both stages");
  return { build, send };
}

const refusalsOf = async (observed: ObservedServices): Promise<Record<string, bigint>> => {
  const { refusals } = await observed.risk.unary(RiskApi.getStatus, {});
  return Object.fromEntries(Object.entries(refusals).filter(([, count]) => count > 0n));
};

test("each rule refuses its trap exactly once, and nothing just inside the limit", async () => {
  const { build, send } = await recordQuestions();
  const highest = (of: (question: CheckPlanRequest) => bigint): bigint => (of(build) > of(send) ? of(build) : of(send));
  const lowest = (of: (question: CheckPlanRequest) => bigint): bigint => (of(build) < of(send) ? of(build) : of(send));
  const netProfit = lowest((q) => BigInt(q.netProfitWei));
  const gasPrice = highest((q) => BigInt(q.maxFeePerGasWei));
  const atRisk = highest((q) => q.gasLimit * BigInt(q.maxFeePerGasWei));
  // An intent's id is in the calldata, and its zero bytes cost less than others: what depends on gas differs from run
  // to run by less than one part in five hundred.
  const slack = (value: bigint): bigint => value / 500n;
  const most = (rule: string, variable: string, value: bigint, spread: bigint) => ({
    rule,
    inside: { [variable]: (value + spread).toString() },
    outside: { [variable]: (value - spread - 1n).toString() },
  });
  const minNetProfit = "RISK_MIN_NET_PROFIT_WEI";
  const numeric = [
    {
      rule: "min_net_profit",
      inside: { [minNetProfit]: (netProfit - slack(netProfit)).toString() },
      outside: { [minNetProfit]: (netProfit + slack(netProfit)).toString() },
    },
    most("max_loan", "RISK_MAX_LOAN_WEI", BigInt(send.loanValueWei), 0n),
    most("max_depth_share", "RISK_MAX_DEPTH_SHARE_BPS", BigInt(send.depthShareBps), 0n),
    most("max_slippage", "RISK_MAX_SLIPPAGE_BPS", BigInt(send.slippageBps), 0n),
    most("max_gas_price", "RISK_MAX_FEE_PER_GAS_WEI", gasPrice, slack(gasPrice)),
    most("gas_budget_hour", "RISK_GAS_BUDGET_HOUR_WEI", atRisk, slack(atRisk)),
    most("gas_budget_day", "RISK_GAS_BUDGET_DAY_WEI", atRisk, slack(atRisk)),
  ];
  const traps = [
    ...numeric,
    {
      rule: "allowed_tokens",
      inside: { RISK_ALLOWED_TOKENS: send.tokens.join(",") },
      outside: { RISK_ALLOWED_TOKENS: send.tokens.slice(1).join(",") },
    },
    {
      rule: "allowed_venues",
      inside: { RISK_ALLOWED_VENUES: send.venues.join(",") },
      outside: { RISK_ALLOWED_VENUES: send.venues.slice(1).join(",") },
    },
  ];
  for (const { rule, inside, outside } of traps) {
    const trapped = await run(outside);
    expect([rule, await refusalsOf(trapped), trapped.rejections, trapped.trades.length]).toEqual([
      rule,
      { [rule]: 1n },
      [`risk:${rule}`],
      0,
    ]);
    await lifecycles.pop()?.stop();
    const twin = await run(inside);
    await twin.until(() => twin.trades.length > 0, `${rule}: the control twin is signed`);
    expect([rule, await refusalsOf(twin), twin.rejections]).toEqual([rule, {}, []]);
    await lifecycles.pop()?.stop();
  }
}, 600_000);

test("the breaker: as many failures in a row as allowed stop the next plan, one fewer does not", async () => {
  const fail =
    (count: number) =>
    async (observed: ObservedServices): Promise<void> => {
      for (let i = 0; i < count; i++)
        await observed.risk.unary(RiskApi.recordOutcome, {
          intentId: `failure ${i}`,
          success: false,
          gasCostWei: "1",
          atMs: BigInt(i),
        });
    };
  const trapped = await run({ RISK_MAX_CONSECUTIVE_FAILURES: "3" }, fail(3));
  expect([await refusalsOf(trapped), trapped.rejections, trapped.trades.length]).toEqual([
    { trading_state: 1n },
    ["risk:trading_state"],
    0,
  ]);
  const twin = await run({ RISK_MAX_CONSECUTIVE_FAILURES: "3" }, fail(2));
  await twin.until(() => twin.trades.length > 0, "the control twin is signed");
  expect([await refusalsOf(twin), twin.rejections]).toEqual([{}, []]);
}, 120_000);

test("a risk manager that is down means no trade", async () => {
  const lifecycle = new Lifecycle();
  lifecycles.push(lifecycle);
  const devnet = lifecycle.add("devnet", await startStillDevnet());
  const environment = { ...ONE, EXECUTOR_RISK_ADDRESS: "127.0.0.1:1" };
  const observed = lifecycle.add("services", await startObservedServices(devnet, environment));
  await plantGap(devnet);
  await observed.until(() => observed.reports.some((report) => report.opportunities.length > 0), "the gap is seen");
  const seen = observed.reports.length;
  await devnet.mine();
  await devnet.mine();
  await observed.until(() => observed.reports.length >= seen + 2, "two more blocks are reported");
  expect([observed.trades, observed.rejections]).toEqual([[], []]);
  expect((await observed.executor.unary(ExecutorApi.getStatus, {})).nextNonce).toBe(0n);
}, 120_000);
