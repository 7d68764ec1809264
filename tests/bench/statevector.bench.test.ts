import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

const BENCH = join(import.meta.dirname, "statevector.bench.ts");

function run(...flags: string[]) {
  return spawnSync(process.execPath, ["--conditions=@flashloan/source", BENCH, ...flags], { encoding: "utf8" });
}

test("the benchmark runs at a small size, and all that it compares compute the same", () => {
  const { status, stdout } = run("--sizes", "6:2,16:1", "--seconds", "0.02", "--peer", "8", "--json");
  expect(status).toBe(0);
  const { bytesPerSecond, rows, peer } = JSON.parse(stdout);
  expect(rows.map(({ qubits, layers }: { qubits: number; layers: number }) => [qubits, layers])).toEqual([
    [6, 2],
    [16, 1],
  ]);
  for (const { distance, ...figures } of [...rows, { bytesPerSecond, ...peer }]) {
    expect(distance).toBeLessThan(1e-5);
    for (const value of Object.values(figures)) expect(value).toBeGreaterThan(0);
  }
  expect(peer.distance).toBeLessThan(1e-12);
}, 60_000);

test("help and bad flags say what to do", () => {
  const help = run("--help");
  expect([help.status, help.stdout.includes("--sizes Q:P")]).toEqual([0, true]);
  const odd = run("--sizes", "7:1");
  expect([odd.status, odd.stderr.includes("even qubits")]).toEqual([2, true]);
});
