import { z } from "zod";
import {
  MarketPredictorServiceService,
  type BlockReport,
  type MarketPredictorServiceServer,
} from "@flashloan/proto/predictor/v1/predictor";
import { descriptorFile } from "@flashloan/proto/descriptor";
import { getChainId } from "@flashloan/evm/chain";
import { connect } from "@flashloan/evm/json-rpc";
import type { Address, PoolId } from "@flashloan/amm/pool";
import type { Plan } from "@flashloan/arbitrage/plan";
import { Broadcast } from "@flashloan/shared/broadcast";
import { FlashloanError } from "@flashloan/shared/errors";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { createRandom } from "@flashloan/shared/random";
import { serverStream, startRpcServer, unary } from "@flashloan/shared/rpc-server";
import type { Service, ServiceContext } from "@flashloan/shared/service";
import type { Metrics } from "@flashloan/shared/telemetry/metrics";
import { currentTraceparent } from "@flashloan/shared/telemetry/tracing";
import type { PredictorConfig } from "./config.ts";
import { Feed, type FeedReport } from "./feed.ts";
import type { PoolBook } from "./pool-book.ts";
import { Search } from "./search.ts";
import type { Venues } from "./venues.ts";

/** Opportunities that one report carries at most. */
const OPPORTUNITIES_MAX = 256;
const OPPORTUNITIES_DEFAULT = 16;
const ETHER = 10n ** 18n;

/**
 * Connects to the chain, reads every pool, then reports on each block.
 * @throws FlashloanError chain_unreachable, chain_mismatch, port_taken
 */
