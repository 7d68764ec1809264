/** How transactions bid for their place in a block; amounts in wei per gas. */
export interface BidPolicy {
  readonly minPriorityFeeWei: bigint;
  readonly maxPriorityFeeWei: bigint;
  /** Share of the expected profit after base fee that is offered as priority fee. */
  readonly profitShareBps: bigint;
  /** How far below its simulation a profit may end before the call reverts, in basis points. */
  readonly slippageBps: bigint;
  /** Blocks for which a call is valid. */
  readonly validBlocks: number;
}

/** Fees of a transaction and the profit below which its call must revert. */
export interface Bid {
  readonly maxFeePerGasWei: bigint;
  readonly maxPriorityFeePerGasWei: bigint;
  readonly gasLimit: bigint;
  readonly minProfitWei: bigint;
}

/** Real nodes replace a pending transaction only for at least 10 % more on both fees; we give 12.5 %. */
const REPLACEMENT_BPS = 11_250n;
const BPS = 10_000n;

/**
 * Bids for a simulated profit. The gas limit leaves a quarter above the simulation (V2 pairs write more storage when
 * the clock moves); the fee cap covers the base fee's fastest rise over the blocks that the call is valid for; the
 * minimum profit covers the whole gas limit at the fee cap, so a call that succeeds never loses, and is at least the
 * simulated profit less the allowed slippage.
 */
export function bid(profitWei: bigint, gasUsed: bigint, nextBaseFeeWei: bigint, policy: BidPolicy): Bid {
  const gasLimit = (gasUsed * 5n) / 4n + 10_000n;
  const spare = profitWei - gasLimit * nextBaseFeeWei;
  const offered = spare > 0n ? (spare * policy.profitShareBps) / BPS / gasLimit : 0n;
  const maxPriorityFeePerGasWei = clamp(offered, policy.minPriorityFeeWei, policy.maxPriorityFeeWei);
  let cappedBaseFee = nextBaseFeeWei;
  for (let block = 1; block < policy.validBlocks; block++) cappedBaseFee = (cappedBaseFee * 9n) / 8n + 1n;
  const maxFeePerGasWei = cappedBaseFee + maxPriorityFeePerGasWei;
  const coversGas = gasLimit * maxFeePerGasWei;
  const afterSlippage = profitWei - (profitWei * policy.slippageBps) / BPS;
  return {
    maxFeePerGasWei,
    maxPriorityFeePerGasWei,
    gasLimit,
    minProfitWei: coversGas > afterSlippage ? coversGas : afterSlippage,
  };
}

/** Fees that replace a pending transaction on any node, and that the next block takes. */
export function replacementFees(
  previous: { readonly maxFeePerGasWei: bigint; readonly maxPriorityFeePerGasWei: bigint },
  nextBaseFeeWei: bigint,
): { maxFeePerGasWei: bigint; maxPriorityFeePerGasWei: bigint } {
  const raise = (fee: bigint): bigint => (fee * REPLACEMENT_BPS + BPS - 1n) / BPS;
  const maxPriorityFeePerGasWei = raise(previous.maxPriorityFeePerGasWei);
  const needed = (nextBaseFeeWei * 5n) / 4n + maxPriorityFeePerGasWei;
  const raised = raise(previous.maxFeePerGasWei);
  return { maxFeePerGasWei: raised > needed ? raised : needed, maxPriorityFeePerGasWei };
}

function clamp(value: bigint, min: bigint, max: bigint): bigint {
  if (value < min) return min;
  return value > max ? max : value;
}
