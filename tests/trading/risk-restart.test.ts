import { afterEach, expect, test } from "vitest";
import { freePort } from "@flashloan/devnet/anvil";
import { HftExecutorServiceService as ExecutorApi, type Trade } from "@flashloan/proto/executor/v1/executor";
import { RiskManagerServiceService as RiskApi, TradingState } from "@flashloan/proto/risk/v1/risk";
import { riskConfigSchema } from "@flashloan/risk-manager/config";
import { createRiskManagerService } from "@flashloan/risk-manager/service";
import { readConfig } from "@flashloan/shared/config";
import { testContext } from "@flashloan/shared/contract/context";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { RpcClient } from "@flashloan/shared/rpc-client";
import type { Service } from "@flashloan/shared/service";
import { startObservedServices, type ObservedServices } from "../support/observed-services.ts";
import { startStillDevnet, type StillDevnet } from "../support/still-devnet.ts";

// The risk manager restarts alone, as a container does, while the executor runs on.
const ETHER = 10n ** 18n;
const GWEI = 10n ** 9n;
let lifecycle = new Lifecycle();
afterEach(async () => {
  await lifecycle.stop();
  lifecycle = new Lifecycle();
});

/** A risk manager that can be ended and started again on its port, and services that ask it. */
async function start(): Promise<{
  devnet: StillDevnet;
  observed: ObservedServices;
  risk: RpcClient;
  restart: () => Promise<void>;
}> {
  const port = await freePort();
  const config = readConfig(riskConfigSchema, { RISK_PORT: String(port), RISK_MAX_CONSECUTIVE_FAILURES: "2" });
  const serve = (): Promise<Service> => createRiskManagerService(config, testContext("risk-manager"));
  let manager = await serve();
  lifecycle.onStop("risk manager", () => manager.stop());
  const restart = async (): Promise<void> => {
    await manager.stop();
    manager = await serve();
  };
  const devnet = lifecycle.add("devnet", await startStillDevnet());
  const environment = { EXECUTOR_RISK_ADDRESS: manager.address, EXECUTOR_OPPORTUNITIES_MAX: "1" };
  const observed = lifecycle.add("services", await startObservedServices(devnet, environment));
  return { devnet, observed, restart, risk: lifecycle.add("client", new RpcClient(manager.address)) };
}

const inState = (observed: ObservedServices, state: string): Trade[] =>
  observed.trades.filter((trade) => trade.state === state);

/** Opens a gap and waits until a trade for it is on the wire. */
async function submit({ devnet, observed }: { devnet: StillDevnet; observed: ObservedServices }): Promise<void> {
  const submitted = inState(observed, "SUBMITTED").length;
  await devnet.swap(devnet.pair(0, "WETH", "LINK"), devnet.token("WETH"), 8n * ETHER);
  await devnet.mine();
  await observed.until(() => inState(observed, "SUBMITTED").length > submitted, "a trade is on the wire");
}

/** The same, and lets somebody else close the gap first: the trade fails. */
async function fail(run: { devnet: StillDevnet; observed: ObservedServices }): Promise<void> {
  const { devnet, observed } = run;
  await submit(run);
  const reverted = inState(observed, "REVERTED").length;
  await devnet.swap(devnet.pair(0, "WETH", "LINK"), devnet.token("LINK"), 1_150n * ETHER, 400n * GWEI);
  await devnet.mine();
  await devnet.mine();
  await observed.until(() => inState(observed, "REVERTED").length > reverted, "the trade failed");
}

