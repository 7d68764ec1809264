import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { dashboard } from "./frame.ts";
import { plot, stat, table, timeline } from "./panels.ts";

const watching = [
  table({
    title: "Targets",
    description: "Everything that Prometheus asks for metrics.",
    width: 8,
    expr: "up",
    labels: ["job", "instance"],
    value: "state",
    meanings: [
      [1, 1, "up", "green"],
      [0, 0, "down", "red"],
    ],
  }),
  table({
    title: "Alerts",
    description: "Pending and firing. What each means and what to do: docs/alerts.md.",
    width: 8,
    expr: "ALERTS",
    labels: ["alertname", "alertstate", "severity", "job"],
    value: "is",
    meanings: [[1, 1, "now", "orange"]],
    unknown: "none",
  }),
  plot({
    title: "Scrape duration",
    description: "How long each target takes to answer Prometheus; it gives up after 4 s.",
    width: 8,
    unit: "s",
    queries: [{ expr: "max by (job) (scrape_duration_seconds)", legend: "{{job}}" }],
  }),
  stat({
    title: "Alert rules failing, in range",
    description: "Evaluations of alert rules that failed: those alerts are blind. Prometheus's page Rules says why.",
    width: 8,
    expr: "sum(increase(prometheus_rule_evaluation_failures_total[$__range]))",
    decimals: 0,
    steps: [["green"], ["red", 0.5]],
    unknown: "NO PROMETHEUS",
  }),
  stat({
    title: "Notifications failed, in range",
    description: "Notifications that Alertmanager could not deliver. See AlertsNotDelivered.",
    width: 8,
    expr: "sum(increase(alertmanager_notifications_failed_total[$__range]))",
    decimals: 0,
    steps: [["green"], ["red", 0.5]],
    unknown: "NO ALERTMANAGER",
  }),
  stat({
    title: "Series in Prometheus",
    description: "Its memory grows with them.",
    width: 8,
    expr: "sum(prometheus_tsdb_head_series)",
    decimals: 0,
    unknown: "NO PROMETHEUS",
  }),
];

const rabbit = [
  plot({
    title: "Messages ready, by queue",
    description: "Events that a group has not taken yet. A queue that grows has a group that is down or slow.",
    width: 12,
    queries: [{ expr: "sum by (queue) (rabbitmq_detailed_queue_messages_ready)", legend: "{{queue}}" }],
  }),
  plot({
    title: "Messages taken and not acknowledged, by queue",
    description: "Events that handlers are at work on.",
    width: 12,
    queries: [{ expr: "sum by (queue) (rabbitmq_detailed_queue_messages_unacked)", legend: "{{queue}}" }],
  }),
  stat({
    title: "Dead letters",
    description: "Events that no handler would take. `flashloan dead-letters list`, then `replay GROUP`.",
    width: 6,
    expr: 'sum(rabbitmq_detailed_queue_messages{queue="flashloan.dead"}) or 0 * max(up{job="rabbitmq-queues"} == 1)',
    decimals: 0,
    steps: [["green"], ["orange", 1]],
    unknown: "NO RABBITMQ",
  }),
  stat({
    title: "Alarms",
    description: "Memory and disk alarms of RabbitMQ: while one is on it takes no events.",
    width: 6,
    expr: "sum(rabbitmq_alarms_memory_used_watermark) + sum(rabbitmq_alarms_free_disk_space_watermark)",
    decimals: 0,
    steps: [["green"], ["red", 1]],
    unknown: "NO RABBITMQ",
  }),
  stat({
    title: "Memory",
    description: "Resident memory of RabbitMQ.",
    width: 6,
    expr: "sum(rabbitmq_process_resident_memory_bytes)",
    unit: "bytes",
    unknown: "NO RABBITMQ",
  }),
  stat({
    title: "Connections",
    description: "Connections to RabbitMQ.",
    width: 6,
    expr: "sum(rabbitmq_connections)",
    decimals: 0,
    unknown: "NO RABBITMQ",
  }),
];

const bus = [
  plot({
    title: "Events waiting in services",
    description: "Events that wait for the broker: at most 10,000 a process, and 60 s each. See BusBacklog.",
    width: 8,
    line: true,
    steps: [["green"], ["red", 1000]],
    queries: [{ expr: "sum by (job) (flashloan_bus_waiting)", legend: "{{job}}" }],
  }),
  plot({
    title: "Bus reconnects, per minute",
    description: "Times that a service lost the broker and found it again.",
    width: 8,
    queries: [
      { expr: "60 * sum by (job) (rate(flashloan_bus_reconnects_total[$__rate_interval]))", legend: "{{job}}" },
    ],
  }),
  timeline({
    title: "Coordination",
    description: "Whether each service reaches etcd.",
    width: 8,
    query: { expr: "min by (job) (flashloan_coordination_reachable)", legend: "{{job}}" },
    meanings: [
      [1, 1, "reachable", "green"],
      [0, 0, "unreachable", "red"],
    ],
  }),
];

const etcd = [
  stat({
    title: "Members with a leader",
    description: "Without a leader etcd takes no writes: nobody can register or be elected.",
    width: 6,
    expr: "sum(etcd_server_has_leader)",
    decimals: 0,
    steps: [["red"], ["green", 1]],
    unknown: "NO ETCD",
  }),
  stat({
    title: "Leader changes, in range",
    description: "More than a few mean a slow disk or network.",
    width: 6,
    expr: "sum(increase(etcd_server_leader_changes_seen_total[$__range]))",
    decimals: 0,
    steps: [["green"], ["orange", 2.5]],
    unknown: "NO ETCD",
  }),
  stat({
    title: "Database",
    description: "Size on disk. At its quota (by default 2 GiB) etcd takes no more writes: see EtcdNearlyFull.",
    width: 6,
    expr: "max(etcd_mvcc_db_total_size_in_bytes)",
    unit: "bytes",
    unknown: "NO ETCD",
  }),
  stat({
    title: "Share of quota",
    description: "Size on disk against the quota.",
    width: 6,
    expr: "max(etcd_mvcc_db_total_size_in_bytes / etcd_server_quota_backend_bytes)",
    unit: "percentunit",
    decimals: 2,
    steps: [["green"], ["orange", 0.8], ["red", 0.95]],
    unknown: "NO ETCD",
  }),
  plot({
    title: "Log fsync, 99th percentile",
    description: "Time until etcd's log is on disk. Leases are lost when it nears a second.",
    width: 12,
    unit: "s",
    queries: [
      {
        expr: "histogram_quantile(0.99, sum by (instance, le) (rate(etcd_disk_wal_fsync_duration_seconds_bucket[$__rate_interval])))",
        legend: "{{instance}}",
      },
    ],
  }),
  plot({
    title: "Ledger position",
    description:
      "Place of the newest record of the ledger (PostgreSQL has no exporter here: see Needs and Ledger commit).",
    width: 12,
    fromZero: false,
    queries: [{ expr: "max(flashloan_ledger_position)", legend: "position" }],
  }),
];

/** What the services stand on: broker, coordination, and the watching itself. */
export function infrastructure(): Dashboard {
  return dashboard("flashloan-infrastructure", "Flashloan: infrastructure", "What the services stand on.", [
    { title: "Watching", panels: watching },
    { title: "RabbitMQ", panels: rabbit },
    { title: "Bus and coordination, as services see them", panels: bus },
    { title: "etcd and ledger", panels: etcd },
  ]);
}
