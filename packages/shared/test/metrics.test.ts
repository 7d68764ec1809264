import { afterEach, expect, test } from "vitest";
import { createLogger } from "../src/log.ts";
import { METRICS, SERVICES, VERSION, type MetricDeclaration } from "../src/telemetry/declarations.ts";
import { startTelemetryEndpoint } from "../src/telemetry/endpoint.ts";
import { createMetrics, etherOf } from "../src/telemetry/metrics.ts";
import { Lifecycle } from "../src/lifecycle.ts";

const declarations = Object.entries(METRICS) as [string, MetricDeclaration][];
let lifecycle = new Lifecycle();
afterEach(async () => {
  await lifecycle.stop();
  lifecycle = new Lifecycle();
});

/** Every combination of a declaration's labels, as the text has them. */
function series(name: string, service: string, labels: MetricDeclaration["labels"]): string[] {
  const sets = Object.entries(labels).reduce<string[][]>(
    (before, [label, values]) => before.flatMap((set) => values.map((value) => [...set, `${label}="${value}"`])),
    [[]],
  );
  return sets.map((set) => `${name}{${[...set, `service="${service}"`].sort().join(",")}}`);
}

/** A text's series with their values; labels in the order of their names. */
function parse(text: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const line of text.split("\n")) {
    const match = /^(\w+)\{([^}]*)\} (\S+)/.exec(line);
    if (match) found.set(`${match[1]}{${(match[2] ?? "").split(",").sort().join(",")}}`, Number(match[3]));
  }
  return found;
}

test.each(SERVICES)(
  "%s serves every metric that is declared for it, with every set of labels, at 0",
  async (service) => {
    const endpoint = lifecycle.add(
      "endpoint",
      await startTelemetryEndpoint({
        metrics: createMetrics(service),
        log: createLogger("test", "silent"),
        host: "127.0.0.1",
        port: 0,
        readyFile: undefined,
        unmet: () => [],
      }),
    );
    const response = await fetch(`http://${endpoint.address}/metrics`);
    expect(response.headers.get("content-type")).toContain("application/openmetrics-text");
    const served = parse(await response.text());
    const expected = declarations
      .filter(([, { services, lazy }]) => services.includes(service) && !lazy)
      .flatMap(([name, { kind, labels }]) => series(kind === "histogram" ? `${name}_count` : name, service, labels));
    expect(expected.filter((name) => !served.has(name))).toEqual([]);
    const notZero = [...served].filter(([, value]) => value !== 0).map(([name]) => name);
    expect(notZero.filter((name) => !name.startsWith("flashloan_event_loop_delay_seconds{"))).toEqual([
      `flashloan_build_info{service="${service}",version="${VERSION}"}`,
    ]);
    const names = [...served.keys()].map((name) => name.replace(/\{.*/, "").replace(/_(bucket|count|sum)$/, ""));
    expect([...new Set(names)].filter((name) => !Object.hasOwn(METRICS, name))).toEqual([]);
  },
);

test("every name says its unit, counters end in _total, and help says what is counted", () => {
  for (const [name, { kind, help, buckets }] of declarations) {
    expect(name).toMatch(/^flashloan_[a-z_]+$/);
    expect([name, name.endsWith("_total")]).toEqual([name, kind === "counter"]);
    expect([name, buckets !== undefined]).toEqual([name, kind === "histogram"]);
    expect(help.length).toBeGreaterThan(3);
  }
});

test("a counter that is counted elsewhere is as far as that is, at each scrape", async () => {
  const metrics = createMetrics("market-predictor");
  let reorgs = 0;
  metrics.countFrom("flashloan_feed_reorgs_total", {}, () => reorgs);
  for (const count of [2, 2, 5]) {
    reorgs = count;
    const text = await metrics.text();
    expect(parse(text).get('flashloan_feed_reorgs_total{service="market-predictor"}')).toBe(count);
  }
});

test("a metric of another service is a programmer's error", () => {
  expect(() => createMetrics("checkpoint").set("flashloan_in_flight", {}, 1)).toThrow("not declared for this service");
});

test("wei as ether, for plots", () => {
  expect([etherOf(0n), etherOf(10n ** 18n), etherOf(-1_500_000_000_000_000_000n)]).toEqual([0, 1, -1.5]);
});
