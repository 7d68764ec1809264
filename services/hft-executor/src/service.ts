import { Interface } from "ethers";
import { z } from "zod";
import {
  ExecutionMode as WireMode,
  ExecutionState as WireState,
  HftExecutorServiceService,
  type HftExecutorServiceServer,
  type Trade,
} from "@flashloan/proto/executor/v1/executor";
import { descriptorFile } from "@flashloan/proto/descriptor";
import { MarketPredictorServiceService as Predictor, type Opportunity } from "@flashloan/proto/predictor/v1/predictor";
import { countRecoveries } from "@flashloan/recovery/metrics";
import { Broadcast } from "@flashloan/shared/broadcast";
import { backoffMs, type Clock } from "@flashloan/shared/clock";
import { FlashloanError } from "@flashloan/shared/errors";
import { publishFact } from "@flashloan/shared/events";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import type { Logger } from "@flashloan/shared/log";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { serverStream, startRpcServer, unary } from "@flashloan/shared/rpc-server";
import { getChainId, getGenesisHash, getHead, headerSchema } from "@flashloan/evm/chain";
import { addressSchema, bytesSchema, type Hex } from "@flashloan/evm/hex";
import { connectWebSocket, type JsonRpc } from "@flashloan/evm/json-rpc";
import { createSigner } from "@flashloan/evm/transaction";
import type { CloudEvent } from "@flashloan/shared/ports/event-bus";
import type { Service, ServiceContext } from "@flashloan/shared/service";
import type { ExecutorConfig } from "./config.ts";
import { Executor, type ExecutionMode, type ExecutionState } from "./executor.ts";
import type { FaultPoint } from "./fault-points.ts";
import { IntentLedger } from "./intent-ledger.ts";
import { gasAtRisk, isInFlight, type Intent } from "./intent.ts";
import { isPublicKeyAccount } from "./known-keys.ts";
import { ExecutorMetrics } from "./metrics.ts";
import { RiskClient } from "./risk-client.ts";
import { EngineSelector, greedySelector, type Selector } from "./selector.ts";

const STATES: Record<ExecutionState, WireState> = {
  ACTIVE: WireState.EXECUTION_STATE_ACTIVE,
  PAUSED: WireState.EXECUTION_STATE_PAUSED,
  KILLED: WireState.EXECUTION_STATE_KILLED,
};
const MODES: Record<ExecutionMode, WireMode> = {
  PAPER: WireMode.EXECUTION_MODE_PAPER,
  LIVE: WireMode.EXECUTION_MODE_LIVE,
};
/** How long signed intents may take to become final when the service stops. */
const DRAIN_MS = 6_000;

const pageSchema = z.object({
  pageSize: z.number().int().min(0, "must not be negative"),
  pageToken: z.string().regex(/^\d{0,15}$/, "must be a next_page_token of an earlier answer"),
});
const stateSchema = z.object({
  state: z.union([z.literal(1), z.literal(2), z.literal(3)], { error: "must be ACTIVE, PAUSED or KILLED" }),
  reason: z.string().min(1, "must say why").max(500),
});
const modeSchema = z.object({
  mode: z.union([z.literal(1), z.literal(2)], { error: "must be PAPER or LIVE" }),
  genesisHash: z.string().max(66),
});
const rangeSchema = z.object({ fromBlock: z.bigint(), toBlock: z.bigint() });
const transferSchema = z.object({
  transactionHash: z.string().regex(/^0x[0-9a-f]{64}$/, "must be a lower-case 32-byte hex hash"),
});

/**
 * Connects to the chain and the other services, recovers from the ledger, then trades.
 * @param faultPoint named places where a crash campaign may kill the process
 * @throws FlashloanError chain_mismatch, chain_unreachable, key_refused, port_taken, reconciliation_failed
 */
