import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

const BENCH = join(import.meta.dirname, "checkpoint.bench.ts");

function run(...flags: string[]) {
  return spawnSync(process.execPath, ["--conditions=@flashloan/source", BENCH, ...flags], { encoding: "utf8" });
}

test("the benchmark runs at a small size and measures every row", () => {
  const { status, stdout } = run("--seconds", "0.2", "--rounds", "1", "--writers", "8", "--json");
  expect(status).toBe(0);
  const figures = JSON.parse(stdout) as Record<string, { perSecond: number; p50Ms: number }>;
  expect(Object.keys(figures)).toEqual([
    "insert",
    "multiRow",
    "limit",
    "postgresSaver",
    "ledger",
    "ledgerSaver",
    "insertAlone",
    "ledgerAlone",
    "latest",
  ]);
  for (const { perSecond, p50Ms } of Object.values(figures)) {
    expect(perSecond).toBeGreaterThan(0);
    expect(p50Ms).toBeGreaterThan(0);
  }
}, 120_000);

test("help and bad flags say what to do", () => {
  const help = run("--help");
  expect([help.status, help.stdout.includes("--writers N")]).toEqual([0, true]);
  expect(run("--rounds", "none").status).toBe(2);
});
