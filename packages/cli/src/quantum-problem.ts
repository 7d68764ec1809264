import { readFileSync, statSync } from "node:fs";
import { stateProblem, type Stated } from "@flashloan/qubo/problem";
import type { Reading as FileReading } from "@flashloan/qubo/sparse-text";
import { FlashloanError } from "@flashloan/shared/errors";

/** The longest file that is read. */
const FILE_BYTES_MAX = 64 * 1024 * 1024;

/** How sparse text is meant. */
export interface TextFlags {
  readonly as: FileReading;
  readonly offdiagonal: "twice" | "once";
}

/** Reads a problem from a file: a JSON model, a JSON matrix, or sparse text. @throws FlashloanError argument_invalid */
export function readProblem(file: string, { as, offdiagonal }: TextFlags): Stated {
  const text = readText(file);
  if (!/^\s*[[{]/.test(text)) return stateProblem({ text, as, offdiagonal });
  let input: unknown;
  try {
    input = JSON.parse(text);
  } catch (error) {
    throw invalid(`${file} is not JSON: ${(error as Error).message}`);
  }
  const isMatrix = typeof input === "object" && input !== null && "matrix" in input;
  return stateProblem(isMatrix ? (input as { sense: unknown; matrix: unknown }) : { model: input });
}

function readText(file: string): string {
  try {
    const { size } = statSync(file);
    if (size > FILE_BYTES_MAX) throw invalid(`${file} has ${size} bytes: at most ${FILE_BYTES_MAX} are read`);
    return readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof FlashloanError) throw error;
    throw invalid(`${file} can't be read: ${(error as Error).message}`);
  }
}

function invalid(message: string): FlashloanError {
  return new FlashloanError("argument_invalid", message);
}
