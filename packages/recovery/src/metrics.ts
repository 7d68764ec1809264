import type { Metrics } from "@flashloan/shared/telemetry/metrics";
import type { RecoveryEvent } from "./pattern.ts";

/** Counts what patterns do. */
export function countRecoveries(metrics: Metrics): (event: RecoveryEvent) => void {
  return (event) => metrics.add("flashloan_recovery_events_total", { ...event });
}
