import { AmmError } from "./pool.ts";

/** One in 18-decimal fixed point. */
export const ONE = 10n ** 18n;

const ONE_20 = 10n ** 20n;
const ONE_36 = 10n ** 36n;

/** Powers are good to this relative error, 18-decimal fixed point (FixedPoint.sol). */
const MAX_POW_RELATIVE_ERROR = 10_000n;

const MIN_NATURAL_EXPONENT = -41n * ONE;
const MAX_NATURAL_EXPONENT = 130n * ONE;
const LN_36_LOWER_BOUND = ONE - 10n ** 17n;
const LN_36_UPPER_BOUND = ONE + 10n ** 17n;

/** The powers e^128 and e^64 as plain integers, with their exponents in 18 decimals. */
const LARGE_POWERS: readonly (readonly [exponent: bigint, power: bigint])[] = [
  [128n * ONE, 38877084059945950922200000000000000000000000000000000000n],
  [64n * ONE, 6235149080811616882910000000n],
];

/** The powers e^32 … e^(1/16), and their exponents, both in 20 decimals. */
const POWERS: readonly (readonly [exponent: bigint, power: bigint])[] = [
  [3200000000000000000000n, 7896296018268069516100000000000000n],
  [1600000000000000000000n, 888611052050787263676000000n],
  [800000000000000000000n, 298095798704172827474000n],
  [400000000000000000000n, 5459815003314423907810n],
  [200000000000000000000n, 738905609893065022723n],
  [100000000000000000000n, 271828182845904523536n],
  [50000000000000000000n, 164872127070012814685n],
  [25000000000000000000n, 128402541668774148407n],
  [12500000000000000000n, 113314845306682631683n],
  [6250000000000000000n, 106449445891785942956n],
];

/** `exp` stops before e^(1/8): its series is precise enough from there. */
const EXP_POWERS = POWERS.slice(0, 8);

/** a × b rounded down, 18-decimal fixed point. */
export function mulDown(a: bigint, b: bigint): bigint {
  return (a * b) / ONE;
}

/** a × b rounded up, 18-decimal fixed point. */
export function mulUp(a: bigint, b: bigint): bigint {
  const product = a * b;
  return product === 0n ? 0n : (product - 1n) / ONE + 1n;
}

/** a ÷ b rounded down, 18-decimal fixed point; b is positive. */
export function divDown(a: bigint, b: bigint): bigint {
  return (a * ONE) / b;
}

/** a ÷ b rounded up, 18-decimal fixed point; b is positive. */
export function divUp(a: bigint, b: bigint): bigint {
  return a === 0n ? 0n : (a * ONE - 1n) / b + 1n;
}

/** 1 − x, or zero where x is above one. */
export function complement(x: bigint): bigint {
  return x < ONE ? ONE - x : 0n;
}

/**
 * x to the power y with the rounding error added on top (FixedPoint.powUp of the 2021 deployments).
 *
 * @throws AmmError `overflow` where LogExpMath reverts.
 */
export function powUp(x: bigint, y: bigint): bigint {
  const raw = pow(x, y);
  return raw + mulUp(raw, MAX_POW_RELATIVE_ERROR) + 1n;
}

/** x to the power y as LogExpMath.pow computes it, 18-decimal fixed point. */
function pow(x: bigint, y: bigint): bigint {
  if (y === 0n) return ONE;
  if (x === 0n) return 0n;
  if (x >> 255n !== 0n) throw new AmmError("overflow", "the base leaves the signed 256-bit range");
  let product: bigint;
  if (LN_36_LOWER_BOUND < x && x < LN_36_UPPER_BOUND) {
    const ln36 = naturalLog36(x);
    product = (ln36 / ONE) * y + ((ln36 % ONE) * y) / ONE;
  } else {
    product = naturalLog(x) * y;
  }
  const exponent = product / ONE;
  if (exponent < MIN_NATURAL_EXPONENT || exponent > MAX_NATURAL_EXPONENT) {
    throw new AmmError("overflow", "the power's exponent is out of bounds");
  }
  return exp(exponent);
}

function exp(exponent: bigint): bigint {
  if (exponent < 0n) return (ONE * ONE) / exp(-exponent);
  let rest = exponent;
  let large = 1n;
  for (const [powerExponent, power] of LARGE_POWERS) {
    if (rest >= powerExponent) {
      rest -= powerExponent;
      large = power;
      break;
    }
  }
  rest *= 100n;
  let product = ONE_20;
  for (const [powerExponent, power] of EXP_POWERS) {
    if (rest >= powerExponent) {
      rest -= powerExponent;
      product = (product * power) / ONE_20;
    }
  }
  let term = rest;
  let series = ONE_20 + term;
  for (let n = 2n; n <= 12n; n += 1n) {
    term = (term * rest) / ONE_20 / n;
    series += term;
  }
  return (((product * series) / ONE_20) * large) / 100n;
}

/** ln(a), 18-decimal fixed point; a is positive. */
function naturalLog(a: bigint): bigint {
  if (a < ONE) return -naturalLog((ONE * ONE) / a);
  let rest = a;
  let sum = 0n;
  for (const [exponent, power] of LARGE_POWERS) {
    if (rest >= power * ONE) {
      rest /= power;
      sum += exponent;
    }
  }
  sum *= 100n;
  rest *= 100n;
  for (const [exponent, power] of POWERS) {
    if (rest >= power) {
      rest = (rest * ONE_20) / power;
      sum += exponent;
    }
  }
  const z = ((rest - ONE_20) * ONE_20) / (rest + ONE_20);
  return (sum + logSeries(z, ONE_20, 11n)) / 100n;
}

/** ln(x) with 36 decimals for x close to one. */
function naturalLog36(x: bigint): bigint {
  const scaled = x * ONE;
  const z = ((scaled - ONE_36) * ONE_36) / (scaled + ONE_36);
  return logSeries(z, ONE_36, 15n);
}

/** 2 (z + z³/3 + z⁵/5 + …) up to the given divisor, in the fixed point of `one`. */
function logSeries(z: bigint, one: bigint, lastDivisor: bigint): bigint {
  const zSquared = (z * z) / one;
  let power = z;
  let series = z;
  for (let divisor = 3n; divisor <= lastDivisor; divisor += 2n) {
    power = (power * zSquared) / one;
    series += power / divisor;
  }
  return series * 2n;
}
