import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** Writes generated files, by their paths from the root; with `--check` fails instead when one is stale. */
export function writeOrCheck(files: Readonly<Record<string, string>>): void {
  if (!process.argv.includes("--check")) {
    for (const [path, text] of Object.entries(files)) writeFileSync(`${ROOT}${path}`, text);
    return;
  }
  const stale = Object.entries(files).filter(([path, text]) => read(`${ROOT}${path}`) !== text);
  for (const [path] of stale) process.stderr.write(`${path} is stale: run "npm run generate"\n`);
  process.exitCode = stale.length > 0 ? 1 : 0;
}

/** Text for a cell of a Markdown table. */
export function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("*", "\\*");
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
