import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { dashboard, OURS } from "./frame.ts";
import { moneyFigures, moneyPlot } from "./money.ts";
import { plot, stat, table, timeline } from "./panels.ts";

const opportunities = [
  plot({
    title: "Cycles found, per minute",
    description:
      "Arbitrage cycles with a gain before costs (gross) and after premium and gas (net). Only net ones go to the executor.",
    width: 12,
    queries: [{ expr: "60 * sum by (profit) (rate(flashloan_cycles_total[$__rate_interval]))", legend: "{{profit}}" }],
  }),
  plot({
    title: "Opportunities rejected by stage, per minute",
    description:
      "Where an opportunity ended before it was signed: selection (overlaps a better one, or is too old), risk, simulation, execution. A steady stream is normal; only execution is a fault.",
    width: 12,
    stacked: true,
    queries: [
      {
        expr: "60 * sum by (stage) (rate(flashloan_opportunities_rejected_total[$__rate_interval]))",
        legend: "{{stage}}",
      },
    ],
  }),
  plot({
    title: "Risk refusals by rule, per minute",
    description:
      "Which rule of the risk manager refused plans. gas_budget_* and trading_state mean that trading stands.",
    width: 12,
    stacked: true,
    queries: [
      { expr: "60 * sum by (rule) (rate(flashloan_risk_refusals_total[$__rate_interval]))", legend: "{{rule}}" },
    ],
  }),
  plot({
    title: "Intents by state reached, per minute",
    description: "The life of transactions. SETTLED made profit; REVERTED cost gas; PAPER was only simulated.",
    width: 12,
    stacked: true,
    queries: [{ expr: "60 * sum by (state) (rate(flashloan_intents_total[$__rate_interval]))", legend: "{{state}}" }],
  }),
];

const chain = [
  stat({
    title: "Newest block",
    description: "The newest block that was taken in.",
    width: 4,
    expr: "max(flashloan_feed_block)",
    unit: "none",
    decimals: 0,
    unknown: "NO FEED",
  }),
  stat({
    title: "Pools watched",
    description: "Pools whose state is kept current.",
    width: 4,
    expr: 'max(flashloan_pools{state="watched"})',
    decimals: 0,
    steps: [["red"], ["green", 1]],
    unknown: "NO FEED",
  }),
  stat({
    title: "Pools quarantined",
    description: "Pools set aside: hostile, broken, or different from the chain. The predictor's log says why.",
    width: 4,
    expr: 'max(flashloan_pools{state="quarantined"})',
    decimals: 0,
    unknown: "NO FEED",
  }),
  stat({
    title: "Self-check differences, in range",
    description:
      "Pools that were not as the chain has them, in the time range shown. See docs/alerts.md, SelfCheckDifference.",
    width: 4,
    expr: 'sum(increase(flashloan_feed_self_checks_total{outcome="different"}[$__range]))',
    decimals: 0,
    steps: [["green"], ["red", 0.5]],
    unknown: "NO FEED",
  }),
  stat({
    title: "Reorganisations, in range",
    description: "Times that the chain replaced blocks, in the time range shown.",
    width: 4,
    expr: "sum(increase(flashloan_feed_reorgs_total[$__range]))",
    decimals: 0,
    unknown: "NO FEED",
  }),
  stat({
    title: "Feed reconnects, in range",
    description: "Connections to the chain's node lost and regained, in the time range shown.",
    width: 4,
    expr: "sum(increase(flashloan_feed_reconnects_total[$__range]))",
    decimals: 0,
    steps: [["green"], ["orange", 2.5]],
    unknown: "NO FEED",
  }),
];

// Added up: 0 does not answer, 1 answers but is not ready, 2 is ready. Two replicas are two rows.
const READINESS = `max by (job, instance) (up{${OURS}}) + (max by (job, instance) (flashloan_ready) or 0 * max by (job, instance) (up{${OURS}}))`;

const services = [
  table({
    title: "Readiness",
    description: "Each instance of each service. A service that has no row was not found at all: see ServiceDown.",
    width: 8,
    expr: READINESS,
    labels: ["job", "instance"],
    value: "state",
    meanings: [
      [2, 2, "ready", "green"],
      [1, 1, "not ready", "orange"],
      [0, 0, "down", "red"],
    ],
  }),
  timeline({
    title: "Needs",
    description: "What services can't work without: met or missing. A service is ready while all its needs are met.",
    width: 10,
    query: { expr: "min by (job, need) (flashloan_need_met)", legend: "{{job}}: {{need}}" },
    meanings: [
      [1, 1, "met", "green"],
      [0, 0, "missing", "red"],
    ],
  }),
  table({
    title: "Build versions",
    description: "Instances by version. Two versions of one service are seen during an update only.",
    width: 6,
    expr: "count by (job, version) (flashloan_build_info)",
    labels: ["job", "version"],
    value: "instances",
  }),
  plot({
    title: "gRPC requests, per second",
    description: "Requests answered by each service.",
    width: 8,
    unit: "reqps",
    queries: [{ expr: "sum by (job) (rate(flashloan_rpc_requests_total[$__rate_interval]))", legend: "{{job}}" }],
  }),
  plot({
    title: "gRPC requests not answered well, per second",
    description: "refused: the caller asked for what can't be. failed: the service could not answer. See RpcFailures.",
    width: 8,
    unit: "reqps",
    queries: [
      {
        expr: 'sum by (job, outcome) (rate(flashloan_rpc_requests_total{outcome=~"refused|failed"}[$__rate_interval]))',
        legend: "{{job}} {{outcome}}",
      },
    ],
  }),
  plot({
    title: "gRPC latency, 99th percentile",
    description: "Time to answer a unary request. The dots are traces: click one to see where the time went.",
    width: 8,
    unit: "s",
    exemplars: true,
    queries: [
      {
        expr: "histogram_quantile(0.99, sum by (job, le) (rate(flashloan_rpc_duration_seconds_bucket[$__rate_interval])))",
        legend: "{{job}}",
      },
    ],
  }),
  plot({
    title: "Event-loop delay, 99th percentile",
    description:
      "How late each process gets to its work, since the scrape before. About 0.01 s is the measurement's own interval. See EventLoopSlow.",
    width: 8,
    unit: "s",
    line: true,
    steps: [["green"], ["red", 0.1]],
    queries: [{ expr: "max by (job) (flashloan_event_loop_delay_seconds)", legend: "{{job}}" }],
  }),
  timeline({
    title: "Event bus",
    description: "Whether each service has its broker. Without it events wait in the service; trading goes on.",
    width: 8,
    query: { expr: "min by (job) (flashloan_bus_connected)", legend: "{{job}}" },
    meanings: [
      [1, 1, "connected", "green"],
      [0, 0, "disconnected", "red"],
    ],
  }),
  timeline({
    title: "Coordination",
    description: "Whether each service reaches the registry (etcd).",
    width: 8,
    query: { expr: "min by (job) (flashloan_coordination_reachable)", legend: "{{job}}" },
    meanings: [
      [1, 1, "reachable", "green"],
      [0, 0, "unreachable", "red"],
    ],
  }),
];

/** Whether the platform works and what it earns, on one page. */
export function overview(): Dashboard {
  return dashboard("flashloan-overview", "Flashloan: overview", "Whether the platform works, and what it earns.", [
    { title: "Money", panels: [...moneyFigures(), moneyPlot(24)] },
    { title: "From opportunities to trades", panels: opportunities },
    { title: "Chain", panels: chain },
    { title: "Services", panels: services },
  ]);
}
