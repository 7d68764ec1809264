import type { Etcd3, IKeyValue } from "etcd3";
import { backoffMs, systemClock } from "../clock.ts";

const RETRY_BASE_MS = 100;
const RETRY_CAP_MS = 1_000;

/** How a stream of changes ended. */
interface StreamEnd {
  /** The revision from which the next stream must start. */
  readonly next: bigint;
  /** True when etcd has forgotten the changes that were asked for. */
  readonly compacted: boolean;
}

/**
 * Calls back with every value that a key gets after a revision, until the signal aborts, over as many streams as it
 * takes: no change is left out, except those that etcd compacted away while it could not be reached (then the newest
 * value stands for them).
 */
export async function followKey(
  client: Etcd3,
  key: string,
  after: bigint,
  onChange: (value: string, version: bigint) => void,
  signal: AbortSignal,
): Promise<void> {
  let next = after + 1n;
  const onPut = (entry: IKeyValue): void => onChange(entry.value.toString("utf8"), BigInt(entry.mod_revision));
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      const end = await streamChanges(client, key, next, signal, (type, entry) => type === "PUT" && onPut(entry));
      if (end.next > next) attempt = 0;
      next = end.next;
      if (end.compacted) {
        const { kvs, header } = await client.get(key).exec();
        const [entry] = kvs;
        if (entry && BigInt(entry.mod_revision) >= next) onPut(entry);
        next = BigInt(header.revision) + 1n;
      }
    } catch {
      // Down still; the back-off grows.
    }
    await systemClock
      .sleep(RETRY_BASE_MS / 2 + backoffMs(attempt, RETRY_BASE_MS, RETRY_CAP_MS), signal)
      .catch(() => undefined);
  }
}

/** Resolves at the key's first change after a revision, when nothing can be heard of it, after a while, or by the signal. */
export async function untilKeyChanges(
  client: Etcd3,
  key: string,
  after: bigint,
  atMostMs: number,
  signal: AbortSignal,
): Promise<void> {
  const changed = new AbortController();
  const over = AbortSignal.any([signal, changed.signal, AbortSignal.timeout(atMostMs)]);
  await streamChanges(client, key, after + 1n, over, () => changed.abort());
}

/** One stream of changes, until it breaks or the signal aborts. */
async function streamChanges(
  client: Etcd3,
  key: string,
  from: bigint,
  signal: AbortSignal,
  onEvent: (type: string, entry: IKeyValue) => void,
): Promise<StreamEnd> {
  const stream = await client.watchClient.watch();
  let next = from;
  return new Promise((resolve) => {
    const end = (compacted: boolean): void => {
      signal.removeEventListener("abort", onAbort);
      stream.cancel();
      resolve({ next, compacted });
    };
    const onAbort = (): void => end(false);
    // Cancelling ends in an error too; without a listener it would end the process.
    stream.on("error", () => end(false));
    stream.on("end", () => end(false));
    stream.on("data", (response) => {
      if (signal.aborted) return;
      for (const { type, kv } of response.events) {
        next = BigInt(kv.mod_revision) + 1n;
        onEvent(type.toUpperCase(), kv);
      }
      if (response.canceled) return end(Number(response.compact_revision) > 0);
      // A progress notice: up to here all is known.
      if (!response.created && response.events.length === 0) next = BigInt(response.header.revision) + 1n;
    });
    if (signal.aborted) return end(false);
    signal.addEventListener("abort", onAbort, { once: true });
    stream.write({ create_request: { key: Buffer.from(key), start_revision: from.toString(), progress_notify: true } });
  });
}
