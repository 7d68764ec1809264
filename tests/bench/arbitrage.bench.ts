/** The benchmark of the arbitrage search: `node arbitrage.bench.ts --help`. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { NATIVE_TOKEN } from "@flashloan/amm/pool";
import { cycleName, everyCycle, gridOptimum, naiveName } from "@flashloan/arbitrage/brute-force";
import type { Lenders } from "@flashloan/arbitrage/lender";
import { createMarket } from "@flashloan/arbitrage/market";
import type { Address, Pool } from "@flashloan/amm/pool";
import { createSyntheticMarket, SYNTHETIC_POOL_MANAGER } from "@flashloan/arbitrage/synthetic-market";
import { median } from "../support/median.ts";
import { measuredBy, writeSection } from "./document.ts";
import {
  createTwoPoolScan,
  ethersArithmetic,
  groupMarkets,
  nativeArithmetic,
  type Arithmetic,
} from "./two-pool-baseline.ts";

const USAGE = `Measures the arbitrage search beside a re-implementation of the two-pool baseline.

  npm run bench -- arbitrage              the whole table
  npm run bench -- arbitrage --write      and write it into docs/benchmarks.md

  --pools N[,N…]   pools of the synthetic market (default 1000,10000,100000)
  --seed N         seed of the market and its updates (default 1)
  --updates N      measured updates a row (default 50000)
  --brute N        pools of the market that brute force searches too (default 44; 0 leaves it out)
  --json           print the rows as JSON instead of tables
  --write          write the tables into docs/benchmarks.md
  --help           this text
`;

const FILE = fileURLToPath(import.meta.url);
const PRICES = { gasPriceWei: 5n * 10n ** 9n, maxFeePerGasWei: 10n ** 10n };
const FREE = { gasPriceWei: 0n, maxFeePerGasWei: 0n };
const SCANS = 9;
const BATCHES = 5;
const WARM_UP_UPDATES = 30_000;
const BRUTE_SEEDS = 5;
const POOLS_MAX = 1_000_000;

/** One measured market. */
type Row = {
  readonly pools: number;
  readonly kinds: "v2" | "all";
  readonly updates: number;
  readonly updateUsMean: number;
  readonly updateUsMedian: number;
  readonly updateUsP99: number;
  readonly scanMs: number;
  readonly baselineScanMs: number;
  /** The same scan in ethers v5's BigNumber, which the original computes in. */
  readonly originalScanMs: number;
  readonly baselineTokens: number;
  readonly cyclesPerUpdate: number;
  readonly cyclesPerScan: number;
  readonly plans: number;
  readonly rssMb: number;
  readonly heapMb: number;
};

/** The profit that the search finds of what brute force finds. */
type Share = {
  readonly kinds: "v2" | "all";
  readonly pools: number;
  readonly seeds: number;
  readonly cycles: number;
  readonly profitable: number;
  readonly found: number;
  readonly share: number;
  readonly shareOfBest: number;
  readonly baselineShare: number;
};

type Report = { readonly rows: readonly Row[]; readonly shares: readonly Share[] };

function timeMs(action: () => unknown): number {
  const start = performance.now();
  action();
  return performance.now() - start;
}

/** The means of consecutive batches: their median is the mean that other work on the machine disturbs least. */
function batchMeans(timesUs: readonly number[]): number[] {
  const size = Math.ceil(timesUs.length / BATCHES);
  return Array.from({ length: BATCHES }, (_, k) => timesUs.slice(k * size, (k + 1) * size))
    .filter((batch) => batch.length > 0)
    .map((batch) => batch.reduce((sum, time) => sum + time, 0) / batch.length);
}

/** Measures one market in this process. */
function measure(pools: number, kinds: Row["kinds"], seed: number, updates: number): Row {
  const book = createSyntheticMarket({ pools, seed, kinds });
  const market = createMarket({ weth: book.weth, lenders: {} });
  for (const pool of book.pools) market.upsert(pool);
  for (let k = 0; k < Math.min(WARM_UP_UPDATES, updates); k += 1) {
    const pool = book.nextUpdate();
    market.upsert(pool);
    market.searchFrom([pool.id], PRICES);
  }
  const timesUs: number[] = [];
  let cycles = 0;
  let plans = 0;
  for (let k = 0; k < updates; k += 1) {
    const pool = book.nextUpdate();
    const start = performance.now();
    market.upsert(pool);
    const { stats } = market.searchFrom([pool.id], PRICES);
    timesUs.push((performance.now() - start) * 1_000);
    cycles += stats.cyclesExamined;
    plans += stats.netPositive;
  }
  const scanMs = median(Array.from({ length: SCANS }, () => timeMs(() => market.scanAll(PRICES))));
  const baselineScanMs = timeBaseline(book.pools, book.weth, nativeArithmetic);
  const originalScanMs = timeBaseline(book.pools, book.weth, ethersArithmetic);
  // Where the runner exposes it (npm run bench does), so that the heap is what the market holds.
  globalThis.gc?.();
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  const sorted = timesUs.toSorted((a, b) => a - b);
  return {
    pools: market.poolCount,
    kinds,
    updates,
    updateUsMean: median(batchMeans(timesUs)),
    updateUsMedian: median(timesUs),
    updateUsP99: sorted[Math.floor(updates * 0.99)] ?? Number.NaN,
    scanMs,
    baselineScanMs,
    originalScanMs,
    baselineTokens: groupMarkets(book.pools, book.weth, nativeArithmetic).size,
    cyclesPerUpdate: cycles / updates,
    cyclesPerScan: market.scanAll(PRICES).stats.cyclesExamined,
    plans,
    rssMb: rss / 1e6,
    heapMb: (heapUsed + arrayBuffers) / 1e6,
  };
}

