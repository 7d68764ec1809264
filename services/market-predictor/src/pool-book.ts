import type { Header, Log } from "@flashloan/evm/chain";
import { validatePool } from "@flashloan/amm/validate";
import { AmmError, type Pool, type PoolId } from "@flashloan/amm/pool";
import { REORG_DEPTH_MAX } from "@flashloan/evm/follower";
import type { Hex } from "@flashloan/evm/hex";
import { decodePoolEvent, decodePoolSeed, TOPICS, type PoolEvent, type PoolSeed } from "./events.ts";
import type { Venues } from "./venues.ts";

/** What a block did to the book. */
export interface BookChange {
  /** Pools whose state changed, or that were set aside. */
  readonly changed: Set<PoolId>;
  /** Pools that must be read from the chain: the event did not carry the whole state. */
  readonly reread: Set<PoolId>;
}

interface Undo {
  readonly header: Header;
  readonly before: Map<PoolId, { readonly pool: Pool | undefined; readonly quarantine: string | undefined }>;
  readonly announced: PoolId[];
}

/**
 * The state of every watched pool at the newest block, with what it takes to go back REORG_DEPTH_MAX blocks. Pure
 * bookkeeping: what must be read from the chain is named, not read. A pool whose state is nonsense is set aside with
 * the reason, and the others go on.
 */
export class PoolBook {
  readonly #venues: Venues;
  readonly #pools = new Map<PoolId, Pool>();
  readonly #seeds = new Map<PoolId, PoolSeed>();
  readonly #quarantined = new Map<PoolId, string>();
  /** The pools whose own contracts emit what changes them, beside the vault: Balancer's. */
  readonly #byContract = new Map<Hex, PoolId>();
  readonly #undo: Undo[] = [];
  #version = 0;

  constructor(venues: Venues) {
    this.#venues = venues;
  }

