import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { isAlive, stopAnvil } from "@flashloan/devnet/anvil";
import { devAccounts, ROLES } from "@flashloan/devnet/deploy";
import {
  ExecutionMode,
  ExecutionState,
  HftExecutorServiceService as ExecutorApi,
} from "@flashloan/proto/executor/v1/executor";
import { getReceipt } from "@flashloan/evm/chain";
import { FlashloanError } from "@flashloan/shared/errors";
import { DataFolder } from "@flashloan/embedded/data-folder";
import { addressSchema, hashSchema, toQuantity, type Hex } from "@flashloan/evm/hex";
import { connectWebSocket, type JsonRpc } from "@flashloan/evm/json-rpc";
import { createRandom } from "@flashloan/shared/random";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { audit } from "../support/audit.ts";
import { PlatformProcess, type PlatformEvent } from "../support/platform-process.ts";

/** Every place where the executor may be killed, in the order of a transaction's life. */
export const FAULT_POINTS = [
  "before_append_LEAD",
  "after_append_LEAD",
  "before_append_BASELINE",
  "after_append_BASELINE",
  "before_append_SIGNED",
  "after_append_SIGNED",
  "before_send",
  "after_send",
  "before_append_SUBMITTED",
  "after_append_SUBMITTED",
  "before_append_INCLUDED",
  "after_append_INCLUDED",
  "before_append_SETTLED",
  "after_append_SETTLED",
  "before_append_REVERTED",
  "after_append_REVERTED",
  "before_append_REPLACED",
  "after_append_REPLACED",
  "before_append_ABANDONED",
  "after_append_ABANDONED",
  "before_append_REORGED",
  "after_append_REORGED",
  "before_append_PAPER",
  "after_append_PAPER",
  "before_append_STATE",
  "after_append_STATE",
  "before_append_TRANSFER",
  "after_append_TRANSFER",
  "before_append_DROPPED",
  "after_append_DROPPED",
] as const;
/** @see FAULT_POINTS */
export type NamedFaultPoint = (typeof FAULT_POINTS)[number];

/** The phase of the newest signed intent when a random kill struck. */
export const PHASES = ["nothing open", "signed, not included", "included, not final"] as const;
type Phase = (typeof PHASES)[number];

/** What a campaign did and found. */
export interface CampaignResult {
  readonly seed: number;
  readonly pointsHit: readonly string[];
  readonly randomKills: ReadonlyMap<Phase, number>;
  readonly faults: readonly string[];
  readonly restarts: number;
  readonly intents: number;
  readonly settled: number;
  readonly transactions: number;
  readonly netWei: bigint;
  readonly seconds: number;
}

/** What a campaign is made of. */
export interface CampaignOptions {
  readonly points: readonly NamedFaultPoint[];
  readonly randomKills: number;
  readonly seed: number;
  readonly report: (line: string) => void;
}

/** A busy market, so that each round has its trade soon. */
const ENVIRONMENT = { DEVNET_WHALE_ACTIVITY: "0.7", LOG_LEVEL: "debug" };
const EVENT_DEADLINE_MS = 120_000;
const TRANSFER_BLOCKS_MAX = 30;
const OPEN_STATES = new Set(["SIGNED", "SUBMITTED", "REPLACED", "INCLUDED", "REORGED"]);

/**
 * Kills the platform with SIGKILL at every named point and at random times, on one data folder and one chain, and
 * audits ledger and chain after every restart.
 */
