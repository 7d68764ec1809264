import { addSwapFee, subtractSwapFee, vaultLimit } from "./balancer-vault.ts";
import { AmmError, type BalancerStablePool } from "./pool.ts";

/** The amplification's precision (StableMath.sol). */
export const AMP_PRECISION = 1_000n;

/** Newton steps after which the chain gives up. */
const MAX_ITERATIONS = 255;

const MAX_UINT256 = (1n << 256n) - 1n;

function divUp(a: bigint, b: bigint): bigint {
  return a === 0n ? 0n : (a - 1n) / b + 1n;
}

/** The chain checks each product and sum against 256 bits. */
function checked(value: bigint): bigint {
  if (value > MAX_UINT256) throw new AmmError("overflow", "the invariant's arithmetic overflows");
  return value;
}

/**
 * What a stable pool pays for `amountIn`, rounded down.
 *
 * @throws AmmError `zero-amount`, `insufficient-liquidity`, `overflow`, `no-convergence`.
 */
export function quoteStableExactIn(pool: BalancerStablePool, i: number, j: number, amountIn: bigint): bigint {
  if (amountIn <= 0n) throw new AmmError("zero-amount", "the input must be positive");
  vaultLimit((pool.balances[i] as bigint) + amountIn);
  const balances = upscaled(pool);
  const invariant = stableInvariant(pool.amplification, balances);
  const balanceOut = balances[j] as bigint;
  balances[i] = (balances[i] as bigint) + subtractSwapFee(amountIn, pool.swapFee) * (pool.scalingFactors[i] as bigint);
  const finalBalanceOut = balanceGivenInvariant(pool.amplification, balances, invariant, j);
  const amountOut = balanceOut - finalBalanceOut - 1n;
  if (amountOut < 0n) throw new AmmError("zero-amount", "the input is too small to buy anything");
  return amountOut / (pool.scalingFactors[j] as bigint);
}

/**
 * What a stable pool asks for `amountOut`, rounded up.
 *
 * @throws AmmError `zero-amount`, `insufficient-liquidity`, `overflow`, `no-convergence`.
 */
export function quoteStableExactOut(pool: BalancerStablePool, i: number, j: number, amountOut: bigint): bigint {
  if (amountOut <= 0n) throw new AmmError("zero-amount", "the output must be positive");
  if (amountOut >= (pool.balances[j] as bigint)) {
    throw new AmmError("insufficient-liquidity", "the output is not smaller than the balance");
  }
  const balances = upscaled(pool);
  const invariant = stableInvariant(pool.amplification, balances);
  const balanceIn = balances[i] as bigint;
  balances[j] = (balances[j] as bigint) - amountOut * (pool.scalingFactors[j] as bigint);
  const finalBalanceIn = balanceGivenInvariant(pool.amplification, balances, invariant, i);
  const scaled = finalBalanceIn - balanceIn + 1n;
  if (scaled < 0n) throw new AmmError("no-convergence", "the invariant's rounding pays the trader");
  const amountIn = addSwapFee(divUp(scaled, pool.scalingFactors[i] as bigint), pool.swapFee);
  vaultLimit((pool.balances[i] as bigint) + amountIn);
  return amountIn;
}

function upscaled(pool: BalancerStablePool): bigint[] {
  return pool.balances.map((balance, k) => balance * (pool.scalingFactors[k] as bigint));
}

/** The StableSwap invariant by Newton's method, every division rounded down as the 2022 deployment does. */
function stableInvariant(amplification: bigint, balances: readonly bigint[]): bigint {
  const count = BigInt(balances.length);
  const sum = balances.reduce((total, balance) => total + balance, 0n);
  const ampTimesTotal = amplification * count;
  const scaledSum = (ampTimesTotal * sum) / AMP_PRECISION;
  let invariant = sum;
  for (let iteration = 0; iteration < MAX_ITERATIONS; iteration += 1) {
    let product = invariant;
    for (const balance of balances) {
      product = checked(product * invariant) / checked(balance * count);
    }
    const previous = invariant;
    invariant =
      checked((scaledSum + product * count) * invariant) /
      (((ampTimesTotal - AMP_PRECISION) * invariant) / AMP_PRECISION + (count + 1n) * product);
    const change = invariant > previous ? invariant - previous : previous - invariant;
    if (change <= 1n) return invariant;
  }
  throw new AmmError("no-convergence", "the invariant does not converge");
}

/** The balance of one token that keeps the invariant, given all the others; rounded up. */
function balanceGivenInvariant(
  amplification: bigint,
  balances: readonly bigint[],
  invariant: bigint,
  tokenIndex: number,
): bigint {
  const count = BigInt(balances.length);
  const ampTimesTotal = amplification * count;
  const balance = balances[tokenIndex] as bigint;
  let sum = balances[0] as bigint;
  let product = sum * count;
  for (let k = 1; k < balances.length; k += 1) {
    const other = balances[k] as bigint;
    product = checked(checked(product * other) * count) / invariant;
    sum += other;
  }
  sum -= balance;
  if (product === 0n) throw new AmmError("invalid-state", "a balance is zero");
  const invariantSquared = checked(invariant * invariant);
  const c = checked(checked(divUp(invariantSquared, checked(ampTimesTotal * product)) * AMP_PRECISION) * balance);
  const b = sum + (invariant / ampTimesTotal) * AMP_PRECISION;
  let result = divUp(checked(invariantSquared + c), invariant + b);
  for (let iteration = 0; iteration < MAX_ITERATIONS; iteration += 1) {
    const previous = result;
    const denominator = result * 2n + b - invariant;
    if (denominator <= 0n) throw new AmmError("overflow", "the balance's arithmetic underflows");
    result = divUp(checked(result * result + c), denominator);
    const change = result > previous ? result - previous : previous - result;
    if (change <= 1n) return result;
  }
  throw new AmmError("no-convergence", "the balance does not converge");
}
