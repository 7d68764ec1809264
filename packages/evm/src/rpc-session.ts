import type { z } from "zod";
import { backoffMs } from "@flashloan/shared/clock";
import { FlashloanError } from "@flashloan/shared/errors";
import type { Running } from "@flashloan/shared/lifecycle";

const DEADLINE_MS_DEFAULT = 5_000;
/** Requests that may wait for their answers at once. */
const PENDING_MAX = 20_000;
const RECONNECT_BASE_MS = 100;
const RECONNECT_CAP_MS = 5_000;
/** What is shown of an answer that makes no sense. */
const EXCERPT_CHARACTERS = 80;

/** What a subscription delivers; `reconnected` says that messages may have been missed. */
export interface SubscriptionHandler {
  message(result: unknown): void;
  reconnected(): void;
}

/** A connection to an Ethereum node: raw JSON-RPC, validated answers, a deadline on everything. */
export interface JsonRpc extends Running {
  /** The endpoint as operators may see it: without user, password, path and query, where keys stand. */
  readonly url: string;
  /**
   * Asks the node and validates its answer.
   * @throws FlashloanError chain_unreachable, chain_response_invalid, deadline_exceeded, queue_full; chain_rejected with
   * the node's own error
   */
  request<T>(method: string, params: readonly unknown[], schema: z.ZodType<T>, deadlineMs?: number): Promise<T>;
  /** Subscribes (eth_subscribe) and stays subscribed over reconnections. */
  subscribe(kind: "newHeads" | "newPendingTransactions", handler: SubscriptionHandler): Promise<Running>;
}

/** How a connection is kept; the defaults suit a node near by and one far away. */
export interface ConnectionOptions {
  /** A silent connection is asked for a sign of life so often, and given up when none came by the next time. */
  readonly heartbeatMs?: number;
  /** The first wait before a lost connection is made anew; doubled each time. */
  readonly reconnectMs?: number;
  /** How long a connection may take to come up. */
  readonly connectDeadlineMs?: number;
}

/** A connection that carries texts, one JSON-RPC message each. */
export interface Channel {
  send(text: string): void;
  /** Ends it; `closed` is called when it has ended, which is bounded. */
  close(): void;
  /** Ends it at once. */
  terminate(): void;
}

/** What a channel tells. */
export interface ChannelEvents {
  /** A message came. Returns whether more are waited for. */
  text(text: string): boolean;
  closed(): void;
}

/** Makes a channel. Rejects with the cause when it does not come up; `closed` is called only after it did. */
export type Dial = (events: ChannelEvents) => Promise<Channel>;

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
  readonly method: string;
}

interface Subscription {
  readonly kind: string;
  readonly handler: SubscriptionHandler;
  id: string | undefined;
}

/** JSON-RPC over a channel that is made anew whenever it is lost. */
export class RpcSession implements JsonRpc {
  readonly url: string;
  readonly #dial: Dial;
  readonly #reconnectMs: number;
  readonly #pending = new Map<number, Pending>();
  readonly #subscriptions = new Set<Subscription>();
  #channel: Channel | undefined;
  #nextId = 1;
  /** Connections in a row that brought no answer: what the back-off grows with. */
  #fruitless = 0;
  #reconnecting: NodeJS.Timeout | undefined;
  #stopped = false;
  #onClosed: (() => void) | undefined;

  constructor(url: string, dial: Dial, options: ConnectionOptions) {
    this.url = url;
    this.#dial = dial;
    this.#reconnectMs = options.reconnectMs ?? RECONNECT_BASE_MS;
  }

  /** Makes the connection. @throws FlashloanError chain_unreachable */
  async open(): Promise<void> {
    const events: ChannelEvents = {
      text: (text) => {
        this.#receive(text);
        return this.#pending.size > 0;
      },
      closed: () => this.#lost(),
    };
    let channel: Channel;
    try {
      channel = await this.#dial(events);
    } catch (cause) {
      const reason = cause instanceof Error && cause.message ? ` (${cause.message})` : "";
      throw this.#error(
        "chain_unreachable",
        `can't connect to the chain at ${this.url}${reason}: is the node running, and is this its endpoint?`,
        { cause },
      );
    }
    this.#channel = channel;
    // Stopped while it came up: nobody would ever close it.
    if (this.#stopped) channel.terminate();
  }

