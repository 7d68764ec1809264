import type { Clock } from "@flashloan/shared/clock";
import { countRecoveries } from "@flashloan/recovery/metrics";
import { compose } from "@flashloan/recovery/pattern";
import { retry } from "@flashloan/recovery/retry";
import { timeout } from "@flashloan/recovery/timeout";
import { publishFact } from "@flashloan/shared/events";
import type { ServiceContext } from "@flashloan/shared/service";

const DELIVERY_DEADLINE_MS = 5_000;
const DELIVERY_RETRIES_MAX = 2;
const DELIVERY_PAUSE_MS = 500;
/** An alert that is not repeated is over after so long, for Alertmanager. */
const ALERT_LIFE_MS = 5 * 60_000;

/** Something an operator must know. */
export interface Alert {
  readonly name: "UnitFailed" | "UnitHealed" | "UnitQuarantined";
  readonly severity: "info" | "warning" | "critical";
  readonly unit: string;
  readonly incidentId: string;
  readonly summary: string;
}

/** Where alerts go beside the bus and the log. */
export interface AlertTargets {
  /** Such as http://alertmanager:9093. */
  readonly alertmanagerUrl: string | undefined;
  /** Posted to as JSON. */
  readonly webhookUrl: string | undefined;
}

/** Tells an alert to everyone: log, bus, Alertmanager, webhook. What can't be told is logged and counted, never thrown. */
export type Alarm = (alert: Alert) => void;

/** An alarm on the platform's bus and log, and on the targets that are configured. */
export function createAlarm(context: ServiceContext, targets: AlertTargets): Alarm {
  const { log, metrics, clock } = context;
  const guarded = { operation: "rpc", observe: countRecoveries(metrics) } as const;
  const delivery = compose(
    retry({ ...guarded, retriesMax: DELIVERY_RETRIES_MAX, baseMs: DELIVERY_PAUSE_MS, retryable: () => true, clock }),
    timeout({ ...guarded, timeoutMs: DELIVERY_DEADLINE_MS }),
  );
  const deliver = async (channel: "alertmanager" | "webhook", url: string, body: unknown): Promise<void> => {
    try {
      await delivery.run((signal) => post(url, body, signal));
      metrics.add("flashloan_supervisor_alerts_total", { channel, outcome: "delivered" });
    } catch (error) {
      metrics.add("flashloan_supervisor_alerts_total", { channel, outcome: "failed" });
      log.error({ error, channel }, "alert_not_delivered");
    }
  };
  return (alert) => {
    log[alert.severity === "critical" ? "error" : alert.severity === "warning" ? "warn" : "info"](alert, "alert");
    publishFact(context, "flashloan.supervisor.alert", alert.unit, { ...alert });
    if (targets.alertmanagerUrl !== undefined)
      void deliver("alertmanager", new URL("/api/v2/alerts", targets.alertmanagerUrl).href, [
        toAlertmanager(alert, clock),
      ]);
    if (targets.webhookUrl !== undefined) void deliver("webhook", targets.webhookUrl, alert);
  };
}

/** An alert in Alertmanager's words (API v2, postableAlert): that a unit healed is the end of that it failed. */
function toAlertmanager({ name, severity, unit, incidentId, summary }: Alert, clock: Clock): unknown {
  const healed = name === "UnitHealed";
  return {
    labels: { alertname: healed ? "UnitFailed" : name, severity: healed ? "warning" : severity, unit },
    annotations: { summary, incident: incidentId },
    endsAt: new Date(clock.now() + (healed ? 0 : ALERT_LIFE_MS)).toISOString(),
  };
}

async function post(url: string, body: unknown, signal: AbortSignal): Promise<void> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`answered ${response.status}`);
}
