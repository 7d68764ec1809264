import type { Angles } from "./fixed-angles.ts";

/**
 * The share of edges that QAOA cuts on a regular graph whose shortest cycle is longer than 2p + 1, exactly, without any
 * graph: the iteration over branches of Basso et al. (2022), in O(p²·4^p) by Walsh–Hadamard transforms. Angles as QaoaSimulator's, C the cut count.
 */
export function treeValue({ gammas, betas }: Angles, degree: number): number {
  const layers = gammas.length;
  const branches = degree - 1;
  const width = 2 * layers + 1;
  const size = 2 ** width;
  // A branch's history: spins after each layer of the ket, at the end, and of the bra backwards; bit 1 is spin −1.
  const weights = [...gammas, 0, ...gammas.toReversed().map((gamma) => -gamma)];
  const amplitudes = historyAmplitudes(betas);
  // ½Σ weight·spin of every history; of the product of two histories it is that of their exclusive or.
  const phases = Float64Array.from({ length: size }, (_, history) =>
    weights.reduce((sum, weight, k) => sum + (weight / 2) * ((history >> k) & 1 ? -1 : 1), 0),
  );
  const cosines = transform(phases.map(Math.cos));
  let [re, im] = [amplitudes.re, amplitudes.im];
  for (let level = 0; level < layers; level++) {
    const [sumRe, sumIm] = [convolve(cosines, re), convolve(cosines, im)];
    [re, im] = [new Float64Array(size), new Float64Array(size)];
    for (let a = 0; a < size; a++) {
      const length = Math.hypot(sumRe[a]!, sumIm[a]!) ** branches;
      const angle = Math.atan2(sumIm[a]!, sumRe[a]!) * branches;
      const [x, y] = [length * Math.cos(angle), length * Math.sin(angle)];
      re[a] = amplitudes.re[a]! * x - amplitudes.im[a]! * y;
      im[a] = amplitudes.re[a]! * y + amplitudes.im[a]! * x;
    }
  }
  // ⟨ZZ⟩ of an edge between two such branches.
  const last = (values: Float64Array) => values.map((value, a) => ((a >> layers) & 1 ? -value : value));
  const [zRe, zIm] = [last(re), last(im)];
  const sines = transform(phases.map(Math.sin));
  const [sRe, sIm] = [convolve(sines, zRe), convolve(sines, zIm)];
  // i·Σ z·s, of which only the real part is left.
  const zz = zRe.reduce((sum, value, a) => sum - value * sIm[a]! - zIm[a]! * sRe[a]!, 0);
  return (1 - zz) / 2;
}

/** Of every history, what the mixers and the uniform superposition contribute. */
function historyAmplitudes(betas: readonly number[]) {
  const layers = betas.length;
  const steps = [...betas.map((beta) => [beta, -1] as const), ...betas.toReversed().map((beta) => [beta, 1] as const)];
  const size = 2 ** (2 * layers + 1);
  const [re, im] = [new Float64Array(size), new Float64Array(size)];
  for (let history = 0; history < size; history++) {
    let [x, y] = [0.5, 0];
    for (const [k, [beta, sign]] of steps.entries()) {
      const flips = ((history >> k) ^ (history >> (k + 1))) & 1;
      if (flips === 0) [x, y] = [x * Math.cos(beta), y * Math.cos(beta)];
      // Times ∓i·sin β.
      else [x, y] = [-y * sign * Math.sin(beta), x * sign * Math.sin(beta)];
    }
    [re[history], im[history]] = [x, y];
  }
  return { re, im };
}

/** Σ_b kernel(a ⊕ b)·values(b), the kernel being given as its transform. */
function convolve(transformed: Float64Array, values: Float64Array): Float64Array {
  const product = transform(values).map((value, k) => (value * transformed[k]!) / values.length);
  return transform(product);
}

/** The Walsh–Hadamard transform. */
function transform(values: Float64Array): Float64Array {
  const out = values.slice();
  for (let half = 1; half < out.length; half *= 2) {
    for (let start = 0; start < out.length; start += 2 * half) {
      for (let k = start; k < start + half; k++) {
        const [a, b] = [out[k]!, out[k + half]!];
        out[k] = a + b;
        out[k + half] = a - b;
      }
    }
  }
  return out;
}
