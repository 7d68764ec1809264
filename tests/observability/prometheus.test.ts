import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { stringify } from "yaml";
import { freePort } from "@flashloan/devnet/anvil";
import { readConfig } from "@flashloan/shared/config";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { createLogger } from "@flashloan/shared/log";
import { hostService, platformConfigSchema } from "@flashloan/shared/run-service";
import type { ServiceContext } from "@flashloan/shared/service";
import { SERVICES, type ServiceName } from "@flashloan/shared/telemetry/declarations";
import { inTrace } from "@flashloan/shared/telemetry/tracing";
import { startEtcd, startRabbit, type TestServer } from "../support/servers.ts";
import { startAlertmanager, startPrometheus } from "../support/watchers.ts";
import { alerts, dashboards, prometheusConfig, textOf } from "./files.ts";
import { withoutVariables } from "./promql.ts";
import { JOBS, THIRD_PARTY } from "./vocabulary.ts";

// A real Prometheus with our configuration, asking our services' own endpoints and the real servers; only addresses
// differ. Every expression is evaluated: wrong joins and panels without data are seen here, and not by an operator.
const lifecycle = new Lifecycle();
const contexts = new Map<ServiceName, ServiceContext>();
const addresses = new Map<string, string>();
const POLL = { timeout: 60_000, interval: 250 };
let prometheus: TestServer;
let alertmanager: TestServer;

type Series = { readonly metric: Readonly<Record<string, string>>; readonly value: readonly [number, string] };

beforeAll(async () => {
  const jaeger = await startPlainTarget();
  addresses.set("jaeger", jaeger).set("grafana", await startPlainTarget());
  const [rabbitMetrics, alerting, port] = [await freePort(), await freePort(), await freePort()];
  const [rabbit, etcd, manager] = await Promise.all([
    startRabbit(rabbitMetrics),
    startEtcd(),
    startAlertmanager(alerting, textOf("infra/alertmanager/alertmanager.yml")),
  ]);
  alertmanager = manager;
  for (const server of [rabbit, etcd, manager]) lifecycle.onStop("server", () => server.remove());
  addresses.set("rabbitmq", `127.0.0.1:${rabbitMetrics}`).set("etcd", `127.0.0.1:${etcd.port}`);
  addresses.set("alertmanager", `127.0.0.1:${alerting}`).set("prometheus", `127.0.0.1:${port}`);
  for (const service of SERVICES) addresses.set(service, await host(service, jaeger, rabbit.url, etcd.url));
  prometheus = await startPrometheus(port, {
    "prometheus.yml": stringify(configHere()),
    "alerts.yml": textOf("infra/prometheus/alerts.yml"),
  });
  lifecycle.onStop("prometheus", () => prometheus.remove());
  await vi.waitUntil(async () => (await query("up == 1")).length === JOBS.length, POLL);
  await act();
  // Rates need a scrape before and one after it, of every target.
  await vi.waitUntil(async () => (await query("changes(flashloan_feed_block[20s]) > 0")).length === 1, POLL);
  await vi.waitUntil(async () => (await query("count_over_time(up[20s]) >= 3")).length === JOBS.length, POLL);
});
afterAll(() => lifecycle.stop());

