import { readFileSync } from "node:fs";
import { readSparseText, type ReadProblem } from "../src/sparse-text.ts";

/** An instance of Beasley's (OR-Library, 1998), to be maximized. */
export interface Instance extends ReadProblem {
  readonly name: string;
  /** The best known value. */
  readonly best: number;
}

/**
 * Beasley's instances bqp50-1 to -5 and bqp250-1. In the file each begins with its name, best value, variables and entries;
 * a line has a row of the matrix: its variable, then column and entry, column and entry, …
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
    return { name, best: Number(best), ...readSparseText(`${size} ${count}\n${entries.join("\n")}\n`, "qubo-max") };
  });
