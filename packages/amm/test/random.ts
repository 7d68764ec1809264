/** A seeded generator (mulberry32): the same seed gives the same campaign on every machine. */
export type Random = {
  /** A float in [0, 1). */
  readonly next: () => number;
  /** An integer in [min, max]. */
  readonly integer: (min: number, max: number) => number;
  /** A bigint in [min, max], uniform in its logarithm, so that every order of magnitude is tried. */
  readonly amount: (min: bigint, max: bigint) => bigint;
  /** One entry of a list that is not empty. */
  readonly pick: <T>(list: readonly T[]) => T;
};

/** Creates the generator. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const integer = (min: number, max: number): number => min + Math.floor(next() * (max - min + 1));
  const amount = (min: bigint, max: bigint): bigint => {
    const exponent = Math.log(Number(min)) + next() * (Math.log(Number(max)) - Math.log(Number(min)));
    // The low digits are drawn too: a float alone has only 53 bits of them.
    const coarse = BigInt(Math.floor(Math.exp(exponent)));
    const value = coarse + (coarse * BigInt(integer(0, 999_999_999))) / 10n ** 15n;
    return value < min ? min : value > max ? max : value;
  };
  return { next, integer, amount, pick: (list) => list[integer(0, list.length - 1)] as never };
}
