import { AsyncResource } from "node:async_hooks";
import type { Coordination, Leadership, Registration } from "../ports/coordination.ts";

interface Candidate {
  readonly grant: (leadership: Leadership) => void;
}

/** The coordination of the embedded platform (`memory:`): one process, so leases never expire by themselves. */
export function createMemoryCoordination(): Coordination {
  const registrations = new Set<Registration>();
  const values = new Map<string, { value: string; version: bigint }>();
  const watchers = new Map<string, Set<(value: string, version: bigint) => void>>();
  const leaders = new Map<string, AbortController>();
  const candidates = new Map<string, Candidate[]>();
  let version = 0n;
  let fencingToken = 0n;

  const promote = (name: string): void => {
    if (leaders.has(name)) return;
    const next = candidates.get(name)?.shift();
    if (!next) return;
    const lost = new AbortController();
    leaders.set(name, lost);
    fencingToken += 1n;
    next.grant({
      fencingToken,
      lost: lost.signal,
      stop: async () => {
        if (leaders.get(name) !== lost) return;
        leaders.delete(name);
        lost.abort();
        promote(name);
      },
    });
  };

  return {
    register: async (registration) => {
      const own = { ...registration };
      registrations.add(own);
      return { stop: async () => void registrations.delete(own) };
    },
    instances: async (service) => [...registrations].filter((r) => r.service === service).map((r) => ({ ...r })),
    campaign: (name, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        const queue = candidates.get(name) ?? [];
        candidates.set(name, queue);
        const onAbort = (): void => {
          queue.splice(queue.indexOf(candidate), 1);
          reject(signal.reason);
        };
        const candidate: Candidate = {
          grant: (leadership) => {
            signal.removeEventListener("abort", onAbort);
            resolve(leadership);
          },
        };
        signal.addEventListener("abort", onAbort, { once: true });
        queue.push(candidate);
        promote(name);
      }),
    read: async (key) => {
      const entry = values.get(key);
      return entry && { ...entry };
    },
    compareAndSwap: async (key, expected, value) => {
      if (values.get(key)?.version !== expected) return undefined;
      version += 1n;
      values.set(key, { value, version });
      const written = version;
      for (const onChange of watchers.get(key) ?? []) queueMicrotask(() => onChange(value, written));
      return written;
    },
    watch: async (key, onChange) => {
      const set = watchers.get(key) ?? new Set();
      watchers.set(key, set);
      // What it does is the watcher's doing, not the writer's.
      const bound = AsyncResource.bind(onChange);
      set.add(bound);
      return { stop: async () => void set.delete(bound) };
    },
    isReachable: async () => true,
    stop: async () => {
      for (const lost of leaders.values()) lost.abort();
      leaders.clear();
      registrations.clear();
      watchers.clear();
    },
  };
}
