import { Circuit } from "@flashloan/statevector/circuit";
import { minimizeLbfgs, type Limits } from "./optimizers.ts";
import { addPauliRotation, meanOf, type PauliSum } from "./pauli.ts";

/** A family of circuits. */
export interface Ansatz {
  readonly parameters: number;
  build(parameters: ArrayLike<number>): Circuit;
}

/** The least energy that was found, and where. */
export interface VqeResult {
  readonly energy: number;
  readonly parameters: Float64Array;
  readonly circuit: Circuit;
  readonly evaluations: number;
}

/** Central differences: their error is of the order of their square. */
const DIFFERENCE = 1e-5;

/**
 * The variational quantum eigensolver (Peruzzo et al. 2014): minimizes ⟨H⟩ over an ansatz by L-BFGS with differences.
 * `evaluations` counts energies, differences included.
 */
export function runVqe(hamiltonian: PauliSum, ansatz: Ansatz, start: ArrayLike<number>, limits: Limits): VqeResult {
  let evaluations = 0;
  const energy = (point: Float64Array): number => {
    evaluations += 1;
    return meanOf(hamiltonian, ansatz.build(point).run());
  };
  const objective = (point: Float64Array) => ({
    value: energy(point),
    gradient: point.map(
      (x, k) => (energy(point.with(k, x + DIFFERENCE)) - energy(point.with(k, x - DIFFERENCE))) / (2 * DIFFERENCE),
    ),
  });
  const { point, value } = minimizeLbfgs(objective, start, limits);
  return { energy: value, parameters: point, circuit: ansatz.build(point), evaluations };
}

/** Layers of ry and rz on every qubit with a chain of cx between (Kandala et al. 2017). */
export function hardwareEfficient(qubits: number, layers: number): Ansatz {
  return {
    parameters: 2 * qubits * (layers + 1),
    build(parameters) {
      const circuit = new Circuit(qubits);
      const links = Array.from({ length: qubits - 1 }, (_, qubit) => [qubit, qubit + 1] as const);
      for (let layer = 0, next = 0; layer <= layers; layer++) {
        for (const link of layer === 0 ? [] : links) circuit.add("cx", link);
        for (const gate of ["ry", "rz"] as const) {
          for (let qubit = 0; qubit < qubits; qubit++) circuit.add(gate, [qubit], [parameters[next++]!]);
        }
      }
      return circuit;
    },
  };
}

/**
 * Layers of e^{−iθH_k/2} for parts H_k of a Hamiltonian, a parameter each, on |+…+⟩ (Wecker et al. 2015). The strings of
 * a part must commute.
 */
export function hamiltonianVariational(parts: readonly PauliSum[], layers: number): Ansatz {
  const qubits = parts[0]?.[0]?.string.length ?? 0;
  return {
    parameters: parts.length * layers,
    build(parameters) {
      const circuit = new Circuit(qubits);
      for (let qubit = 0; qubit < qubits; qubit++) circuit.add("h", [qubit]);
      for (let k = 0; k < parts.length * layers; k++) {
        for (const { coefficient, string } of parts[k % parts.length]!) {
          addPauliRotation(circuit, string, coefficient * parameters[k]!);
        }
      }
      return circuit;
    },
  };
}

/**
 * Unitary coupled cluster, one Trotter step: e^{θ(T − T†)} for each excitation, on the state with the occupied qubits set.
 * An excitation is given as the Pauli strings of i(T − T†), with their coefficients.
 */
export function coupledCluster(qubits: number, occupied: readonly number[], excitations: readonly PauliSum[]): Ansatz {
  return {
    parameters: excitations.length,
    build(parameters) {
      const circuit = new Circuit(qubits);
      for (const qubit of occupied) circuit.add("x", [qubit]);
      for (const [k, excitation] of excitations.entries()) {
        // e^{θ(T − T†)} = e^{−iθ·i(T − T†)}.
        for (const { coefficient, string } of excitation) {
          addPauliRotation(circuit, string, 2 * coefficient * parameters[k]!);
        }
      }
      return circuit;
    },
  };
}
