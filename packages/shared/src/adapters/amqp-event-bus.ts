import type { Channel, ChannelModel, ConfirmChannel, ConsumeMessage, GetMessage, Options } from "amqplib";
import { LRUCache } from "lru-cache";
import { systemClock, withDeadline } from "../clock.ts";
import { FlashloanError } from "../errors.ts";
import type { Running } from "../lifecycle.ts";
import {
  assertGroup,
  EVENT_DELIVERIES_MAX,
  parseEvent,
  serializeEvent,
  type BusHealth,
  type CloudEvent,
  type DeadLetter,
  type EventBus,
  type SubscribeOptions,
} from "../ports/event-bus.ts";
import { AmqpLink } from "./amqp-link.ts";

const EXCHANGE = "flashloan.events";
const DEAD_EXCHANGE = "flashloan.dead";
const DEAD_QUEUE = "flashloan.dead";
const CONTENT_TYPE = "application/cloudevents+json";
const DEAD_LETTERS_MAX = 100_000;
/** Dead letters that are looked at or replayed at once. */
const DEAD_LETTERS_PAGE = 1_000;
const PREFETCH_DEFAULT = 16;
/** Events that a group remembers as handled, so that one delivered twice is handled once. */
const HANDLED_MAX = 20_000;
const DRAIN_DEADLINE_MS = 5_000;
const CANCEL_DEADLINE_MS = 2_000;
const MALFORMED_CHARACTERS_MAX = 1_000;
const REASON_CHARACTERS_MAX = 500;
/** A dead letter that found no place waits so long before its event is tried again. */
const BURIAL_PAUSE_MS = 1_000;

/** Bounds of the buffer and the queues; tests set smaller ones. */
export interface AmqpLimits {
  /** Events that wait for the broker's confirmation, or for the broker; then publishing is refused. */
  readonly waitingMax: number;
  readonly waitingBytesMax: number;
  /** How long an event may wait: longer than a broker takes to restart. */
  readonly confirmDeadlineMs: number;
  /** Events that a group may be behind; then publishing to it is refused. A property of its queue: equal everywhere. */
  readonly groupEventsMax: number;
  /**
   * Deliveries after which the broker itself gives an event up; equal everywhere. Refusals are counted by the consumer
   * (a lost connection is none), so this ends only an event that kills every process that takes it.
   */
  readonly groupDeliveriesMax: number;
  /**
   * How long a subscription waits after it has made its queue. A quorum queue's name reaches the broker's disk up to half
   * a second of quiet after its making (ra_directory, names.dets): a broker killed before that has lost what the queue
   * held, and the queue never elects a leader again. Only a group's first subscription ever waits.
   */
  readonly newQueueSettleMs: number;
}

const LIMITS: AmqpLimits = {
  waitingMax: 10_000,
  waitingBytesMax: 64 * 1024 * 1024,
  confirmDeadlineMs: 60_000,
  groupEventsMax: 100_000,
  groupDeliveriesMax: 20,
  newQueueSettleMs: 2_000,
};

/** A message that is not confirmed yet. */
interface Outgoing {
  readonly exchange: string;
  readonly routingKey: string;
  readonly id: string;
  readonly body: Buffer;
  readonly headers: Record<string, string>;
  readonly confirmed: PromiseWithResolvers<void>;
  /** The channel that has carried it: another must carry it again. */
  sentOn: ConfirmChannel | undefined;
}

/** What this process knows of a group's events. */
interface Inbox {
  readonly handled: LRUCache<string, true>;
  readonly refusals: LRUCache<string, number>;
  readonly running: Map<string, Promise<void>>;
}

interface Subscription {
  readonly options: SubscribeOptions;
  readonly queue: string;
  readonly inbox: Inbox;
  readonly handler: (event: CloudEvent) => Promise<void>;
  readonly busy: Set<Promise<void>>;
  /** The connection that it consumes on, and when it does. */
  attached: { readonly connection: ChannelModel; readonly done: Promise<Consumer> } | undefined;
  stopped: boolean;
}

interface Consumer {
  readonly channel: Channel;
  readonly tag: string;
}

