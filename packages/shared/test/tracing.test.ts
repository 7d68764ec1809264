import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { z } from "zod";
import { createMemoryEventBus } from "../src/adapters/memory-event-bus.ts";
import { consumeFacts, publishFact } from "../src/events.ts";
import { Lifecycle } from "../src/lifecycle.ts";
import { METRICS, SERVICES, SPANS, type SpanDeclaration } from "../src/telemetry/declarations.ts";
import { currentTraceparent, inTrace, NO_TRACING, startTracing, type Tracing } from "../src/telemetry/tracing.ts";
import { testContext } from "./contract/context.ts";

let lifecycle = new Lifecycle();
afterEach(async () => {
  await lifecycle.stop();
  lifecycle = new Lifecycle();
});

/** Takes what an exporter sends. */
async function receiver(): Promise<{
  endpoint: string;
  requests: { url: string; headers: IncomingHttpHeaders; body: Buffer }[];
}> {
  const requests: { url: string; headers: IncomingHttpHeaders; body: Buffer }[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      requests.push({ url: request.url ?? "", headers: request.headers, body: Buffer.concat(chunks) });
      response.writeHead(200, { "content-type": request.headers["content-type"] ?? "" }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  lifecycle.onStop("receiver", () => {
    server.closeAllConnections();
    server.close();
  });
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, requests };
}

/** What of an OTLP request says which service did what. */
const otlpSchema = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes: z.array(z.object({ value: z.object({ stringValue: z.string() }) })) }),
      scopeSpans: z.array(z.object({ spans: z.array(z.unknown()) })),
    }),
  ),
});

const start = (endpoint: string, protocol: "http/json" | "http/protobuf" = "http/json"): Promise<Tracing> =>
  startTracing({ service: "hft-executor", version: "1", endpoint, protocol });

test.each([
  ["http/json", "application/json"],
  ["http/protobuf", "application/x-protobuf"],
] as const)("%s: spans arrive as %s", async (protocol, contentType) => {
  const { endpoint, requests } = await receiver();
  const tracing = await start(endpoint, protocol);
  await tracing.span("feed.block", { "flashloan.block": 7 }, async () => undefined);
  await tracing.stop();
  expect(requests.map(({ url, headers }) => [url, headers["content-type"]])).toEqual([["/v1/traces", contentType]]);
  expect(requests[0]?.body.includes("feed.block")).toBe(true);
});

test("services of one process: each span leaves under the name of its service, and one may stop and start again", async () => {
  const { endpoint, requests } = await receiver();
  const of = (service: "checkpoint" | "hft-executor"): Promise<Tracing> =>
    startTracing({ service, version: "1", endpoint, protocol: "http/json" });
  const executor = await of("hft-executor");
  const checkpoint = await of("checkpoint");
  const spans = async (tracing: Tracing): Promise<void> => {
    await tracing.span("feed.block", {}, async () => undefined);
  };
  await Promise.all([spans(executor), spans(checkpoint)]);
  const again = await of("checkpoint");
  await checkpoint.stop();
  await spans(again);
  for (const tracing of [executor, again]) await tracing.stop();
  const sent = requests.flatMap(({ body }) => otlpSchema.parse(JSON.parse(body.toString("utf8"))).resourceSpans);
  const named = sent.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans: some }) => some.map(() => resource.attributes[0]?.value.stringValue ?? "")),
  );
  expect(named.toSorted()).toEqual(["checkpoint", "checkpoint", "hft-executor"]);
  // The SDK ended with the last of them: what comes later begins anew, elsewhere.
  const elsewhere = await receiver();
  const later = await start(elsewhere.endpoint);
  await spans(later);
  await later.stop();
  expect(elsewhere.requests.length).toBe(1);
});

test("a process sends its spans to one place", async () => {
  const { endpoint } = await receiver();
  lifecycle.add("tracing", await start(endpoint));
  await expect(start("http://127.0.0.1:1")).rejects.toThrow("give its services the same OTEL_EXPORTER_OTLP_ENDPOINT");
});

