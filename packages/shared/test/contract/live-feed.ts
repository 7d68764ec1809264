import { expect, test } from "vitest";
import { FEED_ENTRIES_KEPT, FEED_ENTRY_BYTES_MAX, type FeedEntry, type LiveFeed } from "../../src/ports/live-feed.ts";
import { newScope } from "./scope.ts";

const POLL = { timeout: 10_000, interval: 10 };

/** Reads until so many entries are there. */
async function take(
  feed: LiveFeed,
  topic: string,
  start: Parameters<LiveFeed["read"]>[1],
  count: number,
): Promise<FeedEntry[]> {
  const entries: FeedEntry[] = [];
  for await (const entry of feed.read(topic, start, AbortSignal.timeout(10_000))) {
    entries.push(entry);
    if (entries.length === count) break;
  }
  return entries;
}

const texts = (entries: readonly FeedEntry[]): string[] => entries.map(({ text }) => text);

/** What every LiveFeed adapter must do. */
export function liveFeedContract(name: string, open: () => Promise<LiveFeed>): void {
  test(`${name}: a reader gets what is kept in order, then what comes, and goes on where another stopped`, async () => {
    const feed = await open();
    const topic = newScope();
    await feed.append(topic, "one");
    await feed.append(topic, "two €");
    const early = take(feed, topic, "oldest", 3);
    await feed.append(topic, "three");
    const all = await early;
    expect(texts(all)).toEqual(["one", "two €", "three"]);
    const [first] = all as [FeedEntry];
    expect(texts(await take(feed, topic, { after: first.id }, 2))).toEqual(["two €", "three"]);
    expect(feed.dropped()).toBe(0);
    expect(await feed.isReachable()).toBe(true);
    await feed.stop();
  });

  test(`${name}: a reader of what is new gets nothing old, every reader gets everything, topics are apart`, async () => {
    const feed = await open();
    const [topic, other] = [newScope(), newScope()];
    await feed.append(topic, "old");
    const seen: string[][] = [[], []];
    const abort = new AbortController();
    const reading = seen.map(async (list) => {
      for await (const { text } of feed.read(topic, "new", abort.signal)) list.push(text);
    });
    // Readers begin at their first question, which nothing tells us of: entries until each has seen one.
    let beats = 0;
    await expect
      .poll(async () => {
        await feed.append(topic, `beat ${beats++}`);
        return seen.every((list) => list.length > 0);
      }, POLL)
      .toBe(true);
    await feed.append(other, "elsewhere");
    await feed.append(topic, "last");
    await expect.poll(() => seen.map((list) => list.at(-1)), POLL).toEqual(["last", "last"]);
    expect(seen.flat().filter((text) => text === "old" || text === "elsewhere")).toEqual([]);
    for (const list of seen) expect(list.filter((text) => text === "last")).toHaveLength(1);
    abort.abort();
    await Promise.all(reading);
    await feed.stop();
  });

  test(`${name}: the oldest entries go`, async () => {
    const feed = await open();
    const topic = newScope();
    const written = FEED_ENTRIES_KEPT + 500;
    for (let k = 0; k < written; k += 100)
      await Promise.all(Array.from({ length: 100 }, (_, m) => feed.append(topic, String(k + m))));
    const [oldest] = (await take(feed, topic, "oldest", 1)) as [FeedEntry];
    expect(Number(oldest.text)).toBeGreaterThan(0);
    expect(Number(oldest.text)).toBeLessThanOrEqual(500);
    await feed.stop();
  });

  test(`${name}: what no adapter could carry is refused`, async () => {
    const feed = await open();
    await expect(feed.append("Not A Topic", "x")).rejects.toMatchObject({ code: "argument_invalid" });
    await expect(feed.append(newScope(), "x".repeat(FEED_ENTRY_BYTES_MAX + 1))).rejects.toMatchObject({
      code: "payload_too_large",
    });
    await expect(take(feed, newScope(), { after: "yesterday" }, 1)).rejects.toMatchObject({ code: "argument_invalid" });
    await feed.stop();
  });
}
