import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openBwrapSandbox } from "../src/bwrap.ts";
import type { Sandbox } from "../src/port.ts";
import { cases, attemptConfined, attemptUnconfined, Lane, SECRET } from "./escapes/lane.ts";

// The escape set: each case tries for real, and what it aims at is watched from outside. The same cases without walls
// must get out, or the watch is blind. Cases mostly wait, so several run at a time, each with a world of its own.
const USERS_PER_LANE = 10;
const base = mkdtempSync(join(tmpdir(), "flashloan-escape-"));

interface Place {
  readonly lane: Lane;
  readonly sandbox: Sandbox;
}
const places: Place[] = [];
const idle: Place[] = [];
let opened = 0;

async function openPlace(): Promise<Place> {
  const index = opened++;
  const users = { first: 61_000 + index * USERS_PER_LANE, count: USERS_PER_LANE };
  const place = { lane: await Lane.open(base, index, users), sandbox: openBwrapSandbox({ users }) };
  places.push(place);
  return place;
}

/** Has a place for itself; there are as many as cases that run at a time. */
async function inLane(work: (place: Place) => Promise<void>): Promise<void> {
  const place = idle.pop() ?? (await openPlace());
  try {
    await work(place);
  } finally {
    idle.push(place);
  }
}

beforeAll(() => {
  process.env["SECRET"] = SECRET;
});
afterAll(() => {
  delete process.env["SECRET"];
  for (const { lane } of places) lane.close();
  rmSync(base, { recursive: true, force: true });
});

test("the set has at least 40 cases, each with a name of its own", () => {
  expect(cases.length).toBeGreaterThanOrEqual(40);
  expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
});

describe.concurrent("several at a time", () => {
  test.each(cases)("confined: $name", (one) =>
    inLane(async ({ lane, sandbox }) => {
      expect(await attemptConfined(lane, sandbox, one)).toEqual([]);
    }),
  );

  test.each(cases.filter(({ harmful }) => !harmful))("without walls it does get out: $name", (one) =>
    inLane(async ({ lane }) => {
      expect((await attemptUnconfined(lane, one)).length).toBeGreaterThan(0);
    }),
  );
});
