import { FlashloanError } from "@flashloan/shared/errors";
import { Distribution } from "./distribution.ts";
import type { Precision } from "./engine.ts";
import type { Matrix } from "./gates.ts";
import { createKernel, MEMORY_BYTES_MAX, type Kernel } from "./kernel.ts";

const MATRIX_ADDRESS = 1024;
const STATE_ADDRESS = 2048;

/** A state of qubits, |0…0⟩ at first; bit i of a basis state's index is qubit i. */
export class Statevector {
  readonly qubits: number;
  /** (re, im) after (re, im), by basis state; written in place. */
  readonly amplitudes: Float64Array | Float32Array;
  readonly #storage: number;
  readonly #kernel: Kernel;
  readonly #matrix: Float64Array;

  /** Errors: argument_invalid if 32-bit addresses don't reach all of it (27 qubits in f64, 28 in f32). */
  constructor(qubits: number, precision: Precision = "f64") {
    this.#storage = precision === "f64" ? 8 : 4;
    const bytes = STATE_ADDRESS + 2 ** (qubits + 1) * this.#storage;
    if (!Number.isInteger(qubits) || qubits < 1 || bytes > MEMORY_BYTES_MAX) {
      throw new FlashloanError(
        "argument_invalid",
        `${qubits} qubits need ${bytes} bytes of at most ${MEMORY_BYTES_MAX}: use fewer, or f32`,
      );
    }
    this.qubits = qubits;
    const { kernel, memory } = createKernel(bytes);
    this.#kernel = kernel;
    this.#matrix = new Float64Array(memory.buffer, MATRIX_ADDRESS, 8);
    const floats = [memory.buffer, STATE_ADDRESS, 2 ** (qubits + 1)] as const;
    this.amplitudes = precision === "f64" ? new Float64Array(...floats) : new Float32Array(...floats);
    this.amplitudes[0] = 1;
  }

  /** Applies a matrix to a target where all controls are 1. */
  apply(matrix: Matrix, target: number, controls: readonly number[] = []): void {
    const mask = controls.reduce((sum, control) => sum + 2 ** control, 0);
    this.#matrix.set(matrix);
    this.#kernel.applyGate(this.#storage, STATE_ADDRESS, this.qubits, target, mask, MATRIX_ADDRESS);
  }

  /** Turns each amplitude by e^{i·angle·values[index]}. */
  turn(values: ArrayLike<number>, angle: number): void {
    const { amplitudes } = this;
    for (let index = 0; index < amplitudes.length / 2; index++) {
      const [cos, sin] = [Math.cos(angle * values[index]!), Math.sin(angle * values[index]!)];
      const [re, im] = [amplitudes[2 * index]!, amplitudes[2 * index + 1]!];
      amplitudes[2 * index] = re * cos - im * sin;
      amplitudes[2 * index + 1] = re * sin + im * cos;
    }
  }

  /** The probabilities of the basis states. */
  distribution(): Distribution {
    const { amplitudes } = this;
    return new Distribution(
      Float64Array.from(
        { length: amplitudes.length / 2 },
        (_, index) => amplitudes[2 * index]! ** 2 + amplitudes[2 * index + 1]! ** 2,
      ),
    );
  }

  /**
   * ⟨P⟩ of a Pauli string such as "XZIY", whose last letter is qubit 0's. Errors: argument_invalid for other letters or
   * another length.
   */
  pauli(string: string): number {
    if (string.length !== this.qubits || !/^[IXYZ]*$/.test(string)) {
      throw new FlashloanError("argument_invalid", `"${string}" must be ${this.qubits} letters of I, X, Y, Z`);
    }
    const letters = string.split("").toReversed();
    const mask = (which: string): number =>
      letters.reduce((sum, letter, qubit) => sum + (which.includes(letter) ? 2 ** qubit : 0), 0);
    // Y = iXZ; ⟨P⟩ is real, so an odd power of i leaves the imaginary part.
    const power = letters.filter((letter) => letter === "Y").length % 4;
    const overlap = this.#kernel.overlapOf(
      this.#storage,
      STATE_ADDRESS,
      this.qubits,
      mask("XY"),
      mask("YZ"),
      power % 2,
    );
    return power === 0 || power === 3 ? overlap : -overlap;
  }
}
