import fc from "fast-check";
import { keccak256, toUtf8Bytes } from "ethers";
import { afterEach, describe, expect, test } from "vitest";
import { FlashloanError } from "@flashloan/shared/errors";
import { Lifecycle, type Running } from "@flashloan/shared/lifecycle";
import type { Header } from "../src/chain.ts";
import { followChain, GAP_MAX, REORG_DEPTH_MAX, type FollowerHandler } from "../src/follower.ts";
import type { Hex } from "../src/hex.ts";
import { toQuantity } from "../src/hex.ts";
import type { JsonRpc } from "../src/json-rpc.ts";
import type { SubscriptionHandler } from "../src/rpc-session.ts";

interface Block {
  readonly number: number;
  readonly hash: Hex;
  readonly parentHash: Hex;
}

/** A chain that can fork, behind a node that can fail: the model that the follower is held against. */
class ModelNode {
  readonly url = "model:";
  readonly #blocks = new Map<Hex, Block>();
  canonical: Block[] = [];
  #made = 0;
  #subscriber: SubscriptionHandler | undefined;
  /** Requests that fail from now on, one after the other. */
  failures = 0;
  /** Overrides an answer. */
  lie: ((method: string, params: readonly unknown[], honest: unknown) => unknown) | undefined;
  requests: string[] = [];
  connected = true;

  constructor() {
    this.extend(1);
  }

  get head(): Block {
    return this.canonical.at(-1) as Block;
  }

  extend(count: number): void {
    for (let i = 0; i < count; i++) {
      const parent = this.canonical.at(-1);
      const hash = keccak256(toUtf8Bytes(`block ${this.#made++}`)) as Hex;
      const block = {
        number: parent ? parent.number + 1 : 0,
        hash,
        parentHash: parent?.hash ?? `0x${"00".repeat(32)}`,
      };
      this.#blocks.set(hash, block);
      this.canonical.push(block);
    }
  }

  /** Drops the newest blocks (never the first). */
  drop(count: number): void {
    this.canonical.length = Math.max(1, this.canonical.length - count);
  }

  announce(block = this.head): void {
    if (this.connected) this.#subscriber?.message(wire(block));
  }

  reconnect(): void {
    this.connected = true;
    this.#subscriber?.reconnected();
  }

