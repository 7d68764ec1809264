import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Pool, PoolId, UniswapV2Pool } from "@flashloan/amm/pool";
import type { Header, Log } from "@flashloan/evm/chain";
import { REORG_DEPTH_MAX } from "@flashloan/evm/follower";
import { toWord, type Hex } from "@flashloan/evm/hex";
import { TOPICS } from "../src/events.ts";
import { PoolBook } from "../src/pool-book.ts";
import type { Venues } from "../src/venues.ts";

const address = (index: number): Hex => `0x${index.toString(16).padStart(40, "0")}`;
const FACTORY = address(0xfac);
const VAULT = address(0xba1);
const [TOKEN0, TOKEN1] = [address(1), address(2)];
const PAIRS = [11, 12, 13, 14, 15, 16].map(address);
const BALANCER_ID: Hex = `${address(0x21)}${"00".repeat(12)}`;
const venues: Venues = {
  weth: TOKEN0,
  uniswapV2: [{ factory: FACTORY, feePpm: 3_000 }],
  uniswapV3: [],
  balancerV2: { vault: VAULT },
  fromBlock: 0,
};

const hash = (text: string): Hex => `0x${Buffer.from(text).toString("hex").padStart(64, "0").slice(-64)}`;
const header = (number: number, branch = ""): Header => ({
  number,
  hash: hash(`${number}${branch}`),
  parentHash: hash(`${number - 1}`),
  timestamp: number,
  baseFeePerGas: 1n,
  gasUsed: 0n,
  gasLimit: 1n,
});
const topic = (value: Hex): Hex => `0x${value.slice(2).padStart(64, "0")}`;
const log = (from: Hex, topics: readonly Hex[], words: readonly bigint[]): Log => ({
  address: from,
  topics: [...topics],
  data: `0x${words.map(toWord).join("")}`,
  blockHash: hash("b"),
  blockNumber: 1,
  transactionHash: hash("t"),
  logIndex: 0,
});
const sync = (pair: Hex, a: bigint, b: bigint, from = pair): Log => log(from, [TOPICS.v2Sync], [a, b]);
const announce = (pair: Hex, from = FACTORY): Log =>
  log(from, [TOPICS.v2PairCreated, topic(TOKEN0), topic(TOKEN1)], [BigInt(pair), 1n]);
const pool = (id: Hex, a: bigint, b: bigint): UniswapV2Pool => ({
  kind: "uniswap-v2",
  id,
  address: id,
  tokens: [TOKEN0, TOKEN1],
  reserves: [a, b],
  feeNumerator: 997_000n,
  feeDenominator: 1_000_000n,
});

/** All that a book says about itself. */
function contents(book: PoolBook): unknown {
  const pools = new Map(book.ids().map((id): [PoolId, Pool | undefined] => [id, book.pool(id)]));
  return { pools, seeds: new Set(book.seeds.keys()), quarantined: new Map(book.quarantined) };
}

const amount = fc.bigInt({ min: 1n, max: 1n << 90n });
const change = fc.record({
  pair: fc.constantFrom(...PAIRS),
  kind: fc.constantFrom("sync", "announce", "nonsense", "put", "quarantine", "drop"),
  a: amount,
  b: amount,
});
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("block" as const), changes: fc.array(change, { maxLength: 8 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("unwind" as const), depth: fc.integer({ min: 1, max: 10 }) }) },
);
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Runs a book beside a model that keeps a whole copy of each block's end; what was wrong. */
function violationsOf(steps: readonly Step[]): string[] {
  const book = new PoolBook(venues);
  book.addSeed({ kind: "uniswap-v2", id: PAIRS[0] as Hex, factory: FACTORY, tokens: [TOKEN0, TOKEN1] });
  book.put(pool(PAIRS[0] as Hex, 5n, 6n));
  const history = [{ header: header(0), contents: contents(book) }];
  const violations: string[] = [];
  for (const [index, one] of steps.entries()) {
    if (one.kind === "block") {
      const at = header((history.at(-1)?.header.number ?? 0) + 1, `/${index}`);
      applyChanges(book, at, one.changes, index);
      history.push({ header: at, contents: contents(book) });
      continue;
    }
    const depth = Math.min(one.depth, history.length - 1, REORG_DEPTH_MAX - 1);
    if (depth === 0) continue;
    history.length -= depth;
    const to = history.at(-1) as (typeof history)[number];
    const before = new Map(PAIRS.map((id) => [id, book.pool(id)]));
    const changed = book.unwind(to.header) ?? new Set();
    if (!isDeepStrictEqual(contents(book), to.contents)) violations.push(`step ${index}: other contents`);
    for (const id of PAIRS)
      if (book.pool(id) !== before.get(id) && !changed.has(id)) violations.push(`step ${index}: ${id} not named`);
  }
  return violations;
}

