import { readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";

const DOCUMENT = new URL("../../docs/benchmarks.md", import.meta.url);

/** When, by what and on what something was measured. */
export function measuredBy(command: string): string {
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim() ?? "unknown processor"}`;
  return `\`${command}\` on ${new Date().toISOString().slice(0, 10)}, Node ${process.version}, ${machine}`;
}

/** Puts a benchmark's section into docs/benchmarks.md, in the place of what it wrote before or at the end. */
export function writeSection(name: string, text: string): void {
  const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`];
  const section = `${begin}\n${text.trim()}\n${end}\n`;
  const [before = "", rest = ""] = readFileSync(DOCUMENT, "utf8").split(begin);
  const after = (rest.split(end)[1] ?? "").trimStart();
  writeFileSync(DOCUMENT, `${before.trimEnd()}\n\n${section}${after && `\n${after}`}`);
}
