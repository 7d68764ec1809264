import { FlashloanError } from "@flashloan/shared/errors";

/** The most variables of one problem: what an answer within seconds is possible for. */
export const VARIABLES_MAX = 50_000;
/** The most couplings of one problem; reading one takes about 100 bytes. */
export const COUPLINGS_MAX = 2_000_000;

/** One coupling: the coefficient of x_i x_j, given once for the pair. */
export type Coupling = readonly [i: number, j: number, weight: number];

/** Coefficients of a {@link Quadratic}. */
export interface Terms {
  /** How many variables. */
  readonly size: number;
  /** The constant. */
  readonly offset?: number;
  /** The coefficient of each variable; missing ones are 0. */
  readonly linear?: ArrayLike<number>;
  /** Couplings; several of one pair add up, and i = j adds to the linear coefficient, since x² = x. */
  readonly couplings: Iterable<Coupling>;
}

/**
 * A quadratic function of binary variables, to be minimized: offset + Σ linear_i x_i + Σ_{i<j} w_ij x_i x_j.
 *
 * Rows are compressed (CSR), in order, and hold each coupling at both ends. Sums of integers are exact below 2^53.
 */
export class Quadratic {
  readonly size: number;
  readonly offset: number;
  readonly linear: Float64Array;
  /** Row i is at start[i] … start[i+1]. */
  readonly start: Int32Array;
  readonly column: Int32Array;
  readonly weight: Float64Array;
  /** Values differ by at least this much: 1 when every coefficient is whole, else 0. */
  readonly step: number;

  private constructor(
    offset: number,
    linear: Float64Array,
    start: Int32Array,
    column: Int32Array,
    weight: Float64Array,
  ) {
    this.size = linear.length;
    this.offset = offset;
    this.linear = linear;
    this.start = start;
    this.column = column;
    this.weight = weight;
    this.step = Number.isInteger(offset) && linear.every(Number.isInteger) && weight.every(Number.isInteger) ? 1 : 0;
  }

  /** @throws FlashloanError argument_invalid, naming the coefficient that can't be used and why */
  static of({ size, offset = 0, linear: given = [], couplings }: Terms): Quadratic {
    if (!Number.isInteger(size) || size < 0 || size > VARIABLES_MAX)
      throw invalid(`${size} variables: must be a whole number up to ${VARIABLES_MAX}`);
    if (given.length > size) throw invalid(`${given.length} linear coefficients for ${size} variables`);
    const finite = (value: number, name: string): number => {
      if (Number.isFinite(value)) return value;
      throw invalid(`${name} is ${value}: every coefficient must be a finite number`);
    };
    finite(offset, "the offset");
    const linear = new Float64Array(size);
    for (let i = 0; i < given.length; i++) linear[i] = finite(given[i] as number, `linear coefficient ${i}`);
    const pairs: Coupling[] = [];
    for (const [i, j, weight] of couplings) {
      for (const index of [i, j])
        if (!Number.isInteger(index) || index < 0 || index >= size)
          throw invalid(`a coupling names variable ${index}: there are ${size}, counted from 0`);
      finite(weight, `the coupling of ${i} and ${j}`);
      if (i === j) linear[i] = (linear[i] as number) + weight;
      else if (weight !== 0) pairs.push(i < j ? [i, j, weight] : [j, i, weight]);
      if (pairs.length > COUPLINGS_MAX) throw invalid(`more than ${COUPLINGS_MAX} couplings`);
    }
    return new Quadratic(offset, linear, ...compress(size, pairs));
  }

  /** How many couplings it has. */
  get couplings(): number {
    return this.column.length / 2;
  }

  /** True when an assignment and its mirror image (every variable flipped) have the same value, as with cuts. */
  get isMirrored(): boolean {
    for (let i = 0; i < this.size; i++) {
      let field = 2 * (this.linear[i] as number);
      for (let at = this.start[i] as number; at < (this.start[i + 1] as number); at++)
        field += this.weight[at] as number;
      if (field !== 0) return false;
    }
    return true;
  }

  /** Each coupling once, i < j. */
  *pairs(): Generator<Coupling> {
    for (let i = 0; i < this.size; i++)
      for (let at = this.start[i] as number; at < (this.start[i + 1] as number); at++) {
        const j = this.column[at] as number;
        if (j > i) yield [i, j, this.weight[at] as number];
      }
  }

  /** The value of an assignment of zeros and ones. */
  value(x: ArrayLike<number>): number {
    let sum = this.offset;
    for (let i = 0; i < this.size; i++) {
      if (!x[i]) continue;
      sum += this.linear[i] as number;
      for (let at = this.start[i] as number; at < (this.start[i + 1] as number); at++) {
        const j = this.column[at] as number;
        if (j > i && x[j]) sum += this.weight[at] as number;
      }
    }
    return sum;
  }

  /** By how much flipping each variable would change the value. */
  flips(x: ArrayLike<number>): Float64Array {
    const flips = new Float64Array(this.size);
    for (let i = 0; i < this.size; i++) {
      let slope = this.linear[i] as number;
      for (let at = this.start[i] as number; at < (this.start[i + 1] as number); at++)
        if (x[this.column[at] as number]) slope += this.weight[at] as number;
      flips[i] = x[i] ? -slope : slope;
    }
    return flips;
  }

