import { CheckpointServiceService as Checkpoint } from "@flashloan/proto/checkpoint/v1/checkpoint";
import { HftExecutorServiceService as Executor } from "@flashloan/proto/executor/v1/executor";
import { MarketPredictorServiceService as Predictor } from "@flashloan/proto/predictor/v1/predictor";
import { RiskManagerServiceService as Risk } from "@flashloan/proto/risk/v1/risk";
import { QuantumEngineServiceService as Quantum } from "@flashloan/proto/quantum/v1/quantum";
import type { RpcClient } from "@flashloan/shared/rpc-client";

/** Plans with an intent id that begins so are judged by the risk manager, and not counted. */
const PROBE_PREFIX = "probe:";
const POOLS_PAGE = 1_000;
const TRADES_PAGE = 20;

/** Asks something whose answer is known or follows from others; what is wrong with it, or undefined. Changes nothing. */
export type KnownQuestion = (client: RpcClient, deadlineMs: number) => Promise<string | undefined>;

/** The known questions, by unit; a unit without one is believed when it says that it serves. */
export const KNOWN_QUESTIONS: Readonly<Record<string, KnownQuestion>> = {
  /** The record at the newest place is there, bears its place, and is its stream's newest unless one came since. */
  checkpoint: async (client, deadlineMs) => {
    const { position } = await client.unary(Checkpoint.getStatus, {}, { deadlineMs });
    if (position === 0n) return undefined;
    const page = { streamId: "", pageSize: 1, pageToken: (position - 1n).toString() };
    const { records } = await client.unary(Checkpoint.history, page, { deadlineMs });
    const [newest] = records;
    if (newest?.position !== position)
      return `the record at ${position} is ${newest ? `said to be at ${newest.position}` : "not there"}`;
    const { record } = await client.unary(Checkpoint.latest, { streamId: newest.streamId }, { deadlineMs });
    if (record === undefined || record.position < position)
      return `the newest record of ${newest.streamId} is at ${record?.position ?? "no place"}, not at ${position}`;
    return undefined;
  },
  /** No limit lets a plan pass that loses, with a loan and a gas price beyond all there is. */
  "risk-manager": async (client, deadlineMs) => {
    const address = `0x${"0".repeat(40)}`;
    const absurd = {
      intentId: `${PROBE_PREFIX}absurd`,
      stage: 1 as const,
      loanToken: address,
      loanAmount: "1",
      loanValueWei: `1${"0".repeat(60)}`,
      netProfitWei: `-1${"0".repeat(60)}`,
      maxFeePerGasWei: `1${"0".repeat(60)}`,
      gasLimit: 100_000n,
      depthShareBps: 10_001,
      slippageBps: 10_001,
      tokens: [address],
      venues: [address],
    };
    const { approved, refusals } = await client.unary(Risk.checkPlan, absurd, { deadlineMs });
    return approved || refusals.length === 0 ? "it approves a plan that breaks every limit" : undefined;
  },
  /** The pools that it counts are those that it lists. */
  "market-predictor": async (client, deadlineMs) => {
    const { poolsWatched, poolsQuarantined, blockNumber } = await client.unary(Predictor.getStatus, {}, { deadlineMs });
    const page = { pageSize: POOLS_PAGE, pageToken: "" };
    const { pools, nextPageToken } = await client.unary(Predictor.listPools, page, { deadlineMs });
    if (blockNumber === 0n) return "it serves and knows no block";
    const counted = poolsWatched + poolsQuarantined;
    if (nextPageToken === "" && Math.abs(counted - pools.length) > 1)
      return `it counts ${counted} pools and lists ${pools.length}`;
    return undefined;
  },
  /** The best of two opportunities in one pool is known. */
  "quantum-engine": async (client, deadlineMs) => {
    const opportunity = (id: string, netWei: string) => ({
      id,
      netWei,
      pools: ["pool"],
      gas: 1n,
      loanSource: "",
      loanAmount: "0",
    });
    const question = {
      opportunities: [opportunity("good", "1000000000"), opportunity("better", "2000000000")],
      sequels: [],
      room: { transactionsMax: 2, gasMax: 2n, liquidity: {}, riskAversion: 0 },
      budget: { deadlineMs, seed: 1 },
    };
    const { chosen, netWei } = await client.unary(Quantum.selectOpportunities, question, { deadlineMs });
    return chosen.join() === "better" && netWei === "2000000000"
      ? undefined
      : `of 2000000000 and 1000000000 wei in one pool it chooses "${chosen.join()}" for ${netWei}`;
  },
  /** Each trade's net is its gross less premium and gas, to the wei. */
  "hft-executor": async (client, deadlineMs) => {
    const { trades } = await client.unary(
      Executor.listTrades,
      { pageSize: TRADES_PAGE, pageToken: "" },
      { deadlineMs },
    );
    for (const { intentId, grossWei, premiumWei, gasWei, netWei } of trades) {
      const expected = BigInt(grossWei) - BigInt(premiumWei) - BigInt(gasWei);
      if (BigInt(netWei) !== expected)
        return `the net of ${intentId} is ${netWei}, but its gross less premium and gas is ${expected}`;
    }
    return undefined;
  },
};
