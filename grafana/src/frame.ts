import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import {
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  RowBuilder,
  type Dashboard,
  type Panel,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { SERVICES } from "@flashloan/shared/telemetry/declarations";
import { stat, type Meaning } from "./panels.ts";

/** A matcher of our own services' jobs. */
export const OURS = `job=~"${SERVICES.join("|")}"`;

/** Panels under one heading. */
export interface Section {
  readonly title: string;
  readonly panels: readonly Builder<Panel>[];
}

/** The worst state of any instance wins: a platform that is half killed must not look active. */
const STATES: readonly Meaning[] = [
  [4, 7, "KILLED", "red"],
  [2, 3, "PAUSED", "orange"],
  [1, 1, "ACTIVE", "green"],
  [0, 0, "STARTING", "purple"],
];
const worstState = (metric: "flashloan_execution_state" | "flashloan_risk_state"): string =>
  `4 * max(${metric}{state="KILLED"}) + 2 * max(${metric}{state="PAUSED"}) + max(${metric}{state="ACTIVE"})`;

/** What an operator must know before anything else; on top of every dashboard. */
function header(): Builder<Panel>[] {
  return [
    stat({
      title: "Mode",
      description:
        "LIVE: transactions are sent. PAPER: trades are only simulated, and no figure below is money. Armed by `flashloan arm`, disarmed by `flashloan disarm`.",
      width: 4,
      expr: '2 * max(flashloan_execution_mode{mode="LIVE"}) + max(flashloan_execution_mode{mode="PAPER"})',
      meanings: [
        [3, 3, "LIVE AND PAPER", "red"],
        [2, 2, "LIVE", "green"],
        [1, 1, "PAPER", "blue"],
        [0, 0, "STARTING", "purple"],
      ],
      unknown: "NO EXECUTOR",
    }),
    stat({
      title: "Execution",
      description:
        "The executor's own state. PAUSED finishes what is open and takes nothing new; KILLED sends nothing. `flashloan resume` ends both.",
      width: 4,
      expr: worstState("flashloan_execution_state"),
      meanings: STATES,
      unknown: "NO EXECUTOR",
    }),
    stat({
      title: "Risk",
      description: "The risk manager's state: it refuses every plan unless it is ACTIVE.",
      width: 4,
      expr: worstState("flashloan_risk_state"),
      meanings: STATES,
      unknown: "NO RISK MANAGER",
    }),
    stat({
      title: "Blocks, last minute",
      description:
        "New blocks that the market predictor took in within a minute. Red at 0: the feed is stale and everything below is old. See docs/alerts.md, FeedStale.",
      width: 4,
      expr: "max(changes(flashloan_feed_block[1m]))",
      decimals: 0,
      steps: [["red"], ["green", 1]],
      unknown: "NO FEED",
    }),
    stat({
      title: "Services not ready",
      description: `Of ${SERVICES.length} services, those without an instance that is ready. What each lacks is under "Needs".`,
      width: 4,
      expr: `${SERVICES.length} - (count(max by (job) (flashloan_ready) == 1) or vector(0))`,
      decimals: 0,
      steps: [["green"], ["red", 1]],
    }),
    stat({
      title: "Alerts firing",
      description: "Critical alerts and warnings. What each means and what to do: docs/alerts.md.",
      width: 4,
      expr: 'count(ALERTS{alertstate="firing", severity=~"critical|warning"}) or vector(0)',
      decimals: 0,
      steps: [["green"], ["red", 1]],
    }),
  ];
}

/**
 * A dashboard under a fixed uid: the header, then its sections. In the classic schema: the second one, which the library
 * prefers, is experimental in the Grafana that Compose runs (12.2).
 */
export function dashboard(uid: string, title: string, description: string, sections: readonly Section[]): Dashboard {
  const builder = new DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags(["flashloan"])
    .time({ from: "now-30m", to: "now" })
    .refresh("5s")
    .timezone("browser")
    .tooltip(DashboardCursorSync.Crosshair)
    .readonly()
    .link(new DashboardLinkBuilder("Flashloan").type(DashboardLinkType.Dashboards).tags(["flashloan"]).keepTime(true));
  for (const panel of header()) builder.withPanel(panel);
  for (const { title: heading, panels } of sections) {
    builder.withRow(new RowBuilder(heading));
    for (const panel of panels) builder.withPanel(panel);
  }
  const built = builder.build();
  // Grafana numbers panels that have no id at each load; links to a panel need one that stays.
  for (const [index, panel] of (built.panels ?? []).entries()) panel.id = index + 1;
  return built;
}
