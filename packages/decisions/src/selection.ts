import type { Limit } from "@flashloan/qubo/packing";
import type { Coupling } from "@flashloan/qubo/quadratic";
import { FlashloanError } from "@flashloan/shared/errors";
import { choose, type Budget, type Provenance } from "./decision.ts";

/** The most opportunities of one block. */
export const OPPORTUNITIES_MAX = 500;
/** What is weighed is in gwei: floats hold it well, and the answer's sum is exact again. */
const WEI_PER_GWEI = 1e9;

/** Something that could be traded in a block. */
export interface Opportunity {
  readonly id: string;
  /** Net of premium and gas, taken alone on the block's state. */
  readonly netWei: bigint;
  /** What it changes: two that share one can't both be had as they were found. */
  readonly pools: readonly string[];
  readonly gas: number;
  /** Whose liquidity the loan takes, such as a vault's token, and how much of it. */
  readonly loan: { readonly source: string; readonly amount: bigint };
  /** Those of one group fail together (the same hostile token, the same rival): how likely, and what it costs then. */
  readonly failure?: { readonly group: string; readonly chance: number; readonly costWei: bigint };
}

/** Two that share pools, one after the other: what the later is still worth, resized on the state that the earlier leaves. */
export interface Sequel {
  readonly first: string;
  readonly second: string;
  readonly netWei: bigint;
}

/** What a block and its executor can take. */
export interface Room {
  /** Transactions: one a lane, or as many as a lane may have in flight. */
  readonly transactionsMax: number;
  readonly gasMax: number;
  /** By loan source; one that is not named is not limited. */
  readonly liquidity: Readonly<Record<string, bigint>>;
  /** How many times its expected cost a joint failure counts; 0 is indifferent to risk. */
  readonly riskAversion: number;
}

/** Which opportunities to execute together, in the order in which those that share pools were valued. */
export interface Selection extends Provenance {
  readonly chosen: readonly string[];
  /** What they are worth together, exactly: each alone, or as the sequel of one before it. */
  readonly netWei: bigint;
}

/**
 * Chooses the opportunities of a block that are worth most together. Those that share a pool exclude each other unless
 * there is a sequel, in which case the later counts with what it is worth then.
 * @throws FlashloanError argument_invalid, naming the opportunity and the field
 */
export function selectOpportunities(
  opportunities: readonly Opportunity[],
  sequels: readonly Sequel[],
  room: Room,
  budget: Budget,
): Selection {
  const placeOf = validate(opportunities, sequels, room);
  const orders = bestOrders(opportunities, sequels, placeOf);
  const pairs: Coupling[] = [];
  const conflicts: Limit[] = [];
  for (const [i, one] of opportunities.entries())
    for (const [j, other] of opportunities.entries()) {
      if (j <= i) continue;
      const order = orders.get(pairKey(i, j));
      if (order) pairs.push([i, j, -gwei(order.lossWei)]);
      else if (sharesPool(one, other)) conflicts.push({ weights: [[i, 1] as const, [j, 1] as const], capacity: 1 });
      const malus = jointFailure(one, other) * room.riskAversion;
      if (malus > 0) pairs.push([i, j, -malus]);
    }
  const limits = [
    { weights: opportunities.map((_, i) => [i, 1] as const), capacity: room.transactionsMax },
    { weights: opportunities.map(({ gas }, i) => [i, gas] as const), capacity: room.gasMax },
    ...cliques(opportunities, orders),
    ...conflicts,
    ...Object.entries(room.liquidity).map(([source, amount]) => ({
      // In shares of what there is, so that amounts of any size are told apart.
      weights: opportunities.flatMap(({ loan }, i) =>
        loan.source === source ? [[i, amount > 0n ? ratio(loan.amount, amount) : 2] as const] : [],
      ),
      capacity: 1,
    })),
  ];
  const values = opportunities.map(({ netWei }) => gwei(netWei));
  const { isChosen, provenance } = choose({ values, pairs, limits }, budget);
  const chosen = [...opportunities.keys()].filter(isChosen);
  let netWei = chosen.reduce((sum, i) => sum + (opportunities[i]?.netWei ?? 0n), 0n);
  const before = new Map<number, number[]>();
  for (const [at, i] of chosen.entries())
    for (const j of chosen.slice(at + 1)) {
      const order = orders.get(pairKey(i, j));
      if (!order) continue;
      netWei -= order.lossWei;
      before.set(order.second, [...(before.get(order.second) ?? []), order.first]);
    }
  return { ...provenance, netWei, chosen: inOrder(chosen, before).map((i) => opportunities[i]?.id ?? "") };
}

