import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createSyntheticMarket } from "@flashloan/arbitrage/synthetic-market";
import { createTwoPoolScan, ethersArithmetic, groupMarkets, nativeArithmetic } from "./two-pool-baseline.ts";

const BENCH = join(import.meta.dirname, "arbitrage.bench.ts");

function run(...flags: string[]) {
  return spawnSync(process.execPath, ["--conditions=@flashloan/source", BENCH, ...flags], { encoding: "utf8" });
}

test("the benchmark runs at a small size and finds what brute force finds", () => {
  const { status, stdout, stderr } = run(
    "--pools",
    "60,120",
    "--updates",
    "300",
    "--brute",
    "24",
    "--seed",
    "3",
    "--json",
  );
  expect(stderr).toBe("");
  expect(status).toBe(0);
  const { rows, shares } = JSON.parse(stdout);
  expect(
    rows.map((row: { pools: number; kinds: string; updates: number }) => [row.pools, row.kinds, row.updates]),
  ).toEqual([
    [60, "v2", 300],
    [120, "v2", 300],
    [60, "all", 300],
    [120, "all", 300],
  ]);
  for (const row of rows) {
    expect(row.baselineTokens).toBeGreaterThan(4);
    expect(row.cyclesPerUpdate).toBeGreaterThan(0);
    for (const measured of [row.updateUsMean, row.scanMs, row.baselineScanMs, row.originalScanMs, row.rssMb])
      expect(measured).toBeGreaterThan(0);
  }
  expect(shares.map(({ kinds }: { kinds: string }) => kinds)).toEqual(["v2", "all"]);
  for (const share of shares) {
    expect(share.profitable).toBeGreaterThan(5);
    expect(share.found).toBeGreaterThanOrEqual(share.profitable - 2);
    expect(share.share).toBeGreaterThan(0.99);
    expect(share.shareOfBest).toBeGreaterThan(0.99);
  }
}, 60_000);

test("the baseline finds the same in both arithmetics, and what it finds is there", () => {
  const { pools, weth } = createSyntheticMarket({ pools: 300, kinds: "v2", seed: 5, noise: 0.02 });
  const inBigint = createTwoPoolScan(nativeArithmetic)(groupMarkets(pools, weth, nativeArithmetic));
  const inEthers = createTwoPoolScan(ethersArithmetic)(groupMarkets(pools, weth, ethersArithmetic));
  expect(inBigint.length).toBeGreaterThan(0);
  expect(inEthers.map(({ profit }) => profit.toBigInt())).toEqual(inBigint.map(({ profit }) => profit));
});

test("help and bad flags say what to do", () => {
  const help = run("--help");
  expect([help.status, help.stdout.includes("--pools N")]).toEqual([0, true]);
  const unknown = run("--fast");
  expect([unknown.status, unknown.stderr.includes("--fast")]).toEqual([2, true]);
  const bad = run("--pools", "many");
  expect([bad.status, bad.stderr.includes('not "many"')]).toEqual([2, true]);
});
