import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { dashboard } from "./frame.ts";
import { plot, stat, type Query } from "./panels.ts";

/** The quantiles that a latency is judged by. */
const quantiles = (metric: string, by = ""): Query[] =>
  [0.5, 0.95].map((quantile) => ({
    expr: `histogram_quantile(${quantile}, sum by (le${by && `, ${by}`}) (rate(${metric}_bucket[$__rate_interval])))`,
    legend: by ? `{{${by}}} p${quantile * 100}` : `p${quantile * 100}`,
  }));

const load = [
  stat({
    title: "At work",
    description: "Questions that a thread is busy with.",
    width: 6,
    expr: "sum(flashloan_quantum_working)",
    decimals: 0,
    unknown: "NO ENGINE",
  }),
  stat({
    title: "Waiting",
    description: "Questions that wait for a thread. One that would wait for most of its deadline is refused instead.",
    width: 6,
    expr: "sum(flashloan_quantum_waiting)",
    decimals: 0,
    unknown: "NO ENGINE",
  }),
  stat({
    title: "Memory set aside",
    description: "For the questions at work; at most QUANTUM_MEMORY_MIB.",
    width: 6,
    expr: "sum(flashloan_quantum_memory_bytes)",
    unit: "bytes",
    unknown: "NO ENGINE",
  }),
  stat({
    title: "Refused, in range",
    description: "Questions that were refused in the time range shown: malformed, too large, or too many at once.",
    width: 6,
    expr: 'sum(increase(flashloan_quantum_questions_total{outcome="refused"}[$__range]))',
    decimals: 0,
    unknown: "NO ENGINE",
  }),
  plot({
    title: "Questions by outcome, per minute",
    description: "degraded: time was up before more than the greedy baseline could be tried. cached: asked before.",
    width: 12,
    stacked: true,
    queries: [
      {
        expr: "60 * sum by (outcome) (rate(flashloan_quantum_questions_total[$__rate_interval]))",
        legend: "{{outcome}}",
      },
    ],
  }),
  plot({
    title: "Questions by kind, per minute",
    description: "select-opportunities is the trading loop's, once for a block with something to choose from.",
    width: 12,
    stacked: true,
    queries: [
      { expr: "60 * sum by (kind) (rate(flashloan_quantum_questions_total[$__rate_interval]))", legend: "{{kind}}" },
    ],
  }),
];

const answers = [
  plot({
    title: "From question to answer",
    description: "The wait for a thread included.",
    width: 12,
    unit: "s",
    queries: quantiles("flashloan_quantum_answer_seconds", "kind"),
  }),
  plot({
    title: "Deadlines missed by",
    description: "0 where they were kept.",
    width: 12,
    unit: "s",
    queries: quantiles("flashloan_quantum_overshoot_seconds"),
  }),
  plot({
    title: "Who found the answers, per minute",
    description: "exact: proven by branch and bound. greedy: nothing better was found, or there was no time.",
    width: 12,
    stacked: true,
    queries: [
      { expr: "60 * sum by (solver) (rate(flashloan_quantum_wins_total[$__rate_interval]))", legend: "{{solver}}" },
    ],
  }),
  plot({
    title: "Gap to the bound",
    description: "How far answers may be from the optimum, as a share of the bound; 0 is proven.",
    width: 12,
    unit: "percentunit",
    queries: quantiles("flashloan_quantum_gap_ratio"),
  }),
  plot({
    title: "Time to solution",
    description: "From the start of the search to the answer that was given.",
    width: 12,
    unit: "s",
    queries: quantiles("flashloan_quantum_found_seconds"),
  }),
  plot({
    title: "QAOA's approximation ratio",
    description: "As a second opinion: 0 is the worst of all assignments, 1 the best.",
    width: 12,
    unit: "percentunit",
    queries: quantiles("flashloan_quantum_approximation_ratio"),
  }),
];

/** What the quantum engine is asked, how fast it answers, and how good its answers are. */
export function quantum(): Dashboard {
  return dashboard("flashloan-quantum", "Flashloan: quantum engine", "Decisions: how many, how fast, how good.", [
    { title: "Load", panels: load },
    { title: "Answers", panels: answers },
  ]);
}
