import { describe, expect, test } from "vitest";
import { Circuit } from "@flashloan/statevector/circuit";
import { HYDROGEN, HYDROGEN_REPULSION, isingChain } from "../src/hamiltonians.ts";
import { addPauliRotation, groundEnergy, meanOf, type PauliSum } from "../src/pauli.ts";
import { coupledCluster, hamiltonianVariational, hardwareEfficient, runVqe } from "../src/vqe.ts";

const LIMITS = { evaluationsMax: 300, tolerance: 1e-9 };

describe("hydrogen", () => {
  const ground = -1.85727503;

  test("its ground energy", () => {
    expect(groundEnergy(HYDROGEN)).toBeCloseTo(ground, 8);
    expect(groundEnergy(HYDROGEN) + HYDROGEN_REPULSION).toBeCloseTo(-1.137306, 6);
  });

  test("coupled cluster with one double excitation is exact", () => {
    // |01⟩ is the Hartree–Fock state, |10⟩ both electrons above; i(T − T†) of it is (XY − YX)/2.
    const excitation: PauliSum = [
      { coefficient: 0.5, string: "XY" },
      { coefficient: -0.5, string: "YX" },
    ];
    const ansatz = coupledCluster(2, [0], [excitation]);
    const hartreeFock = meanOf(HYDROGEN, ansatz.build([0]).run());
    expect(hartreeFock + HYDROGEN_REPULSION).toBeCloseTo(-1.116999, 5);
    const { energy } = runVqe(HYDROGEN, ansatz, [0], LIMITS);
    expect(energy).toBeCloseTo(ground, 8);
  });

  test("a hardware-efficient ansatz of one layer reaches it", () => {
    const ansatz = hardwareEfficient(2, 1);
    const start = Float64Array.from({ length: ansatz.parameters }, (_, k) => 0.1 + 0.3 * (k % 3));
    const { energy, circuit, parameters } = runVqe(HYDROGEN, ansatz, start, LIMITS);
    expect(energy).toBeCloseTo(ground, 7);
    expect(meanOf(HYDROGEN, circuit.run())).toBe(energy);
    expect(parameters).toHaveLength(8);
  });
});

describe("the transverse-field Ising chain", () => {
  test.each([2, 4, 8, 10])(
    "the ground energy of %i sites at the critical point is 1 − 1/sin(π/(2(2n + 1)))",
    (sites) => {
      const expected = 1 - 1 / Math.sin(Math.PI / (2 * (2 * sites + 1)));
      expect(groundEnergy(isingChain(sites))).toBeCloseTo(expected, 9);
    },
  );

  test("eight sites have −9.837951447459", () => {
    expect(groundEnergy(isingChain(8))).toBeCloseTo(-9.837951447459, 9);
  });

  test("as many layers of its own parts as it has sites reach it", () => {
    const chain = isingChain(4);
    const ansatz = hamiltonianVariational([chain.slice(0, 3), chain.slice(3)], 4);
    const start = Float64Array.from({ length: ansatz.parameters }, () => 0.6);
    expect(runVqe(chain, ansatz, start, LIMITS).energy).toBeCloseTo(groundEnergy(chain), 6);
  });
});

test("a Pauli rotation is cos(θ/2) − i·sin(θ/2)·P", () => {
  // On a state without symmetries: its overlap with the unturned state is cos(θ/2) − i·sin(θ/2)·⟨P⟩.
  for (const string of ["XIZ", "YYX", "IZI", "ZXY"]) {
    const prepared = new Circuit(3);
    for (const qubit of [0, 1, 2]) prepared.add("u3", [qubit], [0.4 + qubit, 0.2, 1.1]);
    const before = prepared.add("cx", [0, 2]).run();
    addPauliRotation(prepared, string, 0.8);
    const after = prepared.run();
    const [a, b] = [before.amplitudes, after.amplitudes];
    let [re, im] = [0, 0];
    for (let k = 0; k < a.length; k += 2) {
      re += a[k]! * b[k]! + a[k + 1]! * b[k + 1]!;
      im += a[k]! * b[k + 1]! - a[k + 1]! * b[k]!;
    }
    expect(re).toBeCloseTo(Math.cos(0.4), 12);
    expect(im).toBeCloseTo(-Math.sin(0.4) * before.pauli(string), 12);
  }
});

test("what has no real matrix is refused", () => {
  expect(() => groundEnergy([{ coefficient: 1, string: "XY" }])).toThrow(/an even number of Y/);
  expect(() => groundEnergy(isingChain(17))).toThrow(/at most 16/);
});
