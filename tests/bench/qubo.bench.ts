/** The benchmark of the binary solvers: `node qubo.bench.ts --help`. */
import { parseArgs } from "node:util";
import { BE, BEASLEY, G_SET, GKA, type Instance } from "@flashloan/qubo/libraries";
import { solve } from "@flashloan/qubo/portfolio";
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

/** Of each library those whose figures tell most; `--instances` takes any. */
const SHOWN = [
  "bqp50-1",
  "bqp100-1",
  "bqp250-1",
  "gka4a",
  "gka9b",
  "gka10d",
  "gka5e",
  "be120.8.7",
  "be200.8.1",
  "be250.1",
];
const INSTANCES: ReadonlyMap<string, Instance> = new Map(
  [...BEASLEY, ...GKA, ...BE, ...G_SET].map((instance) => [instance.name, instance]),
);

/** One instance: the median time to the best value, and in how many runs it was reached. */
interface Row {
  readonly name: string;
  readonly variables: number;
  readonly couplings: number;
  readonly best: number;
  readonly ours: Times;
  readonly plain: Times;
}
interface Times {
  readonly medianMs: number;
  readonly reached: number;
}

const now = (): number => performance.now();

function measure({ name, problem: make, best }: Instance, seeds: number, limitMs: number): Row {
  const problem = make();
  const runs = (run: (seed: number) => number | undefined): Times => {
    const times = Array.from({ length: seeds }, (_, i) => run(i + 1) ?? Infinity);
    const reached = times.filter(Number.isFinite).length;
    return { medianMs: median(times), reached };
  };
  const ours = runs((seed) => {
    const { value, foundMs } = solve(problem, { deadlineMs: limitMs, seed, now, target: best });
    return value <= best ? foundMs : undefined;
  });
  const plain = runs((seed) => plainTabu(problem, best, limitMs, createRandom(seed)));
  const { size: variables, couplings } = problem;
  return { name, variables, couplings, best, ours, plain };
}

function render(rows: readonly Row[], seeds: number, limitMs: number): string {
  const time = ({ medianMs, reached }: Times): string =>
    `${Number.isFinite(medianMs) ? medianMs.toFixed(1) : `over ${limitMs}`} (${reached} of ${seeds})`;
  const ratio = ({ ours, plain }: Row): string =>
    Number.isFinite(plain.medianMs / ours.medianMs) ? `${(plain.medianMs / ours.medianMs).toFixed(1)} ×` : "";
  return [
    "| instance | variables | couplings | best known, as a minimum | portfolio, ms to it | textbook tabu, ms | ÷ ours |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ...rows.map(
      (row) =>
        `| ${row.name} | ${row.variables} | ${row.couplings.toLocaleString("en-US")} | ${row.best} | ${time(row.ours)} | ${time(row.plain)} | ${ratio(row)} |`,
    ),
  ].join("\n");
}

const { values } = parseArgs({
  options: {
    instances: { type: "string", default: [...SHOWN, ...G_SET.map(({ name }) => name)].join(";") },
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
  process.stdout.write(`${USAGE}\nInstances, separated by semicolons: ${[...INSTANCES.keys()].join("; ")}\n`);
else if (
  !names.every((name) => INSTANCES.has(name)) ||
  !(seeds >= 1 && seeds <= 100) ||
  !(limitMs > 0 && limitMs <= 600_000)
) {
  process.stderr.write(
    `--instances must be of: ${[...INSTANCES.keys()].join("; ")}; --seeds 1 to 100; --limit-s up to 600\n`,
  );
  process.exitCode = 2;
} else {
  const rows = names.map((name) => measure(INSTANCES.get(name) as Instance, seeds, limitMs));
  const text = render(rows, seeds, limitMs);
  process.stdout.write(values.json ? `${JSON.stringify(rows)}\n` : `${text}\n`);
  if (values.write)
    writeSection(
      "qubo",
      `## Binary optimization

${measuredBy("npm run bench -- qubo --write")}, with other work on the machine.

Milliseconds until the best known value was found, median over ${seeds} seeds, and how many of them found it within ${limitMs / 1_000} s. The
textbook's one-flip tabu search is plain JavaScript with restarts. The bqp instances are Beasley's (OR-Library), the gka ones Glover,
Kochenberger and Alidaee's, the be ones Billionnet and Elloumi's, the G ones Helmberg and Rendl's G-set, all but the first made
by their authors' own generators. Tests reach the best known value of all 40 gka and 80 be instances.

${text}`,
    );
}
