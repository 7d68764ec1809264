import { FlashloanError } from "@flashloan/shared/errors";
import type { QuadraticCost } from "@flashloan/statevector/cost";
import { QaoaSimulator } from "@flashloan/statevector/qaoa";
import type { Limits } from "./optimizers.ts";
import { growQaoa, rampAngles } from "./qaoa.ts";

/** Bits and their cost. */
export interface RecursiveResult {
  readonly bits: readonly (0 | 1)[];
  readonly cost: number;
}

/** A bit that was taken out: it equals another's value or its opposite, or is fixed (`like` is undefined). */
interface Elimination {
  readonly bit: number;
  readonly like: number | undefined;
  readonly flipped: boolean;
}

/** A quadratic form over bits that may be taken out one by one. */
class Form {
  readonly linear: Map<number, number>;
  readonly #pairs = new Map<number, Map<number, number>>();

  constructor(qubits: number, cost: QuadraticCost) {
    this.linear = new Map(Array.from({ length: qubits }, (_, bit) => [bit, cost.linear?.[bit] ?? 0]));
    for (const bit of this.linear.keys()) this.#pairs.set(bit, new Map());
    for (const [i, j, weight] of cost.quadratic ?? []) this.#add(i, j, weight);
  }

  pairs(): [number, number, number][] {
    return [...this.#pairs].flatMap(([i, row]) =>
      [...row].flatMap(([j, weight]): [number, number, number][] => (i < j && weight !== 0 ? [[i, j, weight]] : [])),
    );
  }

  /** Puts in what a bit is: x = like, 1 − like, 0, or 1 (`flipped`). */
  eliminate({ bit, like, flipped }: Elimination): void {
    const own = this.linear.get(bit)!;
    const row = this.#pairs.get(bit)!;
    this.linear.delete(bit);
    this.#pairs.delete(bit);
    for (const others of this.#pairs.values()) others.delete(bit);
    const sign = flipped ? -1 : 1;
    if (like !== undefined) this.linear.set(like, this.linear.get(like)! + sign * own);
    for (const [other, weight] of row) {
      if (flipped) this.linear.set(other, this.linear.get(other)! + weight);
      if (like !== undefined) this.#add(like, other, sign * weight);
    }
  }

  #add(i: number, j: number, weight: number): void {
    // x² = x.
    if (i === j) this.linear.set(i, this.linear.get(i)! + weight);
    else {
      this.#pairs.get(i)!.set(j, (this.#pairs.get(i)!.get(j) ?? 0) + weight);
      this.#pairs.get(j)!.set(i, (this.#pairs.get(j)!.get(i) ?? 0) + weight);
    }
  }
}

/** Bits below which all states are tried. */
const EXHAUSTIVE_BITS = 6;

/**
 * Recursive QAOA (Bravyi et al. 2020) for a minimum: QAOA tells which two bits are the surest to be equal or opposite (or
 * which one is the surest of its value), that bit is taken out, and so on until few are left. `limits` are those of each
 * QAOA.
 */
export async function recursiveQaoa(
  qubits: number,
  cost: QuadraticCost,
  layers: number,
  limits: Limits,
): Promise<RecursiveResult> {
  if (!Number.isInteger(layers) || layers < 1) {
    throw new FlashloanError("argument_invalid", `layers must be a whole number from 1, not ${layers}`);
  }
  const form = new Form(qubits, cost);
  const eliminations: Elimination[] = [];
  while (form.linear.size > EXHAUSTIVE_BITS && !limits.isOver?.()) {
    const elimination = await surest(form, layers, limits);
    form.eliminate(elimination);
    eliminations.push(elimination);
  }
  const bits = leastBits(form);
  for (const { bit, like, flipped } of eliminations.toReversed()) {
    const value = like === undefined ? 0 : bits.get(like)!;
    bits.set(bit, flipped ? ((1 - value) as 0 | 1) : value);
  }
  const all = Array.from({ length: qubits }, (_, bit) => bits.get(bit)!);
  return { bits: all, cost: (cost.constant ?? 0) + costOfBits(new Form(qubits, cost), new Map(all.entries())) };
}

async function surest(form: Form, layers: number, limits: Limits): Promise<Elimination> {
  const bits = [...form.linear.keys()];
  const place = new Map(bits.map((bit, index) => [bit, index]));
  const pairs = form.pairs();
  const quadratic = pairs.map(([i, j, weight]) => [place.get(i)!, place.get(j)!, weight] as const);
  const simulated = { linear: [...form.linear.values()], quadratic };
  await using simulator = await QaoaSimulator.create({ qubits: bits.length, cost: simulated, layersMax: layers });
  const scale = Math.max(1e-12, ...[...simulated.linear, ...quadratic.map(([, , weight]) => weight)].map(Math.abs));
  const angles = growQaoa(simulator, rampAngles(1, 0.75, scale), layers, limits);
  const { probabilities } = simulator.distribution(angles.gammas, angles.betas);
  let best: { sureness: number; elimination: Elimination } | undefined;
  const consider = (mask: number, bit: number, like: number | undefined): void => {
    // The mean of (−1)^(the number of ones under the mask).
    let mean = 0;
    for (let x = 0; x < probabilities.length; x++) {
      const both = (x & mask) === 0 || (x & mask) === mask;
      const isEven = like === undefined ? (x & mask) === 0 : both;
      mean += isEven ? probabilities[x]! : -probabilities[x]!;
    }
    if (best && best.sureness >= Math.abs(mean)) return;
    best = { sureness: Math.abs(mean), elimination: { bit, like, flipped: mean < 0 } };
  };
  for (const [i, j] of pairs) consider(2 ** place.get(i)! + 2 ** place.get(j)!, j, i);
  for (const bit of bits) consider(2 ** place.get(bit)!, bit, undefined);
  return best!.elimination;
}

function leastBits(form: Form): Map<number, 0 | 1> {
  const bits = [...form.linear.keys()];
  let least: { value: number; bits: Map<number, 0 | 1> } | undefined;
  // All states of the few bits that are left; of more, if time is over, only the first.
  for (let x = 0; x < 2 ** Math.min(EXHAUSTIVE_BITS, bits.length); x++) {
    const tried = new Map(bits.map((bit, index) => [bit, index < 31 ? (((x >> index) & 1) as 0 | 1) : (0 as const)]));
    const value = costOfBits(form, tried);
    if (!least || value < least.value) least = { value, bits: tried };
  }
  return least!.bits;
}

function costOfBits(form: Form, bits: ReadonlyMap<number, 0 | 1>): number {
  const alone = form.linear.entries().reduce((sum, [bit, weight]) => sum + weight * bits.get(bit)!, 0);
  return form.pairs().reduce((sum, [i, j, weight]) => sum + weight * bits.get(i)! * bits.get(j)!, alone);
}
