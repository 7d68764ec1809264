import { followChain } from "@flashloan/evm/follower";
import { nextBaseFee, logsSchema, type Header, type Log } from "@flashloan/evm/chain";
import { toQuantity, type Hex } from "@flashloan/evm/hex";
import type { JsonRpc } from "@flashloan/evm/json-rpc";
import { AmmError, type Pool, type PoolId } from "@flashloan/amm/pool";
import { validatePool } from "@flashloan/amm/validate";
import type { Clock } from "@flashloan/shared/clock";
import { toFlashloanError } from "@flashloan/shared/errors";
import type { Running } from "@flashloan/shared/lifecycle";
import type { Logger } from "@flashloan/shared/log";
import type { Random } from "@flashloan/shared/random";
import { decodePoolSeed, TOPICS, type PoolSeed } from "./events.ts";
import { LenderBook } from "./lenders.ts";
import { PoolBook } from "./pool-book.ts";
import { PoolProbe, type ProbeSupport } from "./pool-probe.ts";
import { mapLimited, PoolFault, PoolReader } from "./pool-reader.ts";
import type { Search, SearchOutcome } from "./search.ts";
import type { Venues } from "./venues.ts";

/** Blocks of logs that one request asks for when factories are searched; nodes limit the range. */
const DISCOVERY_SPAN = 2_000;
/** Refusals of the node in a row after which a pool is set aside with the node's words. */
const REFUSALS_MAX = 8;
/** Characters of a state that a log line shows. */
const FINGERPRINT_LOGGED = 500;

/** What the feed counts, for status and metrics. */
export interface FeedCounters {
  blockNumber: number;
  blockHash: string;
  takenInAtMs: number;
  reorgs: number;
  reconnects: number;
  selfChecks: number;
  selfCheckDifferences: number;
}

/** What a block showed. */
export interface FeedReport {
  readonly header: Header;
  readonly nextBaseFeeWei: bigint;
  readonly outcome: SearchOutcome;
  readonly poolsWatched: number;
  readonly poolsQuarantined: number;
  readonly latencyUs: number;
}

/** How the feed works. */
export interface FeedSettings {
  readonly venues: Venues;
  /** Blocks between self-checks of pool state against the chain. */
  readonly selfCheckBlocks: number;
  /** Pools that one self-check compares. */
  readonly selfCheckPools: number;
}

/** What the feed works with. */
export interface FeedDependencies {
  readonly rpc: JsonRpc;
  readonly search: Search;
  readonly settings: FeedSettings;
  readonly random: Random;
  readonly clock: Clock;
  readonly log: Logger;
  readonly onReport: (report: FeedReport) => Promise<void> | void;
}

/** Keeps pool state equal to the chain's and searches after every block. */
export class Feed {
  readonly counters: FeedCounters = {
    blockNumber: 0,
    blockHash: "",
    takenInAtMs: 0,
    reorgs: 0,
    reconnects: 0,
    selfChecks: 0,
    selfCheckDifferences: 0,
  };
  readonly book: PoolBook;
  readonly #d: FeedDependencies;
  readonly #lenders: LenderBook;
  /** Pools of the newest opportunities: a gap that nobody took is still there in the next block. */
  #hot = new Set<PoolId>();
  /** Pools whose state at the newest block is not known, since the node failed; with the number of its failures. */
  readonly #stale = new Map<PoolId, number>();
  /** Pools that change without events: read with each block. */
  readonly #moving = new Set<PoolId>();
  /** Pools that were tried out. */
  readonly #probed = new Set<PoolId>();
  readonly #probeSupport: ProbeSupport = { simulate: true, honest: new Set() };

  constructor(dependencies: FeedDependencies) {
    this.#d = dependencies;
    this.book = new PoolBook(dependencies.settings.venues);
    this.#lenders = new LenderBook(dependencies.settings.venues);
  }

  /** Reads every pool, then follows the chain until stopped. @throws FlashloanError what the node fails with at first */
  start(): Promise<Running> {
    const { rpc, log } = this.#d;
    return followChain(rpc, {
      reset: (header) => this.#reset(header),
      block: (header, logs) => this.#block(header, logs),
      unwind: (to) => this.#unwind(to),
      failed: (error) => log.error({ error }, "feed_step_failed"),
      reconnected: () => {
        this.counters.reconnects += 1;
        log.warn({ reconnects: this.counters.reconnects }, "chain_reconnected");
      },
    });
  }

