import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { dashboard } from "./frame.ts";
import { moneyFigures, moneyPlot } from "./money.ts";
import { heatmap, plot, stat, type Query } from "./panels.ts";

/** The quantiles that a latency is judged by. */
const quantiles = (metric: string): Query[] =>
  [0.5, 0.9, 0.99].map((quantile) => ({
    expr: `histogram_quantile(${quantile}, sum by (le) (rate(${metric}_bucket[$__rate_interval])))`,
    legend: `p${quantile * 100}`,
  }));

const trades = [
  stat({
    title: "In flight",
    description: "Intents that are signed and not final. They end by themselves; see IntentsStuck if they don't.",
    width: 4,
    expr: "sum(flashloan_in_flight)",
    decimals: 0,
    unknown: "NO EXECUTOR",
  }),
  stat({
    title: "Settled, in range",
    description: "Trades that settled in the time range shown.",
    width: 4,
    expr: 'sum(increase(flashloan_intents_total{state="SETTLED"}[$__range]))',
    decimals: 0,
    unknown: "NO EXECUTOR",
  }),
  stat({
    title: "Reverted, in range",
    description: "Transactions that reverted on chain in the time range shown: each cost its gas, nothing else.",
    width: 4,
    expr: 'sum(increase(flashloan_intents_total{state="REVERTED"}[$__range]))',
    decimals: 0,
    steps: [["green"], ["orange", 0.5]],
    unknown: "NO EXECUTOR",
  }),
  stat({
    title: "Simulated on paper, in range",
    description: "Trades that were only simulated, since the mode is PAPER: no money.",
    width: 4,
    expr: 'sum(increase(flashloan_intents_total{state="PAPER"}[$__range]))',
    decimals: 0,
    unknown: "NO EXECUTOR",
  }),
  stat({
    title: "Gas, last hour",
    description:
      "Against RISK_GAS_BUDGET_HOUR_WEI. Coloured for its default of 2 ether: orange from 80 %, red when it is spent and trading stands.",
    width: 4,
    expr: 'max(flashloan_risk_gas_spent_ether{window="hour"})',
    unit: "suffix: ether",
    decimals: 4,
    steps: [["green"], ["orange", 1.6], ["red", 2]],
    unknown: "NO RISK MANAGER",
  }),
  stat({
    title: "Gas, last day",
    description:
      "Against RISK_GAS_BUDGET_DAY_WEI. Coloured for its default of 10 ether: orange from 80 %, red when it is spent and trading stands.",
    width: 4,
    expr: 'max(flashloan_risk_gas_spent_ether{window="day"})',
    unit: "suffix: ether",
    decimals: 4,
    steps: [["green"], ["orange", 8], ["red", 10]],
    unknown: "NO RISK MANAGER",
  }),
  plot({
    title: "Intents by state reached, per minute",
    description: "SIGNED and SUBMITTED start a life; SETTLED, REVERTED, ABANDONED, DROPPED and PAPER end it.",
    width: 12,
    queries: [{ expr: "60 * sum by (state) (rate(flashloan_intents_total[$__rate_interval]))", legend: "{{state}}" }],
  }),
  plot({
    title: "In flight, by instance",
    description: "Intents that are signed and not final, against EXECUTOR_IN_FLIGHT_MAX (by default 4).",
    width: 12,
    queries: [{ expr: "sum by (instance) (flashloan_in_flight)", legend: "{{instance}}" }],
  }),
];

const latency = [
  heatmap({
    title: "Block to submission",
    description:
      "From the arrival of a block's report to the transaction on the wire. The dots are traces: click one to see where the time went.",
    width: 12,
    unit: "s",
    expr: "sum by (le) (increase(flashloan_block_to_submission_seconds_bucket[$__rate_interval]))",
  }),
  plot({
    title: "Block to submission, quantiles",
    description: "The same as quantiles. Nothing is drawn while nothing is submitted.",
    width: 12,
    unit: "s",
    exemplars: true,
    queries: quantiles("flashloan_block_to_submission_seconds"),
  }),
  plot({
    title: "Block to report, quantiles",
    description: "From a block's arrival to the predictor's report: pool state brought up to date, and the search.",
    width: 12,
    unit: "s",
    exemplars: true,
    queries: quantiles("flashloan_feed_latency_seconds"),
  }),
  plot({
    title: "Ledger commit, quantiles",
    description: "Time of one group commit; nothing is sent before it. See LedgerCommitSlow.",
    width: 12,
    unit: "s",
    exemplars: true,
    line: true,
    steps: [["green"], ["red", 0.25]],
    queries: quantiles("flashloan_ledger_commit_seconds"),
  }),
];

const decisions = [
  plot({
    title: "Blocks by who chose, per minute",
    description:
      "Whose choice among a block's opportunities was taken. greedy: nobody else was asked. late, down, refused, invalid and worse: the quantum engine was of no use, and the greedy choice was taken.",
    width: 12,
    stacked: true,
    queries: [
      { expr: "60 * sum by (outcome) (rate(flashloan_selections_total[$__rate_interval]))", legend: "{{outcome}}" },
    ],
  }),
  plot({
    title: "Time to choose, quantiles",
    description: "Among a block's opportunities, against EXECUTOR_SELECTION_DEADLINE_MS (by default 5 ms).",
    width: 12,
    unit: "s",
    exemplars: true,
    queries: quantiles("flashloan_selection_seconds"),
  }),
  plot({
    title: "Opportunities rejected by stage, per minute",
    description: "Where an opportunity ended before it was signed.",
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
    title: "Risk checks by outcome, per minute",
    description: "Each plan is asked for twice: before it is built and before it is sent.",
    width: 12,
    stacked: true,
    queries: [
      { expr: "60 * sum by (outcome) (rate(flashloan_risk_checks_total[$__rate_interval]))", legend: "{{outcome}}" },
    ],
  }),
  plot({
    title: "Risk refusals by rule, per minute",
    description: "Which rule refused. gas_budget_* and trading_state mean that trading stands.",
    width: 12,
    stacked: true,
    queries: [
      { expr: "60 * sum by (rule) (rate(flashloan_risk_refusals_total[$__rate_interval]))", legend: "{{rule}}" },
    ],
  }),
  plot({
    title: "Ledger appends by outcome, per minute",
    description:
      "repeated: asked again with the same key, and told so. refused: somebody else appended first; two executors on one ledger.",
    width: 12,
    queries: [
      {
        expr: "60 * sum by (outcome) (rate(flashloan_ledger_appends_total[$__rate_interval]))",
        legend: "{{outcome}}",
      },
    ],
  }),
];

/** What becomes of opportunities, how fast, and what it earns. */
export function executor(): Dashboard {
  return dashboard("flashloan-executor", "Flashloan: executor", "From a block to money: decisions, speed, results.", [
    { title: "Trades", panels: trades },
    { title: "Money", panels: [...moneyFigures(), moneyPlot(24)] },
    { title: "Speed", panels: latency },
    { title: "Decisions", panels: decisions },
  ]);
}
