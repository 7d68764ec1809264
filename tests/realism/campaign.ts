import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { deploymentSchema } from "@flashloan/devnet/deployment";
import { isAlive, stopAnvil } from "@flashloan/devnet/anvil";
import { HftExecutorServiceService as ExecutorApi } from "@flashloan/proto/executor/v1/executor";
import { MarketPredictorServiceService as PredictorApi } from "@flashloan/proto/predictor/v1/predictor";
import { getHead } from "@flashloan/evm/chain";
import { addressSchema, quantitySchema, smallQuantitySchema, toQuantity, type Hex } from "@flashloan/evm/hex";
import { connectWebSocket, type JsonRpc } from "@flashloan/evm/json-rpc";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { PlatformProcess } from "../support/platform-process.ts";

/** What a run showed of the market that it ran in. */
export interface RealismResult {
  readonly seed: number;
  readonly blocks: number;
  /** Cycles that gain before any cost, counted block by block, and those that gain after costs. */
  readonly grossPositive: number;
  readonly netPositive: number;
  /** Of the blocks that hold transactions: the fee of an empty one is paid by nobody. */
  readonly leastBaseFeeWei: bigint;
  readonly settled: number;
  /** Our transactions that failed on chain. */
  readonly reverted: number;
  /** Of those, the ones that came after a transaction of the rival in the same block, through a pool of ours. */
  readonly racesLost: number;
  /** Settled trades whose realized profit is not the predicted one: others moved the pools in between. */
  readonly movedInBetween: number;
  readonly rivalTrades: number;
  readonly gasOfFailuresWei: bigint;
  readonly netWei: bigint;
  readonly chainDeltaWei: bigint;
  readonly selfChecks: number;
  readonly selfCheckDifferences: number;
  readonly seconds: number;
}

/** How a run is made. */
export interface RealismOptions {
  readonly blocks: number;
  readonly seed: number;
  readonly environment?: Readonly<Record<string, string>>;
}

