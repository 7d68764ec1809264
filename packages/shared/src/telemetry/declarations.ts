/** The version of the platform: of builds, of traces. */
export const VERSION = "0.1.0";

/** Every service that emits telemetry. */
export const SERVICES = [
  "checkpoint",
  "market-predictor",
  "risk-manager",
  "hft-executor",
  "quantum-engine",
  "supervisor",
] as const;
/** @see SERVICES */
export type ServiceName = (typeof SERVICES)[number];

/** One metric: declared here once, emitted by the services that it names, used by dashboards and alerts by this name. */
export interface MetricDeclaration {
  readonly kind: "counter" | "gauge" | "histogram";
  /** What it counts, with its unit. */
  readonly help: string;
  readonly services: readonly ServiceName[];
  /** Labels and every value that they may have: each set of values is there from the start, at 0. */
  readonly labels: Readonly<Record<string, readonly string[]>>;
  /** A gauge or counter whose sets of labels differ from service to service: a set is there once it has a value. */
  readonly lazy?: true;
  /** Upper bounds of a histogram's buckets. */
  readonly buckets?: readonly number[];
}

/** What services can't do their work without. */
const NEEDS = ["database", "chain", "feed", "checkpoint", "market-predictor", "risk-manager", "lead"] as const;
/** @see NEEDS */
export type Need = (typeof NEEDS)[number];

/** The rules of the risk manager, by the names that refusals, metrics and docs use. */
export const RISK_RULES = [
  "min_net_profit",
  "max_loan",
  "max_depth_share",
  "max_gas_price",
  "max_slippage",
  "allowed_tokens",
  "allowed_venues",
  "gas_budget_hour",
  "gas_budget_day",
  "trading_state",
  "outcomes_unknown",
] as const;
/** What the quantum engine is asked. */
export const QUANTUM_QUESTIONS = [
  "solve",
  "select-opportunities",
  "allocate-tasks",
  "rank-completions",
  "minimize-energy",
  "landscape",
  "export-circuit",
  "plot-landscape",
  "plot-convergence",
  "plot-distribution",
  "plot-time-to-solution",
] as const;
/** Who found an answer of the quantum engine. */
const QUANTUM_SOLVERS = ["exact", "tabu", "annealing", "descent", "greedy"] as const;
/** The patterns of packages/recovery. */
export const RECOVERY_PATTERNS = [
  "retry",
  "timeout",
  "circuit_breaker",
  "bulkhead",
  "fallback",
  "saga",
  "idempotent",
  "quarantine",
  "degrade",
  "script",
] as const;
/** @see RECOVERY_PATTERNS */
export type RecoveryPattern = (typeof RECOVERY_PATTERNS)[number];
/** The kinds of work that are guarded. */
export const RECOVERY_OPERATIONS = ["rpc", "model", "tool", "task", "script", "transaction", "unit"] as const;
/** @see RECOVERY_OPERATIONS */
export type RecoveryOperation = (typeof RECOVERY_OPERATIONS)[number];
/** What a pattern did. */
export const RECOVERY_OUTCOMES = [
  "retried",
  "recovered",
  "exhausted",
  "timed_out",
  "opened",
  "refused",
  "fell_back",
  "completed",
  "resumed",
  "rolled_back",
  "failed",
  "replayed",
  "quarantined",
  "released",
  "degraded",
  "patched",
] as const;
/** @see RECOVERY_OUTCOMES */
export type RecoveryOutcome = (typeof RECOVERY_OUTCOMES)[number];
const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