export async function runCrashCampaign(options: CampaignOptions): Promise<CampaignResult> {
  const started = performance.now();
  const dataDir = mkdtempSync(join(tmpdir(), "flashloan-crash-"));
  const args = ["--data-dir", dataDir, "--seed", String(options.seed)];
  const random = createRandom(options.seed);
  const faults: string[] = [];
  const pointsHit: string[] = [];
  const randomKills = new Map<Phase, number>(PHASES.map((phase) => [phase, 0]));
  const declared = new Set<string>();
  let restarts = 0;
  let last = { intents: 0, settled: 0, transactions: 0, netWei: 0n };

  const check = async (platform: PlatformProcess, what: string, deposit?: Hex): Promise<void> => {
    restarts += 1;
    await platform.waitFor(isEvent("started"), EVENT_DEADLINE_MS);
    for (const note of platform.events.filter(isEvent("note")))
      if (!String(note["note"]).includes("adopted")) faults.push(`${what}: ${String(note["note"])}`);
    const context = await connect(platform);
    try {
      // What was to be declared when the kill struck is declared now; that it is in the ledger already is as good.
      if (deposit !== undefined) declared.add(deposit);
      if (deposit !== undefined)
        await context.executor
          .unary(ExecutorApi.declareTransfer, { transactionHash: deposit })
          .catch(onlyCode("idempotency_conflict"));
      const result = await audit(context.checkpoint, context.executor, context.rpc, context.contract, declared);
      for (const fault of result.faults) faults.push(`${what}: ${fault}`);
      last = result;
    } finally {
      await context.close();
    }
  };

  try {
    for (const point of options.points) {
      // A ledger begins once: its own points need a new one.
      const anew = point.endsWith("BASELINE") ? ["--fresh"] : [];
      const platform = new PlatformProcess([...args, ...anew, "--no-restart"], {
        ...ENVIRONMENT,
        FLASHLOAN_FAULT_POINT: point,
      });
      const deposit = await provoke(platform, point);
      const exit = await platform.exitWithin(EVENT_DEADLINE_MS);
      if (exit.signal !== "SIGKILL")
        faults.push(`${point}: the platform ended with ${JSON.stringify(exit)} instead of being killed there`);
      pointsHit.push(point);
      // The next round's start is this round's recovery; audited in a run of its own, without a fault.
      const recovered = new PlatformProcess(args, ENVIRONMENT);
      await check(recovered, point, deposit);
      await unprovoke(recovered, point);
      recovered.kill("SIGKILL");
      await recovered.exit;
      options.report(
        `${point}: killed and recovered${faults.length > 0 ? `; faults so far: ${faults.join("; ")}` : ""}`,
      );
    }
    for (let kill = 0; kill < options.randomKills; kill++) {
      // Three of four wait for a signature or an inclusion first, so that most strike where it matters; one waits in a
      // market without whales until nothing is open.
      const wanted = kill % 4;
      const platform = new PlatformProcess(
        args,
        wanted === 0 ? { ...ENVIRONMENT, DEVNET_WHALE_ACTIVITY: "0" } : ENVIRONMENT,
      );
      await check(platform, `random kill ${kill}`);
      const from = platform.events.length;
      if (wanted === 0)
        await platform.waitFor(
          (event) => event.event === "block" && phaseOf(platform.events) === "nothing open",
          EVENT_DEADLINE_MS,
          from,
        );
      else
        await platform.waitFor(
          (event) => event.event === "trade" && event["state"] === (wanted === 1 ? "INCLUDED" : "SIGNED"),
          EVENT_DEADLINE_MS,
          from,
        );
      if (wanted !== 0) await new Promise((resolve) => setTimeout(resolve, random.next() * 500));
      platform.kill("SIGKILL");
      await platform.exit;
      const phase = phaseOf(platform.events);
      randomKills.set(phase, (randomKills.get(phase) ?? 0) + 1);
      options.report(`random kill ${kill}: ${phase}`);
    }
    const final = new PlatformProcess(args, ENVIRONMENT);
    await check(final, "final start");
    const mark = final.events.length;
    await final.waitFor((event) => event.event === "trade" && event["state"] === "SETTLED", EVENT_DEADLINE_MS, mark);
    const exit = await final.stop();
    if (exit.code !== 0) faults.push(`final stop: ${JSON.stringify(exit)} ${final.stderr.slice(-500)}`);
  } finally {
    await endChain(dataDir);
    rmSync(dataDir, { recursive: true, force: true });
  }
  const { intents, settled, transactions, netWei } = last;
  return {
    seed: options.seed,
    pointsHit,
    randomKills,
    faults,
    restarts,
    intents,
    settled,
    transactions,
    netWei,
    seconds: (performance.now() - started) / 1000,
  };
}

function isEvent(name: string): (event: PlatformEvent) => boolean {
  return (event) => event.event === name;
}

interface Connection {
  readonly checkpoint: RpcClient;
  readonly executor: RpcClient;
  readonly rpc: JsonRpc;
  readonly contract: Hex;
  readonly close: () => Promise<void>;
}

const endpointsSchema = z.object({ checkpoint: z.string(), hftExecutor: z.string(), chain: z.string() });

