import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { executor } from "../src/executor.ts";
import { infrastructure } from "../src/infrastructure.ts";
import { overview } from "../src/overview.ts";
import { quantum } from "../src/quantum.ts";

// Writes dashboards/*.json; `--check` fails when one is stale.
const folder = join(import.meta.dirname, "../dashboards");
const files = Object.fromEntries(
  [overview(), executor(), quantum(), infrastructure()].map((dashboard) => [
    `${dashboard.uid}.json`,
    `${JSON.stringify(dashboard, null, 2)}\n`,
  ]),
);

if (process.argv.includes("--check")) {
  const stale = Object.entries(files).filter(([name, text]) => !isCurrent(join(folder, name), text));
  if (stale.length === 0) process.stdout.write("dashboards are current\n");
  else {
    process.stderr.write(`stale: ${stale.map(([name]) => name).join(", ")}: run npm run generate\n`);
    process.exitCode = 1;
  }
} else {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  process.stdout.write(`wrote ${Object.keys(files).join(", ")}\n`);
}

function isCurrent(path: string, text: string): boolean {
  try {
    return readFileSync(path, "utf8") === text;
  } catch {
    return false;
  }
}
