import { afterEach, expect, test } from "vitest";
import { DEVNET_OPERATOR_KEY } from "@flashloan/devnet/venues";
import { getNonce } from "@flashloan/evm/chain";
import { executorConfigSchema } from "@flashloan/hft-executor/config";
import { createExecutorService } from "@flashloan/hft-executor/service";
import { HftExecutorServiceService as ExecutorApi, type Trade } from "@flashloan/proto/executor/v1/executor";
import { readConfig } from "@flashloan/shared/config";
import { testContext } from "@flashloan/shared/contract/context";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { RpcClient } from "@flashloan/shared/rpc-client";
import type { Service } from "@flashloan/shared/service";
import { startObservedServices, type ObservedServices } from "../support/observed-services.ts";
import { startStillDevnet, type StillDevnet } from "../support/still-devnet.ts";

// Two executors with one key and one ledger, as when a replacement runs beside one that is only half dead.
const ETHER = 10n ** 18n;
let lifecycle = new Lifecycle();
afterEach(async () => {
  await lifecycle.stop();
  lifecycle = new Lifecycle();
});

/** Starts a second executor beside the services' own. */
async function startSecond(devnet: StillDevnet, { services }: ObservedServices): Promise<Service> {
  const { endpoints } = services;
  const config = readConfig(executorConfigSchema, {
    EXECUTOR_PORT: "0",
    EXECUTOR_CHAIN_URL: devnet.url,
    EXECUTOR_PRIVATE_KEY: DEVNET_OPERATOR_KEY,
    EXECUTOR_CONTRACT: devnet.deployment.executor.contract,
    EXECUTOR_DEVNET_GENESIS_HASH: devnet.deployment.genesisHash,
    EXECUTOR_PREDICTOR_ADDRESS: endpoints.marketPredictor,
    EXECUTOR_RISK_ADDRESS: endpoints.riskManager,
    EXECUTOR_CHECKPOINT_ADDRESS: endpoints.checkpoint,
    EXECUTOR_OPPORTUNITIES_MAX: "1",
  });
  const service = await createExecutorService(config, testContext("hft-executor"));
  lifecycle.onStop("second executor", async () => {
    // Nobody mines while we stop: what is in flight is not waited for.
    const client = new RpcClient(service.address);
    await client.unary(ExecutorApi.setState, { state: 3, reason: "the test ends" });
    await client.stop();
    await service.stop();
  });
  return service;
}

const isLeading = async (service: Service): Promise<boolean | undefined> => service.needs.lead?.();
const leadMetric = async ({ services }: ObservedServices): Promise<string | undefined> => {
  const answer = await fetch(`http://${services.endpoints.metrics.hftExecutor}/metrics`);
  return (await answer.text())
    .split("\n")
    .find((line) => /^flashloan_need_met\{.*need="lead"/.test(line))
    ?.at(-1);
};

async function tradesOf(client: RpcClient): Promise<Trade[]> {
  return (await client.unary(ExecutorApi.listTrades, { pageSize: 0, pageToken: "" })).trades;
}

test("a second executor takes the lead: it ends what the first had in flight, the first signs nothing more, no nonce is used twice", async () => {
  const devnet = lifecycle.add("devnet", await startStillDevnet());
  const observed = lifecycle.add("services", await startObservedServices(devnet, { EXECUTOR_OPPORTUNITIES_MAX: "1" }));
  const { operator } = devnet.deployment.executor;
  const openGap = async (): Promise<void> => {
    await devnet.swap(devnet.pair(0, "WETH", "LINK"), devnet.token("WETH"), 8n * ETHER);
    await devnet.mine();
  };
  await openGap();
  await observed.until(() => observed.trades.some(({ state }) => state === "SUBMITTED"), "the first has a trade out");
  expect(await leadMetric(observed)).toBe("1");

  const second = await startSecond(devnet, observed);
  const client = lifecycle.add("client", new RpcClient(second.address));
  expect((await tradesOf(client)).map(({ state }) => state)).toEqual(["SUBMITTED"]);
  const settled = async (): Promise<Trade[]> => (await tradesOf(client)).filter(({ state }) => state === "SETTLED");
  await devnet.mine();
  await devnet.mine();
  await expect.poll(async () => (await settled()).at(-1)?.nonce, { timeout: 30_000 }).toBe(0n);
  // The first has found out by its next append at the latest, which the ledger refused.
  await expect.poll(() => leadMetric(observed), { timeout: 30_000 }).toBe("0");
  expect(await isLeading(second)).toBe(true);
  expect(observed.trades.map(({ state }) => state)).not.toContain("SETTLED");

  await openGap();
  await expect.poll(async () => (await tradesOf(client)).length, { timeout: 30_000 }).toBeGreaterThan(1);
  await devnet.mine();
  await devnet.mine();
  await expect.poll(async () => (await settled()).length, { timeout: 30_000 }).toBeGreaterThan(1);
  // More may have been taken of what the gaps left over; each has a nonce of its own, and none is missing.
  const nonces = (await tradesOf(client)).map(({ nonce }) => Number(nonce));
  expect(nonces).toEqual([...nonces.keys()].reverse());
  expect(await getNonce(devnet.rpc, operator, "pending")).toBe(nonces.length);
  const { netWei, chainDeltaWei, trades } = await client.unary(ExecutorApi.summarize, { fromBlock: 0n, toBlock: 0n });
  expect([netWei, trades]).toEqual([chainDeltaWei, BigInt((await settled()).length)]);
  // An operator's resume at the one that was deposed is refused, and says why.
  const resume = { state: 1 as const, reason: "go on" };
  await expect(observed.executor.unary(ExecutorApi.setState, resume)).rejects.toMatchObject({ code: "fenced" });
});
