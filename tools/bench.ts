import { readdirSync } from "node:fs";
import { runStages, ROOT } from "./stages.ts";

// Benchmarks print ratios against a peer or a limit measured in the same run; `npm run bench -- NAME` runs one.
const folder = `${ROOT}tests/bench`;
const [name, ...rest] = process.argv.slice(2);
const all = readdirSync(folder)
  .filter((file) => file.endsWith(".bench.ts"))
  .map((file) => file.replace(".bench.ts", ""));
if (name === "--help" || (name !== undefined && !all.includes(name))) {
  console.log(
    `npm run bench -- [NAME] [options]\nNames: ${all.join(", ")}. Without a name all run. "npm run bench -- NAME --help" lists a benchmark's options.`,
  );
  process.exitCode = name === "--help" ? 0 : 2;
} else {
  const chosen = name === undefined ? all : [name];
  process.exitCode = await runStages(
    chosen.map((bench) => ({
      name: `bench: ${bench}`,
      command: "node",
      args: ["--expose-gc", "--conditions=@flashloan/source", `${folder}/${bench}.bench.ts`, ...rest],
    })),
  );
}
