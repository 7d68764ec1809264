/** Items that one slow listener may lag behind; then its oldest are dropped, and it is told by `dropped`. */
const BACKLOG_MAX = 1_000;

/** Hands every item to every listener, each at its own pace. */
export class Broadcast<T> {
  readonly #listeners = new Set<{ queue: T[]; wake: () => void }>();
  dropped = 0n;

  /** Never waits. */
  send(item: T): void {
    for (const listener of this.#listeners) {
      listener.queue.push(item);
      if (listener.queue.length > BACKLOG_MAX) {
        listener.queue.shift();
        this.dropped += 1n;
      }
      listener.wake();
    }
  }

  /** Items from now on, until the signal aborts. */
  async *listen(signal: AbortSignal): AsyncGenerator<T> {
    const listener = { queue: [] as T[], wake: (): void => undefined };
    this.#listeners.add(listener);
    const onAbort = (): void => listener.wake();
    signal.addEventListener("abort", onAbort);
    try {
      while (!signal.aborted) {
        const woken = new Promise<void>((resolve) => (listener.wake = resolve));
        const item = listener.queue.shift();
        if (item !== undefined) yield item;
        else await woken;
      }
    } finally {
      this.#listeners.delete(listener);
      signal.removeEventListener("abort", onAbort);
    }
  }
}
