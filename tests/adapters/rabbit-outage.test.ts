import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import type { EventBus } from "@flashloan/shared/ports/event-bus";
import { openAmqpEventBus, type AmqpLimits } from "@flashloan/shared/adapters/amqp-event-bus";
import { collector, testEvent } from "@flashloan/shared/contract/event-bus";
import { newScope } from "@flashloan/shared/contract/scope";
import { startRabbit, type RabbitServer } from "../support/servers.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";

// An event that was acknowledged is handled, whatever happens to the broker; one that can't be taken is refused.
const POLL = { timeout: 120_000, interval: 50 };
let server: RabbitServer;

beforeAll(async () => {
  server = await startRabbit();
});
afterAll(async () => {
  await server.remove();
});

/** A bus that is stopped when its test is over. */
async function openBus(limits: Partial<AmqpLimits> = {}, url = server.url): Promise<EventBus> {
  const bus = await openAmqpEventBus(url, limits);
  onTestFinished(() => bus.stop());
  return bus;
}

test("kill -9, a restart and another kill -9 under load: no acknowledged event is lost, each is handled once, all by itself", async ({
  annotate,
}) => {
  const t = newScope();
  const [publishers, each, inFlight] = [4, 1_000, 50];
  const buses = await Promise.all(Array.from({ length: publishers }, () => openBus()));
  const consumer = await openBus();
  const handled = new Map<string, number>();
  const lastOf = new Map<string, number>();
  let outOfOrder = 0;
  for (const pattern of [`${t}.#`, `${t}.#`])
    await consumer.subscribe({ group: `${t}-shared`, pattern }, async (event) => {
      handled.set(event.id, (handled.get(event.id) ?? 0) + 1);
    });
  const alone = new Map<string, number>();
  await consumer.subscribe({ group: `${t}-alone`, pattern: `${t}.#`, prefetch: 1 }, async (event) => {
    alone.set(event.id, (alone.get(event.id) ?? 0) + 1);
    const [publisher = "", number = ""] = event.id.split("/");
    if (Number(number) < (lastOf.get(publisher) ?? -1)) outOfOrder += 1;
    lastOf.set(publisher, Number(number));
  });

  const acknowledged = new Set<string>();
  const reached = new Map([800, 1_800, 2_800].map((count) => [count, Promise.withResolvers<void>()]));
  const publish = async (bus: EventBus, publisher: number): Promise<void> => {
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < each) {
        const id = `${publisher}/${next++}`;
        await bus.publish(testEvent(`${t}.event`, id));
        acknowledged.add(id);
        reached.get(acknowledged.size)?.resolve();
      }
    };
    await Promise.all(Array.from({ length: inFlight }, worker));
  };
  const started = performance.now();
  const publishing = Promise.all(buses.map(publish));
  await reached.get(800)?.promise;
  await server.kill();
  await server.start();
  await reached.get(1_800)?.promise;
  await server.restart();
  await reached.get(2_800)?.promise;
  await server.kill();
  await server.start();
  await publishing;
  await expect.poll(() => [handled.size, alone.size], POLL).toEqual([publishers * each, publishers * each]);
  const seconds = (performance.now() - started) / 1_000;
  expect(acknowledged.size).toBe(publishers * each);
  expect([...acknowledged].filter((id) => !handled.has(id) || !alone.has(id))).toEqual([]);
  expect([...handled, ...alone].filter(([, times]) => times !== 1)).toEqual([]);
  expect(outOfOrder).toBe(0);
  // A link that was still being set up when the next outage came counts both as one.
  for (const bus of [...buses, consumer]) {
    expect(bus.health()).toMatchObject({ connected: true, blocked: false, waiting: 0 });
    expect([1, 2, 3]).toContain(bus.health().reconnects);
  }
  expect((await consumer.deadLetters()).filter(({ group }) => group.startsWith(t))).toEqual([]);
  await annotate(
    `${acknowledged.size} events acknowledged, 0 lost, 0 handled twice, over three outages in ${seconds.toFixed(1)} s`,
  );
});

