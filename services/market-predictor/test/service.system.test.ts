import { afterEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { MarketPredictorServiceService as Predictor, type BlockReport } from "@flashloan/proto/predictor/v1/predictor";
import { getHead } from "@flashloan/evm/chain";
import { freePort } from "@flashloan/devnet/anvil";
import { readArtifact } from "@flashloan/devnet/artifacts";
import { readHostileArtifact } from "@flashloan/devnet/hostile";
import { readConfig } from "@flashloan/shared/config";
import { testContext } from "@flashloan/shared/contract/context";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { predictorConfigSchema } from "../src/config.ts";
import { createMarketPredictorService } from "../src/service.ts";
import { PATIENCE_MS, startTestChain, type TestChain } from "./devnet.ts";
import { startProxy } from "./proxy.ts";
import { mine, openGap, tradeEverywhere } from "./trades.ts";

let lifecycle = new Lifecycle();
afterEach(async () => {
  await lifecycle.stop();
  lifecycle = new Lifecycle();
});

function configFor(chain: TestChain, environment: Readonly<Record<string, string>> = {}) {
  return readConfig(predictorConfigSchema, {
    PREDICTOR_PORT: "0",
    PREDICTOR_CHAIN_URL: chain.anvil.url,
    PREDICTOR_VENUES: JSON.stringify(chain.venues),
    ...environment,
  });
}

const context = testContext("market-predictor");

async function startClient(chain: TestChain, environment: Readonly<Record<string, string>> = {}): Promise<RpcClient> {
  const config = configFor(chain, environment);
  const service = lifecycle.add("service", await createMarketPredictorService(config, context));
  return lifecycle.add("client", new RpcClient(service.address));
}

/** Takes reports in the background; they end with the test. */
function collectReports(client: RpcClient): BlockReport[] {
  const reports: BlockReport[] = [];
  const controller = new AbortController();
  const ended = (async () => {
    const stream = client.serverStream(Predictor.streamOpportunities, { opportunitiesMax: 4 }, controller.signal);
    for await (const { report } of stream) if (report) reports.push(report);
  })();
  lifecycle.onStop("reports", async () => {
    controller.abort();
    await ended;
  });
  return reports;
}

describe("the service", () => {
  test("refuses a chain with another id, and says which", async () => {
    const chain = await startTestChain(lifecycle);
    const config = configFor(chain, { PREDICTOR_CHAIN_ID: "1" });
    await expect(createMarketPredictorService(config, context)).rejects.toMatchObject({
      code: "chain_mismatch",
      message: `${chain.anvil.url} is chain 31337, but PREDICTOR_CHAIN_ID says 1: correct one of them`,
    });
  });

  test("says that no node is there", async () => {
    const chain = await startTestChain(lifecycle);
    const config = configFor(chain, { PREDICTOR_CHAIN_URL: `ws://127.0.0.1:${await freePort()}` });
    await expect(createMarketPredictorService(config, context)).rejects.toMatchObject({
      code: "chain_unreachable",
      message: expect.stringContaining("is the node running"),
    });
  });

  test("streams one report a block, in order, and counts them in its status", async () => {
    const chain = await startTestChain(lifecycle);
    const client = await startClient(chain);
    const reports = collectReports(client);
    // The stream is open once a block has come through it.
    await expect
      .poll(() => mine(chain).then(() => reports.length), { timeout: PATIENCE_MS, interval: 100 })
      .toBeGreaterThan(0);
    await tradeEverywhere(chain);
    await openGap(chain);
    await mine(chain);
    const head = BigInt(await chain.rpc.request("eth_blockNumber", [], z.string()));
    await expect.poll(() => reports.at(-1)?.blockNumber, { timeout: PATIENCE_MS }).toBe(head);
    const first = reports[0]?.blockNumber ?? 0n;
    expect(reports.map(({ blockNumber }) => blockNumber)).toEqual(reports.map((_, index) => first + BigInt(index)));
    for (const report of reports) {
      expect(report).toMatchObject({ poolsWatched: 22, poolsQuarantined: 0 });
      expect(report.opportunities.length).toBeLessThanOrEqual(4);
      expect(report.etherUsd).toBeGreaterThan(2_500);
      expect(report.etherUsd).toBeLessThan(3_500);
    }
    const status = await client.unary(Predictor.getStatus, {});
    expect(status).toMatchObject({
      blockNumber: head,
      blockHash: reports.at(-1)?.blockHash,
      reorgs: 0n,
      poolsWatched: 22,
    });
    expect(status.totals?.netPositive).toBeGreaterThan(0);
    const [best] = reports.at(-1)?.opportunities ?? [];
    expect(best?.hops.length).toBeGreaterThanOrEqual(2);
    expect(BigInt(best?.netWei ?? 0)).toBe(
      BigInt(best?.grossWei ?? 0) - BigInt(best?.premiumWei ?? 0) - BigInt(best?.gasCostWei ?? 0),
    );
  });

  test("lists every pool, page by page, and the reason of those set aside", async () => {
    const chain = await startTestChain(lifecycle);
    const { deployer, deployment } = chain;
    const token = await deployer.deploy(readHostileArtifact("HostileToken"), 18, 250);
    const factory = deployer.at(
      deployment.uniswapV2[0]?.factory,
      readArtifact("@uniswap/v2-core/build/UniswapV2Factory.json").abi,
    );
    await deployer.send(factory, "createPair", [token.address, deployment.weth]);
    const [address] = await deployer.read(factory, "getPair", [token.address, deployment.weth]);
    const pair = deployer.at(address, readArtifact("@uniswap/v2-core/build/UniswapV2Pair.json").abi);
    await deployer.send(token, "mint", [pair.address, 10n ** 21n]);
    const weth = deployer.at(deployment.weth, ["function transfer(address,uint256) returns (bool)"]);
    await deployer.send(weth, "transfer", [pair.address, 10n ** 19n]);
    await deployer.send(pair, "mint", [deployer.account]);

    const client = await startClient(chain);
    const pages: number[] = [];
    const pools = [];
    let pageToken = "";
    do {
      const page = await client.unary(Predictor.listPools, { pageSize: 10, pageToken });
      pages.push(page.pools.length);
      pools.push(...page.pools);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(pages).toEqual([10, 10, 3]);
    expect(new Set(pools.map(({ id }) => id)).size).toBe(23);
    const aside = pools.filter(({ quarantineReason }) => quarantineReason !== "");
    expect(aside).toMatchObject([
      {
        id: pair.address,
        kind: "uniswap-v2",
        tokens: expect.arrayContaining([token.address, deployment.weth]),
        quarantineReason: expect.stringContaining("takes a fee on transfer"),
      },
    ]);
    expect(await client.unary(Predictor.getStatus, {})).toMatchObject({ poolsWatched: 22, poolsQuarantined: 1 });
    await expect(client.unary(Predictor.listPools, { pageSize: 1, pageToken: "x" })).rejects.toMatchObject({
      code: "argument_invalid",
    });
  });

  test("grows old while the node hangs, and is young again once it is back", async () => {
    const chain = await startTestChain(lifecycle);
    const proxy = lifecycle.add("proxy", await startProxy(chain.anvil.port));
    const client = await startClient(chain, { PREDICTOR_CHAIN_URL: proxy.url });
    proxy.freeze();
    await tradeEverywhere(chain);
    const { blockNumber } = await client.unary(Predictor.getStatus, {});
    await expect
      .poll(async () => (await client.unary(Predictor.getStatus, {})).ageMs, { timeout: PATIENCE_MS })
      .toBeGreaterThan(1_000n);
    expect((await client.unary(Predictor.getStatus, {})).blockNumber).toBe(blockNumber);
    expect((await getHead(chain.rpc)).number).toBeGreaterThan(Number(blockNumber));
    proxy.thaw();
    const expected = { blockNumber: BigInt((await getHead(chain.rpc)).number), reorgs: 0n };
    await expect.poll(() => client.unary(Predictor.getStatus, {}), { timeout: PATIENCE_MS }).toMatchObject(expected);
  });
});
