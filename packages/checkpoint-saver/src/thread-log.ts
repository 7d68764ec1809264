import { FlashloanError } from "@flashloan/shared/errors";

/** The largest payload that the ledger takes in one record; what is larger is spread over several. */
const RECORD_BYTES_MAX = 256 * 1024;
/** The largest checkpoint: it must pass as one message. */
const CHECKPOINT_BYTES_MAX = 3 * 1024 * 1024;
/** State of a record that carries a part of what a later one completes. */
const PART = "PART";

/** A value as LangGraph's serializer gave it: the serializer's type and bytes. */
export type Typed = readonly [string, Uint8Array];

/** A checkpoint of a thread, still serialized. */
export interface StoredCheckpoint {
  readonly id: string;
  readonly parent: string | undefined;
  /** Without its channels' values. */
  readonly checkpoint: Typed;
  readonly metadata: Typed;
}

/** A channel's value as of one of its versions. Only what is new is stored: most channels change seldom. */
export interface StoredValue {
  readonly channel: string;
  readonly version: string | number;
  readonly value: Typed;
}

/** A write of a task at a checkpoint, still serialized. */
export interface StoredWrite {
  readonly task: string;
  readonly path: string;
  readonly channel: string;
  readonly index: number;
  readonly value: Typed;
}

/** What happened to a thread; the thread is what a replay of all of it gives. */
export type ThreadEvent =
  | ({
      readonly kind: "CHECKPOINT";
      readonly thread: string;
      readonly ns: string;
      readonly values: readonly StoredValue[];
    } & StoredCheckpoint)
  | {
      readonly kind: "WRITES";
      readonly thread: string;
      readonly ns: string;
      readonly checkpointId: string;
      readonly writes: readonly StoredWrite[];
    }
  | { readonly kind: "DELETED"; readonly thread: string };

/** A record of the ledger, as far as a thread is concerned. */
export interface ThreadRecord {
  readonly state: string;
  readonly payload: Uint8Array;
}

/** An event as records to be appended together. @throws FlashloanError payload_too_large */
export function encodeEvent(event: ThreadEvent): (ThreadRecord & { payload: Buffer; terminal: false })[] {
  const blobs: Uint8Array[] = [];
  const header = JSON.stringify(event, (_, value: unknown) => {
    if (!isTyped(value)) return value;
    blobs.push(value[1]);
    return { type: value[0], length: value[1].length };
  });
  const head = Buffer.from(header);
  const size = Buffer.alloc(4);
  size.writeUInt32BE(head.length);
  const whole = Buffer.concat([size, head, ...blobs]);
  if (whole.length > CHECKPOINT_BYTES_MAX)
    throw new FlashloanError(
      "payload_too_large",
      `the ${event.kind.toLowerCase()} of thread ${event.thread} take ${whole.length} bytes; at most ${CHECKPOINT_BYTES_MAX}`,
    );
  const count = Math.ceil(whole.length / RECORD_BYTES_MAX);
  return Array.from({ length: count }, (_, index) => ({
    state: index === count - 1 ? event.kind : PART,
    terminal: false as const,
    payload: whole.subarray(index * RECORD_BYTES_MAX, (index + 1) * RECORD_BYTES_MAX),
  }));
}

function decodeEvent(bytes: Buffer): ThreadEvent {
  let at = 4 + bytes.readUInt32BE(0);
  // Values come in the order in which the header names them; a reviver sees them in that order too.
  return JSON.parse(bytes.toString("utf8", 4, at), (_, value: unknown) => {
    if (!isReference(value)) return value;
    const blob = bytes.subarray(at, at + value.length);
    at += value.length;
    return [value.type, blob] as Typed;
  }) as ThreadEvent;
}

function isTyped(value: unknown): value is Typed {
  return Array.isArray(value) && value.length === 2 && value[1] instanceof Uint8Array;
}

function isReference(value: unknown): value is { type: string; length: number } {
  return typeof value === "object" && value !== null && "type" in value && "length" in value && !Array.isArray(value);
}

/** One thread, rebuilt from its records. */
export class Thread {
  /** The thread's own name; known with its first event. */
  name: string | undefined;
  /** Place in the whole ledger of the newest record that is in here. */
  position = 0n;
  /** By namespace and id. */
  readonly namespaces = new Map<string, Map<string, StoredCheckpoint>>();
  readonly #writes = new Map<string, Map<string, StoredWrite>>();
  readonly #values = new Map<string, Typed>();
  #parts: Uint8Array[] = [];

  /** Takes the next record of its stream. */
  take(record: ThreadRecord & { readonly position: bigint }): void {
    this.position = record.position;
    if (record.state === PART) return void this.#parts.push(record.payload);
    const whole = Buffer.concat([...this.#parts, record.payload]);
    this.#parts = [];
    this.#apply(decodeEvent(whole));
  }

  writesOf(ns: string, checkpointId: string): StoredWrite[] {
    return [...(this.#writes.get(JSON.stringify([ns, checkpointId]))?.values() ?? [])];
  }

  /** A channel's value as of a version; undefined when it had none. */
  valueOf(ns: string, channel: string, version: string | number): Typed | undefined {
    return this.#values.get(JSON.stringify([ns, channel, version]));
  }

  #apply(event: ThreadEvent): void {
    this.name = event.thread;
    if (event.kind === "DELETED") {
      this.namespaces.clear();
      this.#writes.clear();
      this.#values.clear();
    } else if (event.kind === "CHECKPOINT") {
      const checkpoints = this.namespaces.get(event.ns) ?? new Map<string, StoredCheckpoint>();
      this.namespaces.set(event.ns, checkpoints.set(event.id, event));
      for (const { channel, version, value } of event.values)
        this.#values.set(JSON.stringify([event.ns, channel, version]), value);
    } else {
      const key = JSON.stringify([event.ns, event.checkpointId]);
      const writes = this.#writes.get(key) ?? new Map<string, StoredWrite>();
      this.#writes.set(key, writes);
      for (const write of event.writes) {
        const place = JSON.stringify([write.task, write.index]);
        // A task's write stands once made; special ones (errors, interrupts: negative places) are replaced.
        if (write.index < 0 || !writes.has(place)) writes.set(place, write);
      }
    }
  }
}
