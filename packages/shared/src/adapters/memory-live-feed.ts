import { FEED_ENTRIES_KEPT, type LiveFeed } from "../ports/live-feed.ts";
import { assertEntry, startId } from "./feed-rules.ts";

/** Entries that are kept, and how many came before them: the n-th entry ever has the id `n-0`. */
type Topic = { gone: number; readonly texts: string[] };

/** The live feed of the embedded platform (`memory:`). */
export function createMemoryLiveFeed(): LiveFeed {
  const topics = new Map<string, Topic>();
  const waiting = new Set<() => void>();
  const topicOf = (name: string): Topic => {
    const topic = topics.get(name) ?? { gone: 0, texts: [] };
    topics.set(name, topic);
    return topic;
  };
  return {
    append: async (name, text) => {
      assertEntry(name, text);
      const topic = topicOf(name);
      topic.texts.push(text);
      if (topic.texts.length > FEED_ENTRIES_KEPT) {
        topic.texts.shift();
        topic.gone += 1;
      }
      for (const wake of waiting) wake();
    },
    read: async function* (name, start, signal) {
      assertEntry(name, "");
      const topic = topicOf(name);
      const known = startId(start);
      let at = known === undefined ? topic.gone + topic.texts.length : Number.parseInt(known, 10);
      while (!signal.aborted) {
        const next = Math.max(at - topic.gone, 0);
        const text = topic.texts[next];
        if (text !== undefined) {
          at = topic.gone + next + 1;
          yield { id: `${at}-0`, text };
          continue;
        }
        const { promise, resolve } = Promise.withResolvers<void>();
        const wake = (): void => resolve();
        waiting.add(wake);
        signal.addEventListener("abort", wake, { once: true });
        await promise;
        waiting.delete(wake);
        signal.removeEventListener("abort", wake);
      }
    },
    isReachable: async () => true,
    dropped: () => 0,
    stop: async () => topics.clear(),
  };
}
