import { GetStatusResponse } from "@flashloan/proto/checkpoint/v1/checkpoint";
import { ListTradesResponse, Trade } from "@flashloan/proto/executor/v1/executor";
import { ListPoolsResponse } from "@flashloan/proto/predictor/v1/predictor";
import { SelectOpportunitiesResponse } from "@flashloan/proto/quantum/v1/quantum";
import { CheckPlanResponse } from "@flashloan/proto/risk/v1/risk";

/** An answer that is wrong, and to what. */
export interface Lie {
  /** Path of the method. */
  readonly path: string;
  readonly answer: unknown;
}

/** A message whose fields have their defaults. */
const blank = <T>(type: { decode(bytes: Uint8Array): T }): T => type.decode(new Uint8Array());

/** For each service a lie that its known question finds out. */
export const LIES: Readonly<Record<string, Lie>> = {
  "risk-manager": {
    path: "/flashloan.risk.v1.RiskManagerService/CheckPlan",
    answer: { ...blank(CheckPlanResponse), approved: true },
  },
  checkpoint: {
    path: "/flashloan.checkpoint.v1.CheckpointService/GetStatus",
    answer: { ...blank(GetStatusResponse), position: 1_000_000_000n },
  },
  "market-predictor": {
    path: "/flashloan.predictor.v1.MarketPredictorService/ListPools",
    answer: blank(ListPoolsResponse),
  },
  "quantum-engine": {
    path: "/flashloan.quantum.v1.QuantumEngineService/SelectOpportunities",
    answer: { ...blank(SelectOpportunitiesResponse), chosen: ["good"], netWei: "1000000000" },
  },
  "hft-executor": {
    path: "/flashloan.executor.v1.HftExecutorService/ListTrades",
    answer: {
      ...blank(ListTradesResponse),
      trades: [{ ...blank(Trade), intentId: "0x1", grossWei: "2", premiumWei: "0", gasWei: "1", netWei: "2" }],
    },
  },
};
