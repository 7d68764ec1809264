import { expect, test } from "vitest";
import { SERVICES } from "@flashloan/shared/telemetry/declarations";
import { riskConfigSchema } from "@flashloan/risk-manager/config";
import { readConfig } from "@flashloan/shared/config";
import { alertCases, alerts, prometheusConfig, textOf } from "./files.ts";
import { read } from "./promql.ts";
import { JOBS } from "./vocabulary.ts";

// What is watched and what is told, where it must be written twice, says the same.

test("Prometheus asks every service, and one alert tells of each target that is down or gone", () => {
  expect(JOBS.slice(0, SERVICES.length)).toEqual([...SERVICES]);
  const watched = alerts
    .map(({ expr }) => read(expr).selectors.filter(({ metric }) => metric === "up"))
    .filter((selectors) => selectors.length > 0)
    .map((selectors) => {
      const jobs = selectors.map(({ matchers }) => matchers.find(({ label }) => label === "job")?.value ?? "");
      // First those that may be down, then each of them once more inside absent().
      const [down = "", ...absent] = jobs;
      expect(absent).toEqual(down.split("|"));
      return absent;
    });
  // rabbitmq-queues is another page of the same server.
  expect(watched.flat().sort()).toEqual(JOBS.filter((job) => job !== "rabbitmq-queues").sort());
});

test("each job has the service's name, and DNS is asked for all its addresses", () => {
  const discoveries = prometheusConfig().scrape_configs.flatMap(({ job_name: job, dns_sd_configs: found = [] }) =>
    found.map(({ names, type, port }) => `${job}: ${type} of ${names.join(", ")} at ${port}`),
  );
  expect(discoveries).toEqual([
    `services: A of ${SERVICES.join(", ")} at 9464`,
    "prometheus: A of prometheus at 9090",
    "alertmanager: A of alertmanager at 9093",
    "grafana: A of grafana at 3000",
    "jaeger: A of jaeger at 8888",
    "rabbitmq: A of rabbitmq at 15692",
    "rabbitmq-queues: A of rabbitmq at 15692",
    "etcd: A of etcd at 2379",
  ]);
});

test("every alert has a severity, what to do, and its section in docs/alerts.md; no section is of no alert", () => {
  const sections = [...textOf("docs/alerts.md").matchAll(/^### (.+)$/gm)].map(([, title]) => title);
  expect(sections).toEqual(alerts.map(({ alert }) => alert));
  for (const { alert, labels, annotations } of alerts) {
    expect(["critical", "warning", "info"]).toContain(labels.severity);
    expect(annotations.runbook_url).toBe(`docs/alerts.md#${alert.toLowerCase()}`);
    expect(annotations.summary.length).toBeGreaterThan(10);
    expect(annotations.description.length).toBeGreaterThan(annotations.summary.length / 2);
  }
});

test("every alert has a case in which it fires and one in which it never does", () => {
  const names = alerts.map(({ alert }) => alert);
  for (const name of names) {
    const tests = alertCases.filter((one) => one.name.startsWith(`${name}: `)).flatMap((one) => one.promql_expr_test);
    const own = tests.filter(({ expr }) => expr.includes(`alertname="${name}"`));
    expect([name, own.length]).toEqual([name, tests.length]);
    expect([name, own.some(({ exp_samples: fired }) => fired.length > 0)]).toEqual([name, true]);
    expect([name, own.some(({ expr }) => expr.startsWith("count_over_time("))]).toEqual([name, true]);
  }
  expect(alertCases.filter(({ name }) => !names.includes(name.split(":")[0] ?? ""))).toEqual([]);
});

test("texts of alerts name only labels that their alerts have", () => {
  for (const { alert, annotations } of alerts) {
    const fired = alertCases
      .filter(({ name }) => name.startsWith(`${alert}: `))
      .flatMap((one) => one.promql_expr_test.flatMap(({ exp_samples: samples }) => samples));
    for (const [, label] of `${annotations.summary} ${annotations.description}`.matchAll(/\$labels\.(\w+)/g))
      for (const { labels } of fired) expect(labels).toMatch(new RegExp(`[{ ]${label}="`));
  }
});

test("the gas alert's limits are 80 % of the risk manager's defaults", () => {
  const config = readConfig(riskConfigSchema, {});
  const limits = alerts.find(({ alert }) => alert === "GasBudgetNearlySpent")?.expr.matchAll(/> 0\.8 \* (\d+)/g) ?? [];
  expect([...limits].map(([, ether]) => BigInt(ether ?? 0) * 10n ** 18n)).toEqual([
    config.RISK_GAS_BUDGET_HOUR_WEI,
    config.RISK_GAS_BUDGET_DAY_WEI,
  ]);
});
