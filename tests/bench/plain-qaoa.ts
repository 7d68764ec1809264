// QAOA in plain JavaScript, for the benchmark: the same frame, tangents, phase table and cache blocks as the package's
// kernel, in radix 4, but for the fusion of layers.

// Inner loops take no arrays apart: that would be twice as slow.
const BLOCK_BITS = 14;

/** What ⟨C⟩ is computed from: a cost from 0 to 255 for each of the 2^qubits basis states. */
export function createPlainQaoa(qubits: number, costs: Uint8Array) {
  const state = new Float64Array(2 ** (qubits + 1));
  const table = new Float64Array(512);

  /** β in (−π/4, π/4). */
  return (gammas: readonly number[], betas: readonly number[]): number => {
    let shrink = 2 ** (-qubits / 2);
    prepare(state);
    for (const [layer, gamma] of gammas.entries()) {
      for (let code = 0; code < 256; code++) {
        table[2 * code] = Math.cos(gamma * code) * shrink;
        table[2 * code + 1] = -Math.sin(gamma * code) * shrink;
      }
      const t = Math.tan(betas[layer]!);
      const block = 2 ** Math.min(qubits, BLOCK_BITS);
      for (let start = 0; start < costs.length; start += block) {
        turn(state, costs, table, start, start + block);
        mix(state, start, start + block, 0, Math.min(qubits, BLOCK_BITS), t);
      }
      mix(state, 0, costs.length, BLOCK_BITS, qubits, t);
      shrink = Math.cos(betas[layer]!) ** qubits;
    }
    let sum = 0;
    for (let x = 0; x < costs.length; x++) {
      sum += costs[x]! * (state[2 * x]! * state[2 * x]! + state[2 * x + 1]! * state[2 * x + 1]!);
    }
    return sum * shrink * shrink;
  };
}

/** i^popcount(x). */
function prepare(state: Float64Array): void {
  state[0] = 1;
  state[1] = 0;
  for (let half = 2; half < state.length; half *= 2) {
    for (let k = 0; k < half; k += 2) {
      state[half + k] = -state[k + 1]!;
      state[half + k + 1] = state[k]!;
    }
  }
}

function turn(state: Float64Array, costs: Uint8Array, table: Float64Array, start: number, end: number): void {
  for (let x = start; x < end; x++) {
    const at = 2 * costs[x]!;
    const cos = table[at]!;
    const sin = table[at + 1]!;
    const re = state[2 * x]!;
    const im = state[2 * x + 1]!;
    state[2 * x] = re * cos - im * sin;
    state[2 * x + 1] = re * sin + im * cos;
  }
}

/** Butterflies of the bits from `bit` below `bits`, of the states from `start` below `end`; two bits at a time. */
function mix(state: Float64Array, start: number, end: number, bit: number, bits: number, t: number): void {
  for (; bit < bits; bit += 2) {
    const stride = 2 ** (bit + 1);
    if (bit + 1 === bits) pairs(state, 2 * start, 2 * end, stride, t);
    else quads(state, 2 * start, 2 * end, stride, t);
  }
}

function pairs(state: Float64Array, start: number, end: number, stride: number, t: number): void {
  for (let group = start; group < end; group += 2 * stride) {
    for (let k = group; k < group + stride; k++) {
      const a = state[k]!;
      const b = state[k + stride]!;
      state[k] = a - t * b;
      state[k + stride] = b + t * a;
    }
  }
}

function quads(state: Float64Array, start: number, end: number, stride: number, t: number): void {
  for (let group = start; group < end; group += 4 * stride) {
    for (let k = group; k < group + stride; k++) {
      const v0 = state[k]!;
      const v1 = state[k + stride]!;
      const v2 = state[k + 2 * stride]!;
      const v3 = state[k + 3 * stride]!;
      const a0 = v0 - t * v1;
      const a1 = v1 + t * v0;
      const a2 = v2 - t * v3;
      const a3 = v3 + t * v2;
      state[k] = a0 - t * a2;
      state[k + stride] = a1 - t * a3;
      state[k + 2 * stride] = a2 + t * a0;
      state[k + 3 * stride] = a3 + t * a1;
    }
  }
}
