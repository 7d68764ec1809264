import { openCache, openLiveFeed, openCoordination, openDatabase, openEventBus } from "../src/adapters/open.ts";
import { topicMatches } from "../src/ports/event-bus.ts";
import { expect, test } from "vitest";
import { cacheContract } from "./contract/cache.ts";
import { liveFeedContract } from "./contract/live-feed.ts";
import { coordinationContract } from "./contract/coordination.ts";
import { databaseContract } from "./contract/database.ts";
import { eventBusContract } from "./contract/event-bus.ts";

eventBusContract("memory:", () => openEventBus("memory:"));
cacheContract("memory:", () => openCache("memory:"));
liveFeedContract("memory:", () => openLiveFeed("memory:"));
coordinationContract("memory:", () => openCoordination("memory:"));
databaseContract("pglite:", () => openDatabase("pglite:"));

test("an unknown scheme is named with the known one, and no password of the URL is shown", async () => {
  await expect(openDatabase("mysql://user:hunter2@host/db")).rejects.toThrow(
    'there is no database adapter for "mysql:": use pglite:FOLDER or postgres://user:password@host/database',
  );
  await expect(openEventBus("kafka:")).rejects.toMatchObject({ code: "config_invalid" });
});

test.each([
  ["a.b", "a.b", true],
  ["a.*", "a.b", true],
  ["a.*", "a.b.c", false],
  ["a.#", "a", true],
  ["a.#.d", "a.b.c.d", true],
  ["#", "a.b", true],
  ["*.b", "a.c", false],
])("pattern %s on topic %s: %s", (pattern, topic, matches) => {
  expect(topicMatches(pattern, topic)).toBe(matches);
});
