import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { binary } from "../support/servers.ts";
import { alerts, ROOT } from "./files.ts";

// What the makers' own tools say of the files.
const run = promisify(execFile);
const tool = async (name: string, ...args: string[]): Promise<string> =>
  (await run(binary(name), args, { cwd: ROOT })).stdout;

test("promtool takes the configuration and the rules", async () => {
  expect(await tool("promtool", "check", "config", "infra/prometheus/prometheus.yml")).toContain(
    `SUCCESS: ${alerts.length} rules found`,
  );
});

test("every alert fires when its limit is passed and not just inside of it", async () => {
  expect(await tool("promtool", "test", "rules", "infra/prometheus/alerts.test.yml")).toContain("SUCCESS");
});

test("amtool takes the configuration, and routes by severity", async () => {
  const config = "infra/alertmanager/alertmanager.yml";
  expect(await tool("amtool", "check-config", config)).toContain("SUCCESS");
  const receiver = async (severity: string): Promise<string> =>
    (await tool("amtool", "config", "routes", "test", `--config.file=${config}`, `severity=${severity}`)).trim();
  expect(await Promise.all(["critical", "warning", "info"].map(receiver))).toEqual([
    "operators",
    "operators",
    "nobody",
  ]);
});