async function connect(platform: PlatformProcess): Promise<Connection> {
  const started = await platform.waitFor(isEvent("started"), EVENT_DEADLINE_MS);
  const endpoints = endpointsSchema.parse(started["endpoints"]);
  const checkpoint = new RpcClient(endpoints.checkpoint);
  const executor = new RpcClient(endpoints.hftExecutor);
  const rpc = await connectWebSocket(endpoints.chain.replace("http", "ws"));
  const contract = addressSchema.parse(started["contract"]);
  return {
    checkpoint,
    executor,
    rpc,
    contract,
    close: async () => void (await Promise.all([checkpoint.stop(), executor.stop(), rpc.stop()])),
  };
}

/** Makes happen what a point needs and a quiet market seldom brings: a revert, a stuck transaction, a reorganisation. */
async function provoke(platform: PlatformProcess, point: NamedFaultPoint): Promise<Hex | undefined> {
  const kind = point.slice(point.lastIndexOf("_") + 1);
  if (["PAPER", "STATE", "TRANSFER", "DROPPED"].includes(kind)) return command(platform, kind);
  if (["REVERTED", "REPLACED", "ABANDONED", "REORGED"].includes(kind)) await disturb(platform, kind);
  return undefined;
}

/** Gives the order whose ledgering the point stands at; the answer is lost with the process. */
async function command(platform: PlatformProcess, kind: string): Promise<Hex | undefined> {
  const { executor, rpc, close } = await connect(platform);
  try {
    const lost = onlyCode("service_unavailable");
    if (kind === "PAPER")
      await executor.unary(ExecutorApi.setMode, { mode: ExecutionMode.EXECUTION_MODE_PAPER, genesisHash: "" });
    if (kind === "STATE")
      await executor
        .unary(ExecutorApi.setState, { state: ExecutionState.EXECUTION_STATE_PAUSED, reason: "drill" })
        .catch(lost);
    if (kind !== "TRANSFER" && kind !== "DROPPED") return undefined;
    const { signer } = await executor.unary(ExecutorApi.getStatus, {});
    if (kind === "DROPPED") return await useKeyElsewhere(platform, rpc, signer);
    // Whoever sends for the market might take the same nonce at the same time: the deployer sends no more.
    const from = await devAccount(rpc, ROLES.deployer);
    const fees = {
      gas: toQuantity(21_000n),
      maxFeePerGas: toQuantity(5_000n * 10n ** 9n),
      maxPriorityFeePerGas: toQuantity(10n ** 10n),
    };
    const hash = await rpc.request(
      "eth_sendTransaction",
      [{ from, to: signer, value: toQuantity(10n ** 18n), ...fees }],
      hashSchema,
    );
    for (let blocks = 0; !(await getReceipt(rpc, hash)); blocks++) {
      if (blocks > TRANSFER_BLOCKS_MAX) throw new Error(`the transfer ${hash} is in none of ${blocks} blocks`);
      await platform.waitFor(isEvent("block"), EVENT_DEADLINE_MS, platform.events.length);
    }
    // Refused while a trade of the same block is not final; answered never, since the process is killed at it.
    for (let event: PlatformEvent | "exited" | undefined; event !== "exited";) {
      await executor.unary(ExecutorApi.declareTransfer, { transactionHash: hash }).catch(lost);
      event = await platform.waitForEventOrExit(isEvent("block"), EVENT_DEADLINE_MS, platform.events.length);
    }
    return hash;
  } finally {
    await close();
  }
}

/** Someone else with the key outbids our pending transaction at its nonce; what that cost is declared afterwards. */
async function useKeyElsewhere(platform: PlatformProcess, rpc: JsonRpc, signer: string): Promise<Hex | undefined> {
  const signed = (event: PlatformEvent): boolean => event.event === "trade" && event["state"] === "SUBMITTED";
  for (;;) {
    const event = await platform.waitForEventOrExit(signed, EVENT_DEADLINE_MS, platform.events.length);
    if (event === "exited") return undefined;
    const nonce = await rpc.request("eth_getTransactionCount", [signer, "latest"], z.string());
    const fees = {
      gas: toQuantity(21_000n),
      maxFeePerGas: toQuantity(9_000n * 10n ** 9n),
      maxPriorityFeePerGas: toQuantity(900n * 10n ** 9n),
    };
    const hash = await rpc
      .request("eth_sendTransaction", [{ from: signer, to: signer, nonce, ...fees }], hashSchema)
      .catch(() => undefined);
    if (hash === undefined) continue;
    // Ours may have been included first: then the node refused the other one, or it took a later nonce that is ours next.
    if (
      (await platform.waitForEventOrExit(isEvent("block"), EVENT_DEADLINE_MS, platform.events.length)) === "exited" ||
      (await getReceipt(rpc, hash))
    )
      return hash;
  }
}

