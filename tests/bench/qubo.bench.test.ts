import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

const BENCH = join(import.meta.dirname, "qubo.bench.ts");

function run(...flags: string[]) {
  return spawnSync(process.execPath, ["--conditions=@flashloan/source", BENCH, ...flags], { encoding: "utf8" });
}

test("the benchmark runs at a small size: both reach the best value, which is the literature's", () => {
  const { status, stdout } = run("--instances", "bqp50-1;G1", "--seeds", "1", "--limit-s", "60", "--json");
  expect(status).toBe(0);
  const rows = JSON.parse(stdout) as {
    name: string;
    best: number;
    ours: { reached: number };
    plain: { reached: number };
  }[];
  expect(rows.map(({ name, best }) => [name, best])).toEqual([
    ["bqp50-1", -2_098],
    ["G1", -11_624],
  ]);
  for (const { ours, plain } of rows) expect([ours.reached, plain.reached]).toEqual([1, 1]);
}, 300_000);

test("help and bad flags say what to do", () => {
  const help = run("--help");
  expect([help.status, help.stdout.includes("--limit-s N")]).toEqual([0, true]);
  const bad = run("--instances", "G1000");
  expect([bad.status, bad.stderr.includes("must be of")]).toEqual([2, true]);
});