/** Compares the search with brute force over several small markets, gas left out on both sides. */
function measureShare(pools: number, kinds: Share["kinds"], seed: number): Share {
  let [cycles, profitable, found] = [0, 0, 0];
  let [bruteWei, foundWei, bruteBestWei, foundBestWei, baselineWei] = [0n, 0n, 0n, 0n, 0n];
  for (let k = 0; k < BRUTE_SEEDS; k += 1) {
    const book = createSyntheticMarket({ pools, seed: seed * 1_000 + k, kinds, noise: 0.008 });
    const lenders: Lenders = {
      uniswapV4: { poolManager: SYNTHETIC_POOL_MANAGER, balances: new Map([[book.weth, 10n ** 30n]]) },
    };
    const market = createMarket({ weth: book.weth, lenders, candidatesMax: 1_000_000 });
    for (const pool of book.pools) market.upsert(pool);
    const plans = new Map(market.scanAll(FREE).plans.map((plan) => [cycleName(plan.hops), plan]));
    let [bestWei, bestFoundWei] = [0n, 0n];
    for (const cycle of everyCycle(book.pools, book.weth, 4)) {
      const token = cycle[0]?.pool.tokens[cycle[0].i];
      if (token !== book.weth && token !== NATIVE_TOKEN) continue;
      cycles += 1;
      const profitWei = gridOptimum(cycle, 1.3);
      if (profitWei <= 0n) continue;
      const foundProfitWei = plans.get(naiveName(cycle))?.profitWei ?? 0n;
      profitable += 1;
      found += foundProfitWei > 0n ? 1 : 0;
      bruteWei += profitWei;
      foundWei += foundProfitWei;
      if (profitWei > bestWei) bestWei = profitWei;
      if (foundProfitWei > bestFoundWei) bestFoundWei = foundProfitWei;
    }
    bruteBestWei += bestWei;
    foundBestWei += bestFoundWei;
    const crossed = createTwoPoolScan(nativeArithmetic)(groupMarkets(book.pools, book.weth, nativeArithmetic));
    baselineWei += crossed.reduce((sum, { profit }) => sum + profit, 0n);
  }
  const ratio = (part: bigint, whole: bigint): number => (whole === 0n ? 1 : Number(part) / Number(whole));
  return {
    kinds,
    pools,
    seeds: BRUTE_SEEDS,
    cycles,
    profitable,
    found,
    share: ratio(foundWei, bruteWei),
    shareOfBest: ratio(foundBestWei, bruteBestWei),
    baselineShare: ratio(baselineWei, bruteWei),
  };
}

function timeBaseline<N>(pools: readonly Pool[], weth: Address, arithmetic: Arithmetic<N>): number {
  const markets = groupMarkets(pools, weth, arithmetic);
  const scan = createTwoPoolScan(arithmetic);
  return median(Array.from({ length: SCANS }, () => timeMs(() => scan(markets))));
}