test("a risk manager that restarts alone refuses everything until the executor has told it the last day; then budgets are kept and trading goes on", async () => {
  const run = await start();
  const { devnet, observed, risk, restart } = run;
  await fail(run);
  const gasWei = inState(observed, "REVERTED")[0]?.gasWei;
  const before = await risk.unary(RiskApi.getStatus, {});
  expect(before).toMatchObject({ outcomesKnown: true, gasSpentDayWei: gasWei, consecutiveFailures: 1 });

  await restart();
  expect(await risk.unary(RiskApi.getStatus, {}, { retries: 3 })).toMatchObject({
    outcomesKnown: false,
    gasSpentDayWei: "0",
    consecutiveFailures: 0,
  });
  // There is nothing to ask it about, and it is told with the next block.
  await devnet.mine();
  const told = { outcomesKnown: true, gasSpentDayWei: gasWei, consecutiveFailures: 1 };
  await expect.poll(() => risk.unary(RiskApi.getStatus, {})).toMatchObject(told);
  await submit(run);
  expect(await risk.unary(RiskApi.getStatus, {})).toMatchObject({
    ...told,
    state: TradingState.TRADING_STATE_ACTIVE,
    refusals: {},
    approvals: 2n,
  });
  await devnet.mine();
  await devnet.mine();
  await observed.until(() => inState(observed, "SETTLED").length === 1, "the trade settles");
  // What the pools still show while the trade is not final is not taken a second time; nothing else was turned away.
  expect(observed.rejections.filter((reason) => reason !== "pool_in_flight")).toEqual([]);
});

test("restarted with a trade in flight: it is told of it, and what it costs is counted once", async () => {
  const run = await start();
  const { devnet, observed, risk, restart } = run;
  await submit(run);
  await restart();
  await devnet.mine();
  await devnet.mine();
  await observed.until(() => inState(observed, "SETTLED").length === 1, "the trade settles");
  // Its end reached the new risk manager by itself; being told again with the next question must not add to it.
  await submit(run);
  const status = await risk.unary(RiskApi.getStatus, {}, { retries: 3 });
  expect([status.gasSpentDayWei, status.outcomesKnown]).toEqual([inState(observed, "SETTLED")[0]?.gasWei, true]);
});

test("the breaker stays open over a restart, and an operator's resume is not forgotten", async () => {
  const run = await start();
  const { devnet, observed, risk, restart } = run;
  await fail(run);
  await fail(run);
  const paused = { state: TradingState.TRADING_STATE_PAUSED, breakerOpen: true, consecutiveFailures: 2 };
  await expect.poll(() => risk.unary(RiskApi.getStatus, {})).toMatchObject(paused);
  await restart();
  await devnet.swap(devnet.pair(0, "WETH", "LINK"), devnet.token("WETH"), 8n * ETHER);
  await devnet.mine();
  await observed.until(() => observed.rejections.includes("risk:trading_state"), "the next plan is refused");
  expect(await risk.unary(RiskApi.getStatus, {}, { retries: 3 })).toMatchObject(paused);

  const resume = { state: 1 as const, reason: "looked at it" };
  await Promise.all([observed.executor.unary(ExecutorApi.setState, resume), risk.unary(RiskApi.setState, resume)]);
  await restart();
  await submit(run);
  expect(await risk.unary(RiskApi.getStatus, {}, { retries: 3 })).toMatchObject({
    state: TradingState.TRADING_STATE_ACTIVE,
    breakerOpen: false,
    consecutiveFailures: 0,
  });
});

test("a kill at both stays one when the risk manager restarts: nothing is approved, nor after the executor has told it", async () => {
  const run = await start();
  const { devnet, observed, risk, restart } = run;
  const kill = { state: 3 as const, reason: "drill" };
  await Promise.all([observed.executor.unary(ExecutorApi.setState, kill), risk.unary(RiskApi.setState, kill)]);
  await restart();
  expect(await risk.unary(RiskApi.getStatus, {}, { retries: 3 })).toMatchObject({ outcomesKnown: false });
  await devnet.swap(devnet.pair(0, "WETH", "LINK"), devnet.token("WETH"), 8n * ETHER);
  await devnet.mine();
  await observed.until(() => observed.rejections.includes("execution_killed"), "the executor takes nothing");
  expect([observed.trades, (await risk.unary(RiskApi.getStatus, {})).approvals]).toEqual([[], 0n]);
});
