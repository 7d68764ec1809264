import { FlashloanError } from "@flashloan/shared/errors";
import type { Angles } from "./fixed-angles.ts";

/**
 * The share of edges that QAOA cuts on a regular graph whose shortest cycle is longer than 2p + 1, exactly, without any
 * graph: the iteration over branches of Basso et al. (2022), in O(p²·4^p). Angles as QaoaSimulator's, C the cut count.
 * @throws FlashloanError argument_invalid for a degree that is no whole number from 2
 */
export function treeValue(angles: Angles, degree: number): number {
  if (!Number.isInteger(degree) || degree < 2)
    throw new FlashloanError("argument_invalid", `degree is ${degree}: must be a whole number from 2`);
  const form = followBranches(angles, {
    kernel: (phase) => 2 * Math.cos(phase),
    grow: (re, im) => raise(re, im, degree - 1),
    last: Math.sin,
  });
  return 0.5 + 2 * form;
}

/**
 * What treeValue less a half becomes, times √degree, for γ/√degree as degrees grow without end: QAOA's energy a spin in the
 * Sherrington–Kirkpatrick model (V_p of Farhi et al. 2022; that the two are one is Basso et al.'s result, 2022). Their γ
 * is half of this.
 */
export function infiniteDegreeValue(angles: Angles): number {
  // (1 − x/D)^D is e^−x, and of the cosine no more than the square is left.
  const form = followBranches(angles, { kernel: (phase) => phase ** 2, grow: decay, last: (phase) => phase });
  return 2 * form;
}

/** How a branch weighs the histories of its root. */
interface Branching {
  /** Of two neighbours' histories, by the phase of their difference. */
  readonly kernel: (phase: number) => number;
  /** From the sum over one child, what all children contribute; in place. */
  readonly grow: (re: Float64Array, im: Float64Array) => void;
  /** As the kernel, for the edge whose correlation is asked. */
  readonly last: (phase: number) => number;
}

/**
 * Follows the tree from its leaves to an edge, and returns uᵀ·last·u of the histories of both ends.
 *
 * A history is a vertex's spin before each layer, of the ket (low bits) and of the bra (high bits), where a bit says whether
 * it differs from the spin at the end. The weights of all histories are a Hermitian matrix (exchange ket and bra): its real
 * part is symmetric and its imaginary part antisymmetric, so their sum is all there is to keep, and a real transform does.
 */
function followBranches({ gammas, betas }: Angles, { kernel, grow, last }: Branching): number {
  const layers = gammas.length;
  const side = 2 ** layers;
  const size = side * side;
  const phases = phasesOf(gammas);
  const { re: ketRe, im: ketIm } = ketAmplitudes(betas);
  const byPhase = (f: (phase: number) => number): Float64Array => {
    const out = new Float64Array(size);
    for (let bra = 0; bra < side; bra++)
      for (let ket = 0; ket < side; ket++) out[bra * side + ket] = f(phases[ket]! - phases[bra]!);
    return transform(out);
  };
  const kernelHat = byPhase(kernel);
  // A leaf has no children: what they contribute is 1.
  const [re, im, sum] = [new Float64Array(size).fill(1), new Float64Array(size), new Float64Array(size)];
  for (let level = 0; level <= layers; level++) {
    if (level > 0) {
      transform(sum);
      for (let k = 0; k < size; k++) sum[k]! *= kernelHat[k]! / size;
      transform(sum);
      for (let bra = 0; bra < side; bra++)
        for (let ket = 0; ket < side; ket++) {
          const [here, mirrored] = [sum[bra * side + ket]!, sum[ket * side + bra]!];
          re[bra * side + ket] = (here + mirrored) / 2;
          im[bra * side + ket] = (here - mirrored) / 2;
        }
      grow(re, im);
    }
    for (let bra = 0; bra < side; bra++)
      for (let ket = 0; ket < side; ket++) {
        const x = (ketRe[ket]! * ketRe[bra]! + ketIm[ket]! * ketIm[bra]!) / 2;
        const y = (ketIm[ket]! * ketRe[bra]! - ketRe[ket]! * ketIm[bra]!) / 2;
        const a = bra * side + ket;
        sum[a] = (x + y) * re[a]! + (x - y) * im[a]!;
      }
  }
  transform(sum);
  return byPhase(last).reduce((form, value, k) => form + (value * sum[k]! ** 2) / size, 0);
}