  get size(): number {
    return this.#pools.size;
  }
  get quarantined(): ReadonlyMap<PoolId, string> {
    return this.#quarantined;
  }
  get seeds(): ReadonlyMap<PoolId, PoolSeed> {
    return this.#seeds;
  }
  /** Changes whenever a pool comes or goes. */
  get version(): number {
    return this.#version;
  }
  pool(id: PoolId): Pool | undefined {
    return this.#pools.get(id);
  }
  ids(): PoolId[] {
    return [...this.#pools.keys()];
  }

  /** Takes the logs of the next block. */
  apply(header: Header, logs: readonly Log[]): BookChange {
    const undo: Undo = { header, before: new Map(), announced: [] };
    this.#undo.push(undo);
    if (this.#undo.length > REORG_DEPTH_MAX) this.#undo.shift();
    const change: BookChange = { changed: new Set(), reread: new Set() };
    for (const log of logs) {
      const seed = this.#isFactory(log) ? decodePoolSeed(log) : undefined;
      if (seed && !this.#seeds.has(seed.id)) {
        this.addSeed(seed);
        undo.announced.push(seed.id);
        change.reread.add(seed.id);
      } else {
        this.#applyEvent(log, change);
      }
    }
    return change;
  }

  /** A pool that a factory announced. */
  addSeed(seed: PoolSeed): void {
    this.#seeds.set(seed.id, seed);
    if (seed.kind === "balancer") this.#byContract.set(seed.pool, seed.id);
  }

  /** Sets a pool's state; false when it was nonsense and the pool is set aside. */
  put(pool: Pool): boolean {
    try {
      validatePool(pool, this.#pools.get(pool.id));
    } catch (error) {
      this.quarantine(pool.id, error instanceof Error ? error.message : String(error));
      return false;
    }
    this.#set(pool.id, pool, undefined);
    return true;
  }

  /** Sets a pool aside, with the reason that operators see. */
  quarantine(id: PoolId, reason: string): void {
    this.#set(id, undefined, reason);
  }

  /** Takes out a pool that has nothing to trade now; it comes back with its next event. */
  drop(id: PoolId): void {
    this.#set(id, undefined, undefined);
  }

  /** Goes back to the end of a block; returns the pools whose state that changed, or undefined when it is too far back. */
  unwind(to: Header): Set<PoolId> | undefined {
    const changed = new Set<PoolId>();
    while (this.#undo.length > 0 && (this.#undo.at(-1) as Undo).header.number > to.number) {
      const { before, announced } = this.#undo.pop() as Undo;
      for (const [id, { pool, quarantine }] of before) {
        changed.add(id);
        this.#write(id, pool, quarantine);
      }
      for (const id of announced) this.#forget(id);
    }
    const newest = this.#undo.at(-1);
    return newest === undefined || newest.header.hash === to.hash ? changed : undefined;
  }

  /** Forgets everything. */
  clear(): void {
    this.#pools.clear();
    this.#seeds.clear();
    this.#byContract.clear();
    this.#quarantined.clear();
    this.#undo.length = 0;
    this.#version += 1;
  }

  #applyEvent(log: Log, change: BookChange): void {
    const event = this.#settingsEvent(log) ?? decodePoolEvent(log);
    if (!event || !this.#seeds.has(event.poolId) || !this.#comesFromPool(log, event.poolId)) return;
    const { poolId, next } = event;
    // What is read from the chain anyway has this event in it.
    if (change.reread.has(poolId)) return;
    const pool = this.#pools.get(poolId);
    let state: Pool | undefined;
    try {
      state = pool && next(pool);
    } catch (error) {
      if (!(error instanceof AmmError)) throw error;
      // Our state and the event don't go together: the chain decides.
    }
    if (!state) change.reread.add(poolId);
    else {
      this.put(state);
      change.changed.add(poolId);
    }
  }

  /** Owners change fees and amplification by events of many kinds, all seldom: each is a reason to read the pool. */
  #settingsEvent(log: Log): PoolEvent | undefined {
    const poolId = this.#byContract.get(log.address);
    const isToken = log.topics[0] === TOPICS.transfer || log.topics[0] === TOPICS.approval;
    return poolId === undefined || isToken ? undefined : { poolId, next: () => undefined };
  }

  #set(id: PoolId, pool: Pool | undefined, quarantine: string | undefined): void {
    const before = this.#undo.at(-1)?.before;
    if (before && !before.has(id)) before.set(id, { pool: this.#pools.get(id), quarantine: this.#quarantined.get(id) });
    this.#write(id, pool, quarantine);
  }

  #write(id: PoolId, pool: Pool | undefined, quarantine: string | undefined): void {
    if ((pool !== undefined) !== this.#pools.has(id)) this.#version += 1;
    if (pool) this.#pools.set(id, pool);
    else this.#pools.delete(id);
    if (quarantine === undefined) this.#quarantined.delete(id);
    else this.#quarantined.set(id, quarantine);
  }

  #forget(id: PoolId): void {
    const seed = this.#seeds.get(id);
    if (seed?.kind === "balancer") this.#byContract.delete(seed.pool);
    this.#seeds.delete(id);
  }

  #isFactory(log: Log): boolean {
    switch (log.topics[0]) {
      case TOPICS.v2PairCreated:
        return this.#venues.uniswapV2.some((venue) => venue.factory === log.address);
      case TOPICS.v3PoolCreated:
        return this.#venues.uniswapV3.some((venue) => venue.factory === log.address);
      case TOPICS.v4Initialize:
        return this.#venues.uniswapV4?.poolManager === log.address;
      case TOPICS.balancerPoolRegistered:
        return this.#venues.balancerV2?.vault === log.address;
      default:
        return false;
    }
  }

  /** Anyone may emit an event that looks like a vault's: it counts only from the contract that holds the pool. */
  #comesFromPool(log: Log, id: PoolId): boolean {
    const seed = this.#seeds.get(id);
    if (seed?.kind === "uniswap-v4") return log.address === seed.manager;
    if (seed?.kind === "balancer") return log.address === seed.vault || log.address === seed.pool;
    return log.address === id;
  }
}