interface Order {
  readonly first: number;
  readonly second: number;
  /** How much less the later is worth than alone. */
  readonly lossWei: bigint;
}

/** Of both orders of a pair the one that loses less. */
function bestOrders(
  opportunities: readonly Opportunity[],
  sequels: readonly Sequel[],
  placeOf: ReadonlyMap<string, number>,
): Map<string, Order> {
  const orders = new Map<string, Order>();
  for (const { first, second, netWei } of sequels) {
    const [i, j] = [placeOf.get(first) ?? 0, placeOf.get(second) ?? 0];
    const lossWei = (opportunities[j]?.netWei ?? 0n) - netWei;
    const known = orders.get(pairKey(i, j));
    if (!known || lossWei < known.lossWei) orders.set(pairKey(i, j), { first: i, second: j, lossWei });
  }
  return orders;
}

/** One limit for each pool of which only one user can be had: that bounds better than a limit for each pair. */
function cliques(opportunities: readonly Opportunity[], orders: ReadonlyMap<string, Order>): Limit[] {
  const users = new Map<string, number[]>();
  for (const [i, { pools }] of opportunities.entries())
    for (const pool of new Set(pools)) users.set(pool, [...(users.get(pool) ?? []), i]);
  return [...users.values()]
    .filter((its) => its.length > 2 && its.every((i, at) => its.slice(at + 1).every((j) => !orders.has(pairKey(i, j)))))
    .map((its) => ({ weights: its.map((i) => [i, 1] as const), capacity: 1 }));
}

/** Earlier ones first; where sequels go round in a circle, as the block has them. */
function inOrder(chosen: readonly number[], before: ReadonlyMap<number, readonly number[]>): number[] {
  const done = new Set<number>();
  const visiting = new Set<number>();
  const visit = (i: number): void => {
    if (done.has(i) || visiting.has(i)) return;
    visiting.add(i);
    for (const earlier of before.get(i) ?? []) visit(earlier);
    done.add(i);
  };
  for (const i of chosen) visit(i);
  return [...done];
}

function sharesPool(a: Opportunity, b: Opportunity): boolean {
  return a.pools.some((pool) => b.pools.includes(pool));
}

/** What it is expected to cost that both fail, in gwei. */
function jointFailure({ failure: a }: Opportunity, { failure: b }: Opportunity): number {
  if (!a || !b || a.group !== b.group) return 0;
  return Math.min(a.chance, b.chance) * (gwei(a.costWei) + gwei(b.costWei));
}

function pairKey(i: number, j: number): string {
  return i < j ? `${i} ${j}` : `${j} ${i}`;
}

function gwei(wei: bigint): number {
  return Number(wei) / WEI_PER_GWEI;
}

/** Rounded up, so that what is chosen fits. */
function ratio(part: bigint, whole: bigint): number {
  const scale = 10n ** 12n;
  return Number((part * scale + whole - 1n) / whole) / Number(scale);
}

function validate(
  opportunities: readonly Opportunity[],
  sequels: readonly Sequel[],
  { transactionsMax, gasMax, riskAversion }: Room,
): Map<string, number> {
  const invalid = (message: string): FlashloanError => new FlashloanError("argument_invalid", message);
  if (opportunities.length > OPPORTUNITIES_MAX)
    throw invalid(`${opportunities.length} opportunities: at most ${OPPORTUNITIES_MAX}; leave out what is worth least`);
  if (!(transactionsMax >= 0) || !(gasMax >= 0) || !(riskAversion >= 0))
    throw invalid(
      `transactionsMax ${transactionsMax}, gasMax ${gasMax}, riskAversion ${riskAversion}: must all be 0 or more`,
    );
  const placeOf = new Map<string, number>();
  for (const [i, { id, gas, loan, failure }] of opportunities.entries()) {
    if (placeOf.has(id)) throw invalid(`opportunity ${id} is given twice`);
    placeOf.set(id, i);
    if (!(gas >= 0 && gas < Infinity)) throw invalid(`opportunity ${id}: gas is ${gas}, must be 0 or more`);
    if (loan.amount < 0n) throw invalid(`opportunity ${id}: the loan is ${loan.amount}, must be 0 or more`);
    if (failure && !(failure.chance >= 0 && failure.chance <= 1))
      throw invalid(`opportunity ${id}: the chance of failure is ${failure.chance}, must be 0 to 1`);
  }
  for (const { first, second } of sequels)
    for (const id of [first, second])
      if (!placeOf.has(id) || first === second)
        throw invalid(`a sequel names ${first} and ${second}: must be two opportunities`);
  return placeOf;
}
