/** The part of the npm package quantum-circuit that the benchmark uses; it has no types of its own. */
declare module "quantum-circuit" {
  export default class QuantumCircuit {
    constructor(qubits: number);
    /** The amplitudes that are not zero, by basis state. */
    readonly state: Readonly<Record<string, { readonly re: number; readonly im: number }>>;
    appendGate(
      name: string,
      qubits: readonly number[],
      options?: { readonly params: Readonly<Record<string, number>> },
    ): void;
    run(): void;
  }
}
