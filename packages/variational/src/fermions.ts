import type { PauliSum } from "./pauli.ts";

/** A complex combination of Pauli strings: coefficients (re, im) by string, whose last letter is qubit 0's. */
export type PauliPolynomial = ReadonlyMap<string, readonly [re: number, im: number]>;

/** a of a mode, by Jordan and Wigner: (X + iY)/2 on its qubit, Z on those below. */
export function annihilate(mode: number, modes: number): PauliPolynomial {
  return ladder(mode, modes, 0.5);
}

/** a† of a mode. */
export function create(mode: number, modes: number): PauliPolynomial {
  return ladder(mode, modes, -0.5);
}

function ladder(mode: number, modes: number, imaginary: number): PauliPolynomial {
  const around = (letter: string): string => "I".repeat(modes - 1 - mode) + letter + "Z".repeat(mode);
  return new Map([
    [around("X"), [0.5, 0]],
    [around("Y"), [0, imaginary]],
  ]);
}

/** A number times a product. */
export function multiply(factor: number, ...polynomials: readonly PauliPolynomial[]): PauliPolynomial {
  const [first, ...rest] = polynomials;
  const product = rest.reduce<PauliPolynomial>((left, right) => {
    const out = new Map<string, readonly [number, number]>();
    for (const [p, [a, b]] of left) {
      for (const [q, [c, d]] of right) {
        const { string, quarters } = multiplyStrings(p, q);
        let [re, im] = [a * c - b * d, a * d + b * c];
        for (let k = 0; k < quarters; k++) [re, im] = [-im, re];
        const [x, y] = out.get(string) ?? [0, 0];
        out.set(string, [x + re, y + im]);
      }
    }
    return out;
  }, first ?? new Map());
  return new Map([...product].map(([string, [re, im]]) => [string, [factor * re, factor * im]]));
}

export function sum(...polynomials: readonly PauliPolynomial[]): PauliPolynomial {
  const out = new Map<string, readonly [number, number]>();
  for (const [string, [re, im]] of polynomials.flatMap((polynomial) => [...polynomial])) {
    const [x, y] = out.get(string) ?? [0, 0];
    out.set(string, [x + re, y + im]);
  }
  return out;
}

const NEGLIGIBLE = 1e-14;

/** A Hermitian polynomial as a sum; its imaginary parts are rounding. */
export function realPart(polynomial: PauliPolynomial): PauliSum {
  return [...polynomial]
    .filter(([, [re]]) => Math.abs(re) > NEGLIGIBLE)
    .map(([string, [coefficient]]) => ({ coefficient, string }));
}

const LETTERS = "IXYZ";

/** P·Q = i^quarters·R, letter by letter. */
function multiplyStrings(p: string, q: string): { string: string; quarters: number } {
  let [string, quarters] = ["", 0];
  for (let k = 0; k < p.length; k++) {
    const [a, b] = [LETTERS.indexOf(p[k]!), LETTERS.indexOf(q[k]!)];
    // XY = iZ and so on round; against the round it is −i.
    if (a > 0 && b > 0 && a !== b) quarters += (b - a + 3) % 3 === 1 ? 1 : 3;
    string += a === b ? "I" : a === 0 ? q[k]! : b === 0 ? p[k]! : LETTERS[6 - a - b]!;
  }
  return { string, quarters: quarters % 4 };
}
