import { expect, test } from "vitest";
import { createMemoryEventBus } from "../src/adapters/memory-event-bus.ts";
import { createMemoryLiveFeed } from "../src/adapters/memory-live-feed.ts";
import { FACTS_TOPIC, publishFact } from "../src/events.ts";
import { EVENT_BYTES_MAX, type CloudEvent } from "../src/ports/event-bus.ts";
import type { FeedEntry } from "../src/ports/live-feed.ts";
import { testContext } from "./contract/context.ts";

const POLL = { timeout: 10_000 };

test("a fact goes to the bus and to the live feed, and is counted when the bus has it", async () => {
  const bus = createMemoryEventBus();
  const liveFeed = createMemoryLiveFeed();
  const context = testContext("hft-executor", { bus, liveFeed });
  const seen: CloudEvent[] = [];
  await bus.subscribe({ group: "test", pattern: "flashloan.#" }, async (event) => void seen.push(event));
  publishFact(context, "flashloan.intent.settled", "0x01", { netWei: "12" });
  const fact = { source: "/hft-executor", type: "flashloan.intent.settled", subject: "0x01", data: { netWei: "12" } };
  await expect.poll(() => seen, POLL).toMatchObject([fact]);
  const entries: FeedEntry[] = [];
  for await (const entry of liveFeed.read(FACTS_TOPIC, "oldest", AbortSignal.timeout(10_000))) {
    entries.push(entry);
    break;
  }
  expect(entries.map(({ text }) => JSON.parse(text) as unknown)).toEqual(seen);
  const counted = 'flashloan_bus_published_total{outcome="acknowledged",service="hft-executor"} 1';
  await expect.poll(() => context.metrics.text(), POLL).toContain(counted);
});

test("a fact that nobody can carry is counted as failed, and its publisher goes on", async () => {
  const context = testContext("hft-executor");
  publishFact(context, "flashloan.intent.settled", "0x01", { text: "x".repeat(EVENT_BYTES_MAX) });
  const counted = 'flashloan_bus_published_total{outcome="failed",service="hft-executor"} 1';
  await expect.poll(() => context.metrics.text(), POLL).toContain(counted);
});