/** ½Σ γ·spin of every half of a history. */
function phasesOf(gammas: readonly number[]): Float64Array {
  const phases = new Float64Array(2 ** gammas.length);
  phases[0] = gammas.reduce((sum, gamma) => sum + gamma / 2, 0);
  for (const [k, gamma] of gammas.entries()) for (let a = 0; a < 2 ** k; a++) phases[a + 2 ** k] = phases[a]! - gamma;
  return phases;
}

/** Of every half of a history, the product of its mixers: cos β where the spin stays, −i·sin β where it flips. */
function ketAmplitudes(betas: readonly number[]): { re: Float64Array; im: Float64Array } {
  const size = 2 ** betas.length;
  const [re, im] = [new Float64Array(size), new Float64Array(size)];
  for (let ket = 0; ket < size; ket++) {
    let [x, y] = [1, 0];
    for (const [k, beta] of betas.entries()) {
      // The spin at the end, above the highest bit, doesn't differ from itself.
      const flips = ((ket >> k) ^ (ket >> (k + 1))) & 1;
      [x, y] = flips === 0 ? [x * Math.cos(beta), y * Math.cos(beta)] : [y * Math.sin(beta), -x * Math.sin(beta)];
    }
    [re[ket], im[ket]] = [x, y];
  }
  return { re, im };
}

/** Raises each to a power, by squares. */
function raise(re: Float64Array, im: Float64Array, power: number): void {
  for (let a = 0; a < re.length; a++) {
    let [x, y, squareX, squareY] = [1, 0, re[a]!, im[a]!];
    for (let left = power; ;) {
      if (left % 2 === 1) [x, y] = [x * squareX - y * squareY, x * squareY + y * squareX];
      left = Math.floor(left / 2);
      if (left === 0) break;
      [squareX, squareY] = [squareX * squareX - squareY * squareY, 2 * squareX * squareY];
    }
    [re[a], im[a]] = [x, y];
  }
}

/** e^−z of each. */
function decay(re: Float64Array, im: Float64Array): void {
  for (let a = 0; a < re.length; a++) {
    const length = Math.exp(-re[a]!);
    [re[a], im[a]] = [length * Math.cos(im[a]!), -length * Math.sin(im[a]!)];
  }
}

/** So many numbers stay in the second cache. */
const CACHED = 2 ** 14;

/** The Walsh–Hadamard transform of 4^p numbers, in place: quarters until they are small, so that most of the work is done in the cache. */
function transform(values: Float64Array): Float64Array {
  const quarter = values.length / 4;
  if (values.length > CACHED) {
    butterflies(values, quarter);
    for (let part = 0; part < 4; part++) transform(values.subarray(part * quarter, (part + 1) * quarter));
    return values;
  }
  for (let step = quarter; step >= 1; step /= 4) butterflies(values, step);
  return values;
}

/** Two bits of the transform at once. */
function butterflies(values: Float64Array, step: number): void {
  for (let start = 0; start < values.length; start += 4 * step)
    for (let k = start; k < start + step; k++) {
      const [a, b] = [values[k]! + values[k + step]!, values[k]! - values[k + step]!];
      const [c, d] = [values[k + 2 * step]! + values[k + 3 * step]!, values[k + 2 * step]! - values[k + 3 * step]!];
      values[k] = a + c;
      values[k + step] = b + d;
      values[k + 2 * step] = a - c;
      values[k + 3 * step] = b - d;
    }
}