/** Runs the platform for so many blocks and reads off the chain what kind of market it was. */
export async function runRealism(options: RealismOptions): Promise<RealismResult> {
  const started = performance.now();
  const dataDir = mkdtempSync(join(tmpdir(), "flashloan-realism-"));
  const platform = new PlatformProcess(["--data-dir", dataDir, "--seed", String(options.seed), "--keep-chain"], {
    PREDICTOR_SELF_CHECK_BLOCKS: "5",
    PREDICTOR_SELF_CHECK_POOLS: "8",
    ...options.environment,
  });
  let chainPid = 0;
  try {
    const start = await platform.waitFor((event) => event.event === "started", 60_000);
    const endpoints = z
      .object({ hftExecutor: z.string(), marketPredictor: z.string(), chain: z.string() })
      .parse(start["endpoints"]);
    const chain = z
      .object({ pid: z.number(), deployment: deploymentSchema })
      .parse(JSON.parse(readFileSync(join(dataDir, "chain.json"), "utf8")));
    chainPid = chain.pid;
    const [executor, predictor] = [new RpcClient(endpoints.hftExecutor), new RpcClient(endpoints.marketPredictor)];
    const rpc = await connectWebSocket(endpoints.chain.replace("http", "ws"));
    try {
      // The executor's run begins while the platform starts, the market's with the end of that.
      const openedAt = (await getHead(rpc)).number;
      const status = await executor.unary(ExecutorApi.getStatus, {});
      const target = Number(status.runFromBlock) + options.blocks;
      await platform.waitFor(
        (event) => event.event === "block" && Number(event["block"]) >= target,
        options.blocks * 10_000 + 60_000,
      );
      const { totals, selfChecks, selfCheckDifferences } = await predictor.unary(PredictorApi.getStatus, {});
      const exit = await platform.stop();
      if (exit.code !== 0) throw new Error(`the platform ended with ${JSON.stringify(exit)}: ${platform.stderr}`);
      const summary = z
        .object({
          trades: z.number(),
          netWei: z.string(),
          chainDeltaWei: z.string(),
          fromBlock: z.number(),
          toBlock: z.number(),
        })
        .parse(platform.events.at(-1));
      const onChain = await readChain(rpc, chain.deployment, openedAt, summary.toBlock);
      const settled = new Map<unknown, boolean>();
      for (const event of platform.events)
        if (event.event === "trade" && event["state"] === "SETTLED")
          settled.set(event["intentId"], event["grossWei"] !== event["predictedGrossWei"]);
      return {
        seed: options.seed,
        blocks: summary.toBlock - summary.fromBlock,
        grossPositive: totals?.grossPositive ?? 0,
        netPositive: totals?.netPositive ?? 0,
        ...onChain,
        settled: summary.trades,
        movedInBetween: [...settled.values()].filter(Boolean).length,
        netWei: BigInt(summary.netWei),
        chainDeltaWei: BigInt(summary.chainDeltaWei),
        selfChecks: Number(selfChecks),
        selfCheckDifferences: Number(selfCheckDifferences),
        seconds: (performance.now() - started) / 1000,
      };
    } finally {
      await Promise.all([executor.stop(), predictor.stop(), rpc.stop()]);
    }
  } finally {
    platform.kill("SIGKILL");
    await platform.exit;
    if (chainPid > 0 && isAlive(chainPid)) await stopAnvil(chainPid);
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** keccak256("Sync(uint112,uint112)") */
const SYNC_TOPIC = "0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1";
const blockSchema = z.object({ baseFeePerGas: quantitySchema });
const receiptsSchema = z.array(
  z.object({
    from: addressSchema,
    to: addressSchema.nullable(),
    status: smallQuantitySchema,
    gasUsed: quantitySchema,
    effectiveGasPrice: quantitySchema,
    transactionIndex: smallQuantitySchema,
    transactionHash: z.string(),
    logs: z.array(z.object({ address: addressSchema, topics: z.array(z.string()) })),
  }),
);
type Receipts = z.infer<typeof receiptsSchema>;

async function readChain(
  rpc: JsonRpc,
  deployment: ReturnType<typeof deploymentSchema.parse>,
  from: number,
  to: number,
): Promise<Pick<RealismResult, "leastBaseFeeWei" | "reverted" | "racesLost" | "rivalTrades" | "gasOfFailuresWei">> {
  let [leastBaseFeeWei, reverted, racesLost, rivalTrades, gasOfFailuresWei] = [2n ** 255n, 0, 0, 0, 0n];
  for (let number = from + 1; number <= to; number++) {
    const [{ baseFeePerGas }, receipts] = await Promise.all([
      rpc.request("eth_getBlockByNumber", [toQuantity(number), false], blockSchema),
      rpc.request("eth_getBlockReceipts", [toQuantity(number)], receiptsSchema),
    ]);
    if (receipts.length > 0 && baseFeePerGas < leastBaseFeeWei) leastBaseFeeWei = baseFeePerGas;
    const rivals = receipts.filter((receipt) => receipt.from === deployment.rival.operator && receipt.status === 1);
    rivalTrades += rivals.length;
    for (const failure of receipts.filter(
      (receipt) => receipt.from === deployment.executor.operator && receipt.status !== 1,
    )) {
      reverted += 1;
      gasOfFailuresWei += failure.gasUsed * failure.effectiveGasPrice;
      if (await lostTo(rpc, failure, rivals)) racesLost += 1;
    }
  }
  return { leastBaseFeeWei, reverted, racesLost, rivalTrades, gasOfFailuresWei };
}

/** True when a successful transaction of the rival came first in the block and touched a pool that the calldata names. */
async function lostTo(rpc: JsonRpc, failure: Receipts[number], rivals: Receipts): Promise<boolean> {
  const before = rivals.filter((rival) => rival.transactionIndex < failure.transactionIndex);
  if (before.length === 0) return false;
  const { input } = await rpc.request(
    "eth_getTransactionByHash",
    [failure.transactionHash],
    z.object({ input: z.string() }),
  );
  // A V2 pair emits Sync: what emitted it is a pool, not a token that both routes merely share.
  const pools = new Set<Hex>(
    before.flatMap((rival) => rival.logs.filter((log) => log.topics[0] === SYNC_TOPIC).map((log) => log.address)),
  );
  return [...pools].some((pool) => input.includes(pool.slice(2)));
}