/** Takes one kind of failure as part of the play, and throws any other. */
function onlyCode(code: string): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof FlashloanError) || error.code !== code) throw error;
  };
}

async function disturb(platform: PlatformProcess, kind: string): Promise<void> {
  const started = await platform.waitForEventOrExit(isEvent("started"), EVENT_DEADLINE_MS);
  if (started === "exited") return;
  const { rpc, contract, close } = await connect(platform);
  try {
    for (let at = platform.events.length; ; at = platform.events.length) {
      const state = kind === "REORGED" ? "INCLUDED" : "SIGNED";
      const event = await platform.waitForEventOrExit(
        (candidate) => candidate.event === "trade" && candidate["state"] === state,
        EVENT_DEADLINE_MS,
        at,
      );
      if (event === "exited") return;
      if (kind === "REVERTED") await setPaused(rpc, contract, true);
      // A base fee above every cap: the transaction can't be included before it has expired.
      else if (kind === "REORGED") await rpc.request("anvil_reorg", [1, []], z.unknown()).catch(() => undefined);
      else await rpc.request("anvil_setNextBlockBaseFeePerGas", [toQuantity(400n * 10n ** 9n)], z.unknown());
      const ended = await Promise.race([
        platform.exit.then(() => true),
        new Promise<false>((resolve) => setTimeout(() => resolve(false), 12_000)),
      ]);
      if (ended) return;
      // The transaction slipped through: once more with the next.
      if (kind === "REVERTED") await setPaused(rpc, contract, false);
    }
  } finally {
    await close();
  }
}

async function unprovoke(platform: PlatformProcess, point: NamedFaultPoint): Promise<void> {
  const { rpc, contract, executor, close } = await connect(platform);
  try {
    const active = { state: ExecutionState.EXECUTION_STATE_ACTIVE, reason: "drill over" };
    if (point.endsWith("STATE")) await executor.unary(ExecutorApi.setState, active);
    if (point.endsWith("REVERTED")) await setPaused(rpc, contract, false);
    if (point.endsWith("REPLACED") || point.endsWith("ABANDONED"))
      await rpc.request("anvil_setNextBlockBaseFeePerGas", [toQuantity(7n * 10n ** 9n)], z.unknown());
  } finally {
    await close();
  }
}

/** The owner stops the contract's operators, or lets them go on; mined before anything that bids less. */
async function setPaused(rpc: JsonRpc, contract: Hex, paused: boolean): Promise<void> {
  const data = `0x16c38b3c${(paused ? 1n : 0n).toString(16).padStart(64, "0")}`;
  await rpc.request(
    "eth_sendTransaction",
    [
      {
        from: await devAccount(rpc, ROLES.owner),
        to: contract,
        data,
        gas: toQuantity(100_000n),
        maxFeePerGas: toQuantity(5_000n * 10n ** 9n),
        maxPriorityFeePerGas: toQuantity(500n * 10n ** 9n),
      },
    ],
    hashSchema,
  );
}

async function devAccount(rpc: JsonRpc, role: number): Promise<Hex> {
  const accounts = await devAccounts(rpc);
  return addressSchema.parse(accounts[role]);
}

function phaseOf(events: readonly PlatformEvent[]): Phase {
  const states = new Map<unknown, string>();
  for (const event of events) if (event.event === "trade") states.set(event["intentId"], String(event["state"]));
  const newest = [...states.values()].findLast((state) => OPEN_STATES.has(state));
  if (newest === undefined) return "nothing open";
  return newest === "INCLUDED" ? "included, not final" : "signed, not included";
}

async function endChain(dataDir: string): Promise<void> {
  const folder = DataFolder.open(dataDir);
  const chain = folder.readChain();
  folder.close();
  if (chain && isAlive(chain.pid)) await stopAnvil(chain.pid);
}
