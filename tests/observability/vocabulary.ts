import { METRICS, type MetricDeclaration } from "@flashloan/shared/telemetry/declarations";
import { alerts, prometheusConfig } from "./files.ts";

/** The jobs of Prometheus's configuration: our services by name, others by job. */
export const JOBS: readonly string[] = prometheusConfig().scrape_configs.flatMap(
  ({ job_name: job, dns_sd_configs: discoveries = [] }) =>
    job === "services" ? discoveries.flatMap(({ names }) => names) : [job],
);

/** Labels of a metric beside job and instance: every value that is possible, or undefined where that is not ours to say. */
export type Labels = Readonly<Record<string, readonly string[] | undefined>>;

/** What others expose and we read. tests/observability/prometheus.test.ts sees each on the real server. */
export const THIRD_PARTY: Readonly<Record<string, Labels>> = {
  up: {},
  scrape_duration_seconds: {},
  ALERTS: {
    alertname: alerts.map(({ alert }) => alert),
    alertstate: ["pending", "firing"],
    severity: ["critical", "warning", "info"],
  },
  prometheus_notifications_dropped_total: {},
  prometheus_rule_evaluation_failures_total: {},
  prometheus_tsdb_head_series: {},
  alertmanager_notifications_failed_total: {},
  rabbitmq_alarms_free_disk_space_watermark: {},
  rabbitmq_alarms_memory_used_watermark: {},
  rabbitmq_connections: {},
  rabbitmq_process_resident_memory_bytes: {},
  rabbitmq_detailed_queue_messages: { queue: undefined },
  rabbitmq_detailed_queue_messages_ready: { queue: undefined },
  rabbitmq_detailed_queue_messages_unacked: { queue: undefined },
  etcd_disk_wal_fsync_duration_seconds_bucket: { le: undefined },
  etcd_mvcc_db_total_size_in_bytes: {},
  etcd_server_has_leader: {},
  etcd_server_leader_changes_seen_total: {},
  etcd_server_quota_backend_bytes: {},
};

/** The labels that a metric has; undefined when there is no such metric. */
export function labelsOf(metric: string): Labels | undefined {
  const everywhere = { job: JOBS, instance: undefined };
  const foreign = THIRD_PARTY[metric];
  if (foreign) return { ...everywhere, ...foreign };
  const [, base = metric, suffix] = /^(.*)_(bucket|sum|count)$/.exec(metric) ?? [];
  const declared = (METRICS as Readonly<Record<string, MetricDeclaration>>)[base];
  if (!declared || (suffix !== undefined) !== (declared.kind === "histogram")) return undefined;
  return {
    ...everywhere,
    service: declared.services,
    ...declared.labels,
    ...(suffix === "bucket" ? { le: (declared.buckets ?? []).map(String) } : {}),
  };
}