export async function createExecutorService(
  config: ExecutorConfig,
  context: ServiceContext,
  faultPoint: (point: FaultPoint) => void = () => undefined,
): Promise<Service> {
  const { log, clock } = context;
  const lifecycle = new Lifecycle();
  try {
    const rpc = lifecycle.add("chain", await connectWebSocket(config.EXECUTOR_CHAIN_URL));
    const genesisHash = await checkChain(rpc, config.EXECUTOR_CHAIN_ID);
    const isDevnet = genesisHash === config.EXECUTOR_DEVNET_GENESIS_HASH;
    const signer = createSigner(config.EXECUTOR_PRIVATE_KEY);
    if (!isDevnet && isPublicKeyAccount(signer.address))
      throw new FlashloanError(
        "key_refused",
        `${signer.address} is one of anvil's well-known accounts: anyone can take what it holds. Use a key of your own on this chain`,
      );
    const { treasury, weth } = await readContract(rpc, config.EXECUTOR_CONTRACT);
    const client = (address: string): RpcClient => new RpcClient(address, context.tlsFolder);
    const ledgerClient = lifecycle.add("checkpoint client", client(config.EXECUTOR_CHECKPOINT_ADDRESS));
    const riskClient = lifecycle.add("risk client", client(config.EXECUTOR_RISK_ADDRESS));
    const predictorClient = lifecycle.add("predictor client", client(config.EXECUTOR_PREDICTOR_ADDRESS));
    const engineAddress = config.EXECUTOR_QUANTUM_ADDRESS;
    const observe = countRecoveries(context.metrics);
    const deadlineMs = config.EXECUTOR_SELECTION_DEADLINE_MS;
    const selector: Selector =
      engineAddress === undefined
        ? greedySelector
        : new EngineSelector({
            client: lifecycle.add("engine client", client(engineAddress)),
            deadlineMs,
            log,
            observe,
          });
    const changes = new Broadcast<Trade>();

    const onIntent = (intent: Intent): void => {
      const trade = toTrade(intent);
      changes.send(trade);
      log.info(
        { intentId: intent.id, state: intent.state, block: trade.blockNumber.toString(), netWei: trade.netWei },
        "intent_changed",
      );
      publishFact(context, `flashloan.intent.${intent.state.toLowerCase()}`, intent.id, toFact(intent, trade));
    };
    const onRejected = (opportunity: Opportunity, reason: string): void => {
      log.debug({ opportunityId: opportunity.id, reason }, "opportunity_rejected");
      const data = { reason, netWei: opportunity.netWei };
      publishFact(context, "flashloan.opportunity.rejected", opportunity.id, data);
    };

    const executor = await Executor.recover({
      rpc,
      ledger: new IntentLedger(ledgerClient),
      risk: new RiskClient(riskClient, observe),
      selector,
      signer,
      clock,
      log,
      tracing: context.tracing,
      metrics: new ExecutorMetrics(context.metrics),
      settings: {
        chainId: config.EXECUTOR_CHAIN_ID,
        genesisHash,
        accounts: { signer: signer.address, contract: config.EXECUTOR_CONTRACT, treasury, weth },
        bidPolicy: {
          minPriorityFeeWei: config.EXECUTOR_MIN_PRIORITY_FEE_WEI,
          maxPriorityFeeWei: config.EXECUTOR_MAX_PRIORITY_FEE_WEI,
          profitShareBps: BigInt(config.EXECUTOR_PROFIT_SHARE_BPS),
          slippageBps: BigInt(config.EXECUTOR_SLIPPAGE_BPS),
          validBlocks: config.EXECUTOR_VALID_BLOCKS,
        },
        confirmations: config.EXECUTOR_CONFIRMATIONS,
        inFlightMax: config.EXECUTOR_IN_FLIGHT_MAX,
        blockTimeS: config.EXECUTOR_BLOCK_TIME_S,
        // The safe choice everywhere but on the chain that the devnet's own deployer recorded.
        initialMode: isDevnet ? "LIVE" : "PAPER",
      },
      onIntent,
      onRejected,
      faultPoint,
    });

    lifecycle.onStop("executor", () => executor.stop());
    const server = lifecycle.add(
      "rpc",
      await startRpcServer({
        host: config.EXECUTOR_HOST,
        port: config.EXECUTOR_PORT,
        services: [
          {
            name: "flashloan.executor.v1.HftExecutorService",
            definition: HftExecutorServiceService,
            implementation: implement(executor, changes, {
              config,
              treasury,
              signer: signer.address,
              genesisHash,
              context,
            }),
          },
        ],
        descriptorFile,
        context,
      }),
    );
    const onHead = (result: unknown): void => {
      const parsed = headerSchema.safeParse(result);
      if (parsed.success) executor.onHead(parsed.data);
      else log.error({ reason: parsed.error.message }, "head_invalid");
    };
    const heads = await rpc.subscribe("newHeads", {
      message: onHead,
      reconnected: () =>
        void getHead(rpc).then(
          (head) => executor.onHead(head),
          (error: unknown) => log.error({ error }, "head_not_read"),
        ),
    });
    lifecycle.onStop("heads", () => heads.stop());
    const abort = new AbortController();
    const following = followReports(
      predictorClient,
      executor,
      config.EXECUTOR_OPPORTUNITIES_MAX,
      clock,
      log,
      abort.signal,
    );
    lifecycle.onStop("reports", async () => {
      abort.abort();
      await following;
    });
    lifecycle.onStop("drain", () => executor.drain(DRAIN_MS));
    log.info(
      { mode: executor.mode, signer: signer.address, contract: config.EXECUTOR_CONTRACT },
      "executor_recovered_and_trading",
    );
    return {
      address: server.address,
      needs: {
        chain: async () => (await getChainId(rpc)) === config.EXECUTOR_CHAIN_ID,
        checkpoint: () => ledgerClient.isServing(),
        "risk-manager": () => riskClient.isServing(),
        "market-predictor": () => predictorClient.isServing(),
        lead: () => executor.isLeading,
      },
      setServing: server.setServing,
      stop: () => lifecycle.stop(),
    };
  } catch (error) {
    await lifecycle.stop().catch((stopError: unknown) => log.error({ error: stopError }, "stop_failed"));
    throw error;
  }
}

