import type { Hop, Opportunity, Sequel } from "@flashloan/proto/predictor/v1/predictor";

/** An opportunity that is worth so many wei and swaps in these pools. */
export function offer(id: string, netWei: number, pools: readonly string[], gasUnits = 100): Opportunity {
  const hops = pools.map((poolId): Hop => ({
    poolId,
    kind: "uniswap-v2",
    address: poolId,
    tokenIn: "0xweth",
    tokenOut: "0xlink",
    amountIn: "1",
    amountOut: "1",
    feePpm: 3_000,
    tickSpacing: 0,
    depthShareBps: 1,
  }));
  return {
    id,
    loan: { lender: "balancer-v2", source: "0xvault", token: "0xweth", amount: "7", premium: "0" },
    hops: hops.slice(0, 1),
    conversion: hops.slice(1),
    gasUnits: BigInt(gasUnits),
    grossWei: String(netWei),
    premiumWei: "0",
    gasCostWei: "0",
    netWei: String(netWei),
    loanValueWei: "7",
  };
}

/** What the second is still worth after the first, and where it swaps then. */
export function sequel(first: Opportunity, second: Opportunity, netWei: number, pools: readonly string[]): Sequel {
  const opportunity = offer(`${second.id} after ${first.id}`, netWei, pools);
  return { first: first.id, second: second.id, opportunity };
}
