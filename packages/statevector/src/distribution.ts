import { FlashloanError } from "@flashloan/shared/errors";
import { createRandom } from "@flashloan/shared/random";

const SHOTS_MAX = 100_000_000;

/** Probabilities of the basis states; bit i of a state's index is qubit i. */
export class Distribution {
  readonly probabilities: Float64Array;

  constructor(probabilities: Float64Array) {
    this.probabilities = probabilities;
  }

  /** The mean of a diagonal, given as its values or as a function of the index. */
  expectation(diagonal: ArrayLike<number> | ((index: number) => number)): number {
    const value = typeof diagonal === "function" ? diagonal : (index: number): number => diagonal[index]!;
    return this.probabilities.reduce((sum, probability, index) => sum + probability * value(index), 0);
  }

  /** How often each outcome came in so many shots, least index first. The same seed gives the same counts. */
  sample(shots: number, seed: number): Map<number, number> {
    if (!Number.isInteger(shots) || shots < 0 || shots > SHOTS_MAX) {
      throw new FlashloanError("argument_invalid", `shots must be a whole number from 0 to ${SHOTS_MAX}, not ${shots}`);
    }
    const random = createRandom(seed);
    const total = this.probabilities.reduce((sum, probability) => sum + probability, 0);
    // 53 bits: 32 would miss most states of a large register.
    const draws = Float64Array.from({ length: shots }, () => (random.next() + random.next() / 2 ** 32) * total).sort();
    const counts = new Map<number, number>();
    let [index, below] = [0, this.probabilities[0]!];
    for (const draw of draws) {
      while (draw >= below && index < this.probabilities.length - 1) below += this.probabilities[++index]!;
      counts.set(index, (counts.get(index) ?? 0) + 1);
    }
    return counts;
  }
}
