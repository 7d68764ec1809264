import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openAmqpEventBus } from "@flashloan/shared/adapters/amqp-event-bus";
import { collector, testEvent } from "@flashloan/shared/contract/event-bus";
import { startRabbit } from "../support/servers.ts";

const MAIN = join(import.meta.dirname, "..", "..", "packages/cli/src/main.ts");
const POLL = { timeout: 60_000, interval: 50 };

test("an operator sees what no handler would take, and gives it back once the handler is mended", async () => {
  const server = await startRabbit();
  onTestFinished(() => server.remove());
  const folder = mkdtempSync(join(tmpdir(), "flashloan-dead-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const urlFile = join(folder, "bus-url");
  writeFileSync(urlFile, `${server.url}\n`);
  const flashloan = (environment: Record<string, string>, ...args: string[]) =>
    spawnSync(process.execPath, ["--conditions=@flashloan/source", MAIN, "dead-letters", ...args], {
      encoding: "utf8",
      env: { ...process.env, ...environment },
      timeout: 60_000,
    });
  const ours = { BUS_URL_FILE: urlFile };
  expect(flashloan(ours, "list").stdout).toBe("no dead letters\n");

  const bus = await openAmqpEventBus(server.url, { newQueueSettleMs: 0 });
  onTestFinished(() => bus.stop());
  let mended = false;
  const { handler, events } = collector(1);
  await bus.subscribe({ group: "books", pattern: "trade.#" }, async (event) => {
    if (!mended) throw new Error("the books are closed");
    await handler(event);
  });
  const event = testEvent("trade.settled", "settled-1");
  await bus.publish(event);
  await expect.poll(async () => (await bus.deadLetters()).length, POLL).toBe(1);

  expect(flashloan(ours, "list").stdout).toMatch(
    /group\s+type[\s\S]*books\s+trade\.settled[\s\S]*the books are closed/,
  );
  expect(JSON.parse(flashloan(ours, "list", "--json").stdout)).toMatchObject({
    group: "books",
    event: { id: event.id },
  });
  expect(flashloan(ours, "replay", "other").stdout).toBe("0 given to other once more\n");
  mended = true;
  expect(flashloan(ours, "replay", "books").stdout).toBe("1 given to books once more\n");
  await expect.poll(() => events.map(({ id }) => id), POLL).toEqual([event.id]);
  expect(flashloan(ours, "list").stdout).toBe("no dead letters\n");

  const nowhere = flashloan({ BUS_URL_FILE: "" }, "list");
  expect([nowhere.status, nowhere.stderr]).toEqual([1, expect.stringContaining("BUS_URL is not set: must be set")]);
  expect(flashloan(ours, "replay", "Not A Group").stderr).toContain("must be 1 to 64 lower-case letters");
});
