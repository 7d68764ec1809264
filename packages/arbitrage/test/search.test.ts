import { expect, test } from "vitest";
import { spotPrice } from "@flashloan/amm/quote";
import { cycleName, everyCycle, naiveName } from "../src/brute-force.ts";
import { MarketGraph } from "../src/market-graph.ts";
import { CycleSearch, MIN_GAIN } from "../src/search.ts";
import { createSyntheticMarket } from "../src/synthetic-market.ts";

/** Names and gains of all cycles that the search finds through any edge of any pool, and how often each. */
function searched(graph: MarketGraph, maxHops: number): Map<string, number> {
  const found = new Map<string, number>();
  const search = new CycleSearch(graph, maxHops);
  for (const edges of graph.edgesOfPool) {
    for (const start of edges) {
      search.through(start, (cycle, length) => {
        const hops = Array.from(cycle.subarray(0, length), (edge) => ({
          poolId: graph.pools[graph.edgePool[edge] as number]?.id as string,
          indexIn: graph.edgeIndexIn[edge] as number,
          indexOut: graph.edgeIndexOut[edge] as number,
        }));
        const name = cycleName(hops);
        found.set(name, (found.get(name) ?? 0) + 1);
      });
    }
  }
  return found;
}

test.each([
  // Few pools: no hubs, the plain walks. Many: hubs, and the paths between them.
  { pools: 60, seed: 21, hubs: 0 },
  { pools: 90, seed: 22, hubs: 1 },
  { pools: 420, seed: 23, hubs: 2 },
])(
  "$pools pools: every profitable cycle is found once from each of its edges, and no other",
  ({ pools, seed, hubs }) => {
    const book = createSyntheticMarket({ pools, seed, kinds: "v2", noise: pools > 100 ? 0.003 : 0.01 });
    const graph = new MarketGraph(book.weth);
    for (const pool of book.pools) graph.add(pool);
    // States move, pools leave and come back: the lists must follow.
    for (let step = 0; step < 500; step += 1) {
      const pool = book.nextUpdate();
      graph.update(graph.poolNumber(pool.id) as number, pool);
    }
    for (const pool of book.pools.slice(0, 20)) graph.remove(pool.id);
    for (const pool of book.pools.slice(0, 20)) graph.add(pool);
    expect(graph.hubs.length).toBeGreaterThanOrEqual(hubs);
    const found = searched(graph, 4);
    let expected = 0;
    for (const cycle of everyCycle(book.pools, book.weth, 4)) {
      const gain = cycle.reduce((sum, { pool, i, j }) => sum + Math.log(spotPrice(pool, i, j)), 0);
      if (gain <= MIN_GAIN) continue;
      expected += 1;
      expect(found.get(naiveName(cycle)), naiveName(cycle)).toBe(cycle.length);
    }
    expect(expected).toBeGreaterThan(10);
    expect(found.size).toBe(expected);
  },
  60_000,
);
