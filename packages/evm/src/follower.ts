import type { Running } from "@flashloan/shared/lifecycle";
import { FlashloanError } from "@flashloan/shared/errors";
import { getHead, getHeader, headerSchema, logsSchema, type Header, type Log } from "./chain.ts";
import type { JsonRpc } from "./json-rpc.ts";

/** How many blocks back a reorganisation may reach; a deeper one is a `reset`. */
export const REORG_DEPTH_MAX = 64;
/** Blocks that are fetched one by one after a gap; a longer gap is one `reset`. */
export const GAP_MAX = 256;
/** Without a new head for so long, the node is asked for its head: a subscription may have died in silence. */
const POLL_MS = 2_000;
/** After a failure the node is asked again so soon (later, as failures go on): the next head may be long in coming. */
const RETRY_MS = 100;

/** What a follower sees, in order. When one of the first three throws, a `reset` follows: nothing is half known. */
export interface FollowerHandler {
  /** The next block, child of the one before, with its logs. */
  block(header: Header, logs: readonly Log[]): Promise<void> | void;
  /** Blocks after this one are no longer part of the chain; the new ones follow as `block`. */
  unwind(to: Header): Promise<void> | void;
  /** Nothing is known yet, or the gap or reorganisation was too long: read everything anew at this block. */
  reset(header: Header): Promise<void> | void;
  /** Something failed; it is tried again soon. */
  failed(error: unknown): void;
  reconnected(): void;
}

/** How a chain is followed. */
export interface FollowerOptions {
  /** Milliseconds without a new head after which the node is asked for it. */
  readonly pollMs?: number;
  /** Milliseconds after a first failure until it is tried again; doubled with each, up to `pollMs`. */
  readonly retryMs?: number;
}

/**
 * Follows the head of a chain: every block exactly once and in order, gaps filled, reorganisations found by parent
 * hash (nodes differ in whether they send removed logs, so none is relied on). Logs are read by block hash, so they
 * always belong to the block that they come with. Resolves once the first `reset` is done.
 * @throws FlashloanError what the first `reset` failed with
 */
export async function followChain(
  rpc: JsonRpc,
  handler: FollowerHandler,
  options: FollowerOptions = {},
): Promise<Running> {
  const follower = new Follower(rpc, handler, options);
  await follower.start();
  return follower;
}

class Follower implements Running {
  readonly #rpc: JsonRpc;
  readonly #handler: FollowerHandler;
  readonly #pollMs: number;
  readonly #retryMs: number;
  /** The newest blocks that were handed over, oldest first; empty when the next head is a reset. */
  #known: Header[] = [];
  #target: Header | undefined;
  #working: Promise<void> | undefined;
  #subscription: Running | undefined;
  /** Counts heads, so that an answer older than a head that came meanwhile is not taken for the chain going back. */
  #headsSeen = 0;
  /** Failures in a row: what the wait before the next attempt grows with, up to the time between polls. */
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(rpc: JsonRpc, handler: FollowerHandler, options: FollowerOptions) {
    this.#rpc = rpc;
    this.#handler = handler;
    this.#pollMs = options.pollMs ?? POLL_MS;
    this.#retryMs = options.retryMs ?? RETRY_MS;
  }

