import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { freePort } from "@flashloan/devnet/anvil";
import type { TestServer } from "../support/servers.ts";
import { startAlertmanager } from "../support/watchers.ts";
import { textOf } from "./files.ts";

// The real Alertmanager with our configuration: the cause is told, its consequences are not.
type Labels = Readonly<Record<string, string>>;
let alertmanager: TestServer;

beforeAll(async () => {
  alertmanager = await startAlertmanager(await freePort(), textOf("infra/alertmanager/alertmanager.yml"));
});
afterAll(() => alertmanager.remove());

const alert = (alertname: string, job: string, labels: Labels = {}): Labels => ({
  alertname,
  job,
  instance: `${job}:9464`,
  severity: "critical",
  ...labels,
});

const URL_PATH = "/api/v2/alerts";
const POLL = { timeout: 30_000, interval: 100 };

async function send(alerts: readonly Labels[], endsAt?: string): Promise<void> {
  const response = await fetch(`${alertmanager.url}${URL_PATH}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(alerts.map((labels) => ({ labels, ...(endsAt === undefined ? {} : { endsAt }) }))),
  });
  if (!response.ok) throw new Error(await response.text());
}

const look = async (): Promise<readonly { labels: Labels; status: { state: string } }[]> =>
  (await (await fetch(`${alertmanager.url}${URL_PATH}`)).json()) as never;

/** Which alerts are not told, by name and job. */
const suppressed = async (): Promise<string[]> =>
  (await look())
    .filter(({ status }) => status.state === "suppressed")
    .map(({ labels }) => `${labels["alertname"]} ${labels["job"]}`)
    .sort();

afterEach(async () => {
  await send(
    (await look()).map(({ labels }) => labels),
    new Date().toISOString(),
  );
  await vi.waitUntil(async () => (await look()).length === 0, POLL);
});

test("a service that is down silences its other alerts and who misses it, and nothing else", async () => {
  await send([
    alert("ServiceDown", "checkpoint"),
    alert("RpcFailures", "checkpoint"),
    alert("EventLoopSlow", "checkpoint", { instance: "another:9464" }),
    alert("NeedNotMet", "hft-executor", { need: "checkpoint" }),
    alert("NeedNotMet", "market-predictor", { need: "chain" }),
    alert("ServiceNotReady", "hft-executor"),
    alert("ServiceNotReady", "risk-manager"),
    alert("TradingPaused", "risk-manager"),
  ]);
  await expect
    .poll(suppressed, POLL)
    .toEqual(["NeedNotMet hft-executor", "RpcFailures checkpoint", "ServiceNotReady hft-executor"]);
  expect(await look()).toHaveLength(8);
});

test("a broker, a registry, a feed and a kill switch silence what follows from them", async () => {
  await send([
    alert("RabbitDown", "rabbitmq"),
    alert("BusDisconnected", "checkpoint"),
    alert("BusBacklog", "risk-manager"),
    alert("EtcdWithoutLeader", "etcd"),
    alert("CoordinationUnreachable", "checkpoint"),
    alert("FeedStale", "market-predictor"),
    alert("NeedNotMet", "market-predictor", { need: "feed" }),
    alert("TradingKilled", "hft-executor"),
    alert("TradingPaused", "risk-manager"),
    alert("DeadLetters", "rabbitmq"),
  ]);
  await expect
    .poll(suppressed, POLL)
    .toEqual([
      "BusBacklog risk-manager",
      "BusDisconnected checkpoint",
      "CoordinationUnreachable checkpoint",
      "NeedNotMet market-predictor",
      "TradingPaused risk-manager",
    ]);
  expect(await look()).toHaveLength(10);
});
