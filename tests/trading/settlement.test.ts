import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { z } from "zod";
import {
  ExecutionMode,
  ExecutionState,
  HftExecutorServiceService as ExecutorApi,
  type Trade,
} from "@flashloan/proto/executor/v1/executor";
import { CheckpointServiceService as CheckpointApi } from "@flashloan/proto/checkpoint/v1/checkpoint";
import { RiskManagerServiceService as RiskApi } from "@flashloan/proto/risk/v1/risk";
import { getBalance, getNonce, getTokenBalance } from "@flashloan/evm/chain";
import { hashSchema, toQuantity, type Hex } from "@flashloan/evm/hex";
import { generatePrivateKey, createSigner } from "@flashloan/evm/transaction";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { startObservedServices, type ObservedServices } from "../support/observed-services.ts";
import { startStillDevnet, type StillDevnet } from "../support/still-devnet.ts";

const ETHER = 10n ** 18n;
const GWEI = 10n ** 9n;
const lifecycles: Lifecycle[] = [];
afterEach(async () => {
  for (const lifecycle of lifecycles.splice(0)) await lifecycle.stop();
});

async function start(
  environment: Record<string, string> = {},
  before: (devnet: StillDevnet) => Promise<Record<string, string>> = async () => ({}),
): Promise<{ devnet: StillDevnet; observed: ObservedServices }> {
  const lifecycle = new Lifecycle();
  lifecycles.push(lifecycle);
  const devnet = lifecycle.add("devnet", await startStillDevnet());
  const more = await before(devnet);
  const observed = lifecycle.add(
    "services",
    await startObservedServices(devnet, { EXECUTOR_OPPORTUNITIES_MAX: "1", ...environment, ...more }),
  );
  return { devnet, observed };
}

const plantGap = async (devnet: StillDevnet): Promise<void> => {
  await devnet.swap(devnet.pair(0, "WETH", "LINK"), devnet.token("WETH"), 8n * ETHER);
  await devnet.mine();
};
const inState = (observed: ObservedServices, state: string): Trade | undefined =>
  observed.trades.find((trade) => trade.state === state);
const reach = (observed: ObservedServices, state: string): Promise<void> =>
  observed.until(() => inState(observed, state) !== undefined, `an intent is ${state}`);
const summary = (observed: ObservedServices) =>
  observed.executor.unary(ExecutorApi.summarize, { fromBlock: 0n, toBlock: 0n });

test("a pool that moves between simulation and inclusion: what is realized differs from what was predicted, and is the chain's own", async () => {
  const { devnet, observed } = await start();
  const { treasury, operator } = devnet.deployment.executor;
  const before = {
    weth: await getTokenBalance(devnet.rpc, devnet.deployment.weth, treasury, "latest"),
    ether: await getBalance(devnet.rpc, operator, "latest"),
  };
  await plantGap(devnet);
  await reach(observed, "SUBMITTED");
  // A trader pays more than we do and widens the gap a little before our transaction.
  await devnet.swap(devnet.pair(0, "WETH", "LINK"), devnet.token("WETH"), ETHER / 4n, 400n * GWEI);
  await devnet.mine();
  await devnet.mine();
  await reach(observed, "SETTLED");
  const trade = inState(observed, "SETTLED") as Trade;
  const after = {
    weth: await getTokenBalance(devnet.rpc, devnet.deployment.weth, treasury, "latest"),
    ether: await getBalance(devnet.rpc, operator, "latest"),
  };
  expect(trade.grossWei).not.toBe(trade.predictedGrossWei);
  expect(BigInt(trade.grossWei) - BigInt(trade.premiumWei)).toBe(after.weth - before.weth);
  expect(BigInt(trade.gasWei)).toBe(before.ether - after.ether);
  expect(await summary(observed)).toMatchObject({ trades: 1n, netWei: trade.netWei, chainDeltaWei: trade.netWei });
});

test("a gap that closes before us: the transaction reverts, only its gas is lost, and the loss is in net", async () => {
  const { devnet, observed } = await start();
  await plantGap(devnet);
  await reach(observed, "SUBMITTED");
  await devnet.swap(devnet.pair(0, "WETH", "LINK"), devnet.token("LINK"), 1_150n * ETHER, 400n * GWEI);
  await devnet.mine();
  await devnet.mine();
  await reach(observed, "REVERTED");
  const trade = inState(observed, "REVERTED") as Trade;
  expect([trade.grossWei, trade.premiumWei]).toEqual(["0", "0"]);
  expect(BigInt(trade.netWei)).toBe(-BigInt(trade.gasWei));
  expect(BigInt(trade.gasWei)).toBeGreaterThan(0n);
  expect(await summary(observed)).toMatchObject({
    trades: 0n,
    reverted: 1n,
    netWei: trade.netWei,
    chainDeltaWei: trade.netWei,
  });
});

