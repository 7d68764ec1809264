import { readFileSync } from "node:fs";
import { pardalosRodgers, planarGraph, randomGraph, signed, torus, union, type Graph } from "../src/instances.ts";
import { Quadratic } from "../src/quadratic.ts";
import { cutProblem, readSparseText } from "../src/sparse-text.ts";

/** An instance that the literature uses. */
export interface Instance {
  readonly name: string;
  readonly problem: () => Quadratic;
  /** The best value known of the problem, which is minimized: of the literature's value the negative where it maximizes. */
  readonly best: number;
}

/**
 * Beasley's instances (OR-Library, 1998) bqp50-1 to -5, bqp100-1 and bqp250-1, which are maximized. In the file each begins
 * with its name, best value, variables and entries; a line has a row of the matrix: its variable, then column and entry,
 * column and entry, …
 */
export const BEASLEY: readonly Instance[] = readFileSync(new URL("beasley.txt", import.meta.url), "utf8")
  .split(/^(?=bqp)/m)
  .map((text) => {
    const [[name = "", best, size, count] = [], ...rows] = text
      .trim()
      .split("\n")
      .map((line) => line.split(" "));
    const entries = rows.flatMap(([i, ...rest]) =>
      rest.flatMap((j, k) => (k % 2 === 0 ? [`${i} ${j} ${rest[k + 1]}`] : [])),
    );
    const file = `${size} ${count}\n${entries.join("\n")}\n`;
    return { name, best: -Number(best), problem: () => readSparseText(file, "qubo-max").problem };
  });

type Range = readonly [least: number, most: number];
const [WIDE, HALF]: readonly [Range, Range] = [
  [-100, 100],
  [-50, 50],
];

/** Glover, Kochenberger and Alidaee's (1998), by their tables of sizes, densities and seeds: minus the best, then those. */
export const GKA: readonly Instance[] = [
  ...(
    [
      ["1a", 3414, 50, 0.1, 10],
      ["2a", 6063, 60, 0.1, 10],
      ["3a", 6037, 70, 0.1, 10],
      ["4a", 8598, 80, 0.1, 10],
      ["5a", 5737, 50, 0.2, 10],
      ["6a", 3980, 30, 0.4, 10],
      ["7a", 4541, 30, 0.5, 10],
      ["8a", 11_109, 100, 0.0625, 10],
    ] as const
  ).map((row) => drawn("gka", row, WIDE, WIDE)),
  ...([133, 121, 118, 129, 150, 146, 160, 145, 137, 154] as const).map((best, k) =>
    drawn("gka", [`${k + 1}b`, best, k === 9 ? 125 : 20 + 10 * k, 1, 10], [-63, 0], [0, 100]),
  ),
  ...(
    [
      ["1c", 5058, 40, 0.8, 10],
      ["2c", 6213, 50, 0.6, 70],
      ["3c", 6665, 60, 0.4, 31],
      ["4c", 7398, 70, 0.3, 34],
      ["5c", 7362, 80, 0.2, 8],
      ["6c", 5824, 90, 0.1, 80],
      ["7c", 7225, 100, 0.1, 142],
    ] as const
  ).map((row) => drawn("gka", row, WIDE, HALF)),
  ...(
    [
      ["1d", 6333, 100, 0.1, 31],
      ["2d", 6579, 100, 0.2, 37],
      ["3d", 9261, 100, 0.3, 143],
      ["4d", 10_727, 100, 0.4, 47],
      ["5d", 11_626, 100, 0.5, 31],
      ["6d", 14_207, 100, 0.6, 47],
      ["7d", 14_476, 100, 0.7, 97],
      ["8d", 16_352, 100, 0.8, 133],
      ["9d", 15_656, 100, 0.9, 307],
      ["10d", 19_102, 100, 1, 1311],
    ] as const
  ).map((row) => drawn("gka", row, [-75, 75], HALF)),
  ...(
    [
      ["1e", 16_464, 200, 0.1, 51],
      ["2e", 23_395, 200, 0.2, 43],
      ["3e", 25_243, 200, 0.3, 34],
      ["4e", 35_594, 200, 0.4, 73],
      ["5e", 35_154, 200, 0.5, 89],
    ] as const
  ).map((row) => drawn("gka", row, WIDE, HALF)),
];

/** Billionnet and Elloumi's (2007): ten of each size and density, with seeds 1 to 10; minus the best of each. */
export const BE: readonly Instance[] = (
  [
    ["100", 100, 1, [19_412, 17_290, 17_565, 19_125, 15_868, 17_368, 18_629, 18_649, 13_294, 15_352]],
    ["120.3", 120, 0.3, [13_067, 13_046, 12_418, 13_867, 11_403, 12_915, 14_068, 14_701, 10_458, 12_201]],
    ["120.8", 120, 0.8, [18_691, 18_827, 19_302, 20_765, 20_417, 18_482, 22_194, 19_534, 18_195, 19_049]],
    ["150.3", 150, 0.3, [18_889, 17_816, 17_314, 19_884, 16_817, 16_780, 18_001, 18_303, 12_838, 17_963]],
    ["150.8", 150, 0.8, [27_089, 26_779, 29_438, 26_911, 28_017, 29_221, 31_209, 29_730, 25_388, 28_374]],
    ["200.3", 200, 0.3, [25_453, 25_027, 28_023, 27_434, 26_355, 26_146, 30_483, 27_355, 24_683, 23_842]],
    ["200.8", 200, 0.8, [48_534, 40_821, 43_207, 43_757, 41_482, 49_492, 46_828, 44_502, 43_241, 42_832]],
    ["250", 250, 0.1, [24_076, 22_540, 22_923, 24_649, 21_057, 22_735, 24_095, 23_801, 20_051, 23_159]],
  ] as const
).flatMap(([name, size, density, bests]) =>
  bests.map((best, k) => drawn("be", [`${name}.${k + 1}`, best, size, density, k + 1], WIDE, HALF)),
);

/** Of the G-set (Helmberg and Rendl, 2000): a random graph, the same with signs, a torus, a union of planar graphs. */
export const G_SET: readonly Instance[] = (
  [
    ["G1", 11_624, () => randomGraph(800, 6, 8001)],
    ["G6", 2178, () => signed(randomGraph(800, 6, 8001), 8001)],
    ["G11", 564, () => signed(torus(100, 8), 8001)],
    ["G14", 3064, () => union(planarGraph(800, 99, 8001), planarGraph(800, 99, 8002))],
    ["G22", 13_359, () => randomGraph(2000, 1, 20_001)],
  ] satisfies [string, number, () => Graph][]
).map(([name, best, graph]) => ({
  name,
  best: -best,
  problem: () => {
    const { size, edges } = graph();
    return cutProblem(size, edges);
  },
}));

function drawn(
  library: string,
  [name, best, size, density, seed]: readonly [string, number, number, number, number],
  diagonal: Range,
  offDiagonal: Range,
): Instance {
  return {
    name: `${library}${name}`,
    best: -best,
    problem: () => {
      const entries = pardalosRodgers({ size, density, seed, diagonal, offDiagonal });
      // In x'Qx an entry off the diagonal counts twice.
      return Quadratic.of({ size, couplings: entries.map(([i, j, weight]) => [i, j, i === j ? weight : 2 * weight]) });
    },
  };
}
