import { COUPLINGS_MAX, VARIABLES_MAX } from "@flashloan/qubo/quadratic";
import { LAYERS_MAX, QUBITS_MAX, type Kind } from "./questions.ts";
import { simulationBytes } from "./simulation.ts";

/** A thread's own, and the little that a small question takes. */
const BASE_BYTES = 4 * 1024 * 1024;
/** Of a problem: its couplings as they come, compressed, and the searches' own arrays. */
const BYTES_PER_COUPLING = 200;
const BYTES_PER_VARIABLE = 2_000;
/** Of a model, whose constraints multiply: by characters of its JSON. */
const BYTES_PER_CHARACTER = 50;
/** Where the number of qubits is only known when the model is compiled, this many are taken room for, as far as there is. */
const QUBITS_GUESSED = 20;
/** Characters that a header is looked for in. */
const HEADER_MAX = 10_000;

/**
 * What answering takes at most, in bytes, as far as it can be told before the question is looked into: what is not as it
 * must be counts nothing here, and is refused when it is. A simulation is held to it, too.
 */
export function memoryOfQuestion(kind: Kind, body: Readonly<Record<string, unknown>>): number {
  if (kind === "minimize-energy") return BASE_BYTES + 2 ** qubitsOfHamiltonian(record(body["hamiltonian"])) * 2 * 16;
  const { bytes, qubits } = sizeOf(record(body["problem"]));
  if (kind === "landscape" || kind === "plot-landscape" || kind === "plot-distribution")
    return bytes + simulationBytes(qubits, 1, false);
  // An opinion that can't be had is left out; it refuses nothing.
  const opinion = kind === "solve" ? record(body["secondOpinion"])["layers"] : undefined;
  if (typeof opinion === "number" && opinion >= 1 && opinion <= LAYERS_MAX && Number.isInteger(opinion))
    return bytes + simulationBytes(Math.min(qubits, QUBITS_GUESSED), opinion, true);
  return bytes;
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function qubitsOfHamiltonian({ pauliSum, isingChain }: Readonly<Record<string, unknown>>): number {
  const { string = "" } = record(Array.isArray(pauliSum) ? pauliSum[0] : undefined);
  const { qubits = 4 } = record(isingChain);
  const asked = pauliSum === undefined ? Number(qubits) : String(string).length;
  return asked >= 1 && asked <= QUBITS_MAX ? asked : 1;
}

function sizeOf({ text, quadratic, matrix, model }: Readonly<Record<string, unknown>>): Size {
  if (typeof text === "string") {
    // The first line that isn't a comment.
    const [, size, couplings] = /^(?:[#c][^\n]*\n|\s)*(\d+)\s+(\d+)/.exec(text.slice(0, HEADER_MAX)) ?? [];
    return sized(Number(size ?? 0), Math.min(Number(couplings ?? 0), text.length));
  }
  if (Array.isArray(matrix)) return sized(matrix.length, matrix.length ** 2 / 2);
  if (quadratic !== undefined) {
    const { size, couplings } = record(quadratic);
    return sized(Number(size ?? 0), Array.isArray(couplings) ? couplings.length : 0);
  }
  const bytes = BASE_BYTES + BYTES_PER_CHARACTER * (JSON.stringify(model) ?? "").length;
  return { bytes, qubits: QUBITS_GUESSED };
}

interface Size {
  readonly bytes: number;
  readonly qubits: number;
}

function sized(variables: number, couplings: number): Size {
  const [many, pairs] = [Math.min(VARIABLES_MAX, variables || 0), Math.min(COUPLINGS_MAX, couplings || 0)];
  return { bytes: BASE_BYTES + BYTES_PER_VARIABLE * many + BYTES_PER_COUPLING * pairs, qubits: many };
}
