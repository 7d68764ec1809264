/** The benchmark of the binary solvers: `node qubo.bench.ts --help`. */
import { parseArgs } from "node:util";
import { BEASLEY } from "@flashloan/qubo/beasley";
import { randomGraph, spinGlassTorus } from "@flashloan/qubo/instances";
import { solve } from "@flashloan/qubo/portfolio";
import { Quadratic, type Coupling } from "@flashloan/qubo/quadratic";
import { cutProblem } from "@flashloan/qubo/sparse-text";
import { createRandom } from "@flashloan/shared/random";
import { median } from "../support/median.ts";
import { measuredBy, writeSection } from "./document.ts";
import { plainTabu } from "./plain-tabu.ts";

const USAGE = `Measures how long the portfolio takes to the best known value of an instance, beside a textbook tabu search.

  npm run bench -- qubo             the whole table
  npm run bench -- qubo --write     and write it into docs/benchmarks.md

  --instances A[;B…]  some of them (default all; --help lists them)
  --seeds N           runs of each, with seeds 1 to N (default 5)
  --limit-s N         longest run (default 10)
  --json              print the figures as JSON
  --write             write the table into docs/benchmarks.md
  --help              this text
`;

interface Instance {
  readonly problem: () => Quadratic;
  /** What to reach; where no literature knows it, what a run of a minute reaches. */
  readonly best: number;
  readonly source: string;
}

const own = "best of long runs";
const INSTANCES: Readonly<Record<string, Instance>> = {
  ...Object.fromEntries(
    BEASLEY.filter(({ name }) => name.endsWith("-1")).map(({ name, problem, best }) => [
      name,
      { problem: () => problem, best, source: "literature" },
    ]),
  ),
  "b100, 10 %": { problem: () => uniform(100, 0.1, 1), best: Number.NaN, source: own },
  "b500, 10 %": { problem: () => uniform(500, 0.1, 1), best: Number.NaN, source: own },
  G1: { problem: () => cut(randomGraph(800, 6, 8001)), best: 11_624, source: "literature" },
  "torus 100 × 8": { problem: () => cut(spinGlassTorus(100, 8, 50, 8001)), best: 548, source: own },
};

/** One instance: the median time to the best value, and in how many runs it was reached. */
interface Row {
  readonly name: string;
  readonly variables: number;
  readonly couplings: number;
  readonly best: number;
  readonly source: string;
  readonly ours: Times;
  readonly plain: Times;
}
interface Times {
  readonly medianMs: number;
  readonly reached: number;
}

function cut({ size, edges }: { size: number; edges: Iterable<Coupling> }): Quadratic {
  return cutProblem(size, edges);
}

/** Entries uniform in −100 … 100, as Beasley's and the gka instances are drawn; to be maximized. */
function uniform(size: number, density: number, seed: number): Quadratic {
  const random = createRandom(seed);
  const couplings: Coupling[] = [];
  for (let i = 0; i < size; i++)
    for (let j = i; j < size; j++)
      if (random.next() < density) couplings.push([i, j, (i === j ? 1 : 2) * (random.below(201) - 100)]);
  return Quadratic.of({ size, couplings });
}

const now = (): number => performance.now();

function measure(name: string, instance: Instance, seeds: number, limitMs: number): Row {
  const problem = instance.problem();
  const known = Number.isNaN(instance.best)
    ? solve(problem, { deadlineMs: limitMs, seed: 1_000, now }).value
    : -instance.best;
  const runs = (run: (seed: number) => number | undefined): Times => {
    const times = Array.from({ length: seeds }, (_, i) => run(i + 1) ?? Infinity);
    const reached = times.filter(Number.isFinite).length;
    return { medianMs: median(times), reached };
  };
  const ours = runs((seed) => {
    const { value, foundMs } = solve(problem, { deadlineMs: limitMs, seed, now, target: known });
    return value <= known ? foundMs : undefined;
  });
  const plain = runs((seed) => plainTabu(problem, known, limitMs, createRandom(seed)));
  const { size: variables, couplings } = problem;
  return { name, variables, couplings, best: -known, source: instance.source, ours, plain };
}

function render(rows: readonly Row[], seeds: number, limitMs: number): string {
  const time = ({ medianMs, reached }: Times): string =>
    `${Number.isFinite(medianMs) ? medianMs.toFixed(1) : `over ${limitMs}`} (${reached} of ${seeds})`;
  const ratio = ({ ours, plain }: Row): string =>
    Number.isFinite(plain.medianMs / ours.medianMs) ? `${(plain.medianMs / ours.medianMs).toFixed(1)} ×` : "";
  return [
    "| instance | variables | couplings | best value | known from | portfolio, ms to it | textbook tabu, ms | ÷ ours |",
    "| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: |",
    ...rows.map(
      (row) =>
        `| ${row.name} | ${row.variables} | ${row.couplings.toLocaleString("en-US")} | ${row.best} | ${row.source} | ${time(row.ours)} | ${time(row.plain)} | ${ratio(row)} |`,
    ),
  ].join("\n");
}

const { values } = parseArgs({
  options: {
    instances: { type: "string", default: Object.keys(INSTANCES).join(";") },
    seeds: { type: "string", default: "5" },
    "limit-s": { type: "string", default: "10" },
    json: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const names = values.instances.split(";");
const [seeds, limitMs] = [Number(values.seeds), Number(values["limit-s"]) * 1_000];
if (values.help)
  process.stdout.write(`${USAGE}\nInstances, separated by semicolons: ${Object.keys(INSTANCES).join("; ")}\n`);
else if (
  !names.every((name) => name in INSTANCES) ||
  !(seeds >= 1 && seeds <= 100) ||
  !(limitMs > 0 && limitMs <= 600_000)
) {
  process.stderr.write(
    `--instances must be of: ${Object.keys(INSTANCES).join("; ")}; --seeds 1 to 100; --limit-s up to 600\n`,
  );
  process.exitCode = 2;
} else {
  const rows = names.map((name) => measure(name, INSTANCES[name] as Instance, seeds, limitMs));
  const text = render(rows, seeds, limitMs);
  process.stdout.write(values.json ? `${JSON.stringify(rows)}\n` : `${text}\n`);
  if (values.write)
    writeSection(
      "qubo",
      `## Binary optimization

${measuredBy("npm run bench -- qubo --write")}, with other work on the machine.

Milliseconds until the best value was found, median over ${seeds} seeds, and how many of them found it within ${limitMs / 1_000} s. The
textbook's one-flip tabu search is plain JavaScript with restarts. bqp50-1 and bqp250-1 are Beasley's own (OR-Library), b100 and
b500 are drawn as they are (uniform in −100 to 100, one in ten); G1 is the G-set's, made by its own generator; the torus is a ±1 spin glass of the same generator.

${text}`,
    );
}
