import type { Address, Pool, PoolId } from "@flashloan/amm/pool";
import { swapExactIn } from "@flashloan/amm/quote";
import { createMarket, type Market, type SearchPrices } from "@flashloan/arbitrage/market";
import type { Plan } from "@flashloan/arbitrage/plan";
import { createSyntheticMarket } from "@flashloan/arbitrage/synthetic-market";
import type { Budget } from "@flashloan/decisions/decision";
import { selectOpportunities, type Opportunity, type Room, type Sequel } from "@flashloan/decisions/selection";

/** The most plans of a block that are looked at: a sequel is a search for each pair. */
const PLANS_MAX = 16;

/** The pools of a chain after a block, and what gas costs in the next. */
export interface Snapshot {
  readonly weth: Address;
  readonly pools: readonly Pool[];
  readonly prices: SearchPrices;
}

/** What became of a block by each way of selecting, executed for real on the block's pools. */
export interface BlockOutcome {
  readonly plans: number;
  readonly isProven: boolean;
  readonly netWei: Readonly<
    Record<"engine" | "engine, no sequels" | "greedy" | "greedy, resized" | "one at a time", bigint>
  >;
}

/** A block's market, on which plans can be carried out and taken back. */
class Block {
  readonly #market: Market;
  readonly #prices: SearchPrices;
  readonly plans: readonly Plan[];

  constructor({ weth, pools, prices }: Snapshot) {
    this.#market = createMarket({ weth, lenders: {} });
    this.#prices = prices;
    for (const pool of pools) this.#market.upsert(pool);
    this.plans = this.#market.scanAll(prices).plans.slice(0, PLANS_MAX);
  }

  /** Carries plans out one after the other, each resized on the state that those before leave; what pays no more is left out. */
  execute(ids: readonly string[], transactionsMax = Infinity): { netWei: bigint; after: ReadonlyMap<string, Plan> } {
    const before = new Map<PoolId, Pool>();
    let netWei = 0n;
    const after = new Map<string, Plan>();
    let transactions = 0;
    for (const id of ids) {
      if (transactions === transactionsMax) break;
      const original = this.plans.find((plan) => plan.id === id);
      const plan = before.size === 0 ? original : this.#anew(original);
      if (!plan) continue;
      transactions += 1;
      netWei += plan.netWei;
      this.#carryOut(plan, before);
    }
    for (const plan of this.plans) {
      const resized = before.size === 0 ? plan : this.#anew(plan);
      if (resized) after.set(plan.id, resized);
    }
    for (const pool of before.values()) this.#market.upsert(pool);
    return { netWei, after };
  }

  /** The plan for the same route on the state as it is now. */
  #anew(plan: Plan | undefined): Plan | undefined {
    if (!plan) return undefined;
    const route = routeOf(plan);
    return this.#market
      .searchFrom(
        plan.hops.slice(0, 1).map(({ poolId }) => poolId),
        this.#prices,
      )
      .plans.find((candidate) => routeOf(candidate) === route);
  }

  #carryOut(plan: Plan, before: Map<PoolId, Pool>): void {
    for (const { poolId, indexIn, indexOut, amountIn } of [...plan.hops, ...plan.conversion]) {
      const pool = this.#market.get(poolId);
      if (!pool) throw new Error(`${poolId} is not in the market`);
      if (!before.has(poolId)) before.set(poolId, pool);
      this.#market.upsert(swapExactIn(pool, indexIn, indexOut, amountIn).pool);
    }
  }
}

function routeOf(plan: Plan): string {
  return plan.hops.map(({ poolId, indexIn, indexOut }) => `${poolId}:${indexIn}:${indexOut}`).join();
}

/** Blocks of a seeded market of every kind of pool: 25 trades lie between two of them. */
export function* syntheticBlocks(blocks: number, seed: number): Generator<Snapshot> {
  const market = createSyntheticMarket({ pools: 120, seed, noise: 0.002 });
  const prices = { gasPriceWei: 5n * 10n ** 9n, maxFeePerGasWei: 10n ** 10n };
  for (let n = 0; n < blocks; n++) {
    for (let trade = 0; trade < 25; trade++) market.nextUpdate();
    yield { weth: market.weth, pools: [...market.pools], prices };
  }
}

/** Selects in each block in four ways, and carries each selection out; blocks in which nothing pays are left out. */
export function* selectInBlocks(snapshots: Iterable<Snapshot>, budget: Budget, room: Room): Generator<BlockOutcome> {
  for (const snapshot of snapshots) {
    const block = new Block(snapshot);
    if (block.plans.length === 0) continue;
    const { opportunities, sequels } = asOpportunities(block);
    const selection = selectOpportunities(opportunities, sequels, room, budget);
    const byNet = opportunities.map(({ id }) => id);
    yield {
      plans: block.plans.length,
      isProven: selection.provenOptimal,
      netWei: {
        engine: block.execute(selection.chosen).netWei,
        "engine, no sequels": block.execute(selectOpportunities(opportunities, [], room, budget).chosen).netWei,
        greedy: block.execute(greedily(opportunities, room)).netWei,
        "greedy, resized": block.execute(byNet, room.transactionsMax).netWei,
        "one at a time": block.execute(byNet.slice(0, 1)).netWei,
      },
    };
  }
}

function asOpportunities(block: Block): { opportunities: Opportunity[]; sequels: Sequel[] } {
  const opportunities = block.plans.map((plan): Opportunity => {
    const pools = [...new Set([...plan.hops, ...plan.conversion].map(({ poolId }) => poolId))];
    const loan = {
      source: plan.loan.kind === "first-swap" ? plan.id : `${plan.loan.source}:${plan.loan.token}`,
      amount: plan.loan.amount,
    };
    return { id: plan.id, netWei: plan.netWei, pools, gas: Number(plan.gasLimit), loan };
  });
  const sequels = opportunities.flatMap((first) => {
    const { after } = block.execute([first.id]);
    return opportunities.flatMap((second): Sequel[] => {
      if (second === first || !second.pools.some((pool) => first.pools.includes(pool))) return [];
      const resized = after.get(second.id);
      return resized ? [{ first: first.id, second: second.id, netWei: resized.netWei }] : [];
    });
  });
  return { opportunities, sequels };
}

/** As the executor does by itself: the best first, and whatever follows and touches none of its pools. */
function greedily(opportunities: readonly Opportunity[], room: Room): string[] {
  const taken = new Set<string>();
  const chosen: Opportunity[] = [];
  for (const opportunity of opportunities) {
    const gas = chosen.reduce((sum, each) => sum + each.gas, opportunity.gas);
    if (chosen.length >= room.transactionsMax || gas > room.gasMax) continue;
    if (opportunity.pools.some((pool) => taken.has(pool))) continue;
    chosen.push(opportunity);
    for (const pool of opportunity.pools) taken.add(pool);
  }
  return chosen.map(({ id }) => id);
}
