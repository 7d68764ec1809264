import { FlashloanError } from "@flashloan/shared/errors";
import { annihilate, create, multiply, realPart, sum, type PauliPolynomial } from "./fermions.ts";
import type { PauliSum } from "./pauli.ts";

const BOHR_ANGSTROM = 0.529177210903;

/** STO-3G's 1s shells (Hehre, Stewart and Pople 1969): exponents, and coefficients of normalized Gaussians. */
const EXPONENTS = {
  H: [3.425250914, 0.6239137298, 0.168855404],
  He: [6.362421394, 1.158922999, 0.3136497915],
} as const;
const COEFFICIENTS = [0.1543289673, 0.5353281423, 0.4446345422] as const;
const CHARGES = { H: 1, He: 2 } as const;

/** A nucleus on the axis. */
interface Nucleus {
  readonly element: keyof typeof EXPONENTS;
  /** In bohr. */
  readonly place: number;
}

/** Two electrons in the two molecular orbitals of a diatomic molecule, by Jordan and Wigner's mapping on four qubits. */
export interface Molecule {
  /** The electrons' Hamiltonian, in hartree. Qubits: lower orbital up and down, upper orbital up and down. */
  readonly hamiltonian: PauliSum;
  /** The nuclei's repulsion, in hartree. */
  readonly repulsion: number;
  /** Hartree–Fock's total energy, in hartree. */
  readonly hartreeFock: number;
  /** i(T − T†) of each single and double excitation that keeps the spin. */
  readonly excitations: readonly PauliSum[];
}

/** H₂ ("H", "H") or HeH⁺ ("He", "H") in STO-3G at a distance in ångström. */
export function createMolecule(first: Nucleus["element"], second: Nucleus["element"], distance: number): Molecule {
  if (!(distance > 0 && distance < 100)) {
    throw new FlashloanError("argument_invalid", `distance must be above 0 and below 100 Å, not ${distance}`);
  }
  const nuclei: Nucleus[] = [
    { element: first, place: 0 },
    { element: second, place: distance / BOHR_ANGSTROM },
  ];
  const repulsion = (CHARGES[first] * CHARGES[second]) / nuclei[1]!.place;
  const { one, two } = orbitalIntegrals(nuclei);
  const electrons = 2 * one[0]![0]! + two(0, 0, 0, 0);
  return {
    hamiltonian: secondQuantized(one, two),
    repulsion,
    hartreeFock: electrons + repulsion,
    excitations: [generator([2], [0]), generator([3], [1]), generator([2, 3], [1, 0])],
  };
}

type One = readonly (readonly number[])[];
type Two = (p: number, q: number, r: number, s: number) => number;

/** ⟨p|h|q⟩ and (pq|rs) between Hartree–Fock's orbitals. */
function orbitalIntegrals(nuclei: readonly Nucleus[]): { one: One; two: Two } {
  const overlap = contracted(nuclei, 0, 1, primitiveOverlap);
  // The second shell, made orthogonal to the first.
  const rest = Math.sqrt(1 - overlap ** 2);
  const orthonormal = [
    [1, 0],
    [-overlap / rest, 1 / rest],
  ] as const;
  const core = [0, 1].map((p) =>
    [0, 1].map((q) => contracted(nuclei, p, q, (a, b) => primitiveKinetic(a, b) + primitiveAttraction(a, b, nuclei))),
  );
  const repulsions = contractedRepulsions(nuclei);
  let angle = 0;
  let orbitals = rotated(orthonormal, angle);
  for (let step = 0; step < 200; step++) {
    const one = transformOne(core, orbitals);
    const two = transformTwo(repulsions, orbitals);
    // Fock's matrix between the orbitals of now, whose turn it tells.
    const fock = (p: number, q: number): number => one[p]![q]! + 2 * two(p, q, 0, 0) - two(p, 0, q, 0);
    const turn = Math.atan2(2 * fock(0, 1), fock(0, 0) - fock(1, 1)) / 2;
    const lower = fock(0, 0) * Math.cos(turn) ** 2 + fock(1, 1) * Math.sin(turn) ** 2 + fock(0, 1) * Math.sin(2 * turn);
    const isLower = lower <= (fock(0, 0) + fock(1, 1)) / 2;
    const change = isLower ? turn : turn + Math.PI / 2;
    angle += change;
    orbitals = rotated(orthonormal, angle);
    if (Math.abs(Math.sin(change)) < 1e-14) break;
  }
  return { one: transformOne(core, orbitals), two: transformTwo(repulsions, orbitals) };
}

type Orbitals = readonly (readonly number[])[];

function rotated(basis: Orbitals, angle: number): Orbitals {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return [
    [0, 1].map((k) => cos * basis[0]![k]! + sin * basis[1]![k]!),
    [0, 1].map((k) => -sin * basis[0]![k]! + cos * basis[1]![k]!),
  ];
}

const PAIR = [0, 1] as const;

function transformOne(core: One, orbitals: Orbitals): One {
  return PAIR.map((p) =>
    PAIR.map((q) =>
      PAIR.flatMap((i) => PAIR.map((j) => orbitals[p]![i]! * orbitals[q]![j]! * core[i]![j]!)).reduce((a, b) => a + b),
    ),
  );
}