test("down: events wait in a bounded buffer, then publishing is refused; a new subscription waits too; back: all are delivered in order", async () => {
  const t = newScope();
  const bus = await openBus({ waitingMax: 20 });
  const [first, second] = [collector(20), collector(20)];
  await bus.subscribe({ group: `${t}-a`, pattern: `${t}.#`, prefetch: 1 }, first.handler);
  await server.stop();
  await expect.poll(() => bus.health().connected, POLL).toBe(false);
  const waiting = Array.from({ length: 20 }, (_, i) => bus.publish(testEvent(`${t}.x`, String(i))));
  expect(bus.health()).toMatchObject({ connected: false, waiting: 20 });
  await expect(bus.publish(testEvent(`${t}.x`, "20"))).rejects.toMatchObject({ code: "queue_full", retryable: true });
  await expect(bus.deadLetters()).rejects.toMatchObject({ code: "service_unavailable" });
  const subscribed = bus.subscribe({ group: `${t}-b`, pattern: `${t}.#`, prefetch: 1 }, second.handler);
  await expect(openAmqpEventBus(server.url)).rejects.toMatchObject({ code: "service_unavailable" });
  await server.start();
  await Promise.all([...waiting, subscribed]);
  const ids = Array.from({ length: 20 }, (_, i) => String(i));
  expect((await first.seen).map((event) => event.id)).toEqual(ids);
  await expect
    .poll(() => bus.health(), POLL)
    .toMatchObject({ connected: true, blocked: false, waiting: 0, reconnects: 1 });
});

test("down for longer than an event may wait: the publisher is told, the buffer is free again", async () => {
  const t = newScope();
  const bus = await openBus({ confirmDeadlineMs: 500, waitingBytesMax: 1_000 });
  await server.stop();
  await expect.poll(() => bus.health().connected, POLL).toBe(false);
  const tooLate = bus.publish(testEvent(`${t}.x`, "1", "x".repeat(600)));
  await expect(bus.publish(testEvent(`${t}.x`, "2", "x".repeat(600)))).rejects.toMatchObject({ code: "queue_full" });
  await expect(tooLate).rejects.toMatchObject({ code: "deadline_exceeded", retryable: true });
  await expect(bus.subscribe({ group: t, pattern: `${t}.#` }, async () => undefined)).rejects.toMatchObject({
    code: "service_unavailable",
  });
  expect(bus.health()).toMatchObject({ waiting: 0 });
  await server.start();
  await expect.poll(() => bus.health().connected, POLL).toBe(true);
});

test("paused: the heartbeat finds it out, events wait, and are delivered once when it goes on", async ({
  annotate,
}) => {
  const t = newScope();
  const bus = await openBus();
  const got = collector(11);
  await bus.subscribe({ group: t, pattern: `${t}.#`, prefetch: 1 }, got.handler);
  onTestFinished(() => server.resume());
  server.pause();
  const started = performance.now();
  const publishing = Array.from({ length: 10 }, (_, i) => bus.publish(testEvent(`${t}.x`, String(i))));
  await expect.poll(() => bus.health(), POLL).toMatchObject({ connected: false, waiting: 10 });
  const noticedMs = performance.now() - started;
  server.resume();
  await Promise.all(publishing);
  await bus.publish(testEvent(`${t}.x`, "end"));
  expect((await got.seen).map((event) => event.id)).toEqual([
    ...Array.from({ length: 10 }, (_, i) => String(i)),
    "end",
  ]);
  expect(bus.health()).toMatchObject({ connected: true, waiting: 0 });
  await annotate(`noticed after ${(noticedMs / 1_000).toFixed(1)} s`);
});

test("slow: events are confirmed and delivered in order over a wire of 100 ms", async () => {
  const t = newScope();
  const proxy = await TcpProxy.open(server.port);
  const url = new URL(server.url);
  url.port = String(proxy.port);
  const bus = await openBus({}, url.href);
  const got = collector(50);
  await bus.subscribe({ group: t, pattern: `${t}.#`, prefetch: 50 }, got.handler);
  proxy.slowDown(100);
  await Promise.all(Array.from({ length: 50 }, (_, i) => bus.publish(testEvent(`${t}.x`, String(i)))));
  expect((await got.seen).map((event) => event.id)).toEqual(Array.from({ length: 50 }, (_, i) => String(i)));
  proxy.slowDown(0);
  await bus.stop();
  await proxy.close();
});

