import { divUp, mulUp, ONE } from "./fixed-point.ts";
import { AmmError, type BalancerStablePool, type BalancerWeightedPool } from "./pool.ts";

/** The Vault keeps balances in 112 bits. */
export const MAX_VAULT_BALANCE = (1n << 112n) - 1n;

/** The input less the swap fee, the fee rounded up. */
export function subtractSwapFee(amount: bigint, swapFee: bigint): bigint {
  return amount - mulUp(amount, swapFee);
}

/** The input that leaves `amount` after the swap fee, rounded up. */
export function addSwapFee(amount: bigint, swapFee: bigint): bigint {
  return divUp(amount, ONE - swapFee);
}

/**
 * Checks that a balance fits the Vault.
 *
 * @throws AmmError `overflow`
 */
export function vaultLimit(balance: bigint): void {
  if (balance > MAX_VAULT_BALANCE) {
    throw new AmmError("overflow", "the balance does not fit the Vault's 112 bits");
  }
}

/** A Balancer pool after `amountIn` of token i came in and `amountOut` of token j left. */
export function applyVaultSwap<P extends BalancerWeightedPool | BalancerStablePool>(
  pool: P,
  i: number,
  j: number,
  amountIn: bigint,
  amountOut: bigint,
): P {
  const balances = pool.balances.map((balance, k) =>
    k === i ? balance + amountIn : k === j ? balance - amountOut : balance,
  );
  return { ...pool, balances };
}
