import type { Clock } from "@flashloan/shared/clock";
import type { Evidence } from "../src/diagnosis.ts";
import type { Facts, IncidentBrief } from "../src/findings.ts";

/** An incident as a supervisor opens it. */
export function incident(fields: Partial<IncidentBrief> = {}): IncidentBrief {
  return {
    id: "inc-1",
    unit: "risk-manager",
    fault: "crash",
    reason: "its process ended with code 1",
    openedAt: "2026-03-04T05:06:07.000Z",
    actions: [],
    ...fields,
  };
}

export function facts(fields: Partial<Facts> = {}): Facts {
  return { recent_logs: [], metrics: [], recent_traces: [], recent_changes: [], earlier_incidents: [], ...fields };
}

/** Evidence from facts; keeps who was asked, in order. */
export function evidenceOf(known: Partial<Facts> = {}): Evidence & { readonly asked: string[] } {
  const asked: string[] = [];
  const answer = async (what: string, lines: readonly string[] = []): Promise<readonly string[]> => {
    asked.push(what);
    return lines;
  };
  return {
    asked,
    logs: (unit, lines) => answer(`logs of ${unit}, ${lines}`, known.recent_logs),
    metrics: async () =>
      Object.fromEntries(
        (await answer("metrics", known.metrics)).map((line) => {
          const space = line.lastIndexOf(" ");
          return [line.slice(0, space), Number(line.slice(space + 1))];
        }),
      ),
    traces: () => answer("traces", known.recent_traces),
    recentChanges: () => answer("changes", known.recent_changes),
    incidents: () => answer("incidents", known.earlier_incidents),
  };
}

/** A clock whose time passes when told. */
export function handClock(): Clock & { pass(ms: number): void } {
  let now = 0;
  let sleepers: { readonly at: number; readonly wake: () => void }[] = [];
  return {
    now: () => now,
    monotonic: () => now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        sleepers.push({ at: now + ms, wake: resolve });
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      }),
    pass(ms) {
      now += ms;
      const due = sleepers.filter(({ at }) => at <= now);
      sleepers = sleepers.filter(({ at }) => at > now);
      for (const { wake } of due) wake();
    },
  };
}

/** A line as our services log it. */
export function logLine(level: string, event: string, fields: object = {}): string {
  return JSON.stringify({ level, time: "2026-03-04T05:06:06.900Z", service: "risk-manager", ...fields, event });
}

/** What a service writes when an exception that nothing caught ends it. */
export const CRASH = logLine("fatal", "process_failed", {
  error: {
    code: "internal",
    message: "Cannot read properties of undefined (reading 'gasWei')",
    retryable: false,
    docs: "docs/errors.md#internal",
    stack: [
      "TypeError: Cannot read properties of undefined (reading 'gasWei')",
      "    at decode (file:///app/node_modules/.pnpm/some@1.0.0/node_modules/some/dist/src/decode.js:5:1)",
      "    at GasBudget.spent (file:///app/services/risk-manager/dist/src/gas-budget.js:41:23)",
      "    at process.processTicksAndRejections (node:internal/process/task_queues:105:5)",
    ].join("\n"),
  },
});
