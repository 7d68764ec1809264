import { createHash, randomUUID } from "node:crypto";
import type { RunnableConfig } from "@langchain/core/runnables";
import {
  BaseCheckpointSaver,
  compareWritesSortKeys,
  copyCheckpoint,
  getCheckpointId,
  maxChannelVersion,
  TASKS,
  WRITES_IDX_MAP,
  writesSortKey,
  type ChannelVersions,
  type Checkpoint,
  type CheckpointListOptions,
  type CheckpointMetadata,
  type CheckpointTuple,
  type PendingWrite,
} from "@langchain/langgraph-checkpoint";
import { LedgerWriter } from "@flashloan/ledger-client/ledger-writer";
import { CheckpointServiceService as Checkpoints } from "@flashloan/proto/checkpoint/v1/checkpoint";
import { backoffMs, systemClock } from "@flashloan/shared/clock";
import { toFlashloanError, FlashloanError } from "@flashloan/shared/errors";
import type { Running } from "@flashloan/shared/lifecycle";
import type { RpcClient } from "@flashloan/shared/rpc-client";
import { encodeEvent, Thread, type StoredCheckpoint, type ThreadEvent } from "./thread-log.ts";

/** Threads that are kept rebuilt; the one that was not asked for longest is rebuilt when it is asked for again. */
const THREADS_MAX = 256;
const PAGE = 1_000;
const READ_RETRIES = 5;
/** How long an append is tried again while the service can't be reached. */
const APPEND_PATIENCE_MS = 30_000;
const BACKOFF_BASE_MS = 50;
const BACKOFF_CAP_MS = 1_000;

/**
 * LangGraph's checkpointer on the checkpoint service. A thread is a stream of the ledger; what happens to it is appended,
 * durably before a call resolves, and never rewritten: deleting a thread is a record too. Appends of one thread keep the
 * order of the calls; those of all threads share one stream to the service, and its group commits.
 */
export class CheckpointSaver extends BaseCheckpointSaver implements Running {
  readonly #client: RpcClient;
  readonly #writer: LedgerWriter;
  readonly #prefix: string;
  readonly #threads = new Map<string, Thread>();
  /** By stream: the end of the queue of its appends, and its newest sequence as far as known. */
  readonly #queues = new Map<string, Promise<unknown>>();
  readonly #sequences = new Map<string, bigint>();

  /**
   * @param client stays its owner's
   * @param space keeps the threads of several graphs apart: up to 40 letters, digits or ._-
   */
  constructor(client: RpcClient, space = "langgraph") {
    super();
    if (!/^[A-Za-z0-9._-]{1,40}$/.test(space))
      throw new FlashloanError("argument_invalid", `space is "${space}": must be 1 to 40 letters, digits or ._-`);
    this.#client = client;
    this.#writer = new LedgerWriter(client);
    this.#prefix = `thread:${space}:`;
  }

