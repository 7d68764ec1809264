import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";

/** The repository's folder. */
export const ROOT = join(import.meta.dirname, "../..");

/** One alert rule. */
export interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string; readonly runbook_url: string };
}

/** One promtool case of an alert. */
export interface AlertCase {
  readonly name: string;
  readonly promql_expr_test: readonly {
    readonly expr: string;
    readonly exp_samples: readonly { readonly labels: string }[];
  }[];
}

interface Discovery {
  readonly names: readonly string[];
  readonly type: string;
  readonly port: number;
}

/** Prometheus's configuration, as far as tests read it. */
export interface PrometheusConfig {
  global: { scrape_interval: string; scrape_timeout: string; evaluation_interval: string };
  rule_files: string[];
  alerting: { alertmanagers: Discovered[] };
  scrape_configs: (Discovered & { readonly job_name: string; readonly metrics_path?: string })[];
}
interface Discovered {
  dns_sd_configs?: Discovery[];
  static_configs?: { targets: string[]; labels: Record<string, string> }[];
}

/** A panel of a dashboard, as far as tests read it. */
export interface DashboardPanel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly datasource?: { readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly {
    readonly refId: string;
    readonly expr: string;
    readonly legendFormat: string;
    readonly format?: string;
    readonly datasource: { readonly uid: string };
  }[];
  readonly fieldConfig?: { readonly defaults: { readonly noValue?: string } };
  readonly transformations?: readonly { readonly id: string; readonly options: unknown }[];
}

/** A dashboard. */
export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly refresh: string;
  readonly time: { readonly from: string; readonly to: string };
  readonly panels: readonly DashboardPanel[];
}

/** A text file of the repository. */
export const textOf = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const yamlOf = (path: string): unknown => parse(textOf(path));

/** A fresh copy of Prometheus's configuration. */
export const prometheusConfig = (): PrometheusConfig => yamlOf("infra/prometheus/prometheus.yml") as PrometheusConfig;

/** Every alert rule. */
export const alerts = (yamlOf("infra/prometheus/alerts.yml") as { groups: { rules: Alert[] }[] }).groups.flatMap(
  ({ rules }) => rules,
);

/** Every promtool case. */
export const alertCases = (yamlOf("infra/prometheus/alerts.test.yml") as { tests: AlertCase[] }).tests;

/** Every provisioned dashboard. */
export const dashboards = readdirSync(join(ROOT, "grafana/dashboards"))
  .filter((name) => name.endsWith(".json"))
  .map((name) => JSON.parse(textOf(`grafana/dashboards/${name}`)) as Dashboard);

/** What Grafana reads data from. */
export const datasources = (
  yamlOf("grafana/provisioning/datasources/datasources.yml") as {
    datasources: {
      uid: string;
      type: string;
      jsonData: {
        timeInterval?: string;
        exemplarTraceIdDestinations?: { name: string; datasourceUid: string }[];
      };
    }[];
  }
).datasources;

/** An expression, and where it stands. */
export interface Expression {
  readonly where: string;
  readonly expr: string;
}

/** Every expression of alerts and dashboards. */
export const expressions: readonly Expression[] = [
  ...alerts.map(({ alert, expr }) => ({ where: alert, expr })),
  ...dashboards.flatMap(({ uid, panels }) =>
    panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ where: `${uid}: ${title}`, expr }))),
  ),
];