/** Measures each market in a process of its own, so that no row pays for another's memory. */
function measureApart(pools: number, kinds: Row["kinds"], seed: number, updates: number): Row {
  const job = JSON.stringify({ pools, kinds, seed, updates });
  const child = spawnSync(process.execPath, [...process.execArgv, FILE], {
    encoding: "utf8",
    env: { ...process.env, FLASHLOAN_BENCH_ROW: job },
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (child.status !== 0)
    throw new Error(`the measurement of ${pools} pools ended with ${child.status ?? child.signal}`);
  return JSON.parse(child.stdout) as Row;
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(header), line(header.map((_, k) => (k === 0 ? "---" : "---:"))), ...rows.map(line)].join("\n");
}

const KIND_NAMES = { v2: "Uniswap V2", all: "all five kinds" } as const;

function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

function percent(value: number): string {
  return `${(value * 100).toFixed(3)} %`;
}

function render({ rows, shares }: Report): string {
  const speed = table(
    [
      "market",
      "µs per update, mean",
      "median",
      "p99",
      "ms per full scan",
      "profitable cycles per update",
      "in the scan",
      "heap MB",
      "process RSS MB",
    ],
    rows.map((row) => [
      `${count(row.pools)} pools, ${KIND_NAMES[row.kinds]}`,
      row.updateUsMean.toFixed(1),
      row.updateUsMedian.toFixed(1),
      row.updateUsP99.toFixed(0),
      row.scanMs.toFixed(1),
      row.cyclesPerUpdate.toFixed(1),
      count(row.cyclesPerScan),
      count(row.heapMb),
      count(row.rssMb),
    ]),
  );
  const baseline = table(
    [
      "market",
      "tokens the baseline compares",
      "its full scan in ethers' BigNumber, ms",
      "÷ our full scan",
      "÷ our update",
      "in native BigInt, ms",
      "÷ our full scan",
      "÷ our update",
    ],
    rows.map((row) => [
      `${count(row.pools)} pools, ${KIND_NAMES[row.kinds]}`,
      count(row.baselineTokens),
      row.originalScanMs.toFixed(1),
      `${(row.originalScanMs / row.scanMs).toFixed(2)} ×`,
      `${count((row.originalScanMs * 1_000) / row.updateUsMean)} ×`,
      row.baselineScanMs.toFixed(1),
      `${(row.baselineScanMs / row.scanMs).toFixed(2)} ×`,
      `${count((row.baselineScanMs * 1_000) / row.updateUsMean)} ×`,
    ]),
  );
  const found = table(
    [
      "market",
      "cycles through WETH",
      "profitable",
      "found",
      "share of the profit",
      "share of the best cycle's",
      "baseline's share",
    ],
    shares.map((share) => [
      `${share.seeds} × ${share.pools} pools, ${KIND_NAMES[share.kinds]}`,
      count(share.cycles),
      count(share.profitable),
      count(share.found),
      percent(share.share),
      percent(share.shareOfBest),
      percent(share.baselineShare),
    ]),
  );
  const parts = [speed, baseline];
  if (shares.length > 0) parts.push(found);
  return parts.join("\n\n");
}

function writeDocument(report: Report, command: string, seed: number): void {
  writeSection(
    "arbitrage",
    `## Arbitrage search

${measuredBy(command)}, seed ${seed}.

An update takes one pool's new state into the market and searches every cycle of 2 to 4 hops through that pool: enumeration,
float filter, exact sizing of what could pay its gas at 5 gwei, lender and plan. A full scan does the same for every
cycle of the market. The market is synthetic and seeded: five hub tokens, long-tail tokens in one to four pools
against WETH, a third of them against a second hub too; every update is a trade, one in fifty a whale's. Pool states are
made outside the measured time. The mean is the median of the means of five consecutive batches. Memory
is of the whole process, generator included.

The baseline is our own re-implementation of the two-pool scan at nine fixed sizes of flashbots/simple-arbitrage, in the
arithmetic that the original uses (ethers v5's BigNumber) and, kinder to it, in native BigInt. It sees only Uniswap V2
pools against WETH and two hops, and tries sizes only where two pools' prices cross; our full scan walks every cycle of 2
to 4 hops, which is why it is no faster than the baseline in native BigInt. Each block's work is updates, not scans.

Brute force enumerates every cycle of 2 to 4 hops through WETH and sizes each on a grid in exact arithmetic, gas left
out on both sides; the shares are over all its profitable cycles. A share above 100 % means that the grid is the coarser.

${render(report)}`,
  );
}

function wholeNumber(text: string, flag: string, min: number, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw new TypeError(`${flag} must be a whole number from ${min} to ${max}, not "${text}"`);
  }
  return value;
}

function readFlags() {
  const { values } = parseArgs({
    args: process.argv.slice(2).filter((argument) => argument !== "--"),
    options: {
      pools: { type: "string", default: "1000,10000,100000" },
      seed: { type: "string", default: "1" },
      updates: { type: "string", default: "50000" },
      brute: { type: "string", default: "44" },
      json: { type: "boolean", default: false },
      write: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  return {
    help: values.help,
    json: values.json,
    write: values.write,
    pools: values.pools.split(",").map((text) => wholeNumber(text, "--pools", 2, POOLS_MAX)),
    seed: wholeNumber(values.seed, "--seed", 0, 2 ** 31),
    updates: wholeNumber(values.updates, "--updates", 1, 10_000_000),
    brute: wholeNumber(values.brute, "--brute", 0, 100),
  };
}

function main(): number {
  const row = process.env["FLASHLOAN_BENCH_ROW"];
  if (row !== undefined) {
    const { pools, kinds, seed, updates } = JSON.parse(row) as Pick<Row, "pools" | "kinds" | "updates"> & {
      seed: number;
    };
    process.stdout.write(JSON.stringify(measure(pools, kinds, seed, updates)));
    return 0;
  }
  let flags: ReturnType<typeof readFlags>;
  try {
    flags = readFlags();
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  if (flags.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const { pools, seed, updates, brute } = flags;
  const kinds = ["v2", "all"] as const;
  const rows = kinds.flatMap((kind) => pools.map((size) => measureApart(size, kind, seed, updates)));
  const shares = brute < 2 ? [] : kinds.map((kind) => measureShare(brute, kind, seed));
  const report: Report = { rows, shares };
  process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : `${render(report)}\n`);
  if (flags.write) writeDocument(report, "npm run bench -- arbitrage --write", seed);
  return 0;
}

process.exitCode = main();
