import { complement, divDown, divUp, mulDown, mulUp, ONE, powUp } from "./fixed-point.ts";
import { AmmError, type BalancerWeightedPool } from "./pool.ts";
import { addSwapFee, subtractSwapFee, vaultLimit } from "./balancer-vault.ts";

/** A swap moves at most this share of a balance, 18-decimal fixed point (WeightedMath.sol). */
export const MAX_BALANCE_RATIO = 3n * 10n ** 17n;

/**
 * What a weighted pool pays for `amountIn`, rounded down: Bo (1 − (Bi ÷ (Bi + in))^(wi ÷ wo)).
 *
 * @throws AmmError `zero-amount`, `ratio-exceeded` above 30 % of the balance, `overflow`.
 */
export function quoteWeightedExactIn(pool: BalancerWeightedPool, i: number, j: number, amountIn: bigint): bigint {
  if (amountIn <= 0n) throw new AmmError("zero-amount", "the input must be positive");
  const [scaleIn, scaleOut] = [pool.scalingFactors[i] as bigint, pool.scalingFactors[j] as bigint];
  vaultLimit((pool.balances[i] as bigint) + amountIn);
  const balanceIn = (pool.balances[i] as bigint) * scaleIn;
  const balanceOut = (pool.balances[j] as bigint) * scaleOut;
  const traded = subtractSwapFee(amountIn, pool.swapFee) * scaleIn;
  if (traded > mulDown(balanceIn, MAX_BALANCE_RATIO)) {
    throw new AmmError("ratio-exceeded", "the input is over 30 % of the pool's balance");
  }
  const base = divUp(balanceIn, balanceIn + traded);
  const exponent = divDown(pool.weights[i] as bigint, pool.weights[j] as bigint);
  return mulDown(balanceOut, complement(powUp(base, exponent))) / scaleOut;
}

/**
 * What a weighted pool asks for `amountOut`, rounded up: Bi ((Bo ÷ (Bo − out))^(wo ÷ wi) − 1), then the fee.
 *
 * @throws AmmError `zero-amount`, `ratio-exceeded` above 30 % of the balance, `overflow`.
 */
export function quoteWeightedExactOut(pool: BalancerWeightedPool, i: number, j: number, amountOut: bigint): bigint {
  if (amountOut <= 0n) throw new AmmError("zero-amount", "the output must be positive");
  const [scaleIn, scaleOut] = [pool.scalingFactors[i] as bigint, pool.scalingFactors[j] as bigint];
  const balanceIn = (pool.balances[i] as bigint) * scaleIn;
  const balanceOut = (pool.balances[j] as bigint) * scaleOut;
  const wanted = amountOut * scaleOut;
  if (wanted > mulDown(balanceOut, MAX_BALANCE_RATIO)) {
    throw new AmmError("ratio-exceeded", "the output is over 30 % of the pool's balance");
  }
  const base = divUp(balanceOut, balanceOut - wanted);
  const exponent = divUp(pool.weights[j] as bigint, pool.weights[i] as bigint);
  const scaled = mulUp(balanceIn, powUp(base, exponent) - ONE);
  const amountIn = addSwapFee((scaled + scaleIn - 1n) / scaleIn, pool.swapFee);
  vaultLimit((pool.balances[i] as bigint) + amountIn);
  return amountIn;
}
