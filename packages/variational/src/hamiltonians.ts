import type { PauliSum } from "./pauli.ts";

/**
 * Molecular hydrogen in STO-3G at 0.735 Å on two qubits (parity mapping, both symmetries taken out), electronic part.
 * O'Malley et al. (2016) have other coefficients in another basis: don't mix them.
 */
export const HYDROGEN: PauliSum = [
  { coefficient: -1.052373245772859, string: "II" },
  { coefficient: 0.39793742484318045, string: "IZ" },
  { coefficient: -0.39793742484318045, string: "ZI" },
  { coefficient: -0.01128010425623538, string: "ZZ" },
  { coefficient: 0.18093119978423156, string: "XX" },
];

/** The nuclei's repulsion at that distance, in hartree. */
export const HYDROGEN_REPULSION = 0.719969046;

/** The transverse-field Ising chain −J·ΣZZ − h·ΣX, its ends open. */
export function isingChain(qubits: number, coupling = 1, field = 1): PauliSum {
  const letters = (places: readonly number[], letter: string): string =>
    Array.from({ length: qubits }, (_, k) => (places.includes(qubits - 1 - k) ? letter : "I")).join("");
  return [
    ...Array.from({ length: qubits - 1 }, (_, k) => ({ coefficient: -coupling, string: letters([k, k + 1], "Z") })),
    ...Array.from({ length: qubits }, (_, k) => ({ coefficient: -field, string: letters([k], "X") })),
  ];
}
