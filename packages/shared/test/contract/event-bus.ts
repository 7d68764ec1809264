import { expect, test } from "vitest";
import type { CloudEvent, EventBus } from "../../src/ports/event-bus.ts";
import { newScope } from "./scope.ts";

/** An event of a test. */
export function testEvent(type: string, id: string, data: CloudEvent["data"] = { id }): CloudEvent {
  return {
    specversion: "1.0",
    id,
    source: "/test",
    type,
    time: "2026-01-01T00:00:00.000Z",
    datacontenttype: "application/json",
    data,
  };
}

/** Takes events and resolves when so many have come. */
export function collector(count: number): {
  handler: (e: CloudEvent) => Promise<void>;
  events: CloudEvent[];
  seen: Promise<CloudEvent[]>;
} {
  const events: CloudEvent[] = [];
  const done = Promise.withResolvers<CloudEvent[]>();
  return {
    events,
    seen: done.promise,
    handler: async (e) => {
      events.push(e);
      if (events.length === count) done.resolve(events);
    },
  };
}

const TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const POLL = { timeout: 20_000, interval: 50 };

/** What every EventBus adapter must do. */
export function eventBusContract(name: string, open: () => Promise<EventBus>): void {
  test(`${name}: every group sees every event in order, consumers of one group share them`, async () => {
    const bus = await open();
    const t = newScope();
    const [one, other] = [collector(20), collector(20)];
    await bus.subscribe({ group: `${t}-shared`, pattern: `${t}.#` }, one.handler);
    await bus.subscribe({ group: `${t}-shared`, pattern: `${t}.#` }, one.handler);
    await bus.subscribe({ group: `${t}-alone`, pattern: `${t}.#` }, other.handler);
    for (let i = 0; i < 20; i++) await bus.publish(testEvent(`${t}.trade.settled`, `e${i}`));
    const ids = Array.from({ length: 20 }, (_, i) => `e${i}`);
    expect((await one.seen).map((e) => e.id).toSorted()).toEqual(ids.toSorted());
    expect((await other.seen).map((e) => e.id)).toEqual(ids);
    await bus.stop();
  });

  test(`${name}: patterns choose topics as AMQP does`, async () => {
    const bus = await open();
    const t = newScope();
    const settled = collector(1);
    const anyTrade = collector(2);
    await bus.subscribe({ group: `${t}-a`, pattern: `${t}.trade.settled` }, settled.handler);
    await bus.subscribe({ group: `${t}-b`, pattern: `${t}.trade.*`, prefetch: 1 }, anyTrade.handler);
    await bus.publish(testEvent(`${t}.trade.reverted`, "1"));
    await bus.publish(testEvent(`${t}.trade.settled`, "2"));
    await bus.publish(testEvent(`${t}.trade.settled.twice`, "3"));
    expect((await settled.seen).map((e) => e.id)).toEqual(["2"]);
    expect((await anyTrade.seen).map((e) => e.id)).toEqual(["1", "2"]);
    await bus.stop();
  });

  test(`${name}: subscribers get copies, not the publisher's object, with the trace context`, async () => {
    const bus = await open();
    const t = newScope();
    const got = collector(1);
    await bus.subscribe({ group: t, pattern: `${t}.#` }, got.handler);
    const data = { nested: { value: 1 } };
    await bus.publish({ ...testEvent(`${t}.x`, "1", data), traceparent: TRACEPARENT, subject: "intent:1" });
    data.nested.value = 2;
    expect(await got.seen).toEqual([
      { ...testEvent(`${t}.x`, "1", { nested: { value: 1 } }), traceparent: TRACEPARENT, subject: "intent:1" },
    ]);
    await bus.stop();
  });

  test(`${name}: a handler that fails is asked again, then the event is a dead letter with its reason`, async () => {
    const bus = await open();
    const t = newScope();
    let attempts = 0;
    const after = collector(1);
    await bus.subscribe({ group: `${t}-a`, pattern: `${t}.bad`, prefetch: 1 }, async () => {
      attempts += 1;
      throw new Error(`attempt ${attempts}`);
    });
    await bus.subscribe({ group: `${t}-b`, pattern: `${t}.good` }, after.handler);
    await bus.publish(testEvent(`${t}.bad`, "poison"));
    await bus.publish(testEvent(`${t}.good`, "fine"));
    await after.seen;
    const own = async (): Promise<unknown> =>
      (await bus.deadLetters()).filter((d) => d.group === `${t}-a`).map((d) => [d.event, d.reason]);
    await expect.poll(own, POLL).toEqual([[testEvent(`${t}.bad`, "poison"), "attempt 3"]]);
    // Looking changes nothing.
    expect(await own()).toEqual([[testEvent(`${t}.bad`, "poison"), "attempt 3"]]);
    expect(attempts).toBe(3);
    await bus.stop();
  });

  test(`${name}: a handler that fails once is asked once more, and no dead letter is left`, async () => {
    const bus = await open();
    const t = newScope();
    let attempts = 0;
    const done = Promise.withResolvers<void>();
    await bus.subscribe({ group: t, pattern: `${t}.#` }, async () => {
      attempts += 1;
      if (attempts === 1) throw new Error("not yet");
      done.resolve();
    });
    await bus.publish(testEvent(`${t}.x`, "1"));
    await done.promise;
    expect(attempts).toBe(2);
    expect((await bus.deadLetters()).filter((letter) => letter.group === t)).toEqual([]);
    await bus.stop();
  });

  test(`${name}: dead letters of a group are replayed to that group alone, and are gone when handled`, async () => {
    const bus = await open();
    const t = newScope();
    let broken = true;
    const [handled, other] = [collector(2), collector(3)];
    await bus.subscribe({ group: `${t}-a`, pattern: `${t}.#` }, async (event) => {
      if (broken) throw new Error("broken");
      await handled.handler(event);
    });
    await bus.subscribe({ group: `${t}-b`, pattern: `${t}.#` }, other.handler);
    await bus.publish({ ...testEvent(`${t}.x`, "1"), traceparent: TRACEPARENT });
    await bus.publish(testEvent(`${t}.y`, "2"));
    const letters = async (): Promise<number> => (await bus.deadLetters()).filter((d) => d.group === `${t}-a`).length;
    await expect.poll(letters, POLL).toBe(2);
    broken = false;
    expect(await bus.replayDeadLetters(`${t}-none`)).toBe(0);
    expect(await bus.replayDeadLetters(`${t}-a`)).toBe(2);
    expect(
      (await handled.seen).map((e) => [e.id, e.traceparent]).toSorted(([a = ""], [b = ""]) => a.localeCompare(b)),
    ).toEqual([
      ["1", TRACEPARENT],
      ["2", undefined],
    ]);
    expect(await letters()).toBe(0);
    // The other group has had both already; the next event is its third.
    await bus.publish(testEvent(`${t}.z`, "3"));
    expect((await other.seen).map((e) => e.id).toSorted()).toEqual(["1", "2", "3"]);
    await bus.stop();
  });

  test(`${name}: an event that is published twice is handled once by each group`, async () => {
    const bus = await open();
    const t = newScope();
    const [one, other] = [collector(2), collector(2)];
    await bus.subscribe({ group: `${t}-a`, pattern: `${t}.#` }, one.handler);
    await bus.subscribe({ group: `${t}-b`, pattern: `${t}.#`, prefetch: 1 }, other.handler);
    const publishing = ["1", "1", "1", "end"].map((id) => bus.publish(testEvent(`${t}.x`, id)));
    await Promise.all(publishing);
    expect((await one.seen).map((e) => e.id)).toEqual(["1", "end"]);
    expect((await other.seen).map((e) => e.id)).toEqual(["1", "end"]);
    // By id and source: another publisher's event of the same id is another event.
    const third = collector(1);
    await bus.subscribe({ group: `${t}-c`, pattern: `${t}.#` }, third.handler);
    await bus.publish({ ...testEvent(`${t}.x`, "1"), source: "/other" });
    expect((await third.seen).map((e) => e.source)).toEqual(["/other"]);
    await expect.poll(() => one.events.length, POLL).toBe(3);
    await bus.stop();
  });

  test(`${name}: what a group gets while it has no subscriber waits for the next`, async () => {
    const bus = await open();
    const t = newScope();
    const [first, second] = [collector(1), collector(2)];
    const subscription = await bus.subscribe({ group: t, pattern: `${t}.#` }, first.handler);
    await bus.publish(testEvent(`${t}.x`, "1"));
    await first.seen;
    await subscription.stop();
    await bus.publish(testEvent(`${t}.x`, "2"));
    await bus.publish(testEvent(`${t}.x`, "3"));
    await bus.subscribe({ group: t, pattern: `${t}.#` }, second.handler);
    expect((await second.seen).map((e) => e.id)).toEqual(["2", "3"]);
    expect(first.events.map((e) => e.id)).toEqual(["1"]);
    await bus.stop();
  });

  test(`${name}: prefetch bounds how many events are with a handler at once`, async () => {
    const bus = await open();
    const t = newScope();
    const done = Promise.withResolvers<void>();
    let [now, most, count] = [0, 0, 0];
    await bus.subscribe({ group: t, pattern: `${t}.#`, prefetch: 3 }, async () => {
      now += 1;
      most = Math.max(most, now);
      await new Promise((resolve) => void setTimeout(resolve, 5));
      now -= 1;
      count += 1;
      if (count === 30) done.resolve();
    });
    await Promise.all(Array.from({ length: 30 }, (_, i) => bus.publish(testEvent(`${t}.x`, String(i)))));
    await done.promise;
    expect(most).toBe(3);
    await bus.stop();
  });

  test(`${name}: refuses what is no CloudEvent, what is too large, and groups that no broker could name`, async () => {
    const bus = await open();
    await expect(bus.publish(testEvent("Not A Topic", "1"))).rejects.toMatchObject({ code: "argument_invalid" });
    await expect(bus.publish(testEvent("flashloan.x", "2", "x".repeat(300_000)))).rejects.toMatchObject({
      code: "payload_too_large",
    });
    const ignore = async (): Promise<void> => undefined;
    await expect(bus.subscribe({ group: "a.b", pattern: "#" }, ignore)).rejects.toMatchObject({
      code: "argument_invalid",
    });
    await expect(bus.subscribe({ group: "a", pattern: "a..b" }, ignore)).rejects.toMatchObject({
      code: "argument_invalid",
    });
    await bus.stop();
  });

  test(`${name}: is healthy while it runs; when it stops, handlers end first and nothing more is taken`, async () => {
    const bus = await open();
    const t = newScope();
    expect(bus.health()).toEqual({ connected: true, blocked: false, waiting: 0, reconnects: 0 });
    const begun = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    let ended = false;
    await bus.subscribe({ group: t, pattern: `${t}.x` }, async () => {
      begun.resolve();
      await release.promise;
      // What a handler publishes while its bus stops is still taken.
      await bus.publish(testEvent(`${t}.done`, "2"));
      ended = true;
    });
    await bus.publish(testEvent(`${t}.x`, "1"));
    await begun.promise;
    const stopping = bus.stop();
    release.resolve();
    await stopping;
    expect(ended).toBe(true);
    await bus.stop();
    expect(bus.health().connected).toBe(false);
    await expect(bus.publish(testEvent(`${t}.x`, "3"))).rejects.toMatchObject({ code: "service_stopping" });
  });
}
