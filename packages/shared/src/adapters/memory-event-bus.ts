import { AsyncResource } from "node:async_hooks";
import { LRUCache } from "lru-cache";
import { FlashloanError } from "../errors.ts";
import {
  assertGroup,
  EVENT_DELIVERIES_MAX,
  serializeEvent,
  topicMatches,
  type CloudEvent,
  type DeadLetter,
  type EventBus,
  type SubscribeOptions,
} from "../ports/event-bus.ts";

/** Events that may wait for one group; publishing into a full group is refused, so that nothing is dropped silently. */
const GROUP_QUEUE_MAX = 10_000;
const DEAD_LETTERS_MAX = 1_000;
const PREFETCH_DEFAULT = 16;
/** Events that a group remembers as handled, so that one published twice is handled once. */
const HANDLED_MAX = 20_000;

interface Waiting {
  readonly text: string;
  /** Source and id: by them an event is known. */
  readonly key: string;
  deliveries: number;
}
interface Consumer {
  readonly handler: (event: CloudEvent) => Promise<void>;
  readonly prefetch: number;
  readonly busy: Set<Promise<void>>;
  stopped: boolean;
}
interface Group {
  readonly name: string;
  readonly pattern: string;
  readonly queue: Waiting[];
  readonly consumers: Consumer[];
  readonly handled: LRUCache<string, true>;
  readonly running: Map<string, Promise<void>>;
}

/** The bus of the embedded platform (`memory:`). Events are serialized as on the wire: subscribers never share objects. */
export function createMemoryEventBus(): EventBus {
  const groups = new Map<string, Group>();
  const dead: DeadLetter[] = [];
  let stopped = false;

  const handleOnce = async (group: Group, consumer: Consumer, waiting: Waiting): Promise<void> => {
    const { key } = waiting;
    // A copy of the event may be with a handler just now: one at a time, and none after the first success.
    for (let other = group.running.get(key); other; other = group.running.get(key)) await other.catch(() => undefined);
    if (group.handled.has(key)) return;
    const work = consumer.handler(JSON.parse(waiting.text) as CloudEvent);
    group.running.set(key, work);
    try {
      await work;
    } finally {
      group.running.delete(key);
    }
    group.handled.set(key, true);
  };

  const deliver = async (group: Group, consumer: Consumer, waiting: Waiting): Promise<void> => {
    try {
      await handleOnce(group, consumer, waiting);
    } catch (error) {
      waiting.deliveries += 1;
      if (waiting.deliveries < EVENT_DELIVERIES_MAX) group.queue.unshift(waiting);
      else {
        const event = JSON.parse(waiting.text) as CloudEvent;
        dead.push({ group: group.name, event, reason: error instanceof Error ? error.message : String(error) });
        if (dead.length > DEAD_LETTERS_MAX) dead.shift();
      }
    }
  };

  const pump = (group: Group): void => {
    for (const consumer of group.consumers) {
      while (!consumer.stopped && consumer.busy.size < consumer.prefetch) {
        const waiting = group.queue.shift();
        if (!waiting) return;
        // In a later microtask, so that publishing never runs a handler.
        const work = Promise.resolve()
          .then(() => deliver(group, consumer, waiting))
          .finally(() => {
            consumer.busy.delete(work);
            pump(group);
          });
        consumer.busy.add(work);
      }
    }
  };

  return {
    publish: async (event) => {
      if (stopped) throw new FlashloanError("service_stopping", "the event bus has stopped");
      const { text, event: parsed } = serializeEvent(event);
      const matching = [...groups.values()].filter((group) => topicMatches(group.pattern, event.type));
      const full = matching.find((group) => group.queue.length >= GROUP_QUEUE_MAX);
      if (full)
        throw new FlashloanError("queue_full", `consumer group "${full.name}" has ${GROUP_QUEUE_MAX} events waiting`);
      for (const group of matching) {
        group.queue.push({ text, key: keyOf(parsed), deliveries: 0 });
        pump(group);
      }
    },
    subscribe: async (options: SubscribeOptions, handler) => {
      assertGroup(options);
      const key = `${options.group} ${options.pattern}`;
      const group = groups.get(key) ?? newGroup(options);
      groups.set(key, group);
      const consumer: Consumer = {
        // What it does is its subscriber's doing, not the publisher's.
        handler: AsyncResource.bind(handler),
        prefetch: options.prefetch ?? PREFETCH_DEFAULT,
        busy: new Set(),
        stopped: false,
      };
      group.consumers.push(consumer);
      pump(group);
      return {
        stop: async () => {
          if (consumer.stopped) return;
          consumer.stopped = true;
          group.consumers.splice(group.consumers.indexOf(consumer), 1);
          await Promise.all(consumer.busy);
        },
      };
    },
    deadLetters: async () => [...dead],
    replayDeadLetters: async (name) => {
      const letters = dead.filter((letter) => letter.group === name);
      for (const letter of letters) {
        dead.splice(dead.indexOf(letter), 1);
        for (const group of groups.values()) {
          if (group.name !== name || !topicMatches(group.pattern, letter.event.type)) continue;
          group.queue.push({ text: JSON.stringify(letter.event), key: keyOf(letter.event), deliveries: 0 });
          pump(group);
        }
      }
      return letters.length;
    },
    health: () => ({ connected: !stopped, blocked: false, waiting: 0, reconnects: 0 }),
    stop: async () => {
      const consumers = [...groups.values()].flatMap((group) => group.consumers);
      for (const consumer of consumers) consumer.stopped = true;
      await Promise.all(consumers.flatMap((consumer) => [...consumer.busy]));
      stopped = true;
    },
  };
}

function newGroup({ group: name, pattern }: SubscribeOptions): Group {
  return { name, pattern, queue: [], consumers: [], handled: new LRUCache({ max: HANDLED_MAX }), running: new Map() };
}

function keyOf(event: CloudEvent): string {
  return `${event.source} ${event.id}`;
}
