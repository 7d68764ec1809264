import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Circuit, qaoaCircuit } from "../src/circuit.ts";
import { GATES, type GateDefinition, type GateName } from "../src/gates.ts";
import { toQasm2, toQasm3 } from "../src/qasm.ts";
import { embed, expi, qaoaState, times, transform, type Complex, type Dense } from "./reference.ts";

const NAMES = Object.keys(GATES) as GateName[];
const r = Math.SQRT1_2;

/** Real numbers as a complex matrix. */
function real(rows: readonly (readonly number[])[]): Dense {
  return rows.map((row) => row.map((value) => [value, 0] as const));
}

function phases(...angles: readonly number[]): Dense {
  return angles.map((angle, row) => angles.map((_, column) => (row === column ? expi(angle) : ([0, 0] as const))));
}

function u3(theta: number, phi: number, lambda: number): Dense {
  const [c, s]: [Complex, Complex] = [
    [Math.cos(theta / 2), 0],
    [Math.sin(theta / 2), 0],
  ];
  return [
    [c, times([-1, 0], times(expi(lambda), s))],
    [times(expi(phi), s), times(expi(phi + lambda), c)],
  ];
}

function scaled(matrix: Dense, factor: Complex): Dense {
  return matrix.map((row) => row.map((entry) => times(factor, entry)));
}

/** A matrix on the last qubit where all the others, which come first, are 1. */
function controlled(matrix: Dense, controls: number): Dense {
  const size = 2 ** (controls + 1);
  const mask = 2 ** controls - 1;
  return Array.from({ length: size }, (_, row) =>
    Array.from({ length: size }, (_, column): Complex => {
      const open = (row & mask) === mask && (column & mask) === mask;
      if (open) return matrix[row >> controls]![column >> controls]!;
      return row === column ? [1, 0] : [0, 0];
    }),
  );
}

/** A permutation of basis states. */
function permuted(...images: readonly number[]): Dense {
  return real(images.map((_, row) => images.map((image) => (image === row ? 1 : 0))));
}

const X = permuted(1, 0);
const Y: Dense = [
  [
    [0, 0],
    [0, -1],
  ],
  [
    [0, 1],
    [0, 0],
  ],
];
const H = real([
  [r, r],
  [r, -r],
]);
const SX = scaled(u3(Math.PI / 2, -Math.PI / 2, Math.PI / 2), expi(Math.PI / 4));
const RX = (theta: number): Dense => u3(theta, -Math.PI / 2, Math.PI / 2);
const RY = (theta: number): Dense => u3(theta, 0, 0);
const RZ = (phi: number): Dense => phases(-phi / 2, phi / 2);
const P = (lambda: number): Dense => phases(0, lambda);

/** Margolus' gate with three controls: i of |0011⟩, −i of |1011⟩ (last qubit first), and a rotation where all are 1. */
const RC3X: Dense = Array.from({ length: 16 }, (_, row) =>
  Array.from({ length: 16 }, (_, column): Complex => {
    if (row === 7 && column === 15) return [1, 0];
    if (row === 15 && column === 7) return [-1, 0];
    if (row !== column || row === 7 || row === 15) return [0, 0];
    if (row === 3) return [0, 1];
    return row === 11 ? [0, -1] : [1, 0];
  }),
);