  rpc(): JsonRpc {
    return {
      url: this.url,
      request: async (method, params, schema) => {
        this.requests.push(method);
        await Promise.resolve();
        if (!this.connected) throw new FlashloanError("chain_unreachable", "gone");
        if (this.failures > 0) {
          this.failures -= 1;
          throw new FlashloanError("deadline_exceeded", "slow");
        }
        const honest = this.#answer(method, params);
        return schema.parse(this.lie ? this.lie(method, params, honest) : honest);
      },
      subscribe: async (_, handler): Promise<Running> => {
        this.#subscriber = handler;
        return { stop: async () => void (this.#subscriber = undefined) };
      },
      stop: async () => undefined,
    };
  }

  #answer(method: string, params: readonly unknown[]): unknown {
    if (method === "eth_getBlockByNumber") return wire(this.head);
    if (method === "eth_getBlockByHash") {
      const block = this.#blocks.get(params[0] as Hex);
      return block ? wire(block) : null;
    }
    const { blockHash } = params[0] as { blockHash: Hex };
    return [log(this.#blocks.get(blockHash) as Block)];
  }
}

function wire(block: Block): unknown {
  return {
    number: toQuantity(block.number),
    hash: block.hash,
    parentHash: block.parentHash,
    timestamp: "0x1",
    gasUsed: "0x0",
    gasLimit: "0x1c9c380",
  };
}

function log(block: Block): unknown {
  return {
    address: `0x${"11".repeat(20)}`,
    topics: [block.hash],
    data: "0x",
    blockHash: block.hash,
    blockNumber: toQuantity(block.number),
    transactionHash: block.hash,
    logIndex: "0x0",
  };
}

/** Holds what a follower says to be one chain, each block once and in order, and records it. */
class Listener implements FollowerHandler {
  chain: Header[] = [];
  resets = 0;
  unwinds: number[] = [];
  blocks = 0;
  reconnections = 0;
  failures: unknown[] = [];
  /** Makes the next call of the handler fail. */
  failNext = false;
  /** What was wrong with what the follower said; an exception here would only be taken for a failing handler. */
  readonly violations: string[] = [];
  #wake = (): void => undefined;

  constructor() {
    listeners.push(this);
  }

  block(header: Header, logs: readonly { topics: readonly string[] }[]): void {
    this.#maybeFail();
    const newest = this.chain.at(-1);
    if (header.parentHash !== newest?.hash)
      this.violations.push(`block ${header.number} is no child of ${newest?.number}`);
    if (header.number !== (newest?.number ?? 0) + 1)
      this.violations.push(`block ${header.number} after ${newest?.number}`);
    if (logs.length !== 1 || logs[0]?.topics[0] !== header.hash)
      this.violations.push(`block ${header.number} with others' logs`);
    this.blocks += 1;
    this.chain.push(header);
    this.#wake();
  }
  unwind(to: Header): void {
    this.#maybeFail();
    const at = this.chain.findIndex(({ hash }) => hash === to.hash);
    // To a block that was handed over, and not to the newest: that would be no news.
    if (at < 0 || at === this.chain.length - 1) this.violations.push(`unwound to ${to.number}, which stands at ${at}`);
    this.unwinds.push(this.chain.length - 1 - at);
    this.chain.length = at + 1;
    this.#wake();
  }
  reset(header: Header): void {
    this.#maybeFail();
    this.resets += 1;
    this.chain = [header];
    this.#wake();
  }
  failed(error: unknown): void {
    this.failures.push(error);
    this.#wake();
  }
  reconnected(): void {
    this.reconnections += 1;
  }

  async reaches(hash: Hex): Promise<void> {
    await this.until(() => this.chain.at(-1)?.hash === hash);
  }
  async until(isReached: () => boolean): Promise<void> {
    while (!isReached()) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  #maybeFail(): void {
    if (!this.failNext) return;
    this.failNext = false;
    throw new Error("the handler failed");
  }
}

let lifecycle = new Lifecycle();
let listeners: Listener[] = [];
afterEach(async () => {
  await lifecycle.stop();
  lifecycle = new Lifecycle();
  const violations = listeners.flatMap((listener) => listener.violations);
  listeners = [];
  if (violations.length > 0) throw new Error(violations.join("; "));
});

async function following(options = { pollMs: 60_000, retryMs: 1 }): Promise<{ node: ModelNode; listener: Listener }> {
  const node = new ModelNode();
  node.extend(10);
  const listener = new Listener();
  lifecycle.add("follower", await followChain(node.rpc(), listener, options));
  return { node, listener };
}

describe("followChain", () => {
  test("begins with a reset at the head, then hands over each block", async () => {
    const { node, listener } = await following();
    expect(listener.chain.map(({ hash }) => hash)).toEqual([node.head.hash]);
    for (let i = 0; i < 20; i++) {
      node.extend(1);
      node.announce();
      await listener.reaches(node.head.hash);
    }
    expect(listener).toMatchObject({ resets: 1, blocks: 20, unwinds: [], failures: [] });
  });

  test("fills gaps, and takes one that is too long for a reset", async () => {
    const { node, listener } = await following();
    node.extend(GAP_MAX);
    node.announce();
    await listener.reaches(node.head.hash);
    expect(listener).toMatchObject({ resets: 1, blocks: GAP_MAX });
    node.extend(GAP_MAX + 1);
    node.announce();
    await listener.reaches(node.head.hash);
    expect(listener).toMatchObject({ resets: 2, blocks: GAP_MAX, chain: { length: 1 } });
  });

  test.each(Array.from({ length: REORG_DEPTH_MAX - 1 }, (_, index) => index + 1))(
    "follows a reorganisation that is %d deep",
    async (depth) => {
      const { node, listener } = await following();
      node.extend(REORG_DEPTH_MAX);
      node.announce();
      await listener.reaches(node.head.hash);
      const kept = node.canonical.at(-1 - depth)?.hash;
      node.drop(depth);
      node.extend(depth + 1);
      node.announce();
      await listener.reaches(node.head.hash);
      expect(listener).toMatchObject({ resets: 1, unwinds: [depth], blocks: REORG_DEPTH_MAX + depth + 1 });
      expect(listener.chain.at(-2 - depth)?.hash).toBe(kept);
    },
  );

  test("takes a fork of the same height, and one that is shorter", async () => {
    const { node, listener } = await following();
    node.extend(10);
    node.announce();
    await listener.reaches(node.head.hash);
    node.drop(3);
    node.extend(3);
    node.announce();
    await listener.reaches(node.head.hash);
    node.drop(5);
    node.extend(2);
    node.announce();
    await listener.reaches(node.head.hash);
    expect(listener).toMatchObject({ resets: 1, unwinds: [3, 5] });
  });

  test("goes back to a block that it knows, and on from there", async () => {
    const { node, listener } = await following();
    node.extend(6);
    node.announce();
    await listener.reaches(node.head.hash);
    node.drop(4);
    node.announce();
    await listener.reaches(node.head.hash);
    expect(listener).toMatchObject({ resets: 1, unwinds: [4], blocks: 6 });
    node.announce();
    node.extend(1);
    node.announce();
    await listener.reaches(node.head.hash);
    expect(listener).toMatchObject({ resets: 1, unwinds: [4], blocks: 7 });
  });

  test("resets on a reorganisation that is deeper than it remembers", async () => {
    const { node, listener } = await following();
    node.extend(REORG_DEPTH_MAX + 5);
    node.announce();
    await listener.reaches(node.head.hash);
    node.requests = [];
    node.drop(REORG_DEPTH_MAX + 3);
    node.extend(REORG_DEPTH_MAX + 3);
    node.announce();
    await listener.reaches(node.head.hash);
    expect(listener).toMatchObject({ resets: 2, unwinds: [] });
    expect(node.requests.length).toBeLessThanOrEqual(REORG_DEPTH_MAX);
  });

  test("tries again by itself after a request failed, without a new head", async () => {
    const { node, listener } = await following();
    node.extend(5);
    node.failures = 3;
    node.announce();
    await listener.reaches(node.head.hash);
    expect(listener).toMatchObject({ resets: 1, blocks: 5, failures: { length: 3 } });
  });

  test("asks for the head when the subscription has died in silence", async () => {
    const { node, listener } = await following({ pollMs: 5, retryMs: 1 });
    node.extend(3);
    await listener.reaches(node.head.hash);
    expect(listener).toMatchObject({ resets: 1, blocks: 3 });
  });

  test("asks for the head after a reconnection", async () => {
    const { node, listener } = await following();
    node.connected = false;
    node.extend(30);
    node.announce();
    node.reconnect();
    await listener.reaches(node.head.hash);
    expect(listener).toMatchObject({ resets: 1, blocks: 30, reconnections: 1 });
  });

  test.each(["block", "unwind", "reset"])("reads everything anew after the handler's %s failed", async (kind) => {
    const { node, listener } = await following();
    node.extend(3);
    node.announce();
    await listener.reaches(node.head.hash);
    if (kind === "unwind") node.drop(2);
    node.extend(kind === "reset" ? GAP_MAX + 1 : 1);
    listener.failNext = true;
    node.announce();
    await listener.reaches(node.head.hash);
    expect(listener).toMatchObject({ resets: 2, failures: [{ message: "the handler failed" }] });
    node.extend(2);
    node.announce();
    await listener.reaches(node.head.hash);
    expect(listener).toMatchObject({ resets: 2, chain: { length: 3 } });
  });

  test("fails at the start when the first reset fails, rather than to run on nothing", async () => {
    const node = new ModelNode();
    const listener = new Listener();
    listener.failNext = true;
    await expect(followChain(node.rpc(), listener)).rejects.toThrow("the handler failed");
    node.failures = 1;
    await expect(followChain(node.rpc(), listener)).rejects.toMatchObject({ code: "deadline_exceeded" });
    node.extend(1);
    node.announce();
    expect(listener.blocks).toBe(0);
  });

  test.each<[string, ModelNode["lie"], string]>([
    [
      "a parent that is another block",
      (method, _, honest) =>
        method === "eth_getBlockByHash" ? { ...(honest as object), hash: `0x${"77".repeat(32)}` } : honest,
      "the node answered block",
    ],
    [
      "a parent that it does not know",
      (method, _, honest) => (method === "eth_getBlockByHash" ? null : honest),
      "does not know the parent",
    ],
    [
      "logs of another block",
      (method, _, honest) =>
        method === "eth_getLogs"
          ? (honest as object[]).map((entry) => ({ ...entry, blockHash: `0x${"77".repeat(32)}` }))
          : honest,
      "a log of block 0x7777",
    ],
  ])("refuses %s, and goes on when the node is sane again", async (_, lie, message) => {
    const { node, listener } = await following();
    node.lie = lie;
    node.extend(3);
    node.announce();
    await listener.until(() => listener.failures.length > 1);
    expect(listener.failures[0]).toMatchObject({
      code: "chain_response_invalid",
      message: expect.stringContaining(message),
    });
    expect(listener).toMatchObject({ resets: 1, blocks: 0 });
    node.lie = undefined;
    await listener.reaches(node.head.hash);
    expect(listener).toMatchObject({ resets: 1, blocks: 3 });
  });

  test("reports a head that is no header and goes on", async () => {
    const { node, listener } = await following();
    node.announce({ ...node.head, hash: "0x1" });
    expect(listener.failures).toMatchObject([
      { code: "chain_response_invalid", message: expect.stringContaining("hash: must be a 32-byte hex hash") },
    ]);
    node.extend(1);
    node.announce();
    await listener.reaches(node.head.hash);
  });

  test("an answer that is older than a head that came meanwhile does not unwind", async () => {
    const node = new ModelNode();
    const stale = node.head;
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const rpc = node.rpc();
    const slow: JsonRpc = {
      ...rpc,
      request: async (method, params, schema) => {
        if (method !== "eth_getBlockByNumber" || listener.resets === 0) return rpc.request(method, params, schema);
        await held;
        return schema.parse(wire(stale));
      },
    };
    const listener = new Listener();
    lifecycle.add("second", await followChain(slow, listener, { pollMs: 60_000, retryMs: 1 }));
    node.reconnect();
    node.extend(2);
    node.announce();
    await listener.reaches(node.head.hash);
    release();
    await held;
    node.extend(1);
    node.announce();
    await listener.reaches(node.head.hash);
    expect(listener).toMatchObject({ resets: 1, unwinds: [], blocks: 3 });
  });

  test("hands over one chain, each block once and in order, under any schedule of forks and failures", async () => {
    const steps = fc.array(
      fc.oneof(
        {
          weight: 5,
          arbitrary: fc.record({ kind: fc.constant("extend" as const), count: fc.integer({ min: 1, max: 5 }) }),
        },
        {
          weight: 3,
          arbitrary: fc.record({ kind: fc.constant("fork" as const), count: fc.integer({ min: 1, max: 12 }) }),
        },
        {
          weight: 1,
          arbitrary: fc.record({ kind: fc.constant("fork" as const), count: fc.integer({ min: 50, max: 90 }) }),
        },
        {
          weight: 1,
          arbitrary: fc.record({ kind: fc.constant("extend" as const), count: fc.integer({ min: 200, max: 300 }) }),
        },
        {
          weight: 2,
          arbitrary: fc.record({ kind: fc.constant("back" as const), count: fc.integer({ min: 1, max: 8 }) }),
        },
        {
          weight: 3,
          arbitrary: fc.record({ kind: fc.constant("fail" as const), count: fc.integer({ min: 1, max: 4 }) }),
        },
        { weight: 2, arbitrary: fc.record({ kind: fc.constant("disconnect" as const), count: fc.constant(1) }) },
        { weight: 1, arbitrary: fc.record({ kind: fc.constant("handler fails" as const), count: fc.constant(1) }) },
        { weight: 4, arbitrary: fc.record({ kind: fc.constant("settle" as const), count: fc.constant(1) }) },
        {
          weight: 2,
          arbitrary: fc.record({ kind: fc.constant("tick" as const), count: fc.integer({ min: 1, max: 30 }) }),
        },
      ),
      { minLength: 1, maxLength: 40 },
    );
    const property = fc.asyncProperty(steps, async (schedule) => {
      const node = new ModelNode();
      node.extend(100);
      const listener = new Listener();
      const follower = await followChain(node.rpc(), listener, { pollMs: 60_000, retryMs: 0 });
      const settle = async (): Promise<void> => {
        if (!node.connected) node.reconnect();
        node.failures = 0;
        node.announce();
        await listener.reaches(node.head.hash);
      };
      for (const { kind, count } of schedule) {
        if (kind === "extend") node.extend(count);
        if (kind === "back" || kind === "fork") node.drop(count);
        if (kind === "fork") node.extend(Math.ceil(count / 2) + 1);
        if (kind === "fail") node.failures = count;
        if (kind === "disconnect") node.connected = !node.connected;
        if (kind === "handler fails") listener.failNext = true;
        if (kind === "settle") await settle();
        node.announce();
        // Lets the follower come some way before the next step.
        if (kind === "tick") for (let i = 0; i < count; i++) await Promise.resolve();
      }
      await settle();
      // The listener has checked every step; at the end its chain is the node's.
      const tail = node.canonical.slice(-listener.chain.length);
      expect(listener.chain.map(({ hash }) => hash)).toEqual(tail.map(({ hash }) => hash));
      expect(listener.violations).toEqual([]);
      listeners = [];
      await follower.stop();
    });
    await fc.assert(property, { numRuns: 300, seed: 7 });
  });
});
