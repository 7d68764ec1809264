import { afterEach, describe, expect, test } from "vitest";
import { readArtifact } from "@flashloan/devnet/artifacts";
import { startMarket } from "@flashloan/devnet/market";
import type { Hex } from "@flashloan/evm/hex";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { z } from "zod";
import { differences, startTestChain, startTestFeed } from "./devnet.ts";
import { startProxy } from "./proxy.ts";
import { changeBalancerLiquidity, changeV3Liquidity, changeV4Liquidity, mine, tradeEverywhere } from "./trades.ts";

let lifecycle = new Lifecycle();
afterEach(async () => {
  await lifecycle.stop();
  lifecycle = new Lifecycle();
});

const BLOCKS = 45;
/** Ten times what is usual on two busy cores; a node's held-back answers would cost 40 ms each. */
const LATENCY_US_MEDIAN_MAX = 30_000;

describe("the feed", () => {
  test("discovers every pool of the deployment", async () => {
    const chain = await startTestChain(lifecycle);
    const { feed } = await startTestFeed(lifecycle, chain);
    const counts = Object.groupBy(feed.book.ids(), (id) => feed.book.pool(id)?.kind ?? "none");
    expect(Object.fromEntries(Object.entries(counts).map(([kind, ids]) => [kind, ids.length]))).toEqual({
      "uniswap-v2": 12,
      "uniswap-v3": 6,
      "uniswap-v4": 2,
      "balancer-weighted": 1,
      "balancer-stable": 1,
    });
    expect([...feed.book.quarantined]).toEqual([]);
  });

  test(`keeps every pool equal to the chain's over ${BLOCKS} blocks of market, and is fast`, async () => {
    const chain = await startTestChain(lifecycle, { blockTimeS: 1 });
    const fixture = await startTestFeed(lifecycle, chain, { selfCheckBlocks: 1 });
    const first = fixture.reports[0]?.header.number ?? 0;
    const market = await startMarket(chain.rpc, chain.deployment, {
      seed: 5,
      whaleActivity: 0.06,
      rivalActivity: 0.8,
    });
    lifecycle.add("market", market);
    await fixture.until(({ header }) => header.number >= first + BLOCKS);
    expect(await differences(chain, fixture)).toEqual({});
    const { counters } = fixture.feed;
    expect(counters).toMatchObject({ selfCheckDifferences: 0, reorgs: 0, reconnects: 0 });
    // Every pool after every block.
    expect(counters.selfChecks).toBeGreaterThanOrEqual(22 * (BLOCKS - 1));
    expect(fixture.reports.map(({ header }) => header.number)).toEqual(
      fixture.reports.map((_, index) => first + index),
    );
    for (const { poolsWatched, poolsQuarantined } of fixture.reports)
      expect([poolsWatched, poolsQuarantined]).toEqual([22, 0]);
    const latencies = fixture.reports
      .slice(1)
      .map(({ latencyUs }) => latencyUs)
      .sort((a, b) => a - b);
    expect(latencies[Math.floor(latencies.length / 2)]).toBeLessThan(LATENCY_US_MEDIAN_MAX);
  });

  test.each([1, 2, 7, 20])("unwinds a reorganisation of %d blocks", async (depth) => {
    const chain = await startTestChain(lifecycle);
    const fixture = await startTestFeed(lifecycle, chain);
    await tradeEverywhere(chain);
    await fixture.catchesUp();
    expect(await differences(chain, fixture)).toEqual({});
    // The blocks come back empty: whatever was traded in them did not happen.
    await chain.rpc.request("anvil_reorg", [depth, []], z.unknown());
    await mine(chain);
    await fixture.catchesUp();
    expect(fixture.feed.counters).toMatchObject({ reorgs: 1 });
    expect(await differences(chain, fixture)).toEqual({});
    await tradeEverywhere(chain);
    await fixture.catchesUp();
    expect(await differences(chain, fixture)).toEqual({});
    expect(fixture.feed.counters).toMatchObject({ reorgs: 1 });
  });

  test("goes back with a chain that went back", async () => {
    const chain = await startTestChain(lifecycle);
    const fixture = await startTestFeed(lifecycle, chain);
    await tradeEverywhere(chain);
    await fixture.catchesUp();
    await chain.rpc.request("anvil_rollback", [9], z.unknown());
    await mine(chain);
    await fixture.catchesUp();
    expect(fixture.feed.counters.reorgs).toBe(1);
    expect(await differences(chain, fixture)).toEqual({});
  });

  test("misses nothing when its connection is cut", async () => {
    const chain = await startTestChain(lifecycle);
    const proxy = lifecycle.add("proxy", await startProxy(chain.anvil.port));
    const fixture = await startTestFeed(lifecycle, chain, { url: proxy.url });
    const first = fixture.reports[0]?.header.number ?? 0;
    for (let round = 1; round <= 3; round++) {
      await tradeEverywhere(chain);
      proxy.cut();
      await tradeEverywhere(chain);
      proxy.restore();
      await fixture.catchesUp();
      expect(fixture.feed.counters.reconnects).toBe(round);
      expect(await differences(chain, fixture)).toEqual({});
    }
    expect(fixture.reports.map(({ header }) => header.number)).toEqual(
      fixture.reports.map((_, index) => first + index),
    );
  });

  test("misses nothing when the node hangs for a while, and shows its age meanwhile", async () => {
    const chain = await startTestChain(lifecycle);
    const proxy = lifecycle.add("proxy", await startProxy(chain.anvil.port));
    const fixture = await startTestFeed(lifecycle, chain, { url: proxy.url });
    const first = fixture.reports[0]?.header.number ?? 0;
    const { takenInAtMs } = fixture.feed.counters;
    proxy.freeze();
    await tradeEverywhere(chain);
    expect(fixture.feed.counters.takenInAtMs).toBe(takenInAtMs);
    proxy.thaw();
    await fixture.catchesUp();
    expect(fixture.feed.counters.takenInAtMs).toBeGreaterThan(takenInAtMs);
    expect(fixture.reports.map(({ header }) => header.number)).toEqual(
      fixture.reports.map((_, index) => first + index),
    );
    expect(await differences(chain, fixture)).toEqual({});
  });

  test("stays exact when liquidity comes and goes, by events alone", async () => {
    const chain = await startTestChain(lifecycle);
    const fixture = await startTestFeed(lifecycle, chain);
    let steps = 0;
    const step = async (): Promise<void> => {
      steps += 1;
      await fixture.catchesUp();
      expect(await differences(chain, fixture)).toEqual({});
    };
    await changeV3Liquidity(chain, step);
    await changeV4Liquidity(chain, step);
    await changeBalancerLiquidity(chain, step);
    expect(steps).toBe(4 + 12 + 8 + 4);
    expect(fixture.reports.at(-1)).toMatchObject({ poolsWatched: 22, poolsQuarantined: 0 });
  });

  test("discovers a pair that is created while it runs, and forgets it when its block is undone", async () => {
    const chain = await startTestChain(lifecycle);
    const fixture = await startTestFeed(lifecycle, chain);
    const { deployer, deployment } = chain;
    const [venue] = deployment.uniswapV2;
    const [dai, link] = ["DAI", "LINK"].map(
      (symbol) => deployment.tokens.find((token) => token.symbol === symbol)?.address as Hex,
    );
    const router = deployer.at(venue?.router, readArtifact("@uniswap/v2-periphery/build/UniswapV2Router02.json").abi);
    const amount = 10n ** 21n;
    await deployer.send(router, "addLiquidity", [dai, link, amount, amount, 0, 0, deployer.account, 10n ** 12n]);
    await fixture.catchesUp();
    expect(fixture.reports.at(-1)).toMatchObject({ poolsWatched: 23, poolsQuarantined: 0 });
    expect(await differences(chain, fixture)).toEqual({});
    await tradeEverywhere(chain);
    await fixture.catchesUp();
    expect(await differences(chain, fixture)).toEqual({});
    await chain.rpc.request("anvil_rollback", [25], z.unknown());
    await mine(chain);
    await fixture.catchesUp();
    expect(fixture.reports.at(-1)).toMatchObject({ poolsWatched: 22, poolsQuarantined: 0 });
    expect(fixture.feed.book.seeds.size).toBe(22);
  });

  test("finds and mends kept state that is wrong, by its self-check", async () => {
    const chain = await startTestChain(lifecycle);
    const fixture = await startTestFeed(lifecycle, chain, { selfCheckBlocks: 1 });
    const { book, counters } = fixture.feed;
    const wrong = chain.deployment.uniswapV2[0]?.pairs[0]?.address as Hex;
    const pool = book.pool(wrong);
    expect(pool?.kind).toBe("uniswap-v2");
    book.put({ ...(pool as Extract<typeof pool, { kind: "uniswap-v2" }>), reserves: [1n, 1n] });
    book.drop(chain.deployment.balancer.pools[0]?.id as Hex);
    await mine(chain);
    await fixture.catchesUp();
    // The check comes after the report of its block; the next block's comes after it.
    await mine(chain);
    await fixture.catchesUp();
    expect(counters.selfCheckDifferences).toBe(1);
    expect(book.pool(wrong)).toEqual(pool);
    await mine(chain);
    await fixture.catchesUp();
    expect(counters.selfCheckDifferences).toBe(1);
  });
});