export async function createMarketPredictorService(config: PredictorConfig, context: ServiceContext): Promise<Service> {
  const { log, clock, metrics, tracing } = context;
  const startedAtMs = clock.now();
  const lifecycle = new Lifecycle();
  try {
    const rpc = lifecycle.add("chain", await connect(config.PREDICTOR_CHAIN_URL));
    const chainId = await getChainId(rpc);
    if (chainId !== config.PREDICTOR_CHAIN_ID)
      throw new FlashloanError(
        "chain_mismatch",
        `${rpc.url} is chain ${chainId}, but PREDICTOR_CHAIN_ID says ${config.PREDICTOR_CHAIN_ID}: correct one of them`,
      );
    const reports = new Broadcast<BlockReport>();
    const totals = { cyclesExamined: 0, grossPositive: 0, netPositive: 0, rejections: new Map<string, number>() };

    const search = new Search(
      config.PREDICTOR_VENUES.weth,
      { priorityFeeWei: config.PREDICTOR_PRIORITY_FEE_WEI, validBlocks: config.PREDICTOR_VALID_BLOCKS },
      config.PREDICTOR_LENDERS,
    );
    const onReport = async (report: FeedReport): Promise<void> => {
      metrics.observe("flashloan_feed_latency_seconds", {}, report.latencyUs / 1e6);
      totals.cyclesExamined += report.outcome.cyclesExamined;
      totals.grossPositive += report.outcome.grossPositive;
      totals.netPositive += report.outcome.netPositive;
      for (const [reason, count] of Object.entries(report.outcome.rejections))
        totals.rejections.set(reason, (totals.rejections.get(reason) ?? 0) + count);
      const send = async (): Promise<void> => reports.send(toWire(report, search, etherPrice.usd()));
      const { number } = report.header;
      const opportunities = report.outcome.plans.length;
      // Only a block that showed something starts a trace: the others would be most of what is stored.
      if (opportunities === 0) return send();
      const attributes = { "flashloan.block": number, "flashloan.opportunities": opportunities };
      return tracing.span("feed.block", attributes, send, clock.now() - report.latencyUs / 1_000);
    };
    const feed = new Feed({
      rpc,
      search,
      settings: {
        venues: config.PREDICTOR_VENUES,
        selfCheckBlocks: config.PREDICTOR_SELF_CHECK_BLOCKS,
        selfCheckPools: config.PREDICTOR_SELF_CHECK_POOLS,
      },
      random: createRandom(1),
      clock,
      log,
      onReport,
    });
    const etherPrice = new EtherPrice(feed.book, config.PREDICTOR_VENUES);
    reportFeed(metrics, feed, totals, () => clock.now() - (feed.counters.takenInAtMs || startedAtMs));

    const implementation: MarketPredictorServiceServer = {
      streamOpportunities: serverStream(
        z.object({ opportunitiesMax: z.number().int().min(0).max(OPPORTUNITIES_MAX) }),
        context,
        async function* (request, signal) {
          const max = request.opportunitiesMax || OPPORTUNITIES_DEFAULT;
          for await (const report of reports.listen(signal)) yield { report: bestOf(report, max) };
        },
      ),
      getStatus: unary(z.object({}), context, async () => ({
        blockNumber: BigInt(feed.counters.blockNumber),
        blockHash: feed.counters.blockHash,
        ageMs: BigInt(Math.max(0, clock.now() - feed.counters.takenInAtMs)),
        poolsWatched: feed.book.size,
        poolsQuarantined: feed.book.quarantined.size,
        reorgs: BigInt(feed.counters.reorgs),
        reconnects: BigInt(feed.counters.reconnects),
        selfChecks: BigInt(feed.counters.selfChecks),
        selfCheckDifferences: BigInt(feed.counters.selfCheckDifferences),
        totals: { ...totals, rejections: [...totals.rejections].map(([reason, count]) => ({ reason, count })) },
      })),
      listPools: unary(
        z.object({
          pageSize: z.number().int().min(0),
          pageToken: z.string().regex(/^\d{0,15}$/, "must be a next_page_token of an earlier answer"),
        }),
        context,
        async (request) => {
          const size = request.pageSize === 0 ? 100 : Math.min(request.pageSize, 1_000);
          const offset = Number(request.pageToken || 0);
          const ids = [...new Set([...feed.book.ids(), ...feed.book.quarantined.keys()])].sort();
          const pools = ids.slice(offset, offset + size).map((id) => {
            const pool = feed.book.pool(id);
            const seed = feed.book.seeds.get(id);
            return {
              id,
              kind: pool?.kind ?? seed?.kind ?? "",
              tokens: [...(pool?.tokens ?? (seed && "tokens" in seed ? seed.tokens : []))],
              quarantineReason: feed.book.quarantined.get(id) ?? "",
            };
          });
          return { pools, nextPageToken: ids.length > offset + size ? String(offset + size) : "" };
        },
      ),
    };
    const server = lifecycle.add(
      "rpc",
      await startRpcServer({
        host: config.PREDICTOR_HOST,
        port: config.PREDICTOR_PORT,
        services: [
          {
            name: "flashloan.predictor.v1.MarketPredictorService",
            definition: MarketPredictorServiceService,
            implementation,
          },
        ],
        descriptorFile,
        context,
      }),
    );
    lifecycle.add("feed", await feed.start());
    return {
      address: server.address,
      needs: {
        chain: async () => (await getChainId(rpc)) === chainId,
        feed: () => clock.now() - feed.counters.takenInAtMs <= config.PREDICTOR_STALE_S * 1_000,
      },
      setServing: server.setServing,
      stop: () => lifecycle.stop(),
    };
  } catch (error) {
    await lifecycle.stop().catch((stopError: unknown) => log.error({ error: stopError }, "stop_failed"));
    throw error;
  }
}

/** What the feed says of itself, asked with each scrape. */
function reportFeed(
  metrics: Metrics,
  feed: Feed,
  totals: { readonly grossPositive: number; readonly netPositive: number },
  ageMs: () => number,
): void {
  const { counters, book } = feed;
  metrics.onScrape(() => {
    metrics.set("flashloan_feed_block", {}, counters.blockNumber);
    metrics.set("flashloan_feed_age_seconds", {}, Math.max(0, ageMs()) / 1_000);
    metrics.set("flashloan_pools", { state: "watched" }, book.size);
    metrics.set("flashloan_pools", { state: "quarantined" }, book.quarantined.size);
  });
  metrics.countFrom("flashloan_feed_reorgs_total", {}, () => counters.reorgs);
  metrics.countFrom("flashloan_feed_reconnects_total", {}, () => counters.reconnects);
  const equal = (): number => counters.selfChecks - counters.selfCheckDifferences;
  metrics.countFrom("flashloan_feed_self_checks_total", { outcome: "equal" }, equal);
  metrics.countFrom("flashloan_feed_self_checks_total", { outcome: "different" }, () => counters.selfCheckDifferences);
  metrics.countFrom("flashloan_cycles_total", { profit: "gross" }, () => totals.grossPositive);
  metrics.countFrom("flashloan_cycles_total", { profit: "net" }, () => totals.netPositive);
}