  async request<T>(
    method: string,
    params: readonly unknown[],
    schema: z.ZodType<T>,
    deadlineMs = DEADLINE_MS_DEFAULT,
  ): Promise<T> {
    const result = await this.#ask(method, params, deadlineMs);
    const parsed = schema.safeParse(result);
    if (parsed.success) return parsed.data;
    const reasons = parsed.error.issues.slice(0, 5);
    const reason = reasons.map(({ path, message }) => `${path.join(".") || "result"}: ${message}`).join("; ");
    throw this.#error(
      "chain_response_invalid",
      `${method} answered something else than expected (${reason}): is ${this.url} an Ethereum node?`,
      { details: { method } },
    );
  }

  async subscribe(kind: "newHeads" | "newPendingTransactions", handler: SubscriptionHandler): Promise<Running> {
    const subscription: Subscription = { kind, handler, id: undefined };
    this.#subscriptions.add(subscription);
    try {
      await this.#activate(subscription);
    } catch (error) {
      this.#subscriptions.delete(subscription);
      throw error;
    }
    return { stop: () => this.#unsubscribe(subscription) };
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    clearTimeout(this.#reconnecting);
    this.#rejectPending(this.#stopping());
    if (!this.#channel) return;
    const closed = new Promise<void>((resolve) => (this.#onClosed = resolve));
    this.#channel.close();
    await closed;
  }

  #ask(method: string, params: readonly unknown[], deadlineMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => this.#send(method, params, deadlineMs, resolve, reject));
  }

  #send(
    method: string,
    params: readonly unknown[],
    deadlineMs: number,
    resolve: (value: unknown) => void,
    reject: (error: Error) => void,
  ): void {
    const channel = this.#channel;
    if (this.#stopped) return reject(this.#stopping());
    if (!channel) return reject(this.#error("chain_unreachable", `not connected to the chain at ${this.url}`));
    if (this.#pending.size >= PENDING_MAX)
      return reject(this.#error("queue_full", `${PENDING_MAX} requests wait for the chain at ${this.url}`));
    const id = this.#nextId++;
    const text = JSON.stringify({ jsonrpc: "2.0", id, method, params });
    const timer = setTimeout(() => {
      this.#pending.delete(id);
      const late = `${method} was not answered by ${this.url} within ${deadlineMs} ms`;
      reject(this.#error("deadline_exceeded", late, { details: { method } }));
    }, deadlineMs);
    this.#pending.set(id, { resolve, reject, timer, method });
    channel.send(text);
  }

  /** Takes a message; whatever a node sends, this does not throw. */
  #receive(text: string): void {
    const message = parseObject(text);
    if (!message) return this.#abandon(text);
    this.#fruitless = 0;
    if (message["method"] === "eth_subscription") return this.#deliver(message["params"]);
    const id = message["id"];
    const pending = typeof id === "number" ? this.#pending.get(id) : undefined;
    if (!pending) return;
    this.#pending.delete(id as number);
    clearTimeout(pending.timer);
    const { error } = message;
    if (error === undefined || error === null) pending.resolve(message["result"]);
    else pending.reject(this.#rejection(pending.method, error));
  }

  #deliver(params: unknown): void {
    if (typeof params !== "object" || params === null) return;
    const { subscription: id, result } = params as Record<string, unknown>;
    for (const subscription of this.#subscriptions) if (subscription.id === id) subscription.handler.message(result);
  }

  #rejection(method: string, error: unknown): FlashloanError {
    const { code, message, data } = (typeof error === "object" ? error : { message: error }) as Record<string, unknown>;
    const said = typeof message === "string" ? message : "an error without a message";
    return this.#error("chain_rejected", `${method}: ${said}`, {
      details: { method, rpcCode: typeof code === "number" ? code : 0, data: typeof data === "string" ? data : "" },
    });
  }

  /** What speaks no JSON is no Ethereum node, or a broken one: nothing that it says later can be trusted. */
  #abandon(text: string): void {
    const excerpt = JSON.stringify(text.slice(0, EXCERPT_CHARACTERS));
    const reason = `${this.url} sent something that is no JSON-RPC message (${excerpt}): is it an Ethereum node?`;
    this.#rejectPending(this.#error("chain_response_invalid", reason));
    this.#channel?.terminate();
  }

  async #activate(subscription: Subscription): Promise<void> {
    const id = await new Promise((resolve, reject) => {
      // The first message may stand in the same packet as this answer: the id must be known before anything else runs.
      const take = (value: unknown): void => {
        if (typeof value === "string") subscription.id = value;
        resolve(value);
      };
      this.#send("eth_subscribe", [subscription.kind], DEADLINE_MS_DEFAULT, take, reject);
    });
    if (typeof id === "string") return;
    throw this.#error(
      "chain_response_invalid",
      `eth_subscribe answered ${JSON.stringify(id)} instead of a subscription id: is ${this.url} an Ethereum node?`,
    );
  }

  async #unsubscribe(subscription: Subscription): Promise<void> {
    if (!this.#subscriptions.delete(subscription) || subscription.id === undefined || this.#stopped) return;
    // A node that is gone or slow needs no unsubscribing; what it still sends is dropped.
    await this.#ask("eth_unsubscribe", [subscription.id], DEADLINE_MS_DEFAULT).catch(() => undefined);
  }

  #lost(): void {
    this.#channel = undefined;
    for (const subscription of this.#subscriptions) subscription.id = undefined;
    this.#rejectPending(this.#error("chain_unreachable", `the connection to the chain at ${this.url} was lost`));
    this.#onClosed?.();
    if (!this.#stopped) this.#reconnect();
  }

  #rejectPending(error: FlashloanError): void {
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer);
      pending.reject(error);
    }
    this.#pending.clear();
  }

  #reconnect(): void {
    const waitMs = this.#reconnectMs / 2 + backoffMs(this.#fruitless, this.#reconnectMs, RECONNECT_CAP_MS);
    this.#fruitless += 1;
    this.#reconnecting = setTimeout(() => {
      this.open().then(
        () => this.#resubscribe(),
        () => {
          if (!this.#stopped) this.#reconnect();
        },
      );
    }, waitMs);
  }

  async #resubscribe(): Promise<void> {
    const channel = this.#channel;
    try {
      await Promise.all([...this.#subscriptions].map((subscription) => this.#activate(subscription)));
    } catch {
      // A connection without its subscriptions would be deaf for ever: make another one.
      channel?.terminate();
      return;
    }
    for (const subscription of this.#subscriptions) subscription.handler.reconnected();
  }

  #stopping(): FlashloanError {
    return this.#error("service_stopping", `the connection to the chain at ${this.url} was closed by us`);
  }

  #error(
    code: FlashloanError["code"],
    message: string,
    options: { details?: FlashloanError["details"]; cause?: unknown } = {},
  ): FlashloanError {
    return new FlashloanError(code, message, { ...options, details: { url: this.url, ...options.details } });
  }
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