function applyChanges(book: PoolBook, at: Header, changes: readonly Change[], index: number): void {
  const logs = changes.flatMap(({ kind, pair, a, b }) => {
    if (kind === "sync") return [sync(pair, a, b)];
    if (kind === "nonsense") return [sync(pair, 0n, 1n << 200n)];
    return kind === "announce" ? [announce(pair)] : [];
  });
  for (const id of book.apply(at, logs).reread) book.put(pool(id, BigInt(index + 1), 9n));
  for (const { kind, pair, a, b } of changes) {
    if (kind === "put") book.put(pool(pair, a, b));
    if (kind === "quarantine") book.quarantine(pair, `reason ${a}`);
    if (kind === "drop") book.drop(pair);
  }
}

describe("the pool book", () => {
  test("wants announced pools read, and takes their events from then on", () => {
    const book = new PoolBook(venues);
    const [pair] = PAIRS as [Hex];
    expect(book.apply(header(1), [announce(pair)])).toEqual({ changed: new Set(), reread: new Set([pair]) });
    // Not read yet: the event alone does not say what the pool is.
    expect(book.apply(header(2), [sync(pair, 5n, 6n)])).toEqual({ changed: new Set(), reread: new Set([pair]) });
    expect(book.put(pool(pair, 5n, 6n))).toBe(true);
    expect(book.apply(header(3), [sync(pair, 7n, 8n)])).toEqual({ changed: new Set([pair]), reread: new Set() });
    expect(book.pool(pair)).toEqual(pool(pair, 7n, 8n));
  });

  test("ignores announcements by strangers, and events by any but the pool's own contract", () => {
    const book = new PoolBook(venues);
    const [pair, stranger] = PAIRS as [Hex, Hex];
    expect(book.apply(header(1), [announce(pair, stranger)])).toEqual({ changed: new Set(), reread: new Set() });
    book.apply(header(2), [announce(pair)]);
    book.put(pool(pair, 5n, 6n));
    book.addSeed({ kind: "balancer", id: BALANCER_ID, vault: VAULT, pool: address(0x21) });
    const swap = (from: Hex): Log =>
      log(from, [TOPICS.balancerSwap, BALANCER_ID, topic(TOKEN0), topic(TOKEN1)], [1n, 1n]);
    expect(book.apply(header(3), [sync(stranger, 1n, 1n), swap(stranger), swap(pair)])).toEqual({
      changed: new Set(),
      reread: new Set(),
    });
    expect(book.pool(pair)).toEqual(pool(pair, 5n, 6n));
    // A Balancer pool's own contract changes its settings, not its balances.
    expect(book.apply(header(4), [swap(address(0x21))])).toEqual({
      changed: new Set(),
      reread: new Set([BALANCER_ID]),
    });
    const transfer = log(address(0x21), [TOPICS.transfer, topic(TOKEN0), topic(TOKEN1)], [1n]);
    expect(book.apply(header(5), [transfer])).toEqual({ changed: new Set(), reread: new Set() });
  });

  test("sets a pool aside whose event is nonsense, and says that it changed", () => {
    const book = new PoolBook(venues);
    const [pair, other] = PAIRS as [Hex, Hex];
    for (const id of [pair, other]) {
      book.addSeed({ kind: "uniswap-v2", id, factory: FACTORY, tokens: [TOKEN0, TOKEN1] });
      book.put(pool(id, 5n, 6n));
    }
    expect(book.apply(header(1), [sync(pair, 1n << 112n, 6n)])).toEqual({
      changed: new Set([pair]),
      reread: new Set(),
    });
    expect(book.quarantined.get(pair)).toContain("does not fit 112 bits");
    expect(book.pool(pair)).toBeUndefined();
    expect(book.pool(other)).toEqual(pool(other, 5n, 6n));
    expect(book.unwind(header(0))).toEqual(new Set([pair]));
    expect(book.quarantined.size).toBe(0);
    expect(book.pool(pair)).toEqual(pool(pair, 5n, 6n));
  });

  test("can't go back further than it remembers, and says so", () => {
    const book = new PoolBook(venues);
    for (let number = 1; number <= REORG_DEPTH_MAX + 10; number++) book.apply(header(number), []);
    expect(book.unwind(header(REORG_DEPTH_MAX, "another branch"))).toBeUndefined();
  });

  test("is after any unwinding what it was at that block", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        expect(violationsOf(steps)).toEqual([]);
      }),
      { numRuns: 500, seed: 3 },
    );
  });

  test("changes its version exactly when a pool comes or goes", () => {
    const book = new PoolBook(venues);
    const [pair] = PAIRS as [Hex];
    const versions = [
      () => book.addSeed({ kind: "uniswap-v2", id: pair, factory: FACTORY, tokens: [TOKEN0, TOKEN1] }),
      () => book.put(pool(pair, 1n, 1n)),
      () => book.put(pool(pair, 2n, 2n)),
      () => book.quarantine(pair, "x"),
      () => book.quarantine(pair, "y"),
      () => book.drop(pair),
      () => book.put(pool(pair, 1n, 1n)),
    ].map((act) => {
      const before = book.version;
      act();
      return book.version !== before;
    });
    expect(versions).toEqual([false, true, false, true, false, false, true]);
  });
});
