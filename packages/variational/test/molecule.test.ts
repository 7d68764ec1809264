import { describe, expect, test } from "vitest";
import { annihilate, create, multiply, sum } from "../src/fermions.ts";
import { createMolecule } from "../src/molecule.ts";
import { meanOf } from "../src/pauli.ts";
import { coupledCluster, runVqe } from "../src/vqe.ts";

describe.each([
  // Full configuration interaction in STO-3G, total energies.
  { name: "H2 at 0.735 Å", first: "H", distance: 0.735, total: -1.137306 },
  { name: "HeH+ at 0.9 Å", first: "He", distance: 0.9, total: -2.862618 },
] as const)("$name", ({ first, distance, total }) => {
  const molecule = createMolecule(first, "H", distance);
  const ansatz = coupledCluster(4, [0, 1], molecule.excitations);

  test("Hartree–Fock's state has Hartree–Fock's energy", () => {
    const mean = meanOf(molecule.hamiltonian, ansatz.build([0, 0, 0]).run());
    expect(mean + molecule.repulsion).toBeCloseTo(molecule.hartreeFock, 10);
    expect(molecule.hartreeFock).toBeGreaterThan(total);
  });

  test("coupled cluster with singles and doubles is exact for two electrons", () => {
    const { energy } = runVqe(molecule.hamiltonian, ansatz, [0, 0, 0], { evaluationsMax: 100, tolerance: 1e-8 });
    expect(energy + molecule.repulsion).toBeCloseTo(total, 6);
  });
});

test("ladder operators anticommute as fermions do", () => {
  for (const [p, q] of [
    [0, 0],
    [0, 2],
    [3, 1],
  ] as const) {
    const both = sum(multiply(1, annihilate(p, 4), create(q, 4)), multiply(1, create(q, 4), annihilate(p, 4)));
    for (const [string, [re, im]] of both) {
      expect(re).toBeCloseTo(p === q && string === "IIII" ? 1 : 0, 15);
      expect(im).toBeCloseTo(0, 15);
    }
  }
});

test("a distance that is none is refused", () => {
  expect(() => createMolecule("H", "H", 0)).toThrow(/distance must be above 0/);
});