/**
 * RabbitMQ (`amqp:` URL): one topic exchange, a quorum queue per group and pattern, publisher confirms, dead letters.
 * While the broker is down events wait in a bounded buffer and are published when it is back; an event counts as
 * published only when the broker has confirmed it, so what was acknowledged is never lost. Consumers and topology come
 * back by themselves. Publishing and consuming have a connection each: a broker short of memory or disk stops reading
 * from those that publish, and must still hear that events are handled.
 * @throws FlashloanError service_unavailable when the first connection fails
 */
export async function openAmqpEventBus(url: string, limits: Partial<AmqpLimits> = {}): Promise<EventBus> {
  const bus = new AmqpEventBus(url, { ...LIMITS, ...limits });
  await bus.start();
  return bus;
}

class AmqpEventBus implements EventBus {
  readonly #limits: AmqpLimits;
  readonly #waiting = new Set<Outgoing>();
  readonly #subscriptions = new Set<Subscription>();
  readonly #inboxes = new Map<string, Inbox>();
  readonly #publishing: AmqpLink;
  readonly #consuming: AmqpLink;
  #waitingBytes = 0;
  #publisher: ConfirmChannel | undefined;
  #blocked = false;
  #lookingAtDeadLetters: Promise<unknown> = Promise.resolve();
  #stopping: Promise<void> | undefined;
  #stopped = false;