/** The report with so many opportunities at most, and the sequels among them. */
function bestOf(report: BlockReport, opportunitiesMax: number): BlockReport {
  const opportunities = report.opportunities.slice(0, opportunitiesMax);
  const ids = new Set(opportunities.map(({ id }) => id));
  return {
    ...report,
    opportunities,
    sequels: report.sequels.filter(({ first, second }) => ids.has(first) && ids.has(second)),
  };
}

function toWire(report: FeedReport, search: Search, etherDollars: number): BlockReport {
  const { header, outcome } = report;
  const plans = outcome.plans.slice(0, OPPORTUNITIES_MAX);
  const idOf = (plan: Plan): string => `${header.number}-${plans.indexOf(plan)}`;
  return {
    blockNumber: BigInt(header.number),
    blockHash: header.hash,
    timestampS: BigInt(header.timestamp),
    baseFeeWei: header.baseFeePerGas.toString(),
    nextBaseFeeWei: report.nextBaseFeeWei.toString(),
    poolsWatched: report.poolsWatched,
    poolsQuarantined: report.poolsQuarantined,
    opportunities: plans.map((plan) => search.toOpportunity(plan, idOf(plan))),
    sequels: outcome.sequels.map(({ first, second, plan }) => {
      const [firstId, secondId] = [idOf(first), idOf(second)];
      return {
        first: firstId,
        second: secondId,
        opportunity: search.toOpportunity(plan, `${secondId} after ${firstId}`),
      };
    }),
    stats: {
      cyclesExamined: outcome.cyclesExamined,
      grossPositive: outcome.grossPositive,
      netPositive: outcome.netPositive,
      rejections: Object.entries(outcome.rejections).map(([reason, count]) => ({ reason, count })),
    },
    etherUsd: etherDollars,
    latencyUs: BigInt(report.latencyUs),
    traceparent: currentTraceparent() ?? "",
  };
}

/** What one ether is worth in the dollar token, by the Uniswap V2 pairs that trade the two. Display only. */
class EtherPrice {
  readonly #book: PoolBook;
  readonly #venues: Venues;
  #pairs: readonly PoolId[] = [];
  #version = -1;

  constructor(book: PoolBook, venues: Venues) {
    this.#book = book;
    this.#venues = venues;
  }

  /** Dollars by the deepest pair; 0 when there is none. */
  usd(): number {
    const { weth, dollarToken } = this.#venues;
    if (!dollarToken) return 0;
    this.#findPairs(dollarToken.address);
    let [best, deepest] = [0n, 0n];
    for (const id of this.#pairs) {
      const pool = this.#book.pool(id);
      if (pool?.kind !== "uniswap-v2") continue;
      const from = pool.tokens.indexOf(weth);
      const [depth = 0n, other = 0n] = from === 0 ? pool.reserves : pool.reserves.toReversed();
      if (depth <= deepest) continue;
      [best, deepest] = [(ETHER * other) / depth, depth];
    }
    return Number(best) / 10 ** dollarToken.decimals;
  }

  #findPairs(dollar: Address): void {
    if (this.#version === this.#book.version) return;
    this.#version = this.#book.version;
    this.#pairs = this.#book.ids().filter((id) => {
      const pool = this.#book.pool(id);
      return pool?.kind === "uniswap-v2" && pool.tokens.includes(this.#venues.weth) && pool.tokens.includes(dollar);
    });
  }
}
