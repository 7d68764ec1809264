import { z } from "zod";
import type { Evidence } from "./diagnosis.ts";
import type { UnitDriver } from "./driver.ts";
import type { SupervisorStore } from "./incidents.ts";

const ASK_DEADLINE_MS = 3_000;
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
const SERIES_MAX = 500;
const TRACES_MAX = 5;
const PAST_MAX = 20;

const samplesSchema = z.object({
  data: z.object({
    result: z.array(z.object({ metric: z.record(z.string(), z.string()), value: z.tuple([z.number(), z.string()]) })),
  }),
});
const tracesSchema = z.object({
  data: z.array(
    z.object({
      spans: z.array(
        z.object({
          operationName: z.string(),
          duration: z.number(),
          startTime: z.number(),
          tags: z.array(z.object({ key: z.string(), value: z.unknown() })),
        }),
      ),
    }),
  ),
});

/** Where a supervisor looks for evidence, beside what it knows itself; without a source there is none of its kind. */
export interface EvidenceSources {
  readonly driver: UnitDriver;
  readonly store: SupervisorStore;
  /** Such as http://prometheus:9090. */
  readonly prometheusUrl: string | undefined;
  /** Such as http://jaeger:16686. */
  readonly jaegerUrl: string | undefined;
}

/** The evidence of a supervisor: its driver's logs, its own records, Prometheus and Jaeger. */
export function createEvidence({ driver, store, prometheusUrl, jaegerUrl }: EvidenceSources): Evidence {
  const at = (ms: number): string => new Date(ms).toISOString();
  return {
    logs: (unit, lines) => driver.logs(unit, lines),
    metrics: async (unit) => {
      if (prometheusUrl === undefined) return {};
      const query = new URL("/api/v1/query", prometheusUrl);
      query.searchParams.set("query", `{job="${unit}"}`);
      const { data } = await ask(query, samplesSchema);
      const named = data.result.slice(0, SERIES_MAX).map(({ metric, value }) => [nameOf(metric), Number(value[1])]);
      return Object.fromEntries(named) as Record<string, number>;
    },
    traces: async (unit) => {
      if (jaegerUrl === undefined) return [];
      const query = new URL("/api/traces", jaegerUrl);
      query.searchParams.set("service", unit);
      query.searchParams.set("limit", String(TRACES_MAX));
      const { data } = await ask(query, tracesSchema);
      return data.flatMap(({ spans }) =>
        spans.map(({ operationName, duration, startTime, tags }) => {
          const failed = tags.some(({ key, value }) => key === "error" && value === true);
          return `${at(startTime / 1_000)} ${operationName} took ${duration / 1_000} ms${failed ? " and failed" : ""}`;
        }),
      );
    },
    recentChanges: async (unit) => {
      const { items } = await store.commands(undefined, PAST_MAX);
      return items
        .filter((command) => command.unit === unit)
        .map(({ atMs, command, operator, reason }) => `${at(atMs)} ${command} by ${operator}: ${reason}`)
        .toReversed();
    },
    incidents: async (unit) => {
      const { items } = await store.incidents(unit, undefined, PAST_MAX);
      return items
        .map(({ openedAtMs, fault, outcome }) => `${at(openedAtMs)} ${fault}: ${outcome ?? "open"}`)
        .toReversed();
    },
  };
}

function nameOf({ __name__: name = "", ...labels }: Readonly<Record<string, string>>): string {
  const text = Object.entries(labels)
    .filter(([label]) => label !== "job" && label !== "instance" && label !== "service")
    .map(([label, value]) => `${label}="${value}"`);
  return text.length === 0 ? name : `${name}{${text.join(",")}}`;
}

async function ask<T>(url: URL, schema: z.ZodType<T>): Promise<T> {
  const response = await fetch(url, { signal: AbortSignal.timeout(ASK_DEADLINE_MS) });
  if (!response.ok) throw new Error(`${url.host} answered ${response.status}`);
  const text = await response.text();
  if (text.length > ANSWER_BYTES_MAX) throw new Error(`${url.host} answered ${text.length} characters`);
  return schema.parse(JSON.parse(text));
}