function transformTwo(repulsions: Two, orbitals: Orbitals): Two {
  return (p, q, r, s) => {
    let total = 0;
    for (const i of PAIR)
      for (const j of PAIR)
        for (const k of PAIR)
          for (const l of PAIR) {
            total += orbitals[p]![i]! * orbitals[q]![j]! * orbitals[r]![k]! * orbitals[s]![l]! * repulsions(i, j, k, l);
          }
    return total;
  };
}

/** Σ h a†a + ½ Σ (pr|qs) a†a†aa over spin orbitals, as Pauli strings. */
function secondQuantized(one: One, two: Two): PauliSum {
  const terms: PauliPolynomial[] = [];
  const spins = [0, 1, 2, 3];
  const add = (coefficient: number, ...operators: PauliPolynomial[]): void => {
    if (coefficient !== 0) terms.push(multiply(coefficient, ...operators));
  };
  for (const p of spins)
    for (const q of spins) {
      if (p % 2 === q % 2) add(one[p >> 1]![q >> 1]!, create(p, 4), annihilate(q, 4));
      for (const r of spins)
        for (const s of spins) {
          if (p % 2 !== r % 2 || q % 2 !== s % 2) continue;
          const coefficient = two(p >> 1, r >> 1, q >> 1, s >> 1) / 2;
          add(coefficient, create(p, 4), create(q, 4), annihilate(s, 4), annihilate(r, 4));
        }
    }
  return realPart(sum(...terms));
}

/** i(T − T†) for T from some spin orbitals to others. */
function generator(to: readonly number[], from: readonly number[]): PauliSum {
  const excite = [...to.map((p) => create(p, 4)), ...from.map((p) => annihilate(p, 4))];
  const back = [...from.toReversed().map((p) => create(p, 4)), ...to.toReversed().map((p) => annihilate(p, 4))];
  const i = new Map([["IIII", [0, 1] as const]]);
  return realPart(sum(multiply(1, i, ...excite), multiply(-1, i, ...back)));
}

interface Gaussian {
  readonly exponent: number;
  readonly place: number;
}

/** A sum over the primitives of some shells. */
function contracted(
  nuclei: readonly Nucleus[],
  p: number,
  q: number,
  integral: (a: Gaussian, b: Gaussian) => number,
): number {
  let total = 0;
  for (const [a, weightA] of shell(nuclei[p]!)) {
    for (const [b, weightB] of shell(nuclei[q]!)) total += weightA * weightB * integral(a, b);
  }
  return total;
}

function contractedRepulsions(nuclei: readonly Nucleus[]): Two {
  const known = new Map<string, number>();
  return (p, q, r, s) => {
    const key = `${p}${q}${r}${s}`;
    const value =
      known.get(key) ??
      contracted(nuclei, p, q, (a, b) => contracted(nuclei, r, s, (c, d) => primitiveRepulsion(a, b, c, d)));
    known.set(key, value);
    return value;
  };
}

/** The Gaussians of a shell with their weights, norms included. */
function shell({ element, place }: Nucleus): (readonly [Gaussian, number])[] {
  return EXPONENTS[element].map((exponent, k) => [
    { exponent, place },
    COEFFICIENTS[k]! * ((2 * exponent) / Math.PI) ** 0.75,
  ]);
}

// Integrals of s Gaussians: Szabo and Ostlund, Modern Quantum Chemistry, appendix A.

function primitiveOverlap(a: Gaussian, b: Gaussian): number {
  const total = a.exponent + b.exponent;
  return (Math.PI / total) ** 1.5 * Math.exp((-a.exponent * b.exponent * (a.place - b.place) ** 2) / total);
}

function primitiveKinetic(a: Gaussian, b: Gaussian): number {
  const reduced = (a.exponent * b.exponent) / (a.exponent + b.exponent);
  return reduced * (3 - 2 * reduced * (a.place - b.place) ** 2) * primitiveOverlap(a, b);
}

function primitiveAttraction(a: Gaussian, b: Gaussian, nuclei: readonly Nucleus[]): number {
  const total = a.exponent + b.exponent;
  const centre = centreOf(a, b);
  return nuclei.reduce(
    (sum, { element, place }) =>
      sum -
      CHARGES[element] * 2 * Math.sqrt(total / Math.PI) * primitiveOverlap(a, b) * boys(total * (centre - place) ** 2),
    0,
  );
}

function primitiveRepulsion(a: Gaussian, b: Gaussian, c: Gaussian, d: Gaussian): number {
  const [left, right] = [a.exponent + b.exponent, c.exponent + d.exponent];
  const reduced = (left * right) / (left + right);
  const distance = centreOf(a, b) - centreOf(c, d);
  return (
    2 * Math.sqrt(reduced / Math.PI) * primitiveOverlap(a, b) * primitiveOverlap(c, d) * boys(reduced * distance ** 2)
  );
}

function centreOf(a: Gaussian, b: Gaussian): number {
  return (a.exponent * a.place + b.exponent * b.place) / (a.exponent + b.exponent);
}

/** ∫₀¹ e^{−tu²} du. */
function boys(t: number): number {
  // erf is 1 to all digits.
  if (t > 40) return Math.sqrt(Math.PI / t) / 2;
  let [term, total] = [1, 1];
  for (let k = 1; term > 1e-17 * total; k++) {
    term *= (2 * t) / (2 * k + 1);
    total += term;
  }
  return Math.exp(-t) * total;
}
