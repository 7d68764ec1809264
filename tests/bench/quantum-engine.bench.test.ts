import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

const BENCH = join(import.meta.dirname, "quantum-engine.bench.ts");

function run(...flags: string[]) {
  return spawnSync(process.execPath, ["--conditions=@flashloan/source", BENCH, ...flags], { encoding: "utf8" });
}

test("the benchmark runs at a small size: what is asked at once is answered or refused, and nothing fails", () => {
  const { status, stdout } = run("--questions", "3", "--concurrent", "40", "--json");
  expect(status).toBe(0);
  const { idle, loaded } = JSON.parse(stdout) as {
    idle: Record<string, { p50: number }>;
    loaded: { asked: number; answered: number; refused: number; failed: number };
  };
  expect(Object.values(idle).map(({ p50 }) => Number.isFinite(p50))).toEqual([true, true, true, true]);
  expect([loaded.asked, loaded.answered + loaded.refused, loaded.failed]).toEqual([40, 40, 0]);
  expect(loaded.answered).toBeGreaterThanOrEqual(1);
  expect(loaded.refused).toBeGreaterThanOrEqual(1);
}, 300_000);

test("help and bad flags say what to do", () => {
  const help = run("--help");
  expect([help.status, help.stdout.includes("--concurrent N")]).toEqual([0, true]);
  const bad = run("--questions", "none");
  expect([bad.status, bad.stderr.includes("must be a whole number")]).toEqual([2, true]);
});
