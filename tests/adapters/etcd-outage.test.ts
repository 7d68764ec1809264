import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { openCoordination } from "@flashloan/shared/adapters/open";
import type { Coordination } from "@flashloan/shared/ports/coordination";
import { newScope } from "@flashloan/shared/contract/scope";
import { startEtcd, type TestServer } from "../support/servers.ts";
import { TcpProxy } from "../support/tcp-proxy.ts";

// While etcd is away nobody hangs and nobody leads on a lost lease; when it is back all is as before, by itself.
const POLL = { timeout: 60_000, interval: 20 };
/** One request's deadline (2 s), and a slow machine. */
const BOUND_MS = 8_000;
const LEASE_TTL_MS = 5_000;
let server: TestServer;

beforeAll(async () => {
  server = await startEtcd();
});
afterAll(async () => {
  await server.remove();
});

async function openOne(url = server.url): Promise<Coordination> {
  const coordination = await openCoordination(url);
  onTestFinished(() => coordination.stop());
  return coordination;
}

const never = (): AbortSignal => new AbortController().signal;

async function expectUnavailable(coordination: Coordination): Promise<void> {
  const started = performance.now();
  const calls = [
    coordination.read("k"),
    coordination.compareAndSwap("k", undefined, "v"),
    coordination.instances("s"),
    coordination.register({ service: "s", instance: "i", address: "a:1" }),
    coordination.watch("k", () => undefined),
  ];
  const errors = await Promise.all(
    calls.map((call) =>
      call.then(
        () => "answered",
        (error: unknown) => error,
      ),
    ),
  );
  expect(errors).toEqual(calls.map(() => expect.objectContaining({ code: "service_unavailable", retryable: true })));
  expect(await coordination.isReachable()).toBe(false);
  expect(performance.now() - started).toBeLessThan(BOUND_MS);
}

async function put(coordination: Coordination, key: string, value: string): Promise<void> {
  const now = await coordination.read(key);
  expect(await coordination.compareAndSwap(key, now?.version, value)).toBeDefined();
}

test("killed for longer than a lease: calls fail within their deadline, leaders are told; back: registrations, watches and elections go on", async ({
  annotate,
}) => {
  const coordination = await openOne();
  const other = await openOne();
  const t = newScope();
  const registration = { service: t, instance: "a", address: "127.0.0.1:1" };
  await coordination.register(registration);
  const seen: string[] = [];
  await coordination.watch(t, (value) => seen.push(value));
  await put(coordination, t, "1");
  await expect.poll(() => seen, POLL).toEqual(["1"]);
  const leader = await coordination.campaign(t, never());
  const waiting = other.campaign(t, never());
  const killedAt = performance.now();
  await server.kill();
  await expectUnavailable(coordination);
  await expect.poll(() => leader.lost.aborted, POLL).toBe(true);
  const lostMs = performance.now() - killedAt;
  expect(lostMs).toBeLessThan(LEASE_TTL_MS + 1_000);
  // A candidate that comes while it is down waits too.
  const late = coordination.campaign(t, never());
  await server.start();
  const startedAt = performance.now();
  const next = await Promise.race([waiting, late]);
  expect(next.fencingToken).toBeGreaterThan(leader.fencingToken);
  const leadsMs = performance.now() - startedAt;
  await expect.poll(() => other.instances(t), POLL).toEqual([registration]);
  await put(other, t, "2");
  await put(other, t, "3");
  await expect.poll(() => seen, POLL).toEqual(["1", "2", "3"]);
  await next.stop();
  const [one, two] = await Promise.all([waiting, late]);
  expect(new Set([leader.fencingToken, one.fencingToken, two.fencingToken]).size).toBe(3);
  // The registration stays: it was made again under a lease of its own.
  await new Promise((resolve) => void setTimeout(resolve, LEASE_TTL_MS + 2_000));
  expect(await other.instances(t)).toEqual([registration]);
  await annotate(
    `leader told ${(lostMs / 1_000).toFixed(1)} s after the kill, the next leads ${(leadsMs / 1_000).toFixed(1)} s after the start`,
  );
});

test("restarted: what was registered and watched is there, no change is missed or told twice", async () => {
  const coordination = await openOne();
  const t = newScope();
  const registration = { service: t, instance: "a", address: "127.0.0.1:1" };
  await coordination.register(registration);
  const seen: string[] = [];
  await coordination.watch(t, (value) => seen.push(value));
  for (let round = 1; round <= 3; round++) {
    await put(coordination, t, String(round));
    await server.restart();
    await expect.poll(() => coordination.isReachable(), POLL).toBe(true);
  }
  await put(coordination, t, "4");
  await expect.poll(() => seen, POLL).toEqual(["1", "2", "3", "4"]);
  expect(await coordination.instances(t)).toEqual([registration]);
});

