/** A 2×2 matrix by rows, each entry (re, im). */
export type Matrix = readonly [number, number, number, number, number, number, number, number];

/** A gate of the standard library: a matrix on its last qubit under control of the others, or a sequence of such gates. */
export interface GateDefinition {
  readonly qubits: number;
  readonly parameters: number;
  readonly matrix?: (...parameters: number[]) => Matrix;
  readonly steps?: (...parameters: number[]) => readonly Step[];
  /** As OpenQASM 3 says it, where stdgates.inc lacks the gate: a modified gate of its own. */
  readonly qasm3?: string;
}

/** A gate of a sequence: name, qubits by their place among the whole's, parameters. */
export type Step = readonly [name: string, qubits: readonly number[], parameters?: readonly number[]];

const { PI, SQRT1_2, cos, sin } = Math;

/** OpenQASM 2's U(θ, φ, λ), times e^{iγ}. */
function unitary(theta: number, phi: number, lambda: number, gamma = 0): Matrix {
  const [c, s] = [cos(theta / 2), sin(theta / 2)];
  const sum = gamma + phi + lambda;
  const top = [cos(gamma) * c, sin(gamma) * c, -cos(gamma + lambda) * s, -sin(gamma + lambda) * s] as const;
  return [...top, cos(gamma + phi) * s, sin(gamma + phi) * s, cos(sum) * c, sin(sum) * c];
}

const identity = (): Matrix => [1, 0, 0, 0, 0, 0, 1, 0];
const x = (): Matrix => [0, 0, 1, 0, 1, 0, 0, 0];
const y = (): Matrix => [0, 0, 0, -1, 0, 1, 0, 0];
const z = (): Matrix => [1, 0, 0, 0, 0, 0, -1, 0];
const h = (): Matrix => [SQRT1_2, 0, SQRT1_2, 0, SQRT1_2, 0, -SQRT1_2, 0];
const sx = (): Matrix => [0.5, 0.5, 0.5, -0.5, 0.5, -0.5, 0.5, 0.5];
const sxdg = (): Matrix => [0.5, -0.5, 0.5, 0.5, 0.5, 0.5, 0.5, -0.5];
const p = (lambda: number): Matrix => [1, 0, 0, 0, 0, 0, cos(lambda), sin(lambda)];
const rx = (theta: number): Matrix => [cos(theta / 2), 0, 0, -sin(theta / 2), 0, -sin(theta / 2), cos(theta / 2), 0];
const ry = (theta: number): Matrix => [cos(theta / 2), 0, -sin(theta / 2), 0, sin(theta / 2), 0, cos(theta / 2), 0];
const rz = (phi: number): Matrix => [cos(phi / 2), -sin(phi / 2), 0, 0, 0, 0, cos(phi / 2), sin(phi / 2)];

const on = (qubits: number, parameters: number, matrix: (...parameters: number[]) => Matrix, qasm3?: string) => ({
  qubits,
  parameters,
  matrix,
  ...(qasm3 !== undefined && { qasm3 }),
});

/** The gates of OpenQASM 2's qelib1.inc, and with them those of OpenQASM 3's stdgates.inc. */
export const GATES = {
  id: on(1, 0, identity),
  x: on(1, 0, x),
  y: on(1, 0, y),
  z: on(1, 0, z),
  h: on(1, 0, h),
  s: on(1, 0, () => p(PI / 2)),
  sdg: on(1, 0, () => p(-PI / 2)),
  t: on(1, 0, () => p(PI / 4)),
  tdg: on(1, 0, () => p(-PI / 4)),
  sx: on(1, 0, sx),
  sxdg: on(1, 0, sxdg, "inv @ sx"),
  p: on(1, 1, p),
  rx: on(1, 1, rx),
  ry: on(1, 1, ry),
  rz: on(1, 1, rz),
  u1: on(1, 1, p),
  u2: on(1, 2, (phi: number, lambda: number) => unitary(PI / 2, phi, lambda)),
  u3: on(1, 3, unitary),
  u: on(1, 3, unitary, "u3"),
  cx: on(2, 0, x),
  cy: on(2, 0, y),
  cz: on(2, 0, z),
  ch: on(2, 0, h),
  csx: on(2, 0, sx, "ctrl @ sx"),
  cp: on(2, 1, p),
  cu1: on(2, 1, p, "cp"),
  crx: on(2, 1, rx),
  cry: on(2, 1, ry),
  crz: on(2, 1, rz),
  cu3: on(2, 3, unitary),
  cu: on(2, 4, unitary),
  ccx: on(3, 0, x),
  c3x: on(4, 0, x, "ctrl(3) @ x"),
  c4x: on(5, 0, x, "ctrl(4) @ x"),
  c3sqrtx: on(4, 0, sx, "ctrl(3) @ sx"),
  swap: {
    qubits: 2,
    parameters: 0,
    steps: () => [
      ["cx", [0, 1]],
      ["cx", [1, 0]],
      ["cx", [0, 1]],
    ],
  },
  cswap: {
    qubits: 3,
    parameters: 0,
    steps: () => [
      ["cx", [2, 1]],
      ["ccx", [0, 1, 2]],
      ["cx", [2, 1]],
    ],
  },
  rzz: {
    qubits: 2,
    parameters: 1,
    steps: (theta: number) => [
      ["cx", [0, 1]],
      ["rz", [1], [theta]],
      ["cx", [0, 1]],
    ],
  },
  rxx: {
    qubits: 2,
    parameters: 1,
    steps: (theta: number) => [
      ["h", [0]],
      ["h", [1]],
      ["rzz", [0, 1], [theta]],
      ["h", [0]],
      ["h", [1]],
    ],
  },
  rccx: {
    qubits: 3,
    parameters: 0,
    steps: () => [
      ["h", [2]],
      ["t", [2]],
      ["cx", [1, 2]],
      ["tdg", [2]],
      ["cx", [0, 2]],
      ["t", [2]],
      ["cx", [1, 2]],
      ["tdg", [2]],
      ["h", [2]],
    ],
  },
  rc3x: {
    qubits: 4,
    parameters: 0,
    steps: () => [
      ["h", [3]],
      ["t", [3]],
      ["cx", [2, 3]],
      ["tdg", [3]],
      ["h", [3]],
      ["cx", [0, 3]],
      ["t", [3]],
      ["cx", [1, 3]],
      ["tdg", [3]],
      ["cx", [0, 3]],
      ["t", [3]],
      ["cx", [1, 3]],
      ["tdg", [3]],
      ["h", [3]],
      ["t", [3]],
      ["cx", [2, 3]],
      ["tdg", [3]],
      ["h", [3]],
    ],
  },
} as const satisfies Record<string, GateDefinition>;

/** A gate's name. */
export type GateName = keyof typeof GATES;