  constructor(url: string, limits: AmqpLimits) {
    this.#limits = limits;
    this.#publishing = new AmqpLink(url, {
      onUp: (connection) => this.#openPublisher(connection),
      onDown: () => {
        this.#publisher = undefined;
        this.#blocked = false;
      },
    });
    this.#consuming = new AmqpLink(url, {
      onUp: async (connection) => {
        for (const subscription of this.#subscriptions) await this.#attach(connection, subscription);
      },
      onDown: () => undefined,
    });
  }

  async start(): Promise<void> {
    await this.#publishing.start();
    try {
      await this.#consuming.start();
    } catch (error) {
      await this.#publishing.stop();
      throw error;
    }
  }

  async publish(event: CloudEvent): Promise<void> {
    const { text, event: parsed } = serializeEvent(event);
    const headers = parsed.traceparent === undefined ? {} : { traceparent: parsed.traceparent };
    await this.#publishRaw({
      exchange: EXCHANGE,
      routingKey: parsed.type,
      id: parsed.id,
      body: Buffer.from(text),
      headers,
    });
  }

  async subscribe(options: SubscribeOptions, handler: (event: CloudEvent) => Promise<void>): Promise<Running> {
    assertGroup(options);
    const queue = `flashloan.${options.group}.${options.pattern}`;
    const inbox = this.#inboxes.get(queue) ?? {
      handled: new LRUCache({ max: HANDLED_MAX }),
      refusals: new LRUCache({ max: HANDLED_MAX }),
      running: new Map(),
    };
    this.#inboxes.set(queue, inbox);
    const subscription: Subscription = {
      options,
      queue,
      inbox,
      handler,
      busy: new Set(),
      attached: undefined,
      stopped: false,
    };
    this.#subscriptions.add(subscription);
    try {
      await this.#untilConsuming(subscription);
    } catch (error) {
      await this.#endSubscription(subscription);
      throw error;
    }
    return { stop: () => this.#endSubscription(subscription) };
  }

  deadLetters(): Promise<readonly DeadLetter[]> {
    return this.#withDeadLetters(async (letters) => letters.map(({ letter }) => letter));
  }

  replayDeadLetters(group: string): Promise<number> {
    return this.#withDeadLetters(async (letters, channel) => {
      const chosen = letters.filter(({ letter }) => letter.group === group);
      for (const { letter, queue, message } of chosen) {
        // Straight into the queue that refused it: other groups have handled it already. A queue that an operator
        // deleted is made again, or the broker would drop the event.
        await channel.assertQueue(queue, this.#queueOptions());
        await this.#publishRaw({
          exchange: "",
          routingKey: queue,
          id: letter.event.id,
          body: message.content,
          headers: traceHeader(message),
        });
        channel.ack(message);
      }
      return chosen.length;
    });
  }

  health(): BusHealth {
    return {
      connected:
        this.#publisher !== undefined &&
        this.#publishing.connection !== undefined &&
        this.#consuming.connection !== undefined,
      blocked: this.#blocked,
      waiting: this.#waiting.size,
      reconnects: Math.max(this.#publishing.reconnects, this.#consuming.reconnects),
    };
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((subscription) => this.#endSubscription(subscription)));
    this.#stopped = true;
    if (this.#publisher)
      await settledWithin(
        [...this.#waiting].map((entry) => entry.confirmed.promise),
        DRAIN_DEADLINE_MS,
      );
    for (const entry of this.#waiting)
      entry.confirmed.reject(
        new FlashloanError("service_stopping", `the event bus stopped before event ${entry.id} was confirmed`),
      );
    await Promise.all([this.#publishing.stop(), this.#consuming.stop()]);
  }

  // Publishing

  async #openPublisher(connection: ChannelModel): Promise<void> {
    const channel = await connection.createConfirmChannel();
    channel.on("error", () => undefined);
    channel.once("close", () => this.#publishing.drop(connection));
    connection.on("blocked", () => (this.#blocked = true));
    connection.on("unblocked", () => {
      this.#blocked = false;
      this.#sendWaiting();
    });
    await channel.assertExchange(EXCHANGE, "topic", { durable: true });
    await channel.assertExchange(DEAD_EXCHANGE, "fanout", { durable: true });
    // Classic, not quorum: looking at dead letters takes and returns them, which must not count against a limit.
    await channel.assertQueue(DEAD_QUEUE, {
      durable: true,
      arguments: { "x-max-length": DEAD_LETTERS_MAX, "x-overflow": "reject-publish" },
    });
    await channel.bindQueue(DEAD_QUEUE, DEAD_EXCHANGE, "");
    this.#publisher = channel;
    this.#sendWaiting();
  }

  async #publishRaw(message: Omit<Outgoing, "confirmed" | "sentOn">): Promise<void> {
    if (this.#stopped) throw new FlashloanError("service_stopping", "the event bus has stopped");
    const { waitingMax, waitingBytesMax, confirmDeadlineMs } = this.#limits;
    if (this.#waiting.size >= waitingMax || this.#waitingBytes + message.body.length > waitingBytesMax)
      throw new FlashloanError(
        "queue_full",
        `${this.#waiting.size} events wait for RabbitMQ: is it down, or out of disk or memory?`,
        { details: { waiting: this.#waiting.size } },
      );
    const entry: Outgoing = { ...message, confirmed: Promise.withResolvers(), sentOn: undefined };
    this.#waiting.add(entry);
    this.#waitingBytes += entry.body.length;
    this.#send(entry);
    try {
      await withDeadline(
        entry.confirmed.promise,
        confirmDeadlineMs,
        () =>
          new FlashloanError(
            "deadline_exceeded",
            `RabbitMQ did not confirm event ${entry.id} within ${confirmDeadlineMs} ms; it may still be delivered`,
          ),
      );
    } finally {
      this.#waiting.delete(entry);
      this.#waitingBytes -= entry.body.length;
    }
  }

  /** What the last connection had not confirmed goes out again, in order; consumers know an event by its id. */
  #sendWaiting(): void {
    for (const entry of this.#waiting) this.#send(entry);
  }

  #send(entry: Outgoing): void {
    const channel = this.#publisher;
    if (!channel || this.#blocked || entry.sentOn === channel) return;
    entry.sentOn = channel;
    const options: Options.Publish = {
      persistent: true,
      messageId: entry.id,
      contentType: CONTENT_TYPE,
      headers: entry.headers,
    };
    try {
      channel.publish(entry.exchange, entry.routingKey, entry.body, options, (error: unknown) => {
        if (!error) entry.confirmed.resolve();
        else if ((error as Error).message === "message nacked")
          entry.confirmed.reject(
            new FlashloanError(
              "queue_full",
              `RabbitMQ refused event ${entry.id}: a group that gets it is too far behind; groups with room may have it`,
            ),
          );
        // Otherwise the channel closed: the entry waits for the next.
      });
    } catch {
      // The channel closed under us: the entry waits for the next.
    }
  }

  // Consuming

  #queueOptions(): Options.AssertQueue {
    return {
      durable: true,
      arguments: {
        "x-queue-type": "quorum",
        "x-delivery-limit": this.#limits.groupDeliveriesMax,
        "x-max-length": this.#limits.groupEventsMax,
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": DEAD_EXCHANGE,
        "x-dead-letter-strategy": "at-least-once",
      },
    };
  }

  /** Resolves when the subscription's queue exists and is consumed: later events reach it. */
  async #untilConsuming(subscription: Subscription): Promise<void> {
    for (;;) {
      const connection = await this.#consuming.whenUp(this.#limits.confirmDeadlineMs);
      try {
        const isNew = !(await hasQueue(connection, subscription.queue));
        await this.#attach(connection, subscription);
        if (isNew) await systemClock.sleep(this.#limits.newQueueSettleMs);
        return;
      } catch (error) {
        // Lost meanwhile: again on the next connection. Otherwise the broker refuses the subscription itself.
        if (this.#consuming.connection === connection) throw error;
      }
    }
  }

  async #attach(connection: ChannelModel, subscription: Subscription): Promise<void> {
    if (subscription.attached?.connection !== connection) {
      const done = this.#consume(connection, subscription);
      subscription.attached = { connection, done };
    }
    await subscription.attached.done;
  }

  async #consume(connection: ChannelModel, subscription: Subscription): Promise<Consumer> {
    const { queue, options } = subscription;
    const channel = await connection.createChannel();
    channel.on("error", () => undefined);
    channel.once("close", () => {
      if (!subscription.stopped) this.#consuming.drop(connection);
    });
    await channel.assertExchange(EXCHANGE, "topic", { durable: true });
    await channel.assertQueue(queue, this.#queueOptions());
    await channel.bindQueue(queue, EXCHANGE, options.pattern);
    await channel.prefetch(options.prefetch ?? PREFETCH_DEFAULT);
    const { consumerTag } = await channel.consume(queue, (message) => {
      // The broker ends a consumer whose queue was deleted: a new connection makes both again.
      if (!message) return this.#consuming.drop(connection);
      const work = this.#handle(subscription, channel, message).finally(() => subscription.busy.delete(work));
      subscription.busy.add(work);
    });
    return { channel, tag: consumerTag };
  }

  async #handle(subscription: Subscription, channel: Channel, message: ConsumeMessage): Promise<void> {
    const { inbox, handler } = subscription;
    let event: CloudEvent;
    try {
      event = decode(message);
    } catch (error) {
      await this.#bury(subscription, channel, message, (error as Error).message);
      return;
    }
    const key = `${event.source} ${event.id}`;
    // A copy of the event may be with a handler just now: one at a time, and none after the first success.
    for (let other = inbox.running.get(key); other; other = inbox.running.get(key)) await other.catch(() => undefined);
    try {
      if (!inbox.handled.has(key)) {
        const work = handler(event);
        inbox.running.set(key, work);
        try {
          await work;
        } finally {
          inbox.running.delete(key);
        }
        inbox.handled.set(key, true);
        inbox.refusals.delete(key);
      }
      settle(() => channel.ack(message));
    } catch (error) {
      const refusals = (inbox.refusals.get(key) ?? 0) + 1;
      inbox.refusals.set(key, refusals);
      if (refusals < EVENT_DELIVERIES_MAX) return settle(() => channel.nack(message, false, true));
      await this.#bury(subscription, channel, message, error instanceof Error ? error.message : String(error));
      inbox.refusals.delete(key);
    }
  }

  /** Puts an event among the dead letters with its reason, confirmed, before its queue lets go of it. */
  async #bury(subscription: Subscription, channel: Channel, message: ConsumeMessage, reason: string): Promise<void> {
    const headers = {
      ...traceHeader(message),
      "flashloan-queue": subscription.queue,
      "flashloan-reason": reason.slice(0, REASON_CHARACTERS_MAX),
    };
    try {
      await this.#publishRaw({
        exchange: DEAD_EXCHANGE,
        routingKey: "",
        id: String(message.properties.messageId ?? ""),
        body: message.content,
        headers,
      });
      settle(() => channel.ack(message));
    } catch {
      // No place among the dead letters (full, or the broker is down): the event stays where it is, and is tried again.
      setTimeout(() => settle(() => channel.nack(message, false, true)), BURIAL_PAUSE_MS);
    }
  }

  async #endSubscription(subscription: Subscription): Promise<void> {
    this.#subscriptions.delete(subscription);
    if (subscription.stopped) return;
    subscription.stopped = true;
    const consumer = await subscription.attached?.done.catch(() => undefined);
    if (consumer) await settledWithin([attempt(() => consumer.channel.cancel(consumer.tag))], CANCEL_DEADLINE_MS);
    await settledWithin([...subscription.busy], DRAIN_DEADLINE_MS);
    // What its handler did not finish goes back to the group.
    if (consumer) await settledWithin([attempt(() => consumer.channel.close())], CANCEL_DEADLINE_MS);
  }

  // Dead letters

  /** Shows the dead letters to `look`; those it does not acknowledge go back to their places. One look at a time. */
  #withDeadLetters<T>(look: (letters: readonly HeldLetter[], channel: Channel) => Promise<T>): Promise<T> {
    const looking = this.#lookingAtDeadLetters.then(async () => {
      const connection = this.#consuming.connection;
      if (!connection) throw new FlashloanError("service_unavailable", "RabbitMQ can't be reached");
      let channel: Channel | undefined;
      try {
        const opened = await connection.createChannel();
        channel = opened;
        opened.on("error", () => undefined);
        const letters: HeldLetter[] = [];
        while (letters.length < DEAD_LETTERS_PAGE) {
          const message = await opened.get(DEAD_QUEUE, { noAck: false });
          if (!message) break;
          letters.push(toHeldLetter(message));
        }
        return await look(letters, opened);
      } catch (cause) {
        if (cause instanceof FlashloanError) throw cause;
        throw new FlashloanError("service_unavailable", `RabbitMQ was lost (${(cause as Error).message})`, { cause });
      } finally {
        await attempt(() => channel?.close());
      }
    });
    this.#lookingAtDeadLetters = looking.catch(() => undefined);
    return looking;
  }
}

interface HeldLetter {
  readonly letter: DeadLetter;
  readonly queue: string;
  readonly message: GetMessage;
}

function toHeldLetter(message: GetMessage): HeldLetter {
  const headers = message.properties.headers ?? {};
  const queue = String(headers["flashloan-queue"] ?? headers["x-first-death-queue"] ?? "");
  const byBroker = `the broker gave it up (${headers["x-first-death-reason"] ?? "unknown"}): it may crash what handles it`;
  return {
    queue,
    message,
    letter: {
      group: queue.split(".")[1] ?? "unknown",
      reason: String(headers["flashloan-reason"] ?? byBroker),
      event: decodeAnything(message),
    },
  };
}

/** Asks on a channel of its own: the broker closes it when there is no such queue. */
async function hasQueue(connection: ChannelModel, queue: string): Promise<boolean> {
  const channel = await connection.createChannel();
  channel.on("error", () => undefined);
  try {
    await channel.checkQueue(queue);
    await attempt(() => channel.close());
    return true;
  } catch {
    return false;
  }
}

function decode(message: ConsumeMessage): CloudEvent {
  const event = parseEvent(message.content.toString("utf8"));
  const { traceparent } = traceHeader(message);
  return event.traceparent === undefined && traceparent !== undefined ? { ...event, traceparent } : event;
}

/** A dead letter must be readable whatever it is. */
function decodeAnything(message: GetMessage): CloudEvent {
  const text = message.content.toString("utf8");
  try {
    return parseEvent(text);
  } catch {
    const id = String(message.properties.messageId ?? "") || "unknown";
    return {
      specversion: "1.0",
      id,
      source: "unknown",
      type: "flashloan.malformed",
      time: new Date(0).toISOString(),
      datacontenttype: "application/json",
      data: { text: text.slice(0, MALFORMED_CHARACTERS_MAX) },
    };
  }
}

function traceHeader(message: { properties: { headers?: Record<string, unknown> | undefined } }): {
  traceparent?: string;
} {
  const value = message.properties.headers?.["traceparent"];
  return typeof value === "string" ? { traceparent: value } : {};
}

/** Acknowledges or returns; when the channel is gone the broker delivers the event again anyway. */
function settle(action: () => void): void {
  try {
    action();
  } catch {
    // The channel is gone.
  }
}

async function attempt(action: () => Promise<unknown> | undefined): Promise<void> {
  try {
    await action();
  } catch {
    // Closing what is closed already.
  }
}

/** Waits for all, but not longer. */
async function settledWithin(work: readonly Promise<unknown>[], ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([Promise.allSettled(work), new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))]);
  clearTimeout(timer);
}
