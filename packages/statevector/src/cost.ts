import { FlashloanError } from "@flashloan/shared/errors";

/** Σ linear[i]·x_i + Σ quadratic·x_i·x_j + constant over bits x; bit i of a basis state's index is qubit i. */
export interface QuadraticCost {
  readonly linear?: ArrayLike<number>;
  readonly quadratic?: readonly (readonly [i: number, j: number, weight: number])[];
  readonly constant?: number;
}

/** A diagonal: a quadratic form, or its value for each of the 2^qubits basis states. */
export type Cost = QuadraticCost | ArrayLike<number>;

/** Unsigned integers that stand for costs. */
export type Codes = Uint8Array | Uint16Array | Uint32Array;

/** Costs as codes: cost = offset + quantum·code. Exact for multiples of ¼; else rounded to 2⁻³² of the costs' range. */
export interface CostCode {
  readonly offset: number;
  readonly quantum: number;
  /** The greatest code. */
  readonly top: number;
  readonly bytes: 1 | 2 | 4;
  /** Writes the codes; where there are more places than costs, the costs repeat. */
  write(codes: Codes): void;
}

const BLOCK_BITS = 14;
const CODE_MAX = 2 ** 32 - 1;
/** Integers up to here are added exactly. */
const EXACT_MAX = 2 ** 50;

/** Chooses the code for a diagonal. Errors: argument_invalid for costs that are not finite or miss their place. */
export function encodeCost(cost: Cost, qubits: number): CostCode {
  const size = 2 ** qubits;
  const block = new Float64Array(Math.min(size, 2 ** BLOCK_BITS));
  const fill = "length" in cost ? vectorBlocks(cost, size) : quadraticBlocks(cost, qubits, block.length);
  const range = measure(fill, size, block);
  const exact = range.quarters && (range.max - range.min) / (range.step || 1) <= 0xffff;
  const quantum = exact ? range.step || 1 : (range.max - range.min) / CODE_MAX;
  const top = exact ? Math.round((range.max - range.min) / quantum) : CODE_MAX;
  return {
    offset: range.min,
    quantum,
    top,
    bytes: top <= 0xff ? 1 : top <= 0xffff ? 2 : 4,
    write(codes) {
      for (let start = 0; start < size; start += block.length) {
        fill(start, block);
        for (let k = 0; k < block.length; k++) codes[start + k] = Math.round((block[k]! - range.min) / quantum);
      }
      for (let filled = size; filled < codes.length; filled *= 2) codes.copyWithin(filled, 0, filled);
    },
  };
}

type Fill = (start: number, block: Float64Array) => void;

function vectorBlocks(costs: ArrayLike<number>, size: number): Fill {
  if (costs.length !== size) {
    throw new FlashloanError(
      "argument_invalid",
      `cost has ${costs.length} values: it needs one for each of ${size} states`,
    );
  }
  return (start, block) => {
    for (let k = 0; k < block.length; k++) block[k] = costs[start + k]!;
  };
}

/** Blocks of a quadratic form by doubling: a bit more adds its weight, and its weights with the bits below. */
function quadraticBlocks(cost: QuadraticCost, qubits: number, length: number): Fill {
  const weights = Array.from({ length: qubits }, () => new Float64Array(qubits));
  const linear = new Float64Array(qubits);
  for (let i = 0; i < (cost.linear?.length ?? 0); i++) {
    requireIndex(i, qubits, "linear");
    linear[i] = cost.linear![i]!;
  }
  for (const [i, j, weight] of cost.quadratic ?? []) {
    requireIndex(i, qubits, "quadratic");
    requireIndex(j, qubits, "quadratic");
    if (i === j) linear[i]! += weight;
    else weights[Math.max(i, j)]![Math.min(i, j)]! += weight;
  }
  const bits = Math.log2(length);
  // What the pairs within a block add is the same in every block.
  const within = new Float64Array(length);
  for (let bit = 0; bit < bits; bit++) {
    const row = new Float64Array(2 ** bit);
    double(row, weights[bit]!, bit);
    for (let k = 0; k < row.length; k++) within[row.length + k] = within[k]! + row[k]!;
  }
  return (start, block) => {
    const effective = Float64Array.from(linear);
    let base = cost.constant ?? 0;
    for (let i = qubits - 1; i >= bits; i--) {
      if (((start / 2 ** i) & 1) === 0) continue;
      base += effective[i]!;
      for (let j = 0; j < i; j++) effective[j]! += weights[i]![j]!;
    }
    block[0] = base;
    double(block, effective, bits);
    for (let k = 0; k < length; k++) block[k]! += within[k]!;
  };
}

/** sums[k] = sums[0] + Σ of the weights of k's bits. */
function double(sums: Float64Array, weights: Float64Array, bits: number): void {
  for (let bit = 0, half = 1; bit < bits; bit++, half *= 2) {
    for (let k = 0; k < half; k++) sums[half + k] = sums[k]! + weights[bit]!;
  }
}

/** Least and greatest cost; whether all are multiples of ¼, and the greatest step that leads from one to each other. */
function measure(fill: Fill, size: number, block: Float64Array) {
  let [min, max, step, quarters] = [Infinity, -Infinity, 0, true];
  let first = 0;
  for (let start = 0; start < size; start += block.length) {
    fill(start, block);
    if (start === 0) first = block[0]!;
    for (const value of block) {
      if (!Number.isFinite(value)) {
        throw new FlashloanError("argument_invalid", `a cost is ${value}: costs must be finite numbers`);
      }
      if (value < min) min = value;
      if (value > max) max = value;
      if (!quarters) continue;
      quarters = Number.isInteger(4 * value) && Math.abs(value) < EXACT_MAX;
      const distance = Math.abs(value - first);
      if (step === 0 || distance % step !== 0) step = greatestCommonDivisor(distance, step);
    }
  }
  return { min, max, step, quarters };
}

function greatestCommonDivisor(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}

function requireIndex(index: number, qubits: number, what: string): void {
  if (!Number.isInteger(index) || index < 0 || index >= qubits) {
    throw new FlashloanError("argument_invalid", `${what} names qubit ${index}: qubits are 0 to ${qubits - 1}`);
  }
}