  async #reset(header: Header): Promise<void> {
    const { clock, log, search } = this.#d;
    const startedMs = clock.monotonic();
    const seeds = await this.#discover(header.number);
    for (const id of this.book.ids()) search.remove(id);
    this.book.clear();
    for (const known of [this.#stale, this.#moving, this.#probed, this.#probeSupport.honest]) known.clear();
    this.#lenders.clear();
    for (const seed of seeds) this.book.addSeed(seed);
    await this.#read(header, [...this.book.seeds.keys()]);
    const ms = Math.round(clock.monotonic() - startedMs);
    log.info(
      { block: header.number, pools: this.book.size, quarantined: this.book.quarantined.size, ms },
      "pools_read",
    );
    await this.#report(header, this.book.ids(), startedMs);
  }

  async #block(header: Header, logs: readonly Log[]): Promise<void> {
    const startedMs = this.#d.clock.monotonic();
    const { changed, reread } = this.book.apply(header, logs);
    this.#lenders.apply(header, logs);
    for (const id of changed) this.#publish(id);
    const toRead = new Set([...reread, ...this.#stale.keys(), ...this.#moving]);
    if (toRead.size > 0) await this.#read(header, [...toRead]);
    await this.#report(header, new Set([...changed, ...toRead, ...this.#hot]), startedMs);
    const { selfCheckBlocks } = this.#d.settings;
    if (selfCheckBlocks > 0 && header.number % selfCheckBlocks === 0) await this.#selfCheck(header);
  }

  async #unwind(to: Header): Promise<void> {
    this.counters.reorgs += 1;
    const changed = this.book.unwind(to);
    this.#d.log.warn({ to: to.number, pools: changed?.size ?? "all" }, "chain_reorganised");
    if (!changed) return this.#reset(to);
    this.#lenders.unwind(to);
    for (const id of changed) {
      this.#publish(id);
      this.#hot.add(id);
    }
  }

  /** Reads pools at a block; one that the node can't give is tried again with the next, a faulty one set aside. */
  async #read(header: Header, ids: readonly PoolId[]): Promise<void> {
    const { rpc, settings } = this.#d;
    const reader = new PoolReader(rpc, settings.venues, header.hash);
    const probe = new PoolProbe(rpc, header.hash, this.#probeSupport);
    await mapLimited(ids, async (id) => {
      const seed = this.book.seeds.get(id);
      this.#moving.delete(id);
      if (!seed) return void this.#stale.delete(id);
      try {
        const pool = await reader.read(seed);
        if (pool) await this.#try(probe, pool);
        if (pool) this.book.put(pool);
        else this.book.drop(id);
        this.#stale.delete(id);
      } catch (error) {
        this.#unreadable(id, error);
      }
      this.#publish(id);
    });
    for (const id of reader.moving) this.#moving.add(id);
  }

  /** Tries a pool out when it is new, or was set aside since. */
  async #try(probe: PoolProbe, pool: Pool): Promise<void> {
    if (this.#probed.has(pool.id)) return;
    // Nonsense is refused with its reason by the book; it can't be tried.
    if (!isValid(pool)) return;
    await probe.probe(pool);
    this.#probed.add(pool.id);
  }

  #unreadable(id: PoolId, error: unknown): void {
    if (error instanceof PoolFault) {
      this.#setAside(id, error.message);
      return;
    }
    const { code, message } = toFlashloanError(error);
    const failures = (this.#stale.get(id) ?? 0) + 1;
    if (code === "chain_rejected" && failures >= REFUSALS_MAX) {
      this.#setAside(id, `the node refuses to read it (${message})`);
      return;
    }
    // Its old state must not be traded on.
    this.book.drop(id);
    this.#stale.set(id, failures);
    if (failures === 1) this.#d.log.warn({ poolId: id, error }, "pool_not_read");
  }

  #setAside(id: PoolId, reason: string): void {
    this.#stale.delete(id);
    this.#probed.delete(id);
    this.book.quarantine(id, reason);
    this.#d.log.warn({ poolId: id, reason }, "pool_quarantined");
  }

