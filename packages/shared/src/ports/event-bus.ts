import { z } from "zod";
import { FlashloanError } from "../errors.ts";
import type { Running } from "../lifecycle.ts";

/** The largest event that may be published, in bytes of its JSON. */
export const EVENT_BYTES_MAX = 256 * 1024;
/** How often a handler may fail on one event before the event becomes a dead letter. */
export const EVENT_DELIVERIES_MAX = 3;

/** A fact that anyone may want, as a CloudEvent 1.0 with JSON data (bigint as decimal strings). */
export const cloudEventSchema = z.strictObject({
  specversion: z.literal("1.0"),
  id: z.string().min(1).max(128),
  source: z.string().min(1).max(256),
  /** The topic: dot-separated words, such as `flashloan.trade.settled`. */
  type: z.string().regex(/^[a-z0-9-]+(\.[a-z0-9-]+)*$/),
  time: z.iso.datetime(),
  subject: z.string().max(256).optional(),
  datacontenttype: z.literal("application/json"),
  /** W3C trace context, by the CloudEvents distributed tracing extension. */
  traceparent: z.string().max(64).optional(),
  data: z.json(),
});
/** @see cloudEventSchema */
export type CloudEvent = z.infer<typeof cloudEventSchema>;

/** What a subscriber asks for. */
export interface SubscribeOptions {
  /** Consumers of one group share the events; each group sees every event. Lower-case letters, digits and dashes. */
  readonly group: string;
  /** Topics, AMQP style: `*` is one word, `#` is any number of words. */
  readonly pattern: string;
  /** How many events may be with the handler at once. */
  readonly prefetch?: number;
}

/** An event that its group's handler refused EVENT_DELIVERIES_MAX times. */
export interface DeadLetter {
  readonly group: string;
  readonly event: CloudEvent;
  readonly reason: string;
}

/** How a bus is. */
export interface BusHealth {
  /** Whether the broker is there. */
  readonly connected: boolean;
  /** Whether the broker takes no events at the moment, being short of disk or memory. */
  readonly blocked: boolean;
  /** Events that wait for the broker. */
  readonly waiting: number;
  /** How often the broker was lost and found again. */
  readonly reconnects: number;
}

/**
 * Carries facts between services: at least once, in order per publisher. An event is known by its source and id: a
 * process handles it once for each group, however often it is delivered; across processes handlers must be idempotent.
 */
export interface EventBus extends Running {
  /**
   * Resolves when the bus has taken responsibility for the event. After any error but the first two the event may be
   * delivered all the same: publish it again with the same id.
   * @throws FlashloanError argument_invalid, payload_too_large, queue_full, deadline_exceeded, service_stopping
   */
  publish(event: CloudEvent): Promise<void>;
  /**
   * Delivers matching events until the subscription stops; from when it resolves, none is missed. The group's events
   * wait while it has no subscriber. A handler that throws is asked again, up to EVENT_DELIVERIES_MAX times.
   * @throws FlashloanError argument_invalid, service_unavailable, service_stopping
   */
  subscribe(options: SubscribeOptions, handler: (event: CloudEvent) => Promise<void>): Promise<Running>;
  /** The events that no handler would take, oldest first. @throws FlashloanError service_unavailable */
  deadLetters(): Promise<readonly DeadLetter[]>;
  /** Gives the dead letters of a group to its handlers once more; returns how many. @throws FlashloanError service_unavailable */
  replayDeadLetters(group: string): Promise<number>;
  /** For health and metrics. */
  health(): BusHealth;
}

/** Refuses a group or pattern that not every adapter could carry. @throws FlashloanError argument_invalid */
export function assertGroup(options: SubscribeOptions): void {
  if (!/^[a-z0-9-]{1,64}$/.test(options.group))
    throw new FlashloanError(
      "argument_invalid",
      `group "${options.group}" must be 1 to 64 lower-case letters, digits and dashes`,
    );
  if (!/^([a-z0-9-]+|[*#])(\.([a-z0-9-]+|[*#]))*$/.test(options.pattern) || options.pattern.length > 128)
    throw new FlashloanError(
      "argument_invalid",
      `pattern "${options.pattern}" must be dot-separated words, "*" or "#", at most 128 characters`,
    );
}

/** An event as it goes on the wire. @throws FlashloanError argument_invalid, payload_too_large */
export function serializeEvent(event: CloudEvent): { event: CloudEvent; text: string } {
  const parsed = cloudEventSchema.safeParse(event);
  if (!parsed.success)
    throw new FlashloanError(
      "argument_invalid",
      `not a CloudEvent: ${parsed.error.issues.map((issue) => `${issue.path.join(".")} ${issue.message}`).join("; ")}`,
    );
  const text = JSON.stringify(parsed.data);
  const bytes = Buffer.byteLength(text);
  if (bytes > EVENT_BYTES_MAX)
    throw new FlashloanError("payload_too_large", `event ${event.id} is ${bytes} bytes; at most ${EVENT_BYTES_MAX}`);
  return { event: parsed.data, text };
}

/** An event off the wire. @throws FlashloanError argument_invalid */
export function parseEvent(text: string): CloudEvent {
  return serializeEvent(JSON.parse(text) as CloudEvent).event;
}

/** True when an AMQP topic pattern matches a topic. */
export function topicMatches(pattern: string, topic: string): boolean {
  const match = (p: readonly string[], t: readonly string[]): boolean => {
    const [head, ...rest] = p;
    if (head === undefined) return t.length === 0;
    if (head === "#") return match(rest, t) || (t.length > 0 && match(p, t.slice(1)));
    return t.length > 0 && (head === "*" || head === t[0]) && match(rest, t.slice(1));
  };
  return match(pattern.split("."), topic.split("."));
}