test("full queue: publishing is refused until the group catches up, and nothing that was taken is lost", async () => {
  const t = newScope();
  const bus = await openBus({ groupEventsMax: 10 });
  const release = Promise.withResolvers<void>();
  const handled: string[] = [];
  await bus.subscribe({ group: t, pattern: `${t}.#`, prefetch: 1 }, async (event) => {
    await release.promise;
    handled.push(event.id);
  });
  const taken: string[] = [];
  const fill = async (): Promise<void> => {
    for (let i = 0; i < 200; i++) {
      await bus.publish(testEvent(`${t}.x`, String(i)));
      taken.push(String(i));
    }
  };
  await expect(fill()).rejects.toMatchObject({ code: "queue_full", retryable: true });
  expect(taken.length).toBeGreaterThanOrEqual(10);
  release.resolve();
  await expect.poll(() => taken.filter((id) => !handled.includes(id)), POLL).toEqual([]);
  await bus.publish(testEvent(`${t}.x`, "after"));
  await expect.poll(() => handled.includes("after"), POLL).toBe(true);
});

test("out of disk: events wait and health says so, consumers go on, and all is delivered when there is room", async () => {
  const t = newScope();
  const bus = await openBus();
  const got = collector(4);
  const release = Promise.withResolvers<void>();
  await bus.subscribe({ group: t, pattern: `${t}.#`, prefetch: 1 }, async (event) => {
    await release.promise;
    await got.handler(event);
  });
  await bus.publish(testEvent(`${t}.x`, "1"));
  await bus.publish(testEvent(`${t}.x`, "2"));
  await server.control("set_disk_free_limit", "1000000GB");
  const waiting = bus.publish(testEvent(`${t}.x`, "3"));
  await expect.poll(() => bus.health(), POLL).toMatchObject({ connected: true, blocked: true, waiting: 1 });
  const later = bus.publish(testEvent(`${t}.x`, "4"));
  release.resolve();
  await expect.poll(() => got.events.map((event) => event.id), POLL).toEqual(["1", "2"]);
  expect(bus.health()).toMatchObject({ blocked: true, waiting: 2 });
  await server.control("set_disk_free_limit", "50MB");
  await Promise.all([waiting, later]);
  expect((await got.seen).map((event) => event.id)).toEqual(["1", "2", "3", "4"]);
  expect(bus.health()).toMatchObject({ blocked: false, waiting: 0 });
});

test("an event that kills whatever takes it is given up by the broker in the end, and can be replayed", async () => {
  const t = newScope();
  const limits = { groupDeliveriesMax: 2 };
  const proxy = await TcpProxy.open(server.port);
  const url = new URL(server.url);
  url.port = String(proxy.port);
  const crashing = await openAmqpEventBus(url.href, limits);
  let deliveries = 0;
  let delivered = Promise.withResolvers<void>();
  const never = new Promise<void>(() => undefined);
  const subscribe = (): Promise<unknown> =>
    crashing.subscribe({ group: t, pattern: `${t}.#` }, async () => {
      deliveries += 1;
      delivered.resolve();
      await never;
    });
  await subscribe();
  const watching = await openBus(limits);
  await watching.publish(testEvent(`${t}.x`, "poison"));
  await delivered.promise;
  // Each lost connection is a crash as the broker sees it.
  const letters = async (): Promise<unknown[]> =>
    (await watching.deadLetters()).filter(({ group }) => group === t).map(({ event, reason }) => [event.id, reason]);
  for (let crash = 1; (await letters()).length === 0; crash++) {
    expect(crash).toBeLessThan(10);
    delivered = Promise.withResolvers<void>();
    const before = crashing.health().reconnects;
    proxy.cut();
    proxy.heal();
    await expect.poll(() => crashing.health().reconnects, POLL).toBeGreaterThan(before);
    await expect.poll(() => crashing.health().connected, POLL).toBe(true);
  }
  expect(deliveries).toBe(1);
  expect(await letters()).toEqual([["poison", expect.stringContaining("delivery_limit")]]);
  proxy.cut();
  await crashing.stop();
  await proxy.close();
  const healed = collector(1);
  await watching.subscribe({ group: t, pattern: `${t}.#` }, healed.handler);
  expect(await watching.replayDeadLetters(t)).toBe(1);
  expect((await healed.seen).map((event) => event.id)).toEqual(["poison"]);
});

test("a queue that an operator deletes is made and consumed again", async () => {
  const t = newScope();
  const bus = await openBus();
  const got = collector(1);
  await bus.subscribe({ group: t, pattern: `${t}.#` }, got.handler);
  await server.control("delete_queue", `flashloan.${t}.${t}.#`);
  await expect.poll(() => bus.health(), POLL).toMatchObject({ connected: true, reconnects: 1 });
  await bus.publish(testEvent(`${t}.x`, "1"));
  expect((await got.seen).map((event) => event.id)).toEqual(["1"]);
});
