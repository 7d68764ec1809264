import { startAnvil, type Anvil } from "@flashloan/devnet/anvil";
import { Deployer } from "@flashloan/devnet/deployer";
import { devAccounts, ROLES } from "@flashloan/devnet/deploy";
import type { Deployment } from "@flashloan/devnet/deployment";
import { ensureDeployedState } from "@flashloan/devnet/state-cache";
import type { Pool } from "@flashloan/amm/pool";
import { getHead } from "@flashloan/evm/chain";
import type { Hex } from "@flashloan/evm/hex";
import { connect, type JsonRpc } from "@flashloan/evm/json-rpc";
import { systemClock } from "@flashloan/shared/clock";
import type { Lifecycle, Running } from "@flashloan/shared/lifecycle";
import { createLogger } from "@flashloan/shared/log";
import { createRandom } from "@flashloan/shared/random";
import { Feed, type FeedReport } from "../src/feed.ts";
import { PoolFault, PoolReader } from "../src/pool-reader.ts";
import { Search } from "../src/search.ts";
import type { Venues } from "../src/venues.ts";

/** Everything may take this long on a busy machine. */
export const PATIENCE_MS = 60_000;

/** A devnet of its own, with every protocol deployed; mines each transaction at once unless told otherwise. */
export interface TestChain {
  readonly anvil: Anvil;
  readonly rpc: JsonRpc;
  readonly deployment: Deployment;
  readonly deployer: Deployer;
  readonly venues: Venues;
}

export async function startTestChain(lifecycle: Lifecycle, options: { blockTimeS?: number } = {}): Promise<TestChain> {
  const { stateFile, deployment } = await ensureDeployedState();
  const anvil = lifecycle.add("anvil", await startAnvil({ loadState: stateFile, ...options }));
  const rpc = lifecycle.add("rpc", await connect(anvil.url));
  const deployer = new Deployer(rpc, (await devAccounts(rpc))[ROLES.deployer] as Hex);
  return { anvil, rpc, deployment, deployer, venues: venuesOf(deployment) };
}

function venuesOf(deployment: Deployment): Venues {
  const dollar = deployment.tokens.find(({ symbol }) => symbol === "USDC");
  return {
    weth: deployment.weth,
    uniswapV2: deployment.uniswapV2.map(({ factory }) => ({ factory, feePpm: 3_000 })),
    uniswapV3: [{ factory: deployment.uniswapV3.factory }],
    uniswapV4: { poolManager: deployment.uniswapV4.poolManager },
    balancerV2: { vault: deployment.balancer.vault },
    aaveV3: { pool: deployment.aave.pool },
    fromBlock: 0,
    ...(dollar ? { dollarToken: { address: dollar.address, decimals: dollar.decimals } } : {}),
  };
}

/** A feed whose reports are recorded. */
export interface TestFeed {
  readonly feed: Feed;
  readonly reports: FeedReport[];
  /** Resolves once a block of this hash has been reported; rejects when that takes too long. */
  reaches(hash: Hex): Promise<FeedReport>;
  /** Resolves once the feed has reported the chain's head. */
  catchesUp(): Promise<FeedReport>;
  /** Resolves with the next report that satisfies. */
  until(satisfies: (report: FeedReport) => boolean): Promise<FeedReport>;
}

export interface TestFeedOptions {
  readonly selfCheckBlocks?: number;
  readonly selfCheckPools?: number;
  /** The feed's own connection, when it is not the chain's. */
  readonly url?: string;
  readonly venues?: Venues;
}

export async function startTestFeed(
  lifecycle: Lifecycle,
  chain: TestChain,
  options: TestFeedOptions = {},
): Promise<TestFeed> {
  const venues = options.venues ?? chain.venues;
  const rpc = lifecycle.add("feed's rpc", await connect(options.url ?? chain.anvil.url, { reconnectMs: 10 }));
  const reports: FeedReport[] = [];
  const waiting = new Set<(report: FeedReport) => void>();
  const feed = new Feed({
    rpc,
    search: new Search(venues.weth, { priorityFeeWei: 10n ** 9n, validBlocks: 2 }),
    settings: {
      venues,
      selfCheckBlocks: options.selfCheckBlocks ?? 0,
      selfCheckPools: options.selfCheckPools ?? 1_000,
    },
    random: createRandom(1),
    clock: systemClock,
    log: createLogger("test", process.env["TEST_LOG_LEVEL"] ?? "silent"),
    onReport: (report) => {
      reports.push(report);
      for (const take of waiting) take(report);
    },
  });
  const running: Running = await feed.start();
  lifecycle.add("feed", running);
  const until = (satisfies: (report: FeedReport) => boolean): Promise<FeedReport> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.delete(take);
        reject(
          new Error(`no such report within ${PATIENCE_MS} ms; the newest is of block ${reports.at(-1)?.header.number}`),
        );
      }, PATIENCE_MS);
      const take = (report: FeedReport): void => {
        if (!satisfies(report)) return;
        clearTimeout(timer);
        waiting.delete(take);
        resolve(report);
      };
      waiting.add(take);
    });
  const reaches = async (hash: Hex): Promise<FeedReport> =>
    reports.findLast(({ header }) => header.hash === hash) ?? until(({ header }) => header.hash === hash);
  return { feed, reports, until, reaches, catchesUp: async () => reaches((await getHead(chain.rpc)).hash) };
}

/** Every pool whose kept state is not the chain's at the block that the feed has reported last, by id. */
export async function differences(
  chain: TestChain,
  { feed, reports }: TestFeed,
): Promise<Record<string, { kept: Pool | undefined; actual: Pool | undefined }>> {
  const reader = new PoolReader(chain.rpc, chain.venues, reports.at(-1)?.header.hash as Hex);
  // All at once, before the next block comes.
  const watched = [...feed.book.seeds].map(([id, seed]) => ({ id, seed, kept: feed.book.pool(id) }));
  const found: Record<string, { kept: Pool | undefined; actual: Pool | undefined }> = {};
  for (const { id, seed, kept } of watched) {
    const actual = await reader.read(seed).catch((error: unknown) => {
      if (error instanceof PoolFault) return undefined;
      throw error;
    });
    if (!isSame(kept, actual)) found[id] = { kept, actual };
  }
  return found;
}

function isSame(a: unknown, b: unknown): boolean {
  const text = (value: unknown): string | undefined =>
    JSON.stringify(value, (_, part: unknown) => (typeof part === "bigint" ? `${part}n` : part));
  return text(a) === text(b);
}
