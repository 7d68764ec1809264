import { FlashloanError } from "@flashloan/shared/errors";
import type { Circuit } from "@flashloan/statevector/circuit";
import type { Statevector } from "@flashloan/statevector/statevector";

/** A real combination of Pauli strings; a string's last letter is qubit 0's. */
export type PauliSum = readonly { readonly coefficient: number; readonly string: string }[];

/** ⟨H⟩. Errors: argument_invalid for strings of another length than the state's. */
export function meanOf(hamiltonian: PauliSum, state: Statevector): number {
  return hamiltonian.reduce((sum, { coefficient, string }) => sum + coefficient * state.pauli(string), 0);
}

/** Adds e^{−i·angle/2·P}: each letter turned to Z, their parity on one qubit, rz, and all of it back. */
export function addPauliRotation(circuit: Circuit, string: string, angle: number): void {
  const letters = string.split("").toReversed();
  const qubits = letters.flatMap((letter, qubit) => (letter === "I" ? [] : [qubit]));
  const last = qubits.at(-1);
  if (last === undefined) return;
  for (const qubit of qubits) {
    if (letters[qubit] === "X") circuit.add("h", [qubit]);
    if (letters[qubit] === "Y") circuit.add("rx", [qubit], [Math.PI / 2]);
  }
  for (const [k, qubit] of qubits.slice(1).entries()) circuit.add("cx", [qubits[k]!, qubit]);
  circuit.add("rz", [last], [angle]);
  for (const [k, qubit] of [...qubits.slice(1).entries()].toReversed()) circuit.add("cx", [qubits[k]!, qubit]);
  for (const qubit of qubits) {
    if (letters[qubit] === "X") circuit.add("h", [qubit]);
    if (letters[qubit] === "Y") circuit.add("rx", [qubit], [-Math.PI / 2]);
  }
}

/** The most qubits whose ground state is computed exactly. */
const EXACT_QUBITS_MAX = 16;
const LANCZOS_STEPS_MAX = 150;
const LANCZOS_TOLERANCE = 1e-13;

/**
 * The least eigenvalue, by Lanczos' iteration with full orthogonalization. Strings with an odd number of Y make the
 * matrix complex: argument_invalid, as for more qubits than 16.
 */
export function groundEnergy(hamiltonian: PauliSum): number {
  const qubits = hamiltonian[0]?.string.length ?? 0;
  const terms = hamiltonian.map((term) => realTerm(term, qubits));
  const size = 2 ** qubits;
  const basis: Float64Array[] = [];
  // A start that has a part of every eigenvector, but for accidents.
  let vector = normalized(Float64Array.from({ length: size }, (_, k) => 1 + Math.sin(7 * k + 1) / 2));
  const [alphas, betas]: [number[], number[]] = [[], []];
  let energy = Infinity;
  for (let step = 0; step < Math.min(size, LANCZOS_STEPS_MAX); step++) {
    basis.push(vector);
    const image = new Float64Array(size);
    for (const { coefficient, flips, signs } of terms) {
      for (let k = 0; k < size; k++)
        image[k ^ flips]! += parity(k & signs) ? -coefficient * vector[k]! : coefficient * vector[k]!;
    }
    alphas.push(dot(image, vector));
    for (const previous of [...basis, ...basis]) {
      const part = dot(image, previous);
      for (let k = 0; k < size; k++) image[k]! -= part * previous[k]!;
    }
    const before = energy;
    energy = leastEigenvalue(alphas, betas);
    const length = Math.sqrt(dot(image, image));
    if (length < LANCZOS_TOLERANCE || Math.abs(before - energy) < LANCZOS_TOLERANCE) break;
    betas.push(length);
    vector = normalized(image);
  }
  return energy;
}

function realTerm({ coefficient, string }: PauliSum[number], qubits: number) {
  const letters = string.split("").toReversed();
  const mask = (which: string): number =>
    letters.reduce((sum, letter, qubit) => sum + (which.includes(letter) ? 2 ** qubit : 0), 0);
  const ys = letters.filter((letter) => letter === "Y").length;
  if (letters.length !== qubits || qubits > EXACT_QUBITS_MAX || ys % 2 === 1) {
    throw new FlashloanError(
      "argument_invalid",
      `"${string}" must have ${qubits} letters, at most ${EXACT_QUBITS_MAX}, and an even number of Y`,
    );
  }
  // Y = iXZ, and i² = −1.
  return { coefficient: ys % 4 === 2 ? -coefficient : coefficient, flips: mask("XY"), signs: mask("YZ") };
}

/** Of the symmetric tridiagonal matrix with these diagonals, by bisection over Sturm's sequence. */
function leastEigenvalue(diagonal: readonly number[], beside: readonly number[]): number {
  const radius = (k: number): number =>
    Math.abs(beside[k - 1] ?? 0) + Math.abs(k < diagonal.length - 1 ? beside[k]! : 0);
  let low = Math.min(...diagonal.map((value, k) => value - radius(k)));
  let high = Math.min(...diagonal);
  const isAbove = (x: number): boolean => {
    let pivot = 1;
    for (const [k, value] of diagonal.entries()) {
      pivot = value - x - (k === 0 ? 0 : beside[k - 1]! ** 2 / pivot);
      if (pivot <= 0) return false;
    }
    return true;
  };
  for (let k = 0; k < 100 && high - low > 1e-15 * Math.max(1, Math.abs(low)); k++) {
    const middle = (low + high) / 2;
    if (isAbove(middle)) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

function parity(bits: number): number {
  bits ^= bits >> 8;
  bits ^= bits >> 4;
  bits ^= bits >> 2;
  return (bits ^ (bits >> 1)) & 1;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k]! * b[k]!;
  return sum;
}

function normalized(vector: Float64Array): Float64Array {
  const length = Math.sqrt(dot(vector, vector));
  return vector.map((value) => value / length);
}