async function checkChain(rpc: JsonRpc, expectedId: number): Promise<Hex> {
  const id = await getChainId(rpc);
  if (id !== expectedId)
    throw new FlashloanError(
      "chain_mismatch",
      `${rpc.url} is chain ${id}, but EXECUTOR_CHAIN_ID says ${expectedId}: correct one of them`,
      { details: { actual: id, expected: expectedId } },
    );
  return getGenesisHash(rpc);
}

/** What the deployed contract says of itself. @throws FlashloanError chain_mismatch when there is no such contract */
async function readContract(rpc: JsonRpc, contract: Hex): Promise<{ treasury: Hex; weth: Hex }> {
  const abi = new Interface(["function treasury() view returns (address)", "function WETH() view returns (address)"]);
  const read = async (method: string): Promise<Hex> => {
    const result = await rpc.request(
      "eth_call",
      [{ to: contract, data: abi.encodeFunctionData(method) }, "latest"],
      bytesSchema,
    );
    if (result.length !== 66)
      throw new FlashloanError(
        "chain_mismatch",
        `there is no FlashLoanExecutor at ${contract} on this chain (${method} answered ${result}): check EXECUTOR_CONTRACT`,
      );
    return addressSchema.parse(`0x${result.slice(26)}`);
  };
  const [treasury, weth] = await Promise.all([read("treasury"), read("WETH")]);
  return { treasury, weth };
}

/** Listens to the predictor for as long as we run, and connects again when the stream ends. */
async function followReports(
  client: RpcClient,
  executor: Executor,
  opportunitiesMax: number,
  clock: Clock,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      for await (const { report } of client.serverStream(Predictor.streamOpportunities, { opportunitiesMax }, signal)) {
        attempt = 0;
        if (report) executor.onReport(report);
      }
    } catch (error) {
      if (!signal.aborted) log.warn({ error, attempt }, "predictor_stream_lost");
    }
    if (!signal.aborted) await clock.sleep(50 + backoffMs(attempt, 100, 5_000), signal).catch(() => undefined);
  }
}