/** Each gate of the library, from its definition; the target of a controlled gate is its last qubit. */
const DEFINITIONS: Record<GateName, (...parameters: number[]) => Dense> = {
  id: () => phases(0, 0),
  x: () => X,
  y: () => Y,
  z: () => phases(0, Math.PI),
  h: () => H,
  s: () => P(Math.PI / 2),
  sdg: () => P(-Math.PI / 2),
  t: () => P(Math.PI / 4),
  tdg: () => P(-Math.PI / 4),
  sx: () => SX,
  sxdg: () => scaled(RX(-Math.PI / 2), expi(-Math.PI / 4)),
  p: (lambda) => P(lambda),
  rx: (theta) => RX(theta),
  ry: (theta) => RY(theta),
  rz: (phi) => RZ(phi),
  u1: (lambda) => P(lambda),
  u2: (phi, lambda) => u3(Math.PI / 2, phi, lambda),
  u3: (theta, phi, lambda) => u3(theta, phi, lambda),
  u: (theta, phi, lambda) => u3(theta, phi, lambda),
  cx: () => permuted(0, 3, 2, 1),
  cy: () => controlled(Y, 1),
  cz: () => phases(0, 0, 0, Math.PI),
  ch: () => controlled(H, 1),
  csx: () => controlled(SX, 1),
  cp: (lambda) => phases(0, 0, 0, lambda),
  cu1: (lambda) => phases(0, 0, 0, lambda),
  crx: (theta) => controlled(RX(theta), 1),
  cry: (theta) => controlled(RY(theta), 1),
  crz: (phi) => controlled(RZ(phi), 1),
  cu3: (theta, phi, lambda) => controlled(u3(theta, phi, lambda), 1),
  cu: (theta, phi, lambda, gamma) => controlled(scaled(u3(theta, phi, lambda), expi(gamma)), 1),
  ccx: () => permuted(0, 1, 2, 7, 4, 5, 6, 3),
  c3x: () => controlled(X, 3),
  c4x: () => controlled(X, 4),
  c3sqrtx: () => controlled(SX, 3),
  swap: () => permuted(0, 2, 1, 3),
  cswap: () => permuted(0, 1, 2, 5, 4, 3, 6, 7),
  rzz: (theta) => phases(-theta / 2, theta / 2, theta / 2, -theta / 2),
  rxx: (theta) => {
    const [c, s]: [Complex, Complex] = [
      [Math.cos(theta / 2), 0],
      [0, -Math.sin(theta / 2)],
    ];
    return Array.from({ length: 4 }, (_, row) =>
      Array.from({ length: 4 }, (_, column): Complex => (row === column ? c : row === 3 - column ? s : [0, 0])),
    );
  },
  // Margolus' gate: the Toffoli gate up to the phase −1 of |101⟩ (first qubit first) and ±i of its flips.
  rccx: () => {
    const matrix = Array.from({ length: 8 }, (_, row) =>
      Array.from({ length: 8 }, (_, column): Complex => (row === column ? [1, 0] : [0, 0])),
    );
    matrix[5]![5] = [-1, 0];
    matrix[3]![3] = matrix[7]![7] = [0, 0];
    matrix[3]![7] = [0, -1];
    matrix[7]![3] = [0, 1];
    return matrix;
  },
  rc3x: () => RC3X,
};

/** A random gate in a random place of a register. */
function operation(register: number) {
  return fc.constantFrom(...NAMES.filter((name) => GATES[name].qubits <= register)).chain((gate) =>
    fc.record({
      gate: fc.constant(gate),
      qubits: fc.shuffledSubarray([...Array(register).keys()], {
        minLength: GATES[gate].qubits,
        maxLength: GATES[gate].qubits,
      }),
      parameters: fc.array(fc.double({ min: -7, max: 7, noNaN: true }), {
        minLength: GATES[gate].parameters,
        maxLength: GATES[gate].parameters,
      }),
    }),
  );
}

/** The greatest distance of an amplitude's component from what it should be. */
function distance(amplitudes: ArrayLike<number>, expected: readonly Complex[]): number {
  return expected.flat().reduce((most, value, index) => Math.max(most, Math.abs(value - amplitudes[index]!)), 0);
}

describe.each(["f64", "f32"] as const)("%s", (precision) => {
  test("random circuits of all gates give what dense matrices give, and keep the norm", () => {
    const register = 5;
    fc.assert(
      fc.property(fc.array(operation(register), { minLength: 1, maxLength: 12 }), (operations) => {
        const circuit = new Circuit(register);
        let expected: Complex[] = Array.from({ length: 2 ** register }, (_, x) => [x === 0 ? 1 : 0, 0]);
        // A state without symmetries first.
        for (let qubit = 0; qubit < register; qubit++) {
          circuit.add("u3", [qubit], [0.5 + qubit, 0.3 * qubit, 0.1]);
          expected = transform(embed(u3(0.5 + qubit, 0.3 * qubit, 0.1), [qubit], register), expected);
        }
        for (const { gate, qubits, parameters } of operations) {
          circuit.add(gate, qubits, parameters);
          expected = transform(embed(DEFINITIONS[gate](...parameters), qubits, register), expected);
        }
        const { amplitudes } = circuit.run(precision);
        expect(distance(amplitudes, expected)).toBeLessThan(precision === "f64" ? 1e-13 : 1e-5);
        const norm = Float64Array.from(amplitudes).reduce((sum, value) => sum + value * value, 0);
        expect(norm).toBeCloseTo(1, precision === "f64" ? 12 : 4);
      }),
      { numRuns: 60 },
    );
  });

  test("Pauli strings have their means", () => {
    // Bell state: XX = ZZ = 1, YY = −1; and a state with a phase for Y.
    const bell = new Circuit(2).add("h", [0]).add("cx", [0, 1]).run(precision);
    const means = (["II", "XX", "ZZ", "YY", "XY", "ZI"] as const).map((string) => bell.pauli(string));
    for (const [index, mean] of [1, 1, 1, -1, 0, 0].entries()) expect(means[index]).toBeCloseTo(mean, 6);
    const plusI = new Circuit(2).add("h", [1]).add("s", [1]).run(precision);
    expect(plusI.pauli("YZ")).toBeCloseTo(1, 6);
    const three = new Circuit(3);
    for (const qubit of [0, 1, 2]) three.add("rx", [qubit], [-0.7]);
    // ⟨Y⟩ of rx(θ)|0⟩ is −sin θ.
    expect(three.run(precision).pauli("YYY")).toBeCloseTo(Math.sin(0.7) ** 3, 6);
    expect(() => bell.pauli("XQ")).toThrow(/must be 2 letters/);
  });
});