test("paused: calls fail within their deadline, a leader is told before its lease can end; it recovers by itself", async ({
  annotate,
}) => {
  const coordination = await openOne();
  const t = newScope();
  const registration = { service: t, instance: "a", address: "127.0.0.1:1" };
  await coordination.register(registration);
  const leader = await coordination.campaign(t, never());
  onTestFinished(() => server.resume());
  server.pause();
  const pausedAt = performance.now();
  await expectUnavailable(coordination);
  await expect.poll(() => leader.lost.aborted, POLL).toBe(true);
  const lostMs = performance.now() - pausedAt;
  expect(lostMs).toBeLessThan(LEASE_TTL_MS);
  server.resume();
  const next = await coordination.campaign(t, never());
  expect(next.fencingToken).toBeGreaterThan(leader.fencingToken);
  await expect.poll(() => coordination.instances(t), POLL).toEqual([registration]);
  await annotate(`leader told after ${(lostMs / 1_000).toFixed(1)} s; a lease lives 5 s`);
});

test("a leader that is cut off is told before the next one leads, and its fencing token is the smaller", async ({
  annotate,
}) => {
  const proxy = await TcpProxy.open(server.port);
  const far = await openOne(`etcd:127.0.0.1:${proxy.port}`);
  const near = await openOne();
  const t = newScope();
  const times: [string, number][] = [];
  const tokens: bigint[] = [];
  const started = performance.now();
  for (let round = 0; round < 2; round++) {
    const leader = await far.campaign(t, never());
    leader.lost.addEventListener("abort", () => times.push(["lost", performance.now() - started]));
    const successor = near.campaign(t, never()).then((leadership) => {
      times.push(["leads", performance.now() - started]);
      expect(leader.lost.aborted).toBe(true);
      return leadership;
    });
    if (round === 0) proxy.silence();
    else proxy.cut();
    const next = await successor;
    tokens.push(leader.fencingToken, next.fencingToken);
    proxy.heal();
    await next.stop();
  }
  expect(times.map(([what]) => what)).toEqual(["lost", "leads", "lost", "leads"]);
  expect(tokens).toEqual(tokens.toSorted((a, b) => Number(a - b)));
  expect(new Set(tokens).size).toBe(4);
  const gaps = [0, 2].map((at) => ((times[at + 1]?.[1] ?? 0) - (times[at]?.[1] ?? 0)) / 1_000);
  await annotate(`told ${gaps.map((gap) => gap.toFixed(1)).join(" and ")} s before the next led`);
  await far.stop();
  await proxy.close();
});

test("a watcher that was away while etcd compacted its history gets the newest value", async () => {
  const proxy = await TcpProxy.open(server.port);
  const far = await openOne(`etcd:127.0.0.1:${proxy.port}`);
  const near = await openOne();
  const t = newScope();
  const seen: string[] = [];
  await far.watch(t, (value) => seen.push(value));
  await put(near, t, "1");
  await expect.poll(() => seen, POLL).toEqual(["1"]);
  proxy.cut();
  await put(near, t, "2");
  await put(near, t, "3");
  const { version } = (await near.read(t)) ?? { version: 0n };
  const compacted = await fetch(`http://127.0.0.1:${server.port}/v3/kv/compaction`, {
    method: "POST",
    body: JSON.stringify({ revision: version.toString(), physical: true }),
  });
  expect(compacted.status).toBe(200);
  proxy.heal();
  await expect.poll(() => seen, POLL).toEqual(["1", "3"]);
  await put(near, t, "4");
  await expect.poll(() => seen, POLL).toEqual(["1", "3", "4"]);
  await far.stop();
  await proxy.close();
});

test("slow: answers are right over a wire of 100 ms, and leadership holds", async () => {
  const proxy = await TcpProxy.open(server.port);
  const far = await openOne(`etcd:127.0.0.1:${proxy.port}`);
  const t = newScope();
  proxy.slowDown(100);
  const leader = await far.campaign(t, never());
  await put(far, t, "1");
  expect(await far.read(t)).toMatchObject({ value: "1" });
  // Longer than a lease: it is renewed over the slow wire.
  await new Promise((resolve) => void setTimeout(resolve, LEASE_TTL_MS + 1_500));
  expect(leader.lost.aborted).toBe(false);
  proxy.slowDown(0);
  await far.stop();
  await proxy.close();
});