test("a transaction that is not included in time is replaced at its nonce, and the cancellation's gas is in net", async () => {
  const { devnet, observed } = await start();
  await plantGap(devnet);
  await reach(observed, "SUBMITTED");
  const expensive = async (): Promise<void> => {
    await devnet.rpc.request("anvil_setNextBlockBaseFeePerGas", [toQuantity(300n * GWEI)], z.unknown());
    await devnet.rpc.request("evm_mine", [], z.unknown());
  };
  await expensive();
  await expensive();
  await reach(observed, "REPLACED");
  await observed.until(
    () => observed.trades.filter((trade) => trade.state === "SUBMITTED").length === 2,
    "the cancellation is sent",
  );
  await devnet.mine();
  await devnet.mine();
  await reach(observed, "ABANDONED");
  const trade = inState(observed, "ABANDONED") as Trade;
  expect([trade.nonce, trade.grossWei]).toEqual([0n, "0"]);
  expect(await getNonce(devnet.rpc, devnet.deployment.executor.operator, "latest")).toBe(1);
  expect(await summary(observed)).toMatchObject({
    trades: 0n,
    netWei: trade.netWei,
    chainDeltaWei: trade.netWei,
    gasWei: trade.gasWei,
  });
});

test("a reorganisation that drops the transaction: the same bytes go out again and settle once", async () => {
  const { devnet, observed } = await start();
  await plantGap(devnet);
  await reach(observed, "SUBMITTED");
  await devnet.mine();
  await reach(observed, "INCLUDED");
  await devnet.rpc.request("anvil_reorg", [1, []], z.unknown());
  await devnet.mine();
  await reach(observed, "REORGED");
  await devnet.mine();
  await devnet.mine();
  await devnet.mine();
  await observed.until(
    () => observed.trades.some((trade) => ["SETTLED", "REVERTED", "ABANDONED"].includes(trade.state)),
    "the intent ends",
  );
  const hashes = new Set(observed.trades.map((trade) => trade.transactionHash));
  const ended = observed.trades.at(-1) as Trade;
  expect(hashes.size).toBeLessThanOrEqual(2);
  expect(observed.trades.filter((trade) => trade.state === ended.state)).toHaveLength(1);
  expect(await summary(observed)).toMatchObject({ netWei: ended.netWei, chainDeltaWei: ended.netWei });
});

test("a declared deposit is neither profit nor loss; an undeclared one shows as a difference", async () => {
  const { devnet, observed } = await start();
  const { operator } = devnet.deployment.executor;
  const send = async (wei: bigint): Promise<Hex> => {
    const hash = await devnet.rpc.request(
      "eth_sendTransaction",
      [
        {
          from: devnet.accounts[4],
          to: operator,
          value: toQuantity(wei),
          gas: toQuantity(21_000n),
          maxFeePerGas: toQuantity(100n * GWEI),
          maxPriorityFeePerGas: toQuantity(GWEI),
        },
      ],
      hashSchema,
    );
    await devnet.mine();
    return hash;
  };
  const hash = await send(3n * ETHER);
  expect(await summary(observed)).toMatchObject({ netWei: "0", chainDeltaWei: (3n * ETHER).toString() });
  expect(await observed.executor.unary(ExecutorApi.declareTransfer, { transactionHash: hash })).toMatchObject({
    amountWei: (3n * ETHER).toString(),
  });
  expect(await summary(observed)).toMatchObject({ netWei: "0", chainDeltaWei: "0" });
  await expect(observed.executor.unary(ExecutorApi.declareTransfer, { transactionHash: hash })).rejects.toMatchObject({
    code: "idempotency_conflict",
  });
});