  /** Hands a pool's state to the search, or takes it away. */
  #publish(id: PoolId): void {
    const pool = this.book.pool(id);
    if (!pool) return this.#d.search.remove(id);
    const refused = this.#d.search.upsert(pool);
    if (refused === undefined) return;
    this.#d.search.remove(id);
    this.book.quarantine(id, refused);
  }

  async #report(header: Header, ids: Iterable<PoolId>, startedMs: number): Promise<void> {
    const { search, clock } = this.#d;
    await this.#refreshLenders(header);
    const nextBaseFeeWei = nextBaseFee(header);
    const outcome = search.searchFrom(ids, nextBaseFeeWei);
    this.#hot = new Set(outcome.pools);
    Object.assign(this.counters, { blockNumber: header.number, blockHash: header.hash, takenInAtMs: clock.now() });
    const latencyUs = Math.round((clock.monotonic() - startedMs) * 1_000);
    await this.#d.onReport({
      header,
      nextBaseFeeWei,
      outcome,
      poolsWatched: this.book.size,
      poolsQuarantined: this.book.quarantined.size,
      latencyUs,
    });
  }

  /**
   * Compares a sample, and the pools of the newest opportunities, with the chain; a difference is counted, logged and
   * mended. A gap that stays open is more likely a lie than a gift, so that its pools are tried out again.
   */
  async #selfCheck(header: Header): Promise<void> {
    const { rpc, settings, random } = this.#d;
    const reader = new PoolReader(rpc, settings.venues, header.hash);
    const probe = new PoolProbe(rpc, header.hash, this.#probeSupport);
    const ids = this.book.ids();
    if (ids.length === 0) return;
    const sample = new Set([...this.#hot].slice(0, settings.selfCheckPools));
    if (ids.length <= settings.selfCheckPools) for (const id of ids) sample.add(id);
    else for (let i = 0; i < settings.selfCheckPools; i++) sample.add(random.pick(ids));
    for (const id of sample) {
      const seed = this.book.seeds.get(id);
      if (seed && !(await this.#checkPool(header, seed, reader, probe))) break;
    }
    this.#lenders.expire(settings.selfCheckPools);
    await this.#refreshLenders(header);
  }

  async #refreshLenders(header: Header): Promise<void> {
    const { rpc, search, settings } = this.#d;
    const lenders = await this.#lenders.refresh(new PoolReader(rpc, settings.venues, header.hash), this.book);
    if (lenders) search.setLenders(lenders);
  }

  /** False when the node can't tell now: it has lost the block, or fails; the next self-check asks again. */
  async #checkPool(header: Header, seed: PoolSeed, reader: PoolReader, probe: PoolProbe): Promise<boolean> {
    const { id } = seed;
    let actual: Pool | undefined;
    try {
      actual = await reader.read(seed);
      this.counters.selfChecks += 1;
      if (fingerprint(actual) === fingerprint(this.book.pool(id))) {
        if (actual) await probe.probe(actual);
        return true;
      }
    } catch (error) {
      if (!(error instanceof PoolFault)) {
        this.#d.log.warn({ block: header.number, error }, "self_check_ended_early");
        return false;
      }
      this.#setAside(id, error.message);
      this.#publish(id);
      return true;
    }
    this.counters.selfCheckDifferences += 1;
    const [kept, found] = [this.book.pool(id), actual].map((state) => fingerprint(state).slice(0, FINGERPRINT_LOGGED));
    this.#d.log.error({ poolId: id, block: header.number, kept, actual: found }, "pool_state_differs");
    if (actual) this.book.put(actual);
    else this.book.drop(id);
    this.#publish(id);
    return true;
  }

  async #discover(toBlock: number): Promise<PoolSeed[]> {
    const { rpc, settings } = this.#d;
    const { venues } = settings;
    const sources: { address: Hex; topic: Hex }[] = [
      ...venues.uniswapV2.map(({ factory }) => ({ address: factory, topic: TOPICS.v2PairCreated })),
      ...venues.uniswapV3.map(({ factory }) => ({ address: factory, topic: TOPICS.v3PoolCreated })),
      ...(venues.uniswapV4 ? [{ address: venues.uniswapV4.poolManager, topic: TOPICS.v4Initialize }] : []),
      ...(venues.balancerV2 ? [{ address: venues.balancerV2.vault, topic: TOPICS.balancerPoolRegistered }] : []),
    ];
    if (sources.length === 0) return [];
    const spans: { from: number; to: number }[] = [];
    for (let from = venues.fromBlock; from <= toBlock; from += DISCOVERY_SPAN)
      spans.push({ from, to: Math.min(toBlock, from + DISCOVERY_SPAN - 1) });
    const pages = await mapLimited(spans, ({ from, to }) =>
      rpc.request(
        "eth_getLogs",
        [
          {
            fromBlock: toQuantity(from),
            toBlock: toQuantity(to),
            address: sources.map((source) => source.address),
            topics: [[...new Set(sources.map((source) => source.topic))]],
          },
        ],
        logsSchema,
      ),
    );
    return pages.flat().flatMap((log) => decodePoolSeed(log) ?? []);
  }
}

function isValid(pool: Pool): boolean {
  try {
    validatePool(pool);
    return true;
  } catch (error) {
    if (error instanceof AmmError) return false;
    throw error;
  }
}

/** A pool's state as text, for comparison. */
function fingerprint(pool: unknown): string {
  return JSON.stringify(pool, (_, value: unknown) => (typeof value === "bigint" ? value.toString() : value)) ?? "none";
}
