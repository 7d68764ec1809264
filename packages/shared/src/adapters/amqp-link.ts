import { connect, type ChannelModel } from "amqplib";
import { backoffMs, systemClock, withDeadline } from "../clock.ts";
import { FlashloanError } from "../errors.ts";
import type { Running } from "../lifecycle.ts";

const CONNECT_DEADLINE_MS = 5_000;
/** A broker that is silent for twice this long is taken for lost. */
const HEARTBEAT_S = 5;
const CLOSE_DEADLINE_MS = 2_000;
const RECONNECT_BASE_MS = 100;
const RECONNECT_CAP_MS = 3_000;

/** What an owner does with its connection. */
export interface LinkOwner {
  /** Makes topology and channels; only then the link counts as up. Called again for each new connection. */
  onUp(connection: ChannelModel): Promise<void>;
  /** The connection is gone; the link is looking for the next. */
  onDown(): void;
}

/** One connection to RabbitMQ that comes back by itself: amqplib's own does not. */
export class AmqpLink implements Running {
  readonly #url: string;
  readonly #owner: LinkOwner;
  readonly #stopping = new AbortController();
  readonly #waiters = new Set<() => void>();
  #connection: ChannelModel | undefined;
  /** How often it was lost and found again. */
  reconnects = 0;

  constructor(url: string, owner: LinkOwner) {
    const address = new URL(url);
    if (!address.searchParams.has("heartbeat")) address.searchParams.set("heartbeat", String(HEARTBEAT_S));
    this.#url = address.href;
    this.#owner = owner;
  }

  /** The connection, while it is up. */
  get connection(): ChannelModel | undefined {
    return this.#connection;
  }

  /** Connects for the first time. @throws FlashloanError service_unavailable */
  async start(): Promise<void> {
    try {
      await this.#open();
    } catch (cause) {
      throw new FlashloanError(
        "service_unavailable",
        `RabbitMQ can't be reached (${(cause as Error).message}): is it running, and are host, user and password right?`,
        { cause },
      );
    }
  }

  /** The connection as soon as it is up. @throws FlashloanError service_unavailable, service_stopping */
  async whenUp(deadlineMs: number): Promise<ChannelModel> {
    const deadline = systemClock.monotonic() + deadlineMs;
    while (!this.#connection) {
      if (this.#stopping.signal.aborted) throw new FlashloanError("service_stopping", "the event bus has stopped");
      const left = deadline - systemClock.monotonic();
      if (left <= 0) throw new FlashloanError("service_unavailable", `RabbitMQ was not back within ${deadlineMs} ms`);
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          this.#waiters.delete(done);
          resolve();
        };
        const timer = setTimeout(done, left);
        this.#waiters.add(done);
      });
    }
    return this.#connection;
  }

  /** Gives a connection up that is of no use any more, such as one whose channel the broker has closed. */
  drop(connection: ChannelModel): void {
    if (this.#connection === connection) void closeQuietly(connection);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake();
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection) await closeQuietly(connection);
  }

  async #open(): Promise<void> {
    const connection = await connect(this.#url, { timeout: CONNECT_DEADLINE_MS, noDelay: true });
    let closed = false;
    // The close that follows says it all; without a listener an error would end the process.
    connection.on("error", () => undefined);
    connection.once("close", () => {
      closed = true;
      this.#lost(connection);
    });
    try {
      await this.#owner.onUp(connection);
      if (closed) throw new Error("the connection was lost while it was set up");
      if (this.#stopping.signal.aborted) throw new Error("stopping");
    } catch (error) {
      await closeQuietly(connection);
      this.#owner.onDown();
      throw error;
    }
    this.#connection = connection;
    this.#wake();
  }

  #lost(connection: ChannelModel): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    this.#owner.onDown();
    void this.#reopen();
  }

  async #reopen(): Promise<void> {
    const { signal } = this.#stopping;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await systemClock.sleep(
          RECONNECT_BASE_MS / 2 + backoffMs(attempt, RECONNECT_BASE_MS, RECONNECT_CAP_MS),
          signal,
        );
        await this.#open();
        this.reconnects += 1;
        return;
      } catch {
        // Down still, or stopping: the loop sees which.
      }
    }
  }

  #wake(): void {
    for (const done of this.#waiters) done();
  }
}

async function closeQuietly(connection: ChannelModel): Promise<void> {
  try {
    await withDeadline(connection.close(), CLOSE_DEADLINE_MS, () => new Error("no answer"));
  } catch {
    // It was closed already, or its broker is silent and the heartbeat ends it.
  }
}
