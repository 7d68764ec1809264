import { readEndpoints } from "@flashloan/embedded/data-folder";
import { CheckpointServiceService as CheckpointApi, Durability } from "@flashloan/proto/checkpoint/v1/checkpoint";
import { MarketPredictorServiceService as PredictorApi } from "@flashloan/proto/predictor/v1/predictor";
import type { RpcClient } from "@flashloan/shared/rpc-client";
import { openClient } from "../client.ts";
import { fail, ok, warn, type Check } from "./check.ts";

const FEED_AGE_MS_MAX = 15_000;

/** Where the running platform listens: by its data folder, or as given. */
export interface PlatformTarget {
  readonly dataDir: string;
  readonly predictor?: string;
  readonly checkpoint?: string;
}

/** How the running platform is; its chain's WebSocket endpoint if it says so. */
export async function checkPlatform(target: PlatformTarget): Promise<{ checks: Check[]; chainUrl?: string }> {
  const endpoints = readEndpoints(target.dataDir);
  const predictor = target.predictor ?? endpoints?.marketPredictor;
  const checkpoint = target.checkpoint ?? endpoints?.checkpoint;
  if (predictor === undefined || checkpoint === undefined)
    return { checks: [ok("platform", `not running in ${target.dataDir}`)] };
  const checks = [await asked(predictor, checkFeed), await asked(checkpoint, checkLedger)];
  if (!endpoints) return { checks };
  const running = ok("platform", `running as process ${endpoints.pid}, chain ${endpoints.chain}`);
  return { checks: [running, ...checks], chainUrl: endpoints.chain.replace(/^http/, "ws") };
}

async function asked(address: string, ask: (client: RpcClient) => Promise<Check>): Promise<Check> {
  const client = openClient(address);
  try {
    return await ask(client);
  } catch (error) {
    return fail("service", `${(error as Error).message}; its log says more`);
  } finally {
    await client.stop();
  }
}

async function checkFeed(client: RpcClient): Promise<Check> {
  const { ageMs, blockNumber } = await client.unary(PredictorApi.getStatus, {});
  if (ageMs <= FEED_AGE_MS_MAX) return ok("feed", `block ${blockNumber}, ${ageMs} ms old`);
  return fail(
    "feed",
    `the newest block is ${Math.round(Number(ageMs) / 1000)} s old: is the chain running, and can it be reached?`,
  );
}

async function checkLedger(client: RpcClient): Promise<Check> {
  const { durability, position } = await client.unary(CheckpointApi.getStatus, {});
  if (durability === Durability.DURABILITY_POWER) return ok("ledger", `${position} records; survives a power cut`);
  return warn(
    "ledger",
    `${position} records; pglite: survives kill -9, but never fsyncs, so a power cut may lose the newest: use PostgreSQL for live trading`,
  );
}
