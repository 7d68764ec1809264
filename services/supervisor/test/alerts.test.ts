import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { testContext } from "@flashloan/shared/contract/context";
import { createAlarm, type Alert } from "../src/alerts.ts";

const POLL = { timeout: 30_000, interval: 20 };
const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

const failed: Alert = {
  name: "UnitFailed",
  severity: "warning",
  unit: "risk-manager",
  incidentId: "i1",
  summary: "risk-manager failed (crash): it ended with code 1",
};

/** Takes what is posted; refuses the first so many. */
async function target(refusals: number): Promise<{ url: string; taken: { path: string; body: unknown }[] }> {
  const taken: { path: string; body: unknown }[] = [];
  let left = refusals;
  const server = createServer((request: IncomingMessage, response) => {
    let text = "";
    request.on("data", (chunk: Buffer) => (text += chunk.toString()));
    request.on("end", () => {
      if (left-- > 0) return void response.writeHead(503).end();
      taken.push({ path: request.url ?? "", body: JSON.parse(text) as unknown });
      response.writeHead(200).end();
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, taken };
}

test("Alertmanager is told that a unit failed, and that this is over; the webhook gets both, after refusals too", async () => {
  const [alertmanager, webhook] = [await target(0), await target(2)];
  const context = testContext("supervisor");
  const alarm = createAlarm(context, { alertmanagerUrl: alertmanager.url, webhookUrl: `${webhook.url}/hook` });
  alarm(failed);
  await expect.poll(() => webhook.taken, POLL).toEqual([{ path: "/hook", body: failed }]);
  alarm({ ...failed, name: "UnitHealed", severity: "info", summary: "risk-manager is up again after 1.0 s" });
  await expect.poll(() => alertmanager.taken.length, POLL).toBe(2);
  const labels = { alertname: "UnitFailed", severity: "warning", unit: "risk-manager" };
  expect(alertmanager.taken).toMatchObject([
    { path: "/api/v2/alerts", body: [{ labels, annotations: { summary: failed.summary, incident: "i1" } }] },
    { path: "/api/v2/alerts", body: [{ labels }] },
  ]);
  const ends = alertmanager.taken.map(({ body }) => Date.parse((body as { endsAt: string }[])[0]?.endsAt ?? ""));
  expect(ends[0]).toBeGreaterThan(Date.now());
  expect(ends[1]).toBeLessThanOrEqual(Date.now());
  await expect.poll(() => webhook.taken.length, POLL).toBe(2);
  const figures = await context.metrics.text();
  expect(figures).toContain('alerts_total{channel="webhook",outcome="delivered",service="supervisor"} 2');
  expect(figures).toContain(
    'flashloan_recovery_events_total{pattern="retry",operation="rpc",outcome="retried",service="supervisor"} 2',
  );
});

test("what can't be delivered is counted, and nothing is thrown", async () => {
  const webhook = await target(1_000);
  const context = testContext("supervisor");
  createAlarm(context, { alertmanagerUrl: undefined, webhookUrl: webhook.url })(failed);
  await expect
    .poll(() => context.metrics.text(), POLL)
    .toContain('alerts_total{channel="webhook",outcome="failed",service="supervisor"} 1');
  expect(webhook.taken).toEqual([]);
});
