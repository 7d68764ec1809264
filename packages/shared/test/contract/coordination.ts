import { expect, test } from "vitest";
import type { Coordination } from "../../src/ports/coordination.ts";
import { newScope } from "./scope.ts";

const POLL = { timeout: 20_000, interval: 20 };

/** What every Coordination adapter must do. */
export function coordinationContract(name: string, open: () => Promise<Coordination>): void {
  test(`${name}: the registry lists who is alive`, async () => {
    const coordination = await open();
    const t = newScope();
    const one = await coordination.register({ service: `risk-${t}`, instance: "a", address: "127.0.0.1:1" });
    await coordination.register({ service: `risk-${t}`, instance: "b", address: "127.0.0.1:2" });
    await coordination.register({ service: `risk-${t}-other`, instance: "c", address: "127.0.0.1:3" });
    const b = { service: `risk-${t}`, instance: "b", address: "127.0.0.1:2" };
    expect(await coordination.instances(`risk-${t}`)).toEqual([{ ...b, instance: "a", address: "127.0.0.1:1" }, b]);
    await one.stop();
    await one.stop();
    expect(await coordination.instances(`risk-${t}`)).toEqual([b]);
    await coordination.stop();
  });

  test(`${name}: one leader at a time, each with a larger fencing token`, async () => {
    const coordination = await open();
    const lane = newScope();
    const signal = new AbortController().signal;
    const tokens: bigint[] = [];
    let leading = 0;
    const lead = async (): Promise<void> => {
      const leadership = await coordination.campaign(lane, signal);
      leading += 1;
      expect(leading).toBe(1);
      expect(leadership.lost.aborted).toBe(false);
      tokens.push(leadership.fencingToken);
      await Promise.resolve();
      leading -= 1;
      await leadership.stop();
      expect(leadership.lost.aborted).toBe(true);
      await leadership.stop();
    };
    await Promise.all(Array.from({ length: 5 }, lead));
    expect(tokens).toHaveLength(5);
    expect(new Set(tokens).size).toBe(5);
    expect(tokens).toEqual(tokens.toSorted((a, b) => Number(a - b)));
    await coordination.stop();
  });

  test(`${name}: a candidate waits while another leads`, async () => {
    const coordination = await open();
    const lane = newScope();
    const signal = new AbortController().signal;
    const first = await coordination.campaign(lane, signal);
    let secondLeads = false;
    const second = coordination.campaign(lane, signal).then((leadership) => {
      secondLeads = true;
      return leadership;
    });
    // A round trip of the same kind: had the second been able to lead, it would by now.
    await (await coordination.campaign(newScope(), signal)).stop();
    expect(secondLeads).toBe(false);
    await first.stop();
    expect((await second).fencingToken).toBeGreaterThan(first.fencingToken);
    await coordination.stop();
  });

  test(`${name}: a candidate that gives up is never elected`, async () => {
    const coordination = await open();
    const lane = newScope();
    const first = await coordination.campaign(lane, new AbortController().signal);
    const abort = new AbortController();
    const given = coordination.campaign(lane, abort.signal);
    abort.abort(new Error("gave up"));
    await expect(given).rejects.toThrow("gave up");
    await expect(coordination.campaign(lane, abort.signal)).rejects.toThrow("gave up");
    const third = coordination.campaign(lane, new AbortController().signal);
    await first.stop();
    expect((await third).lost.aborted).toBe(false);
    await coordination.stop();
  });

  test(`${name}: compare-and-swap lets one of two writers win, and watchers see each value once, in order`, async () => {
    const coordination = await open();
    const key = `policy-${newScope()}`;
    const seen: [string, bigint][] = [];
    expect(await coordination.read(key)).toBeUndefined();
    const watch = await coordination.watch(key, (value, version) => seen.push([value, version]));
    const one = await coordination.compareAndSwap(key, undefined, "one");
    expect(one).toBeDefined();
    expect(await coordination.compareAndSwap(key, undefined, "late")).toBeUndefined();
    const [left, right] = await Promise.all([
      coordination.compareAndSwap(key, one, "left"),
      coordination.compareAndSwap(key, one, "right"),
    ]);
    expect([left, right].filter((version) => version === undefined)).toHaveLength(1);
    const [value, version] = left === undefined ? ["right", right] : ["left", left];
    expect(version).toBeGreaterThan(one ?? 0n);
    expect(await coordination.read(key)).toEqual({ value, version });
    await expect
      .poll(() => seen, POLL)
      .toEqual([
        ["one", one],
        [value, version],
      ]);
    await watch.stop();
    await watch.stop();
    const later: string[] = [];
    await coordination.watch(key, (text) => later.push(text));
    expect(await coordination.compareAndSwap(key, version, "three")).toBeDefined();
    await expect.poll(() => later, POLL).toEqual(["three"]);
    expect(seen).toHaveLength(2);
    await coordination.stop();
  });

  test(`${name}: stopping ends leadership and registrations, and is idempotent`, async () => {
    const coordination = await open();
    const leadership = await coordination.campaign(newScope(), new AbortController().signal);
    expect(await coordination.isReachable()).toBe(true);
    await coordination.stop();
    expect(leadership.lost.aborted).toBe(true);
    await coordination.stop();
  });
}
