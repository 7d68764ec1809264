import {
  METRICS,
  SERVICES,
  SPANS,
  type MetricDeclaration,
  type SpanDeclaration,
} from "@flashloan/shared/telemetry/declarations";
import { cell, writeOrCheck } from "./generated-files.ts";

// Writes docs/telemetry.md from the declarations; `--check` fails when it is stale.
const metrics = Object.entries(METRICS) as [string, MetricDeclaration][];
const spans = Object.entries(SPANS) as [string, SpanDeclaration][];

const code = (text: string): string => `\`${text}\``;
const labelsOf = ({ labels }: MetricDeclaration): string =>
  Object.entries(labels)
    .map(([label, values]) => `${code(label)}: ${values.map(code).join(", ")}`)
    .join("; ");
const table = (entries: typeof metrics): string[] => [
  "| metric | kind | labels | what it is |",
  "| --- | --- | --- | --- |",
  ...entries.map(([name, metric]) => `| ${code(name)} | ${metric.kind} | ${labelsOf(metric)} | ${cell(metric.help)} |`),
];
const isShared = ({ services }: MetricDeclaration): boolean => services.length === SERVICES.length;

const reference = [
  "# Telemetry",
  "",
  "Generated from `packages/shared/src/telemetry/declarations.ts` by `npm run generate`. Dashboards and alerts use these",
  "names and no others, and tests prove that the services emit every one.",
  "",
  "## Metrics",
  "",
  "Each service serves OpenMetrics on `/metrics` (`METRICS_HOST`, `METRICS_PORT`), every series with the label `service`.",
  "All are there from the start, at 0, but for needs, which differ by service. Profit, premium and gas start at what the",
  "ledger holds, so that they go on where an earlier run ended, whatever ended it. Amounts are in ether, as floats, for",
  "plots only: the exact ones are in the ledger. What is counted or timed in a trace carries its id as an exemplar.",
  "",
  "### every service",
  "",
  ...table(metrics.filter(([, metric]) => isShared(metric))),
  ...SERVICES.flatMap((service) => [
    "",
    `### ${service}`,
    "",
    ...table(metrics.filter(([, metric]) => !isShared(metric) && metric.services.includes(service))),
  ]),
  "",
  "## Spans",
  "",
  "One trace goes from the block that showed an opportunity to the settled trade, through every service and the bus.",
  "Nothing is recorded unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set, the same for every service. Logs of a trace carry its",
  "`trace_id`. The context travels as W3C `traceparent`: in the predictor's report, in gRPC metadata, in the CloudEvents of",
  "the bus, and in the ledger's DETECTED record, so that a settlement after a restart still belongs to its trace.",
  "",
  "| span | service | under | attributes | what it covers |",
  "| --- | --- | --- | --- | --- |",
  ...spans.map(([name, { service, parents, attributes, help }]) => {
    const under = parents.length === 0 ? "(starts the trace)" : parents.map(code).join(", ");
    return `| ${code(name)} | ${service} | ${under} | ${attributes.map(code).join(", ")} | ${cell(help)} |`;
  }),
  "",
].join("\n");

writeOrCheck({ "docs/telemetry.md": reference });
