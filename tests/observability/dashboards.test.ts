import { expect, test } from "vitest";
import { dashboards, datasources, prometheusConfig } from "./files.ts";

// Dashboards and provisioning fit each other, and the screen.

test("dashboards have fixed uids, a datasource that is provisioned, and room for every panel", () => {
  expect(dashboards.map(({ uid }) => uid).sort()).toEqual([
    "flashloan-executor",
    "flashloan-infrastructure",
    "flashloan-overview",
    "flashloan-quantum",
  ]);
  for (const { uid, time, refresh, panels } of dashboards) {
    expect({ time, refresh }).toEqual({ time: { from: "now-30m", to: "now" }, refresh: "5s" });
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = new Set<string>();
    for (const { type, title, description, datasource, targets = [], gridPos } of panels) {
      const where = `${uid}: ${title}`;
      const { x, y, w, h } = gridPos;
      expect(x + w, where).toBeLessThanOrEqual(24);
      for (let column = x; column < x + w; column++)
        for (let row = y; row < y + h; row++) {
          expect(cells, where).not.toContain(`${column}/${row}`);
          cells.add(`${column}/${row}`);
        }
      if (type === "row") continue;
      expect(description?.length, where).toBeGreaterThan(15);
      expect([datasource?.uid, ...targets.map((target) => target.datasource.uid)], where).toEqual(
        Array.from({ length: targets.length + 1 }, () => "prometheus"),
      );
      expect(new Set(targets.map(({ refId }) => refId)).size, where).toBe(targets.length);
      expect(targets.length, where).toBeGreaterThan(0);
    }
  }
  // Every rectangle is full: a hole would be a row of panels that does not add up to 24 columns.
  for (const { uid, panels } of dashboards) {
    const height = Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h));
    const area = panels.reduce((sum, { gridPos }) => sum + gridPos.w * gridPos.h, 0);
    expect([uid, area]).toEqual([uid, 24 * height]);
  }
});

test("every dashboard starts with the mode, both trading states and the feed's freshness", () => {
  for (const { panels } of dashboards)
    expect(panels.slice(0, 6).map(({ title, gridPos }) => `${title} at ${gridPos.y}`)).toEqual([
      "Mode at 0",
      "Execution at 0",
      "Risk at 0",
      "Blocks, last minute at 0",
      "Services not ready at 0",
      "Alerts firing at 0",
    ]);
});

test("Grafana's datasources have the uids that dashboards use, and exemplars lead to traces", () => {
  expect(datasources.map(({ uid, type }) => ({ uid, type }))).toEqual([
    { uid: "prometheus", type: "prometheus" },
    { uid: "jaeger", type: "jaeger" },
  ]);
  expect(datasources[0]?.jsonData).toMatchObject({
    timeInterval: prometheusConfig().global.scrape_interval,
    exemplarTraceIdDestinations: [{ name: "trace_id", datasourceUid: "jaeger" }],
  });
});