/** Every metric of the platform. Units are in the names; amounts are in ether, as floats, for plots only. */
export const METRICS = {
  flashloan_build_info: {
    kind: "gauge",
    help: "1, with the version as a label",
    services: SERVICES,
    labels: { version: [VERSION] },
  },
  flashloan_ready: { kind: "gauge", help: "1 while the service serves", services: SERVICES, labels: {} },
  flashloan_need_met: {
    kind: "gauge",
    help: "1 while something that the service can't do its work without is there",
    services: SERVICES,
    labels: { need: NEEDS },
    lazy: true,
  },
  flashloan_bus_connected: {
    kind: "gauge",
    help: "1 while the event bus has its broker",
    services: SERVICES,
    labels: {},
  },
  flashloan_bus_waiting: {
    kind: "gauge",
    help: "Events that wait for the broker",
    services: SERVICES,
    labels: {},
  },
  flashloan_bus_reconnects_total: {
    kind: "counter",
    help: "Times that the broker was lost and found again",
    services: SERVICES,
    labels: {},
  },
  flashloan_coordination_reachable: {
    kind: "gauge",
    help: "1 while the registry answers",
    services: SERVICES,
    labels: {},
  },
  flashloan_bus_published_total: {
    kind: "counter",
    help: "Events given to the bus, by what became of that: acknowledged ones are on the broker's disk",
    services: SERVICES,
    labels: { outcome: ["acknowledged", "failed"] },
  },
  flashloan_live_feed_reachable: {
    kind: "gauge",
    help: "1 while the store of the live feed answers",
    services: SERVICES,
    labels: {},
  },
  flashloan_live_feed_dropped_total: {
    kind: "counter",
    help: "Entries of the live feed that an outage turned away",
    services: SERVICES,
    labels: {},
  },
  flashloan_bus_events_total: {
    kind: "counter",
    help: "Events given to a handler; a refused one comes again until it is a dead letter",
    services: SERVICES,
    labels: { outcome: ["handled", "refused"] },
  },
  flashloan_event_loop_delay_seconds: {
    kind: "gauge",
    help: "99th percentile of the event loop's delay since the last scrape",
    services: SERVICES,
    labels: {},
  },
  flashloan_recovery_events_total: {
    kind: "counter",
    help: "What recovery patterns did, from the first time that they did it",
    services: SERVICES,
    labels: { pattern: RECOVERY_PATTERNS, operation: RECOVERY_OPERATIONS, outcome: RECOVERY_OUTCOMES },
    lazy: true,
  },
  flashloan_rpc_requests_total: {
    kind: "counter",
    help: "gRPC requests answered",
    services: SERVICES,
    labels: { outcome: ["ok", "refused", "failed"] },
  },
  flashloan_rpc_duration_seconds: {
    kind: "histogram",
    help: "Time to answer a unary gRPC request",
    services: SERVICES,
    labels: {},
    buckets: SECONDS,
  },
  flashloan_ledger_appends_total: {
    kind: "counter",
    help: "Requests to append: failed when the database did not take it",
    services: ["checkpoint"],
    labels: { outcome: ["appended", "repeated", "refused", "failed"] },
  },
  flashloan_ledger_position: {
    kind: "gauge",
    help: "Place of the newest record",
    services: ["checkpoint"],
    labels: {},
  },
  flashloan_ledger_commit_seconds: {
    kind: "histogram",
    help: "Time of one group commit",
    services: ["checkpoint"],
    labels: {},
    buckets: SECONDS,
  },
  flashloan_ledger_compacted_records_total: {
    kind: "counter",
    help: "Records that compaction removed",
    services: ["checkpoint"],
    labels: {},
  },
  flashloan_ledger_reads_total: {
    kind: "counter",
    help: "Newest records that were asked for, by where they were read",
    services: ["checkpoint"],
    labels: { source: ["cache", "database"] },
  },
  flashloan_ledger_cache_misses_total: {
    kind: "counter",
    help: "Newest records that the cache was asked for in vain: late when it did not answer in time and while it is left alone for that",
    services: ["checkpoint"],
    labels: { reason: ["absent", "behind", "unreadable", "late"] },
  },
  flashloan_ledger_cache_failures_total: {
    kind: "counter",
    help: "Reads and writes of the ledger's cache that failed because it could not be reached or was full",
    services: ["checkpoint"],
    labels: {},
  },
  flashloan_feed_block: {
    kind: "gauge",
    help: "Newest block that was taken in",
    services: ["market-predictor"],
    labels: {},
  },
  flashloan_feed_age_seconds: {
    kind: "gauge",
    help: "Time since the newest block was taken in, or since the start while there is none",
    services: ["market-predictor"],
    labels: {},
  },
  flashloan_feed_latency_seconds: {
    kind: "histogram",
    help: "From a block's arrival to its report",
    services: ["market-predictor"],
    labels: {},
    buckets: SECONDS,
  },
  flashloan_feed_reorgs_total: { kind: "counter", help: "Reorganisations", services: ["market-predictor"], labels: {} },
  flashloan_feed_reconnects_total: {
    kind: "counter",
    help: "Connections to the chain lost and regained",
    services: ["market-predictor"],
    labels: {},
  },
  flashloan_feed_self_checks_total: {
    kind: "counter",
    help: "Pools compared with the chain",
    services: ["market-predictor"],
    labels: { outcome: ["equal", "different"] },
  },
  flashloan_pools: {
    kind: "gauge",
    help: "Pools",
    services: ["market-predictor"],
    labels: { state: ["watched", "quarantined"] },
  },
  flashloan_cycles_total: {
    kind: "counter",
    help: "Cycles with a gain before costs (gross) and after (net)",
    services: ["market-predictor"],
    labels: { profit: ["gross", "net"] },
  },
  flashloan_quantum_questions_total: {
    kind: "counter",
    help: "Questions to the quantum engine; degraded: time was up before more than the baseline could be tried",
    services: ["quantum-engine"],
    labels: {
      kind: QUANTUM_QUESTIONS,
      outcome: ["answered", "degraded", "cached", "refused", "failed", "cancelled"],
    },
  },
  flashloan_quantum_wins_total: {
    kind: "counter",
    help: "Answers by the solver that found them",
    services: ["quantum-engine"],
    labels: { solver: QUANTUM_SOLVERS },
  },
  flashloan_quantum_gap_ratio: {
    kind: "histogram",
    help: "How far an answer may be from the optimum, as a share of the bound; 0 when it is proven",
    services: ["quantum-engine"],
    labels: {},
    buckets: [0, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1],
  },
  flashloan_quantum_found_seconds: {
    kind: "histogram",
    help: "Time to solution: from the start of the search to the answer that was given",
    services: ["quantum-engine"],
    labels: {},
    buckets: SECONDS,
  },
  flashloan_quantum_answer_seconds: {
    kind: "histogram",
    help: "From a question to its answer, the wait for a thread included",
    services: ["quantum-engine"],
    labels: { kind: QUANTUM_QUESTIONS },
    buckets: SECONDS,
  },
  flashloan_quantum_overshoot_seconds: {
    kind: "histogram",
    help: "By how much answers missed their deadlines",
    services: ["quantum-engine"],
    labels: {},
    buckets: SECONDS,
  },
  flashloan_quantum_approximation_ratio: {
    kind: "histogram",
    help: "What QAOA reached as a second opinion: 0 is the worst of all assignments, 1 the best",
    services: ["quantum-engine"],
    labels: {},
    buckets: [0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 1],
  },
  flashloan_quantum_waiting: {
    kind: "gauge",
    help: "Questions that wait for a thread",
    services: ["quantum-engine"],
    labels: {},
  },
  flashloan_quantum_working: {
    kind: "gauge",
    help: "Questions that are at work",
    services: ["quantum-engine"],
    labels: {},
  },
  flashloan_quantum_memory_bytes: {
    kind: "gauge",
    help: "Memory that is set aside for the questions at work",
    services: ["quantum-engine"],
    labels: {},
  },
  flashloan_risk_checks_total: {
    kind: "counter",
    help: "Questions to the risk manager",
    services: ["risk-manager"],
    labels: { outcome: ["approved", "refused"] },
  },
  flashloan_risk_refusals_total: {
    kind: "counter",
    help: "Refusals by rule",
    services: ["risk-manager"],
    labels: { rule: RISK_RULES },
  },
  flashloan_risk_state: {
    kind: "gauge",
    help: "1 for the state that trading is in",
    services: ["risk-manager"],
    labels: { state: ["ACTIVE", "PAUSED", "KILLED"] },
  },
  flashloan_risk_outcomes_known: {
    kind: "gauge",
    help: "1 once the executor has told the last day's outcomes; until then every plan is refused",
    services: ["risk-manager"],
    labels: {},
  },
  flashloan_risk_consecutive_failures: {
    kind: "gauge",
    help: "Failures since the last success",
    services: ["risk-manager"],
    labels: {},
  },
  flashloan_risk_breaker_open: {
    kind: "gauge",
    help: "1 from when failures in a row paused trading until an operator resumes it",
    services: ["risk-manager"],
    labels: {},
  },
  flashloan_risk_open_intents: {
    kind: "gauge",
    help: "Intents that are signed and not ended, by the events of the bus, which may be late",
    services: ["risk-manager"],
    labels: {},
  },
  flashloan_risk_exposure_ether: {
    kind: "gauge",
    help: "Most gas that the open intents can still cost, by the events of the bus, which may be late",
    services: ["risk-manager"],
    labels: {},
  },
  flashloan_risk_gas_spent_ether: {
    kind: "gauge",
    help: "Gas paid within the window",
    services: ["risk-manager"],
    labels: { window: ["hour", "day"] },
  },
  flashloan_intents_total: {
    kind: "counter",
    help: "Intents by the state that they reached since the start, each time that they reached it",
    services: ["hft-executor"],
    labels: {
      state: [
        "SIGNED",
        "SUBMITTED",
        "REPLACED",
        "INCLUDED",
        "REORGED",
        "SETTLED",
        "REVERTED",
        "ABANDONED",
        "DROPPED",
        "PAPER",
      ],
    },
  },
  flashloan_opportunities_rejected_total: {
    kind: "counter",
    help: "Opportunities that ended before they were signed",
    services: ["hft-executor"],
    labels: { stage: ["risk", "simulation", "execution", "selection"] },
  },
  flashloan_selections_total: {
    kind: "counter",
    help: "Blocks whose opportunities were chosen from, by who chose: the engine; or the greedy choice, since nobody else was asked, or since the engine was late, down, refused, answered what can't be, or chose worse",
    services: ["hft-executor"],
    labels: { outcome: ["greedy", "engine", "late", "down", "refused", "invalid", "worse"] },
  },
  flashloan_selection_gain_ether_total: {
    kind: "counter",
    help: "What the engine's choices are worth beyond the greedy ones, as the opportunities were found",
    services: ["hft-executor"],
    labels: {},
  },
  flashloan_selection_seconds: {
    kind: "histogram",
    help: "Time to choose among a block's opportunities",
    services: ["hft-executor"],
    labels: {},
    buckets: SECONDS,
  },
  flashloan_in_flight: {
    kind: "gauge",
    help: "Intents that are signed and not final",
    services: ["hft-executor"],
    labels: {},
  },
  flashloan_execution_state: {
    kind: "gauge",
    help: "1 for the state that execution is in",
    services: ["hft-executor"],
    labels: { state: ["ACTIVE", "PAUSED", "KILLED"] },
  },
  flashloan_execution_mode: {
    kind: "gauge",
    help: "1 for the mode",
    services: ["hft-executor"],
    labels: { mode: ["PAPER", "LIVE"] },
  },
  flashloan_profit_ether_total: {
    kind: "counter",
    help: "Profit before premium and gas of settled trades, read from the chain",
    services: ["hft-executor"],
    labels: {},
  },
  flashloan_premium_ether_total: {
    kind: "counter",
    help: "Flash-loan premiums of settled trades, read from the chain",
    services: ["hft-executor"],
    labels: {},
  },
  flashloan_gas_ether_total: {
    kind: "counter",
    help: "Gas of final transactions, of reverted, replaced and cancelled ones too, read from the chain",
    services: ["hft-executor"],
    labels: {},
  },
  flashloan_block_to_submission_seconds: {
    kind: "histogram",
    help: "From a report's arrival to the transaction on the wire",
    services: ["hft-executor"],
    labels: {},
    buckets: SECONDS,
  },
  flashloan_supervisor_leading: {
    kind: "gauge",
    help: "1 while this supervisor is the one that acts",
    services: ["supervisor"],
    labels: {},
  },
  flashloan_supervisor_units: {
    kind: "gauge",
    help: "Units under supervision, by where they are in their life; told by the leader",
    services: ["supervisor"],
    labels: { phase: ["starting", "up", "degraded", "down", "restarting", "crash_loop", "quarantined"] },
  },
  flashloan_supervisor_incidents_total: {
    kind: "counter",
    help: "Failures of units",
    services: ["supervisor"],
    labels: {
      fault: [
        "crash",
        "out_of_memory",
        "no_answer",
        "stuck",
        "wrong_answer",
        "unhealthy",
        "start_timeout",
        "restart_failed",
        "loop_blocked",
      ],
    },
  },
  flashloan_supervisor_restarts_total: {
    kind: "counter",
    help: "Restarts by the supervisor, planned ones too",
    services: ["supervisor"],
    labels: { outcome: ["done", "failed"] },
  },
  flashloan_supervisor_heal_seconds: {
    kind: "histogram",
    help: "From when a failure was noticed until the unit did its work again",
    services: ["supervisor"],
    labels: {},
    buckets: [0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120, 300],
  },
  flashloan_supervisor_alerts_total: {
    kind: "counter",
    help: "Alerts given to those who are configured",
    services: ["supervisor"],
    labels: { channel: ["alertmanager", "webhook"], outcome: ["delivered", "failed"] },
  },
} as const satisfies Readonly<Record<string, MetricDeclaration>>;

