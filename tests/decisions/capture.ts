import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import type { Pool, PoolId } from "@flashloan/amm/pool";
import { isAlive, stopAnvil } from "@flashloan/devnet/anvil";
import { deploymentSchema } from "@flashloan/devnet/deployment";
import { venuesOf } from "@flashloan/devnet/venues";
import { connectWebSocket } from "@flashloan/evm/json-rpc";
import { predictorConfigSchema } from "@flashloan/market-predictor/config";
import { Feed } from "@flashloan/market-predictor/feed";
import { Search } from "@flashloan/market-predictor/search";
import { systemClock } from "@flashloan/shared/clock";
import { readConfig } from "@flashloan/shared/config";
import { createLogger } from "@flashloan/shared/log";
import { createRandom } from "@flashloan/shared/random";
import { PlatformProcess } from "../support/platform-process.ts";
import type { Snapshot } from "./blocks.ts";

const BLOCK_MS_MAX = 10_000;
const PRIORITY_FEE_WEI = 10n ** 9n;

/** A search that remembers the pools it was given. */
class Recorder extends Search {
  readonly pools = new Map<PoolId, Pool>();
  override upsert(pool: Pool): string | undefined {
    this.pools.set(pool.id, pool);
    return super.upsert(pool);
  }
  override remove(id: PoolId): void {
    this.pools.delete(id);
    super.remove(id);
  }
}

/** Runs the platform on its devnet, trading in a busy market with a rival, and keeps the pools of so many blocks. */
export async function captureBlocks(count: number, seed: number, report: (line: string) => void): Promise<Snapshot[]> {
  const dataDir = mkdtempSync(join(tmpdir(), "flashloan-capture-"));
  const platform = new PlatformProcess(["--data-dir", dataDir, "--seed", String(seed), "--keep-chain"], {
    DEVNET_WHALE_ACTIVITY: "0.7",
    RISK_GAS_BUDGET_HOUR_WEI: String(10n * 10n ** 18n),
  });
  let chainPid = 0;
  try {
    const start = await platform.waitFor((event) => event.event === "started", 60_000);
    const endpoints = z.object({ chain: z.string() }).parse(start["endpoints"]);
    const chain = z
      .object({ pid: z.number(), deployment: deploymentSchema })
      .parse(JSON.parse(readFileSync(join(dataDir, "chain.json"), "utf8")));
    chainPid = chain.pid;
    const { PREDICTOR_VENUES: venues } = readConfig(predictorConfigSchema, {
      PREDICTOR_CHAIN_URL: endpoints.chain.replace("http", "ws"),
      PREDICTOR_VENUES: JSON.stringify(venuesOf(chain.deployment)),
    });
    const rpc = await connectWebSocket(endpoints.chain.replace("http", "ws"));
    const search = new Recorder(venues.weth, { priorityFeeWei: PRIORITY_FEE_WEI, validBlocks: 2 });
    const snapshots: Snapshot[] = [];
    let enough: () => void = () => undefined;
    const captured = new Promise<void>((resolve) => (enough = resolve));
    const feed = new Feed({
      rpc,
      search,
      settings: { venues, selfCheckBlocks: 0, selfCheckPools: 1 },
      random: createRandom(1),
      clock: systemClock,
      log: createLogger("capture", "silent"),
      onReport: ({ nextBaseFeeWei }) => {
        const gasPriceWei = nextBaseFeeWei + PRIORITY_FEE_WEI;
        const prices = { gasPriceWei, maxFeePerGasWei: (gasPriceWei * 9n) / 8n };
        snapshots.push({ weth: venues.weth, pools: [...search.pools.values()], prices });
        if (snapshots.length % 50 === 0) report(`${snapshots.length} of ${count} blocks captured`);
        if (snapshots.length === count) enough();
      },
    });
    const following = await feed.start();
    try {
      const late = systemClock
        .sleep(count * BLOCK_MS_MAX)
        .then(() => Promise.reject(new Error("the chain stands still")));
      await Promise.race([captured, late]);
    } finally {
      await following.stop();
      await rpc.stop();
    }
    return snapshots.slice(0, count);
  } finally {
    platform.kill("SIGKILL");
    await platform.exit;
    if (chainPid > 0 && isAlive(chainPid)) await stopAnvil(chainPid);
    rmSync(dataDir, { recursive: true, force: true });
  }
}
