import type { Hop, Opportunity, Sequel } from "@flashloan/proto/predictor/v1/predictor";

/** What may be taken of a block. */
export interface Offer {
  /** Best first; their pools are free. */
  readonly opportunities: readonly Opportunity[];
  /** Among them. */
  readonly sequels: readonly Sequel[];
}

/** What the next block and this executor can take. */
export interface Room {
  /** Transactions that may be signed now. */
  readonly transactionsMax: number;
  /** Gas of a block. */
  readonly gasMax: bigint;
}

/** One trade to be tried. */
export interface Choice {
  /** The block's opportunity that is used up by it. */
  readonly id: string;
  /** What is traded: the opportunity, or its sequel. */
  readonly opportunity: Opportunity;
  /** Of a sequel: the block's opportunity that must be on its way before. */
  readonly after?: string;
}

/** Every swap of an opportunity, those after the loan's repayment too. */
export function hopsOf(opportunity: Opportunity): Hop[] {
  return [...opportunity.hops, ...opportunity.conversion];
}

/** What an opportunity changes: two that share a pool can't both be had as they were found. */
export function poolsOf(opportunity: Opportunity): string[] {
  return hopsOf(opportunity).map((hop) => hop.poolId);
}

/** An opportunity as it was found. */
export function asFound(opportunity: Opportunity): Choice {
  return { id: opportunity.id, opportunity };
}

/** The first, and each of the following that fits to all that were chosen before it: the built-in choice. */
export function selectGreedily({ opportunities }: Offer, room: Room): readonly Choice[] {
  const chosen: Opportunity[] = [];
  const taken = new Set<string>();
  let gas = 0n;
  for (const opportunity of opportunities) {
    const pools = poolsOf(opportunity);
    const fits = chosen.length < room.transactionsMax && gas + opportunity.gasUnits <= room.gasMax;
    if (!fits || pools.some((pool) => taken.has(pool))) continue;
    chosen.push(opportunity);
    for (const pool of pools) taken.add(pool);
    gas += opportunity.gasUnits;
  }
  return chosen.map(asFound);
}

/**
 * Reads a choice that somebody else made. One that would come after two others, or whose sequel changes what a third one
 * changes, is left out: nobody has sized it on such a state.
 * @param ids of what is chosen, the first to be executed first
 * @returns what to trade, or what is wrong with the choice
 */
export function readSelection(
  ids: readonly string[],
  { opportunities, sequels }: Offer,
  room: Room,
): readonly Choice[] | { readonly fault: string } {
  const left = new Map(opportunities.map((opportunity) => [opportunity.id, opportunity]));
  const chosen: { readonly choice: Choice; readonly pools: ReadonlySet<string> }[] = [];
  if (ids.length > room.transactionsMax) return { fault: `${ids.length} chosen of at most ${room.transactionsMax}` };
  for (const id of ids) {
    const found = left.get(id);
    if (!found) return { fault: `${id.slice(0, 64)} was not offered, or is chosen twice` };
    left.delete(id);
    const sharing = (pools: readonly string[]) =>
      chosen.filter((other) => pools.some((pool) => other.pools.has(pool))).map(({ choice }) => choice.id);
    const pools = poolsOf(found);
    const before = sharing(pools);
    const [after] = before;
    if (after === undefined) {
      chosen.push({ choice: asFound(found), pools: new Set(pools) });
      continue;
    }
    const sequelTo = (first: string) => sequels.find((each) => each.first === first && each.second === id)?.opportunity;
    const lone = before.find((first) => !sequelTo(first));
    if (lone !== undefined) return { fault: `${id} changes a pool of ${lone}` };
    const sequel = sequelTo(after);
    const all = [...pools, ...(sequel ? poolsOf(sequel) : [])];
    if (sequel && sharing(all).length === 1)
      chosen.push({ choice: { id, opportunity: sequel, after }, pools: new Set(all) });
  }
  const choices = chosen.map(({ choice }) => choice);
  const gas = choices.reduce((sum, { opportunity }) => sum + opportunity.gasUnits, 0n);
  return gas > room.gasMax ? { fault: `${gas} gas chosen of at most ${room.gasMax}` } : choices;
}

/** What is chosen is worth together. */
export function netWeiOf(choices: readonly Choice[]): bigint {
  return choices.reduce((sum, { opportunity }) => sum + BigInt(opportunity.netWei), 0n);
}