/** The name of a metric. */
export type MetricName = keyof typeof METRICS;

/** One span: declared here once, made by the service that it names. */
export interface SpanDeclaration {
  readonly service: ServiceName;
  /** What it covers. */
  readonly help: string;
  /** The spans that it may hang under; none: it starts a trace. Outside of these it is not recorded. */
  readonly parents: readonly string[];
  readonly attributes: readonly string[];
}

/** Every span of the platform: one trace from the block that showed an opportunity to the settled trade. */
export const SPANS = {
  "feed.block": {
    service: "market-predictor",
    help: "A block that showed opportunities, from its arrival to its report; other blocks leave no span",
    parents: [],
    attributes: ["flashloan.block", "flashloan.opportunities"],
  },
  "executor.select": {
    service: "hft-executor",
    help: "The choice among a block's opportunities",
    parents: ["feed.block"],
    attributes: ["flashloan.block", "flashloan.opportunities", "flashloan.selection", "flashloan.chosen"],
  },
  "executor.opportunity": {
    service: "hft-executor",
    help: "One opportunity, from the first question to the risk manager until it is refused or on the wire",
    parents: ["feed.block"],
    attributes: ["flashloan.intent_id", "flashloan.block", "flashloan.refusal"],
  },
  "quantum.answer": {
    service: "quantum-engine",
    help: "One question to the quantum engine, from its arrival to its answer; recorded where its caller has a trace",
    parents: ["executor.select"],
    attributes: ["flashloan.question", "flashloan.solver"],
  },
  "executor.simulate": {
    service: "hft-executor",
    help: "The simulation of its call on the newest block",
    parents: ["executor.opportunity"],
    attributes: ["flashloan.intent_id", "flashloan.gas_used", "flashloan.refusal"],
  },
  "executor.sign": {
    service: "hft-executor",
    help: "One signature: of the trade, or of the cancellation that replaces it",
    parents: ["executor.opportunity"],
    attributes: ["flashloan.intent_id", "flashloan.purpose", "flashloan.nonce", "flashloan.transaction_hash"],
  },
  "executor.submit": {
    service: "hft-executor",
    help: "Signed bytes given to the node, once for each block that they wait",
    parents: ["executor.opportunity"],
    attributes: ["flashloan.intent_id", "flashloan.transaction_hash"],
  },
  "executor.settle": {
    service: "hft-executor",
    help: "The end of an intent whose transaction is final, blocks later and after restarts too",
    parents: ["executor.opportunity"],
    attributes: ["flashloan.intent_id", "flashloan.block", "flashloan.transaction_hash", "flashloan.state"],
  },
  "risk.check": {
    service: "risk-manager",
    help: "One question whether a plan may go on",
    parents: ["executor.opportunity"],
    attributes: ["flashloan.intent_id", "flashloan.stage", "flashloan.refusal"],
  },
  "risk.observe": {
    service: "risk-manager",
    help: "An intent's event taken off the bus",
    parents: ["executor.opportunity", "executor.settle"],
    attributes: ["flashloan.event_type", "flashloan.event_subject"],
  },
  "ledger.append": {
    service: "checkpoint",
    help: "One durable append, the wait for its group's commit included",
    parents: ["executor.opportunity", "executor.settle"],
    attributes: ["flashloan.stream", "flashloan.records"],
  },
} as const satisfies Readonly<Record<string, SpanDeclaration>>;

/** The name of a span. */
export type SpanName = keyof typeof SPANS;
/** The attributes that a span may have. */
export type SpanAttributes<N extends SpanName> = Readonly<
  Partial<Record<(typeof SPANS)[N]["attributes"][number], string | number>>
>;