  /** The same function with the other sign: its maximum is this one's minimum. */
  negated(): Quadratic {
    return new Quadratic(
      -this.offset,
      this.linear.map((value) => -value),
      this.start,
      this.column,
      this.weight.map((value) => -value),
    );
  }

  /**
   * As an Ising model of spins s = 1 − 2x (x = 0 is spin up, as in a qubit's |0⟩): offset + Σ h_i s_i + Σ J_ij s_i s_j.
   */
  toIsing(): { offset: number; fields: Float64Array; couplings: Coupling[] } {
    let { offset } = this;
    const fields = new Float64Array(this.size);
    for (let i = 0; i < this.size; i++) {
      offset += (this.linear[i] as number) / 2;
      fields[i] = -(this.linear[i] as number) / 2;
    }
    const couplings: Coupling[] = [];
    for (const [i, j, weight] of this.pairs()) {
      offset += weight / 4;
      fields[i] = (fields[i] as number) - weight / 4;
      fields[j] = (fields[j] as number) - weight / 4;
      couplings.push([i, j, weight / 4]);
    }
    return { offset, fields, couplings };
  }

  /** From an Ising model of spins s = 1 − 2x. @throws FlashloanError argument_invalid */
  static fromIsing(fields: ArrayLike<number>, couplings: Iterable<Coupling>, offset = 0): Quadratic {
    const linear = Float64Array.from(fields, (field) => -2 * field);
    let constant = Array.from(fields).reduce((sum, field) => sum + field, offset);
    const pairs: Coupling[] = [];
    for (const [i, j, weight] of couplings) {
      constant += weight;
      if (i === j) continue;
      linear[i] = (linear[i] as number) - 2 * weight;
      linear[j] = (linear[j] as number) - 2 * weight;
      pairs.push([i, j, 4 * weight]);
    }
    return Quadratic.of({ size: fields.length, offset: constant, linear, couplings: pairs });
  }
}

/** Couplings at both ends, equal pairs added up and zeros left out. */
function compress(size: number, pairs: readonly Coupling[]): [Int32Array, Int32Array, Float64Array] {
  const count = new Int32Array(size + 1);
  for (const [i, j] of pairs) {
    count[i] = (count[i] as number) + 1;
    count[j] = (count[j] as number) + 1;
  }
  const start = new Int32Array(size + 1);
  for (let i = 0; i < size; i++) start[i + 1] = (start[i] as number) + (count[i] as number);
  const [column, weight] = [new Int32Array(2 * pairs.length), new Float64Array(2 * pairs.length)];
  const next = start.slice();
  const put = (row: number, other: number, value: number): void => {
    const at = next[row] as number;
    next[row] = at + 1;
    column[at] = other;
    weight[at] = value;
  };
  for (const [i, j, value] of pairs) {
    put(i, j, value);
    put(j, i, value);
  }
  return merge(start, column, weight);
}

function merge(
  start: Int32Array,
  column: Int32Array,
  weight: Float64Array,
): [start: Int32Array, column: Int32Array, weight: Float64Array] {
  const size = start.length - 1;
  const merged = new Int32Array(size + 1);
  const placeOf = new Int32Array(size).fill(-1);
  let end = 0;
  for (let row = 0; row < size; row++) {
    const begin = end;
    for (let at = start[row] as number; at < (start[row + 1] as number); at++) {
      const other = column[at] as number;
      const place = placeOf[other] as number;
      if (place >= begin) weight[place] = (weight[place] as number) + (weight[at] as number);
      else {
        placeOf[other] = end;
        column[end] = other;
        weight[end] = weight[at] as number;
        end += 1;
      }
    }
    for (let at = begin; at < end; at++) placeOf[column[at] as number] = -1;
    // What adds up to nothing is no coupling.
    let kept = begin;
    for (let at = begin; at < end; at++) {
      if (weight[at] === 0) continue;
      column[kept] = column[at] as number;
      weight[kept] = weight[at] as number;
      kept += 1;
    }
    end = kept;
    merged[row + 1] = end;
  }
  return transpose(merged, column.subarray(0, end), weight.subarray(0, end));
}

/** The same matrix, since it is symmetric, with each row in order. */
function transpose(
  start: Int32Array,
  column: Int32Array,
  weight: Float64Array,
): [start: Int32Array, column: Int32Array, weight: Float64Array] {
  const next = start.slice();
  const [sorted, values] = [new Int32Array(column.length), new Float64Array(column.length)];
  for (let row = 0; row < start.length - 1; row++)
    for (let at = start[row] as number; at < (start[row + 1] as number); at++) {
      const other = column[at] as number;
      const place = next[other] as number;
      next[other] = place + 1;
      sorted[place] = row;
      values[place] = weight[at] as number;
    }
  return [start, sorted, values];
}

function invalid(message: string): FlashloanError {
  return new FlashloanError("argument_invalid", message);
}
