import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, Gauge, Histogram, Registry, type OpenMetricsContentType } from "prom-client";
import { METRICS, VERSION, type MetricDeclaration, type MetricName, type ServiceName } from "./declarations.ts";
import { currentSpanIds } from "./tracing.ts";

type Kind<N extends MetricName> = (typeof METRICS)[N]["kind"];
type NamesOf<K extends MetricDeclaration["kind"]> = { [N in MetricName]: Kind<N> extends K ? N : never }[MetricName];
type LabelsOf<N extends MetricName> = {
  readonly [L in keyof (typeof METRICS)[N]["labels"]]: (typeof METRICS)[N]["labels"][L] extends readonly (infer V)[]
    ? V
    : never;
};

/** A service's metrics: only what is declared for it, by its declared name and labels. */
export interface Metrics {
  /** Adds to a counter; the trace that is current becomes its exemplar. */
  add<N extends NamesOf<"counter">>(name: N, labels: LabelsOf<N>, by?: number): void;
  set<N extends NamesOf<"gauge">>(name: N, labels: LabelsOf<N>, value: number): void;
  observe<N extends NamesOf<"histogram">>(name: N, labels: LabelsOf<N>, value: number): void;
  /** Has figures set that are only looked at when somebody asks. */
  onScrape(collect: () => Promise<void> | void): void;
  /** A counter that is counted elsewhere, by something that never goes back: read with each scrape. */
  countFrom<N extends NamesOf<"counter">>(name: N, labels: LabelsOf<N>, read: () => number): void;
  /** The OpenMetrics text, exemplars included. */
  text(): Promise<string>;
  readonly contentType: string;
}

/** The metrics of a service, each counter at 0 for every declared set of labels. */
export function createMetrics(service: ServiceName): Metrics {
  const registry = new Registry<OpenMetricsContentType>();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  registry.setDefaultLabels({ service });
  const counters = new Map<string, Counter>();
  const gauges = new Map<string, Gauge>();
  const histograms = new Map<string, Histogram>();
  const collectors: (() => Promise<void> | void)[] = [];
  for (const [name, declaration] of Object.entries(METRICS) as [MetricName, MetricDeclaration][]) {
    if (!declaration.services.includes(service)) continue;
    const { kind, help, labels } = declaration;
    const labelNames = Object.keys(labels);
    const registers = [registry];
    if (kind === "counter") {
      const counter = new Counter({ name, help, labelNames, registers, enableExemplars: true });
      if (!declaration.lazy) for (const set of labelSets(labels)) counter.inc({ labels: set, value: 0 });
      counters.set(name, counter);
    } else if (kind === "gauge") {
      const gauge = new Gauge({ name, help, labelNames, registers });
      if (!declaration.lazy) for (const set of labelSets(labels)) gauge.set(set, 0);
      gauges.set(name, gauge);
    } else {
      const buckets = [...(declaration.buckets ?? [])];
      const histogram = new Histogram({ name, help, labelNames, registers, buckets, enableExemplars: true });
      for (const set of labelSets(labels)) histogram.zero(set);
      histograms.set(name, histogram);
    }
  }
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  gauges.get("flashloan_build_info")?.set({ version: VERSION }, 1);
  return {
    add: (name, labels, by = 1) => found(counters, name).inc({ labels: plain(labels), value: by, ...exemplar() }),
    set: (name, labels, value) => found(gauges, name).set(plain(labels), value),
    observe: (name, labels, value) => found(histograms, name).observe({ labels: plain(labels), value, ...exemplar() }),
    onScrape: (collect) => void collectors.push(collect),
    countFrom: (name, labels, read) => {
      let counted = 0;
      collectors.push(() => {
        const total = read();
        found(counters, name).inc({ labels: plain(labels), value: total - counted });
        counted = total;
      });
    },
    text: async () => {
      for (const collect of collectors) await collect();
      gauges.get("flashloan_event_loop_delay_seconds")?.set(delay.percentile(99) / 1e9);
      delay.reset();
      return registry.metrics();
    },
    contentType: registry.contentType,
  };
}

/** An amount as a float, for plots only: sums and comparisons of money are made in wei. */
export function etherOf(wei: bigint): number {
  return Number(wei) / 1e18;
}

/** The labels as prom-client wants them: what is declared is checked where they are given. */
const plain = (labels: object): Record<string, string> => ({ ...labels });

function found<T>(metrics: ReadonlyMap<string, T>, name: string): T {
  const metric = metrics.get(name);
  if (!metric) throw new RangeError(`${name} is not declared for this service`);
  return metric;
}

/** The current trace, if there is one that is recorded. */
function exemplar(): { exemplarLabels?: { trace_id: string; span_id: string } } {
  const ids = currentSpanIds();
  return ids ? { exemplarLabels: { trace_id: ids.traceId, span_id: ids.spanId } } : {};
}

/** Every combination of label values. */
function labelSets(labels: Readonly<Record<string, readonly string[]>>): Record<string, string>[] {
  let sets: Record<string, string>[] = [{}];
  for (const [label, values] of Object.entries(labels))
    sets = sets.flatMap((set) => values.map((value) => ({ ...set, [label]: value })));
  return sets;
}