function implement(
  executor: Executor,
  changes: Broadcast<Trade>,
  parts: { config: ExecutorConfig; treasury: Hex; signer: Hex; genesisHash: Hex; context: ServiceContext },
): HftExecutorServiceServer {
  const { config, treasury, signer, context } = parts;
  const count = (state: Intent["state"]): bigint =>
    BigInt([...executor.lane.intents.values()].filter((intent) => intent.state === state).length);
  return {
    getStatus: unary(z.object({}), context, async () => ({
      state: STATES[executor.state],
      reason: executor.reason,
      mode: MODES[executor.mode],
      chainId: BigInt(config.EXECUTOR_CHAIN_ID),
      signer,
      contract: config.EXECUTOR_CONTRACT,
      treasury,
      nextNonce: BigInt(executor.lane.nextNonce),
      inFlight: executor.lane.open.size,
      tradesSettled: count("SETTLED"),
      tradesReverted: count("REVERTED"),
      endedUnsigned: Object.fromEntries(executor.endedUnsigned),
      ledgerFromBlock: BigInt(executor.books.baseline.blockNumber),
      runFromBlock: BigInt(executor.runFromBlock),
    })),
    listTrades: unary(pageSchema, context, async (request) => {
      const size = request.pageSize === 0 ? 50 : Math.min(request.pageSize, 500);
      const offset = Number(request.pageToken || 0);
      const newestFirst = [...executor.lane.intents.values()].reverse();
      const trades = newestFirst.slice(offset, offset + size).map((intent) => toTrade(intent));
      return { trades, nextPageToken: newestFirst.length > offset + size ? String(offset + size) : "" };
    }),
    watchTrades: serverStream(z.object({}), context, async function* (_, signal) {
      for await (const trade of changes.listen(signal)) yield { trade };
    }),
    summarize: unary(rangeSchema, context, async (request) => {
      const figures = await executor.books.summarize(Number(request.fromBlock), Number(request.toBlock));
      return {
        trades: BigInt(figures.trades),
        reverted: BigInt(figures.reverted),
        grossWei: figures.grossWei.toString(),
        premiumWei: figures.premiumWei.toString(),
        gasWei: figures.gasWei.toString(),
        netWei: figures.netWei.toString(),
        builderWei: figures.builderWei.toString(),
        chainDeltaWei: figures.chainDeltaWei.toString(),
        fromBlock: BigInt(figures.fromBlock),
        toBlock: BigInt(figures.toBlock),
      };
    }),
    setState: unary(stateSchema, context, async (request) => {
      await executor.setState(keyOf(STATES, request.state), request.reason);
      return { state: STATES[executor.state] };
    }),
    setMode: unary(modeSchema, context, async (request) => {
      await executor.setMode(keyOf(MODES, request.mode), request.genesisHash, config.EXECUTOR_DEVNET_GENESIS_HASH);
      return { mode: MODES[executor.mode] };
    }),
    declareTransfer: unary(transferSchema, context, async (request) => {
      const transfer = await executor.books.declareTransfer(request.transactionHash as Hex);
      return { amountWei: transfer.amountWei.toString(), blockNumber: BigInt(transfer.blockNumber) };
    }),
  };
}

function keyOf<K extends string, V>(map: Record<K, V>, value: V): K {
  const entry = (Object.entries(map) as [K, V][]).find(([, candidate]) => candidate === value);
  if (!entry)
    throw new FlashloanError("argument_invalid", `${String(value)} is not one of ${Object.keys(map).join(", ")}`);
  return entry[0];
}

/** What the bus is told of an intent. */
function toFact(intent: Intent, trade: Trade): CloudEvent["data"] {
  return {
    intentId: intent.id,
    state: intent.state,
    // By it a consumer knows what is newer: events come again, and late.
    sequence: Number(intent.sequence),
    inFlight: isInFlight(intent),
    maxGasWei: gasAtRisk(intent).toString(),
    mode: intent.paper ? "PAPER" : "LIVE",
    transactionHash: trade.transactionHash,
    blockNumber: Number(trade.blockNumber),
    grossWei: trade.grossWei,
    premiumWei: trade.premiumWei,
    gasWei: trade.gasWei,
    netWei: trade.netWei,
    route: trade.route,
    lender: trade.lender,
    reason: trade.reason,
  };
}

function toTrade(intent: Intent): Trade {
  const { plan, outcome, included } = intent;
  const newest = intent.signed.at(-1);
  return {
    intentId: intent.id,
    state: intent.state,
    mode: MODES[intent.paper ? "PAPER" : "LIVE"],
    route: plan?.route ?? "",
    lender: plan?.lender ?? "",
    loanToken: plan?.loanToken ?? "",
    loanAmount: (plan?.loanAmount ?? 0n).toString(),
    transactionHash: included?.hash ?? newest?.hash ?? "",
    ...(newest ? { nonce: BigInt(newest.nonce) } : {}),
    blockNumber: BigInt(included?.blockNumber ?? 0),
    grossWei: (outcome?.grossWei ?? 0n).toString(),
    premiumWei: (outcome?.premiumWei ?? 0n).toString(),
    gasWei: (outcome?.gasWei ?? 0n).toString(),
    netWei: (outcome?.netWei ?? 0n).toString(),
    predictedGrossWei: (plan?.predictedGrossWei ?? 0n).toString(),
    predictedNetWei: (plan?.predictedNetWei ?? 0n).toString(),
    reason: intent.reason,
    updatedAtMs: BigInt(intent.updatedAtMs),
  };
}