test("off the devnet: anvil's keys are refused; with a key of one's own it is paper, nothing is sent, and live must be armed", async () => {
  const elsewhere = { EXECUTOR_DEVNET_GENESIS_HASH: `0x${"11".repeat(32)}` };
  await expect(start(elsewhere)).rejects.toMatchObject({
    code: "key_refused",
    message: expect.stringContaining("well-known accounts"),
  });

  const { devnet, observed } = await start(elsewhere, async (still) => {
    const key = generatePrivateKey();
    const { address } = createSigner(key);
    const data = `0x558a7297${address.slice(2).padStart(64, "0")}${"1".padStart(64, "0")}`;
    const fees = {
      gas: toQuantity(100_000n),
      maxFeePerGas: toQuantity(100n * GWEI),
      maxPriorityFeePerGas: toQuantity(GWEI),
    };
    await still.rpc.request(
      "eth_sendTransaction",
      [{ from: still.accounts[11], to: still.deployment.executor.contract, data, ...fees }],
      hashSchema,
    );
    await still.rpc.request("anvil_setBalance", [address, toQuantity(10n * ETHER)], z.unknown());
    await still.mine();
    return { EXECUTOR_PRIVATE_KEY: key };
  });
  const { signer, mode } = await observed.executor.unary(ExecutorApi.getStatus, {});
  expect(mode).toBe(ExecutionMode.EXECUTION_MODE_PAPER);
  await plantGap(devnet);
  await reach(observed, "PAPER");
  expect(inState(observed, "PAPER")).toMatchObject({ mode: ExecutionMode.EXECUTION_MODE_PAPER, transactionHash: "" });
  expect(BigInt(inState(observed, "PAPER")?.netWei ?? 0)).toBeGreaterThan(0n);
  await devnet.mine();
  expect(await getNonce(devnet.rpc, signer as Hex, "pending")).toBe(0);
  const arm = (genesisHash: string) =>
    observed.executor.unary(ExecutorApi.setMode, { mode: ExecutionMode.EXECUTION_MODE_LIVE, genesisHash });
  await expect(arm("0x00")).rejects.toMatchObject({
    code: "not_armed",
    message: expect.stringContaining("genesis hash"),
  });
  await expect(arm(devnet.deployment.genesisHash)).rejects.toMatchObject({
    code: "not_armed",
    message: expect.stringContaining("power cut"),
  });
});

test("a ledger that can't be reached at the start is said so", async () => {
  await expect(start({ EXECUTOR_CHECKPOINT_ADDRESS: "127.0.0.1:1" })).rejects.toMatchObject({
    code: "service_unavailable",
  });
});

test("another chain id, no contract at the address: refused with the cause and the cure", async () => {
  await expect(start({ EXECUTOR_CHAIN_ID: "1" })).rejects.toMatchObject({
    code: "chain_mismatch",
    message: expect.stringContaining("EXECUTOR_CHAIN_ID says 1"),
  });
  await expect(start({ EXECUTOR_CONTRACT: `0x${"12".repeat(20)}` })).rejects.toMatchObject({
    code: "chain_mismatch",
    message: expect.stringContaining("check EXECUTOR_CONTRACT"),
  });
});

test("gas budgets and the breaker outlive a restart: they start from the ledger", async () => {
  const folder = mkdtempSync(join(tmpdir(), "flashloan-ledger-"));
  const devnet = await startStillDevnet();
  const one = { EXECUTOR_OPPORTUNITIES_MAX: "1" };
  const first = await startObservedServices(devnet, one, `pglite:${folder}`);
  await plantGap(devnet);
  await reach(first, "SUBMITTED");
  await devnet.swap(devnet.pair(0, "WETH", "LINK"), devnet.token("LINK"), 1_150n * ETHER, 400n * GWEI);
  await devnet.mine();
  await devnet.mine();
  await reach(first, "REVERTED");
  const { gasWei } = inState(first, "REVERTED") as Trade;
  await first.stop();
  const second = await startObservedServices(devnet, one, `pglite:${folder}`);
  const status = await second.risk.unary(RiskApi.getStatus, {});
  expect([status.consecutiveFailures, status.gasSpentHourWei]).toEqual([1, gasWei]);
  expect((await second.executor.unary(ExecutorApi.getStatus, {})).state).toBe(ExecutionState.EXECUTION_STATE_KILLED);
  await second.stop();
  await devnet.stop();
  rmSync(folder, { recursive: true });
});

test("a kill is never undone by an earlier resume, nor softened by a pause, and each order is in the ledger once", async () => {
  const { observed } = await start();
  const order = (state: ExecutionState) => observed.executor.unary(ExecutorApi.setState, { state, reason: "drill" });
  const {
    EXECUTION_STATE_ACTIVE: active,
    EXECUTION_STATE_PAUSED: paused,
    EXECUTION_STATE_KILLED: killed,
  } = ExecutionState;
  const rounds = 20;
  for (let round = 0; round < rounds; round++) {
    const [, answer] = await Promise.all([order(active), order(killed)]);
    expect([answer.state, (await observed.executor.unary(ExecutorApi.getStatus, {})).state]).toEqual([killed, killed]);
  }
  await expect(order(paused)).rejects.toMatchObject({ code: "trading_killed" });
  const { records } = await observed.checkpoint.unary(CheckpointApi.history, {
    streamId: "platform:control",
    pageSize: 100,
    pageToken: "",
  });
  expect(records.map((record) => (JSON.parse(record.payload.toString()) as { state: string }).state)).toEqual(
    Array.from({ length: rounds }, () => ["ACTIVE", "KILLED"]).flat(),
  );
  expect((await order(active)).state).toBe(active);
});