test("every gate is its definition", () => {
  for (const gate of NAMES) {
    const { qubits, parameters }: GateDefinition = GATES[gate];
    const values = [0.7, -1.9, 2.3, 0.4].slice(0, parameters);
    for (let column = 0; column < 2 ** qubits; column++) {
      const circuit = new Circuit(qubits);
      for (let qubit = 0; qubit < qubits; qubit++) if ((column >> qubit) & 1) circuit.add("x", [qubit]);
      circuit.add(gate, [...Array(qubits).keys()], values);
      const expected = DEFINITIONS[gate](...values).map((row) => row[column]!);
      expect(distance(circuit.run().amplitudes, expected), gate).toBeLessThan(1e-14);
    }
  }
});

test("QAOA's circuit prepares QAOA's state", () => {
  const cost = {
    linear: [1, 0, -2, 0.5],
    quadratic: [
      [0, 1, 1.5],
      [2, 3, -1],
      [1, 1, 0.25],
    ],
  } as const;
  const costs = Array.from({ length: 16 }, (_, x) => {
    const bit = (i: number): number => (x >> i) & 1;
    return (
      cost.linear.reduce<number>((sum, weight, i) => sum + weight * bit(i), 0) +
      cost.quadratic.reduce<number>((sum, [i, j, weight]) => sum + weight * bit(i) * bit(j), 0)
    );
  });
  const angles = [
    [0.3, 0.9],
    [0.4, 0.2],
  ] as const;
  const { amplitudes } = qaoaCircuit(4, cost, angles[0], angles[1]).run();
  expect(distance(amplitudes, qaoaState(costs, angles[0], angles[1]))).toBeLessThan(1e-14);
});

test("shots follow the classical bits that qubits are measured into", () => {
  const circuit = new Circuit(3).add("x", [2]).add("h", [0]).add("cx", [0, 1]).measure(2, 0).measure(1);
  const counts = circuit.sample(1_000, 3);
  expect([...counts.keys()]).toEqual([0b01, 0b11]);
  expect(Math.abs(counts.get(0b01)! - 500)).toBeLessThan(80);
  expect(circuit.sample(1_000, 3)).toEqual(counts);
  expect(() => new Circuit(1).sample(1, 1)).toThrow(/nothing is measured/);
});

test("circuits are written as OpenQASM 2 and 3", async () => {
  const circuit = new Circuit(5);
  for (const [index, gate] of NAMES.entries()) {
    const { qubits, parameters } = GATES[gate];
    circuit.add(
      gate,
      Array.from({ length: qubits }, (_, k) => (index + k) % 5),
      [0.5, -0.25, 1e-7, 3].slice(0, parameters),
    );
  }
  circuit.measureAll();
  await expect(toQasm2(circuit)).toMatchFileSnapshot("./golden/every-gate.qasm2");
  await expect(toQasm3(circuit)).toMatchFileSnapshot("./golden/every-gate.qasm3");
  const bell = new Circuit(2).add("h", [0]).add("cx", [0, 1]);
  expect(toQasm2(bell)).toBe('OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\nh q[0];\ncx q[0], q[1];\n');
});

test("what is no circuit is refused, and the message says why", () => {
  const circuit = new Circuit(3);
  expect(() => new Circuit(0)).toThrow(/1 to 1000 qubits, not 0/);
  expect(() => new Circuit(40).run()).toThrow(/40 qubits need/);
  expect(() => circuit.add("toString" as GateName, [0])).toThrow(/no gate "toString"/);
  expect(() => circuit.add("cx", [0])).toThrow(/takes 2 qubits and 0 parameters, not 1 and 0/);
  expect(() => circuit.add("cx", [0, 3])).toThrow(/no qubit 3: they are 0 to 2/);
  expect(() => circuit.add("cx", [1, 1])).toThrow(/must differ/);
  expect(() => circuit.add("rx", [1], [Number.NaN])).toThrow(/must be finite/);
  expect(() => circuit.applyTo(new Circuit(2).run())).toThrow(/of 3 qubits fits no state of 2/);
  circuit.measure(0);
  expect(() => circuit.add("x", [0])).toThrow(/has been measured/);
  expect(() => circuit.measure(1, 0)).toThrow(/bit 0 is taken/);
});