/** What another vendor's server would answer: nothing that we use, but it is up. It takes spans too. */
async function startPlainTarget(): Promise<string> {
  const server: Server = createServer((request, response) => {
    request.resume();
    response.writeHead(200, { "content-type": "text/plain" }).end("");
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  lifecycle.onStop("target", () => new Promise((resolve) => void server.close(() => resolve())));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A service as it is hosted everywhere, without its work. */
async function host(service: ServiceName, jaeger: string, bus: string, coordination: string): Promise<string> {
  const config = readConfig(platformConfigSchema, {
    BUS_URL: bus,
    COORDINATION_URL: coordination,
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://${jaeger}`,
  });
  const hosted = await hostService({
    service,
    config,
    log: createLogger(service, "silent"),
    patienceMs: 30_000,
    start: async (context) => {
      contexts.set(service, context);
      await context.bus.subscribe({ group: service, pattern: "flashloan.#" }, async () => undefined);
      return {
        address: "127.0.0.1:1",
        needs: service === "risk-manager" ? {} : { database: () => true },
        setServing: () => undefined,
        stop: async () => undefined,
      };
    },
  });
  lifecycle.add(service, hosted);
  return hosted.metricsAddress;
}

/** Our configuration, asked each second and with the addresses of this test in place of DNS. */
function configHere(): unknown {
  const config = prometheusConfig();
  config.global = { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "1s" };
  for (const part of [...config.scrape_configs, ...config.alerting.alertmanagers]) {
    part.static_configs = (part.dns_sd_configs ?? []).flatMap(({ names }) =>
      names.map((name) => ({ targets: [addresses.get(name) ?? ""], labels: { __meta_dns_name: name } })),
    );
    delete part.dns_sd_configs;
  }
  return config;
}

/** A little of what services do. */
async function act(): Promise<void> {
  const [predictor, executor] = [contexts.get("market-predictor"), contexts.get("hft-executor")];
  if (!predictor || !executor) throw new Error("services are not hosted");
  predictor.metrics.set("flashloan_pools", { state: "watched" }, 100);
  predictor.metrics.set("flashloan_feed_block", {}, 1);
  executor.metrics.set("flashloan_execution_mode", { mode: "LIVE" }, 1);
  executor.metrics.set("flashloan_execution_state", { state: "ACTIVE" }, 1);
  executor.metrics.add("flashloan_profit_ether_total", {}, 0.5);
  executor.metrics.add("flashloan_premium_ether_total", {}, 0.125);
  executor.metrics.add("flashloan_gas_ether_total", {}, 0.25);
  // As part of the trace of a block: a span whose parent is missing is not recorded.
  await inTrace(`00-${"a1".repeat(16)}-${"b2".repeat(8)}-01`, () =>
    executor.tracing.span("executor.submit", {}, async () =>
      executor.metrics.observe("flashloan_block_to_submission_seconds", {}, 0.004),
    ),
  );
}

async function api<T>(path: string, parameters: Readonly<Record<string, string>>): Promise<T> {
  const response = await fetch(`${prometheus.url}/api/v1/${path}?${new URLSearchParams(parameters).toString()}`);
  const answer = (await response.json()) as { status: string; error?: string; warnings?: string[]; data: T };
  const fault = answer.error ?? answer.warnings?.join();
  if (answer.status !== "success" || fault !== undefined) throw new Error(`${fault}: ${JSON.stringify(parameters)}`);
  return answer.data;
}
const query = async (expr: string): Promise<readonly Series[]> => {
  const { resultType, result } = await api<{ resultType: string; result: readonly Series[] }>("query", {
    query: withoutVariables(expr),
  });
  return resultType === "vector" ? result : [{ metric: {}, value: result as never }];
};

test("every target is found, with the service's name as its job", async () => {
  const up = await query("up");
  expect(up.map(({ metric, value }) => `${metric["job"]} ${value[1]}`).sort()).toEqual(
    JOBS.map((job) => `${job} 1`).sort(),
  );
  for (const service of SERVICES)
    expect(await query(`flashloan_build_info{job="${service}", service="${service}"}`)).toHaveLength(1);
});

test("every third-party name is what the real server exposes", async () => {
  const missing: string[] = [];
  for (const name of Object.keys(THIRD_PARTY))
    if (name !== "ALERTS" && (await query(name)).length === 0) missing.push(name);
  expect(missing).toEqual([]);
});

test("every panel has data, with the labels that its legend or columns name", async () => {
  const faults: string[] = [];
  for (const { uid, panels } of dashboards)
    for (const { title, targets = [], transformations = [] } of panels)
      for (const { expr, legendFormat, format } of targets) {
        const where = `${uid}: ${title}: ${expr}`;
        const series = await query(expr);
        // Without an alert there is none to list.
        if (series.length === 0 && expr !== "ALERTS") faults.push(`no data: ${where}`);
        const columns = transformations.find(({ id }) => id === "filterFieldsByName")?.options as
          | { include: { names: string[] } }
          | undefined;
        const labels =
          format === "table"
            ? (columns?.include.names ?? []).filter((name) => name !== "Value")
            : [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label ?? "");
        for (const label of labels)
          if (!series.every(({ metric }) => label in metric)) faults.push(`no label ${label}: ${where}`);
        // Two series under one name can't be told apart.
        const names = series.map(({ metric }) => labels.map((label) => metric[label]).join());
        if (new Set(names).size !== names.length) faults.push(`equal names: ${where}`);
      }
  expect(faults).toEqual([]);
});

test("figures are what they say", async () => {
  const valueOf = async (uid: string, title: string): Promise<string | undefined> => {
    const panel = dashboards.find((one) => one.uid === uid)?.panels.find((one) => one.title === title);
    return (await query(panel?.targets?.[0]?.expr ?? ""))[0]?.value[1];
  };
  expect(await valueOf("flashloan-overview", "Mode")).toBe("2");
  expect(await valueOf("flashloan-overview", "Execution")).toBe("1");
  expect(await valueOf("flashloan-overview", "Risk")).toBe("0");
  expect(await valueOf("flashloan-overview", "Services not ready")).toBe("0");
  expect(await valueOf("flashloan-overview", "Net profit")).toBe("0.125");
  expect(await valueOf("flashloan-overview", "Readiness")).toBe("2");
  expect(await valueOf("flashloan-infrastructure", "Dead letters")).toBe("0");
});

test("every alert's expression is evaluated without error, and none fires on a sound platform", async () => {
  const { groups } = await api<{ groups: { rules: { name: string; health: string }[] }[] }>("rules", {});
  const rules = groups.flatMap((group) => group.rules);
  expect(rules.filter(({ health }) => health !== "ok")).toEqual([]);
  expect(rules.map(({ name }) => name).sort()).toEqual(alerts.map(({ alert }) => alert).sort());
  expect(await query('ALERTS{alertstate="firing"}')).toEqual([]);
});

test("an exemplar leads to its trace", async () => {
  const panel = dashboards
    .find(({ uid }) => uid === "flashloan-executor")
    ?.panels.find(({ title }) => title === "Block to submission, quantiles");
  const found = await api<{ exemplars: { labels: Record<string, string>; value: string }[] }[]>("query_exemplars", {
    query: withoutVariables(panel?.targets?.[0]?.expr ?? ""),
    start: String(Date.now() / 1_000 - 600),
    end: String(Date.now() / 1_000 + 60),
  });
  const exemplars = found.flatMap((one) => one.exemplars);
  expect(exemplars).toMatchObject([{ labels: { trace_id: expect.stringMatching(/^[0-9a-f]{32}$/) }, value: "0.004" }]);
});

test("an alert that fires reaches Alertmanager with its text", async () => {
  contexts.get("hft-executor")?.metrics.set("flashloan_execution_state", { state: "KILLED" }, 1);
  const look = async (): Promise<unknown> => (await fetch(`${alertmanager.url}/api/v2/alerts`)).json();
  await expect.poll(look, POLL).toMatchObject([
    {
      labels: { alertname: "TradingKilled", job: "hft-executor", severity: "critical", state: "KILLED" },
      annotations: { summary: "hft-executor is KILLED", runbook_url: "docs/alerts.md#tradingkilled" },
    },
  ]);
  expect((await query('4 * max(flashloan_execution_state{state="KILLED"})'))[0]?.value[1]).toBe("4");
});
