import { expect, test } from "vitest";
import { SERVICES } from "@flashloan/shared/telemetry/declarations";
import { expressions } from "./files.ts";
import { read } from "./promql.ts";
import { labelsOf, THIRD_PARTY } from "./vocabulary.ts";

// Dashboards and alerts use only names that exist.

test("every metric, label and label value in dashboards and alerts exists", () => {
  const faults: string[] = [];
  for (const { where, expr } of expressions) {
    const { selectors, groupings } = read(expr);
    if (selectors.length === 0) faults.push(`${where}: reads no metric`);
    for (const { metric, matchers } of selectors) {
      const labels = labelsOf(metric);
      if (!labels) faults.push(`${where}: no metric ${metric}`);
      for (const { label, operator, value } of labels ? matchers : []) {
        if (!(label in (labels ?? {}))) faults.push(`${where}: ${metric} has no label ${label}`);
        const values = operator.includes("~") ? value.split("|") : [value];
        for (const one of values)
          if (labels?.[label] && !labels[label].includes(one)) faults.push(`${where}: ${label} is never "${one}"`);
      }
    }
    for (const { label, metrics } of groupings)
      if (!metrics.some((metric) => label in (labelsOf(metric) ?? {})))
        faults.push(`${where}: none of ${metrics.join(", ")} has the label ${label}`);
  }
  expect(faults).toEqual([]);
});

test("the check sees what is not there", () => {
  expect(labelsOf("flashloan_readyness")).toBeUndefined();
  expect(labelsOf("flashloan_ready_bucket")).toBeUndefined();
  expect(labelsOf("flashloan_rpc_duration_seconds")).toBeUndefined();
  expect(labelsOf("flashloan_rpc_duration_seconds_bucket")).toMatchObject({ service: SERVICES });
  expect(() => read("sum by (job (up)")).toThrow("not PromQL");
  expect(read('rate(a{b=~"c|d"}[$__rate_interval]) / on (e) group_left (f) sum by (g) (h)')).toEqual({
    selectors: [
      { metric: "a", matchers: [{ label: "b", operator: "=~", value: "c|d" }] },
      { metric: "h", matchers: [] },
    ],
    groupings: [
      { label: "e", metrics: ["a", "h"] },
      { label: "f", metrics: ["a", "h"] },
      { label: "g", metrics: ["h"] },
    ],
  });
});

test("no third-party name is listed without use", () => {
  const used = new Set(expressions.flatMap(({ expr }) => read(expr).selectors.map(({ metric }) => metric)));
  expect(Object.keys(THIRD_PARTY).filter((name) => !used.has(name))).toEqual([]);
});