test("a span hangs under the current one; one that is declared to have a parent is not recorded without", async () => {
  const { endpoint } = await receiver();
  const tracing = lifecycle.add("tracing", await start(endpoint));
  const idsIn = (name: "feed.block" | "executor.opportunity"): Promise<string[]> =>
    tracing.span(name, {}, async () => (currentTraceparent() ?? "none").split("-"));
  expect(await idsIn("executor.opportunity")).toEqual(["none"]);
  const unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
  expect(await inTrace(unsampled, () => idsIn("executor.opportunity"))).toEqual(["none"]);
  expect(await inTrace("not a traceparent", () => idsIn("executor.opportunity"))).toEqual(["none"]);
  const sampled = unsampled.replace(/00$/, "01");
  const [, trace, span] = await inTrace(sampled, () => idsIn("executor.opportunity"));
  expect([trace, span === "b7ad6b7169203331"]).toEqual(["0af7651916cd43dd8448eb211c80319c", false]);
  // A root is one wherever it begins.
  expect((await inTrace(sampled, () => idsIn("feed.block")))[1]).not.toBe(trace);
});

test("a fact carries its trace over the bus, and is handled in it, validated and counted", async () => {
  const { endpoint } = await receiver();
  const tracing = lifecycle.add("tracing", await start(endpoint));
  const bus = lifecycle.add("bus", createMemoryEventBus());
  const publisher = testContext("hft-executor", { bus, tracing });
  const consumer = testContext("risk-manager", { bus, tracing });
  const taken: unknown[] = [];
  const done = Promise.withResolvers<void>();
  await consumeFacts(
    consumer,
    { group: "test", pattern: "flashloan.intent.*", data: z.object({ value: z.number() }), span: "risk.observe" },
    (data, event) => {
      taken.push([
        data,
        event.source,
        event.subject,
        event.traceparent?.slice(0, 35),
        currentTraceparent()?.slice(0, 35),
      ]);
      if (taken.length === 2) done.resolve();
    },
  );
  const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const fact = { type: "flashloan.intent.signed", subject: "0x1" };
  inTrace(parent, () => publishFact(publisher, fact.type, fact.subject, { value: 1 }));
  publishFact(publisher, fact.type, fact.subject, { value: "malformed" });
  publishFact(publisher, fact.type, fact.subject, { value: 2 });
  await done.promise;
  const trace = parent.slice(0, 35);
  expect(taken).toEqual([
    [{ value: 1 }, "/hft-executor", "0x1", trace, trace],
    [{ value: 2 }, "/hft-executor", "0x1", undefined, undefined],
  ]);
  await expect.poll(async () => (await bus.deadLetters()).length).toBe(1);
  const counts = (await consumer.metrics.text()).split("\n").filter((line) => line.startsWith("flashloan_bus_events"));
  expect(counts).toEqual([
    expect.stringContaining(
      'flashloan_bus_events_total{outcome="handled",service="risk-manager"} 2 # {trace_id="0af7651916cd43dd8448eb211c80319c"',
    ),
    'flashloan_bus_events_total{outcome="refused",service="risk-manager"} 3',
  ]);
});

test("without tracing nothing is recorded, and work is done all the same", async () => {
  const result = await NO_TRACING.span("feed.block", {}, async (annotate) => {
    annotate({ "flashloan.block": 1 });
    return currentTraceparent();
  });
  expect(result).toBeUndefined();
  expect(await startTracing({ service: "checkpoint", version: "1", endpoint: undefined, protocol: "http/json" })).toBe(
    NO_TRACING,
  );
});

test("declarations: one root, and every parent is a span that is declared", () => {
  const spans = Object.entries(SPANS) as [string, SpanDeclaration][];
  expect(spans.filter(([, { parents }]) => parents.length === 0).map(([name]) => name)).toEqual(["feed.block"]);
  for (const [, { parents }] of spans) for (const parent of parents) expect(Object.keys(SPANS)).toContain(parent);
  const emitting = new Set([...spans.map(([, { service }]) => service), ...METRICS.flashloan_ready.services]);
  expect([...emitting].toSorted()).toEqual([...SERVICES].toSorted());
});