  async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    const threadId = threadIdOf(config);
    if (threadId === undefined) return undefined;
    const ns = namespaceOf(config) ?? "";
    const thread = await this.#readThread(this.#streamOf(threadId));
    const checkpoints = thread.namespaces.get(ns);
    const asked = getCheckpointId(config);
    const stored = asked ? checkpoints?.get(asked) : newestFirst(checkpoints)[0];
    return stored && this.#toTuple(thread, threadId, ns, stored);
  }

  async *list(config: RunnableConfig, options: CheckpointListOptions = {}): AsyncGenerator<CheckpointTuple> {
    const { before, filter } = options;
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    const threadId = threadIdOf(config);
    const ns = namespaceOf(config);
    const id = config.configurable?.["checkpoint_id"] as string | undefined;
    const beforeId = before && getCheckpointId(before);
    const streams = threadId === undefined ? this.#streams() : [this.#streamOf(threadId)];
    for await (const stream of streams) {
      const thread = await this.#readThread(stream);
      for (const [namespace, checkpoints] of thread.namespaces) {
        if (ns !== undefined && namespace !== ns) continue;
        for (const stored of newestFirst(checkpoints)) {
          if (left <= 0) return;
          if ((id && stored.id !== id) || (beforeId && stored.id >= beforeId)) continue;
          const tuple = await this.#toTuple(thread, thread.name ?? "", namespace, stored);
          const metadata = tuple.metadata as Record<string, unknown> | undefined;
          if (filter && !Object.entries(filter).every(([key, value]) => metadata?.[key] === value)) continue;
          left -= 1;
          yield tuple;
        }
      }
    }
  }

  async put(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    const thread = required(threadIdOf(config), "put a checkpoint", "thread_id");
    const ns = namespaceOf(config) ?? "";
    const changed = Object.entries(newVersions).filter(([channel]) => checkpoint.channel_values[channel] !== undefined);
    const [serialized, serializedMetadata, values] = await Promise.all([
      this.serde.dumpsTyped({ ...copyCheckpoint(checkpoint), channel_values: {} }),
      this.serde.dumpsTyped(metadata),
      Promise.all(
        changed.map(async ([channel, version]) => ({
          channel,
          version,
          value: await this.serde.dumpsTyped(checkpoint.channel_values[channel]),
        })),
      ),
    ]);
    const parent = config.configurable?.["checkpoint_id"] as string | undefined;
    await this.#append({
      kind: "CHECKPOINT",
      thread,
      ns,
      id: checkpoint.id,
      parent,
      checkpoint: serialized,
      metadata: serializedMetadata,
      values,
    });
    return { configurable: { thread_id: thread, checkpoint_ns: ns, checkpoint_id: checkpoint.id } };
  }

  async putWrites(config: RunnableConfig, writes: PendingWrite[], taskId: string, taskPath = ""): Promise<void> {
    const thread = required(threadIdOf(config), "put writes", "thread_id");
    const checkpointId = required(config.configurable?.["checkpoint_id"], "put writes", "checkpoint_id");
    const stored = await Promise.all(
      writes.map(async ([channel, value], place) => ({
        task: taskId,
        path: taskPath,
        channel,
        index: WRITES_IDX_MAP[channel] ?? place,
        value: await this.serde.dumpsTyped(value),
      })),
    );
    await this.#append({ kind: "WRITES", thread, ns: namespaceOf(config) ?? "", checkpointId, writes: stored });
  }

  async deleteThread(threadId: string): Promise<void> {
    await this.#append({ kind: "DELETED", thread: threadId });
  }

  /** Waits for what is under way. */
  async stop(): Promise<void> {
    await Promise.allSettled(this.#queues.values());
    await this.#writer.stop();
  }

  #streamOf(threadId: string): string {
    return `${this.#prefix}${createHash("sha256").update(threadId).digest("base64url")}`;
  }

  async *#streams(): AsyncGenerator<string> {
    let pageToken = "";
    do {
      const page = await this.#client.unary(
        Checkpoints.listOpen,
        { prefix: this.#prefix, pageSize: PAGE, pageToken },
        { retries: READ_RETRIES },
      );
      for (const { streamId } of page.records) yield streamId;
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
  }

  /** A thread as it is now: what was read before, and the records since. */
  async #readThread(streamId: string): Promise<Thread> {
    await this.#queues.get(streamId);
    const thread = this.#threads.get(streamId) ?? new Thread();
    this.#threads.delete(streamId);
    this.#threads.set(streamId, thread);
    for (const oldest of this.#threads.keys()) {
      if (this.#threads.size <= THREADS_MAX) break;
      this.#threads.delete(oldest);
    }
    let pageToken = thread.position.toString();
    do {
      const page = await this.#client.unary(
        Checkpoints.history,
        { streamId, pageSize: PAGE, pageToken },
        { retries: READ_RETRIES },
      );
      // Another reader of the same thread may have taken some of them meanwhile.
      for (const record of page.records) if (record.position > thread.position) thread.take(record);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    return thread;
  }

  /** Appends in the order of the calls of a thread; the next one begins when this one is durable. */
  #append(event: ThreadEvent): Promise<void> {
    const streamId = this.#streamOf(event.thread);
    const records = encodeEvent(event);
    const before = this.#queues.get(streamId) ?? Promise.resolve();
    const appended = before.catch(() => undefined).then(() => this.#appendDurably(streamId, records));
    const settled = appended.catch(() => undefined);
    this.#queues.set(streamId, settled);
    void settled.then(() => {
      if (this.#queues.get(streamId) === settled) this.#queues.delete(streamId);
    });
    return appended;
  }

  async #appendDurably(streamId: string, records: ReturnType<typeof encodeEvent>): Promise<void> {
    const idempotencyKey = randomUUID();
    const until = systemClock.monotonic() + APPEND_PATIENCE_MS;
    for (let attempt = 0; ; attempt++) {
      const expectedSequence = this.#sequences.get(streamId) ?? (await this.#readSequence(streamId));
      try {
        const { sequence } = await this.#writer.append({
          streamId,
          expectedSequence,
          idempotencyKey,
          records,
          fence: undefined,
        });
        this.#remember(streamId, sequence);
        return;
      } catch (error) {
        const known = toFlashloanError(error);
        // Another process wrote this thread: what it wrote stands, and ours follows.
        const overtaken = known.code === "sequence_conflict";
        if (overtaken) this.#sequences.delete(streamId);
        if ((!known.retryable && !overtaken) || systemClock.monotonic() > until) throw known;
        await systemClock.sleep(backoffMs(attempt, BACKOFF_BASE_MS, BACKOFF_CAP_MS));
      }
    }
  }

  async #readSequence(streamId: string): Promise<bigint> {
    const { record } = await this.#client.unary(Checkpoints.latest, { streamId }, { retries: READ_RETRIES });
    return record?.sequence ?? 0n;
  }

  #remember(streamId: string, sequence: bigint): void {
    this.#sequences.delete(streamId);
    this.#sequences.set(streamId, sequence);
    for (const oldest of this.#sequences.keys()) {
      if (this.#sequences.size <= THREADS_MAX * 16) break;
      this.#sequences.delete(oldest);
    }
  }

  async #toTuple(thread: Thread, threadId: string, ns: string, stored: StoredCheckpoint): Promise<CheckpointTuple> {
    const checkpoint = (await this.serde.loadsTyped(...stored.checkpoint)) as Checkpoint;
    for (const [channel, version] of Object.entries(checkpoint.channel_versions ?? {})) {
      const value = thread.valueOf(ns, channel, version);
      if (value) checkpoint.channel_values[channel] = await this.serde.loadsTyped(...value);
    }
    const { parent } = stored;
    if (checkpoint.v < 4 && parent !== undefined) await this.#migratePendingSends(thread, ns, checkpoint, parent);
    const sorted = thread
      .writesOf(ns, stored.id)
      .toSorted((a, b) =>
        compareWritesSortKeys(writesSortKey(a.path, a.task, a.index), writesSortKey(b.path, b.task, b.index)),
      );
    const configOf = (id: string): RunnableConfig => ({
      configurable: { thread_id: threadId, checkpoint_ns: ns, checkpoint_id: id },
    });
    return {
      config: configOf(stored.id),
      checkpoint,
      metadata: (await this.serde.loadsTyped(...stored.metadata)) as CheckpointMetadata,
      pendingWrites: await Promise.all(
        sorted.map(async ({ task, channel, value }): Promise<[string, string, unknown]> => [
          task,
          channel,
          await this.serde.loadsTyped(...value),
        ]),
      ),
      ...(parent !== undefined && { parentConfig: configOf(parent) }),
    };
  }

  /** Up to version 3 a checkpoint's pending sends were the writes of its parent; LangGraph wants them in the channel. */
  async #migratePendingSends(thread: Thread, ns: string, checkpoint: Checkpoint, parent: string): Promise<void> {
    const sends = thread.writesOf(ns, parent).filter(({ channel }) => channel === TASKS);
    const versions = Object.values(checkpoint.channel_versions ?? {});
    checkpoint.channel_values ??= {};
    checkpoint.channel_values[TASKS] = await Promise.all(sends.map(({ value }) => this.serde.loadsTyped(...value)));
    checkpoint.channel_versions ??= {};
    checkpoint.channel_versions[TASKS] =
      versions.length > 0 ? maxChannelVersion(...versions) : this.getNextVersion(undefined);
  }
}

function threadIdOf(config: RunnableConfig): string | undefined {
  return config.configurable?.["thread_id"] as string | undefined;
}

function namespaceOf(config: RunnableConfig): string | undefined {
  return config.configurable?.["checkpoint_ns"] as string | undefined;
}

function required(value: unknown, doing: string, field: string): string {
  if (typeof value === "string" && value !== "") return value;
  throw new FlashloanError(
    "argument_invalid",
    `can't ${doing}: the config's "configurable" has no ${field}; pass one, such as { configurable: { thread_id: "…" } }`,
  );
}

/** Ids are time-ordered: the greatest is the newest. */
function newestFirst(checkpoints: ReadonlyMap<string, StoredCheckpoint> | undefined): StoredCheckpoint[] {
  return [...(checkpoints?.values() ?? [])].sort((a, b) => (a.id < b.id ? 1 : a.id > b.id ? -1 : 0));
}
