import { FlashloanError } from "@flashloan/shared/errors";
import type { QuadraticCost } from "./cost.ts";
import { Distribution } from "./distribution.ts";
import type { Precision } from "./engine.ts";
import { GATES, type GateDefinition, type GateName } from "./gates.ts";
import { Statevector } from "./statevector.ts";

/** A gate in its place; the last of its qubits is the target of a controlled gate. */
export interface Operation {
  readonly gate: GateName;
  readonly qubits: readonly number[];
  readonly parameters: readonly number[];
}

/** A qubit's measurement into a classical bit. */
export interface Measurement {
  readonly qubit: number;
  readonly bit: number;
}

/** The most qubits of a circuit that is only written down; what a statevector can hold is less. */
const CIRCUIT_QUBITS_MAX = 1_000;

/**
 * A circuit of standard gates with measurements at its end, on the state |0…0⟩.
 *
 * @example
 * new Circuit(2).add("h", [0]).add("cx", [0, 1]).measureAll().sample(1_000, 1);
 */
export class Circuit {
  readonly qubits: number;
  readonly #operations: Operation[] = [];
  readonly #measurements: Measurement[] = [];

  constructor(qubits: number) {
    if (!Number.isInteger(qubits) || qubits < 1 || qubits > CIRCUIT_QUBITS_MAX) {
      throw new FlashloanError("argument_invalid", `a circuit has 1 to ${CIRCUIT_QUBITS_MAX} qubits, not ${qubits}`);
    }
    this.qubits = qubits;
  }

  get operations(): readonly Operation[] {
    return this.#operations;
  }

  get measurements(): readonly Measurement[] {
    return this.#measurements;
  }

  /** Adds a gate. Errors: argument_invalid for qubits that are not there, twice the same or measured, or bad parameters. */
  add(gate: GateName, qubits: readonly number[], parameters: readonly number[] = []): this {
    const definition: GateDefinition | undefined = Object.hasOwn(GATES, gate) ? GATES[gate] : undefined;
    if (!definition) throw new FlashloanError("argument_invalid", `there is no gate "${gate}"`);
    if (qubits.length !== definition.qubits || parameters.length !== definition.parameters) {
      throw new FlashloanError(
        "argument_invalid",
        `${gate} takes ${definition.qubits} qubits and ${definition.parameters} parameters, not ${qubits.length} and ${parameters.length}`,
      );
    }
    for (const qubit of qubits) this.#requireQubit(qubit);
    if (new Set(qubits).size < qubits.length) {
      throw new FlashloanError("argument_invalid", `${gate} on ${qubits.join(", ")}: its qubits must differ`);
    }
    if (!parameters.every(Number.isFinite)) {
      throw new FlashloanError("argument_invalid", `${gate}(${parameters.join(", ")}): parameters must be finite`);
    }
    this.#operations.push({ gate, qubits: [...qubits], parameters: [...parameters] });
    return this;
  }

  /** Measures a qubit, after which no gate may touch it, into the classical bit of its number or another. */
  measure(qubit: number, bit = qubit): this {
    this.#requireQubit(qubit);
    if (
      !Number.isInteger(bit) ||
      bit < 0 ||
      bit >= this.qubits ||
      this.#measurements.some((other) => other.bit === bit)
    ) {
      throw new FlashloanError("argument_invalid", `bit ${bit} is taken, or not one of 0 to ${this.qubits - 1}`);
    }
    this.#measurements.push({ qubit, bit });
    return this;
  }

  measureAll(): this {
    for (let qubit = 0; qubit < this.qubits; qubit++) this.measure(qubit);
    return this;
  }

  /** The state before the measurements. Errors: argument_invalid if memory can't hold it. */
  run(precision: Precision = "f64"): Statevector {
    const state = new Statevector(this.qubits, precision);
    this.applyTo(state);
    return state;
  }

  /** Applies the gates to a state of as many qubits. */
  applyTo(state: Statevector): void {
    if (state.qubits !== this.qubits) {
      throw new FlashloanError(
        "argument_invalid",
        `a circuit of ${this.qubits} qubits fits no state of ${state.qubits}`,
      );
    }
    for (const { gate, qubits, parameters } of this.#operations) applyGate(state, gate, qubits, parameters);
  }

  /** How often each value of the classical bits (bit i counts 2^i) came in so many shots. The same seed gives the same counts. */
  sample(shots: number, seed: number, precision: Precision = "f64"): Map<number, number> {
    if (this.#measurements.length === 0) {
      throw new FlashloanError("argument_invalid", "nothing is measured: add measure or measureAll");
    }
    const { probabilities } = this.run(precision).distribution();
    const measured = new Float64Array(2 ** (1 + Math.max(0, ...this.#measurements.map(({ bit }) => bit))));
    for (const [index, probability] of probabilities.entries()) {
      let value = 0;
      for (const { qubit, bit } of this.#measurements) value += ((index >> qubit) & 1) * 2 ** bit;
      measured[value]! += probability;
    }
    return new Distribution(measured).sample(shots, seed);
  }

  #requireQubit(qubit: number): void {
    if (!Number.isInteger(qubit) || qubit < 0 || qubit >= this.qubits) {
      throw new FlashloanError("argument_invalid", `there is no qubit ${qubit}: they are 0 to ${this.qubits - 1}`);
    }
    if (this.#measurements.some((measurement) => measurement.qubit === qubit)) {
      throw new FlashloanError("argument_invalid", `qubit ${qubit} has been measured: nothing may follow`);
    }
  }
}

/**
 * QAOA's circuit for a quadratic cost, for hardware: the same state as QaoaSimulator's, up to a global phase. The phases
 * are p and cp gates, since e^{−iγwx₁x₂} is the controlled phase −γw.
 */
export function qaoaCircuit(
  qubits: number,
  cost: QuadraticCost,
  gammas: readonly number[],
  betas: readonly number[],
): Circuit {
  const circuit = new Circuit(qubits);
  for (let qubit = 0; qubit < qubits; qubit++) circuit.add("h", [qubit]);
  for (const [layer, gamma] of gammas.entries()) {
    for (const [qubit, weight] of Array.from(cost.linear ?? []).entries()) {
      if (weight !== 0) circuit.add("p", [qubit], [-gamma * weight]);
    }
    for (const [i, j, weight] of cost.quadratic ?? []) {
      if (i === j) circuit.add("p", [i], [-gamma * weight]);
      else circuit.add("cp", [i, j], [-gamma * weight]);
    }
    for (let qubit = 0; qubit < qubits; qubit++) circuit.add("rx", [qubit], [2 * (betas[layer] ?? Number.NaN)]);
  }
  return circuit;
}

function applyGate(state: Statevector, gate: GateName, qubits: readonly number[], parameters: readonly number[]): void {
  const { matrix, steps }: GateDefinition = GATES[gate];
  if (matrix) state.apply(matrix(...parameters), qubits.at(-1) ?? 0, qubits.slice(0, -1));
  for (const [name, places, values] of steps?.(...parameters) ?? []) {
    applyGate(
      state,
      name as GateName,
      places.map((place) => qubits[place]!),
      values ?? [],
    );
  }
}