  async start(): Promise<void> {
    // Heads that come during the first reset wait in #target.
    let started = false;
    this.#subscription = await this.#rpc.subscribe("newHeads", {
      message: (result) => {
        const parsed = headerSchema.safeParse(result);
        if (parsed.success) this.#onHead(parsed.data, started);
        else this.#handler.failed(invalidHead(parsed.error.issues));
      },
      reconnected: () => {
        this.#handler.reconnected();
        if (started) void this.#ask();
      },
    });
    try {
      await this.#advance(await getHead(this.#rpc));
    } catch (error) {
      await this.stop();
      throw error;
    }
    started = true;
    if (this.#target) this.#onHead(this.#target, true);
    else this.#arm(this.#pollMs);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#subscription?.stop();
    await this.#working;
  }

  #onHead(header: Header, started: boolean): void {
    this.#headsSeen += 1;
    this.#target = header;
    if (!started) return;
    this.#arm(this.#pollMs);
    this.#working ??= this.#work();
  }

  /** Asks for the head when nothing else brought one. */
  async #ask(): Promise<void> {
    this.#arm(this.#pollMs);
    const seen = this.#headsSeen;
    try {
      const head = await getHead(this.#rpc);
      if (seen === this.#headsSeen && !this.#stopped) this.#onHead(head, true);
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    if (this.#stopped) return;
    this.#handler.failed(error);
    this.#arm(Math.min(this.#pollMs, this.#retryMs * 2 ** this.#failures));
    this.#failures += 1;
  }

  #arm(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      // Work under way has requests of its own, with their own deadlines.
      if (this.#working) this.#arm(this.#pollMs);
      else void this.#ask();
    }, ms);
  }

  async #work(): Promise<void> {
    while (this.#target && !this.#stopped) {
      const head = this.#target;
      this.#target = undefined;
      try {
        await this.#advance(head);
        this.#failures = 0;
      } catch (error) {
        this.#failed(error);
      }
    }
    this.#working = undefined;
  }

  /** Brings us from the newest known block to `head`. */
  async #advance(head: Header): Promise<void> {
    const newest = this.#known.at(-1);
    if (!newest || head.number - newest.number > GAP_MAX) return this.#reset(head);
    if (newest.hash === head.hash) return;
    // The chain went back to a block that we know.
    if (this.#find(head.hash)) return this.#unwind(head);
    const missing = [head];
    const oldest = this.#known[0] as Header;
    for (let child = head; !this.#find(child.parentHash); missing.push(child)) {
      if (this.#stopped) return;
      // The fork is older than all that we know.
      if (child.number <= oldest.number + 1) return this.#reset(head);
      child = await this.#parentOf(child);
    }
    const ancestor = this.#find(missing.at(-1)?.parentHash);
    if (ancestor && ancestor !== newest) await this.#unwind(ancestor);
    for (const header of missing.reverse()) {
      if (this.#stopped) return;
      await this.#take(header);
    }
  }

  async #parentOf(child: Header): Promise<Header> {
    const parent = await getHeader(this.#rpc, child.parentHash);
    if (!parent)
      throw new FlashloanError("chain_response_invalid", `the node does not know the parent of block ${child.number}`);
    if (parent.hash !== child.parentHash || parent.number !== child.number - 1) {
      const answered = `block ${parent.number} ${parent.hash}`;
      throw new FlashloanError(
        "chain_response_invalid",
        `asked for the parent ${child.parentHash} of block ${child.number}, the node answered ${answered}`,
      );
    }
    return parent;
  }

  async #take(header: Header): Promise<void> {
    const logs = await this.#rpc.request("eth_getLogs", [{ blockHash: header.hash }], logsSchema);
    const stray = logs.find((log) => log.blockHash !== header.hash);
    if (stray) {
      throw new FlashloanError(
        "chain_response_invalid",
        `eth_getLogs of block ${header.hash} answered a log of block ${stray.blockHash}`,
      );
    }
    await this.#hand(() => this.#handler.block(header, logs));
    this.#known.push(header);
    if (this.#known.length > REORG_DEPTH_MAX) this.#known.shift();
  }

  async #unwind(to: Header): Promise<void> {
    while (this.#known.at(-1) && this.#known.at(-1)?.hash !== to.hash) this.#known.pop();
    await this.#hand(() => this.#handler.unwind(to));
  }

  async #reset(header: Header): Promise<void> {
    this.#known = [];
    await this.#handler.reset(header);
    this.#known = [header];
  }

  /** What the handler did before it failed is not known, so that all is read anew after it. */
  async #hand(give: () => Promise<void> | void): Promise<void> {
    try {
      await give();
    } catch (error) {
      this.#known = [];
      throw error;
    }
  }

  #find(hash: string | undefined): Header | undefined {
    return this.#known.find((header) => header.hash === hash);
  }
}

function invalidHead(issues: readonly { path: PropertyKey[]; message: string }[]): FlashloanError {
  const reason = issues.map(({ path, message }) => `${path.map(String).join(".") || "result"}: ${message}`).join("; ");
  return new FlashloanError("chain_response_invalid", `a new head is not a header: ${reason}`);
}
