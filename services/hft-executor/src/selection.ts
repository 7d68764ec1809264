import type { Hop, Opportunity } from "@flashloan/proto/predictor/v1/predictor";

/** What the next block and this executor can take. */
export interface Room {
  /** Transactions that may be signed now. */
  readonly transactionsMax: number;
  /** Gas of a block. */
  readonly gasMax: bigint;
}

/** Every swap of an opportunity, those after the loan's repayment too. */
export function hopsOf(opportunity: Opportunity): Hop[] {
  return [...opportunity.hops, ...opportunity.conversion];
}

/** What an opportunity changes: two that share a pool can't both be had as they were found. */
export function poolsOf(opportunity: Opportunity): string[] {
  return hopsOf(opportunity).map((hop) => hop.poolId);
}

/** The first, and each of the following that fits to all that were chosen before it; given best first, the built-in choice. */
export function selectGreedily(offered: readonly Opportunity[], room: Room): readonly Opportunity[] {
  const chosen: Opportunity[] = [];
  const taken = new Set<string>();
  let gas = 0n;
  for (const opportunity of offered) {
    const pools = poolsOf(opportunity);
    const fits = chosen.length < room.transactionsMax && gas + opportunity.gasUnits <= room.gasMax;
    if (!fits || pools.some((pool) => taken.has(pool))) continue;
    chosen.push(opportunity);
    for (const pool of pools) taken.add(pool);
    gas += opportunity.gasUnits;
  }
  return chosen;
}

/**
 * Reads a choice that somebody else made.
 * @param ids of what is chosen, the first to be executed first
 * @returns the opportunities, or what is wrong with the choice
 */
export function readSelection(
  ids: readonly string[],
  offered: readonly Opportunity[],
  room: Room,
): readonly Opportunity[] | { readonly fault: string } {
  const left = new Map(offered.map((opportunity) => [opportunity.id, opportunity]));
  const chosen: Opportunity[] = [];
  for (const id of ids) {
    const opportunity = left.get(id);
    if (!opportunity) return { fault: `${id.slice(0, 64)} was not offered, or is chosen twice` };
    left.delete(id);
    chosen.push(opportunity);
  }
  if (chosen.length > room.transactionsMax)
    return { fault: `${chosen.length} chosen of at most ${room.transactionsMax}` };
  const gas = chosen.reduce((sum, { gasUnits }) => sum + gasUnits, 0n);
  if (gas > room.gasMax) return { fault: `${gas} gas chosen of at most ${room.gasMax}` };
  const pools = chosen.flatMap((opportunity) => [...new Set(poolsOf(opportunity))]);
  const twice = pools.find((pool, at) => pools.indexOf(pool) !== at);
  return twice === undefined ? chosen : { fault: `pool ${twice} is changed twice` };
}

/** What opportunities are worth together, as they were found. */
export function netWeiOf(opportunities: readonly Opportunity[]): bigint {
  return opportunities.reduce((sum, { netWei }) => sum + BigInt(netWei), 0n);
}
