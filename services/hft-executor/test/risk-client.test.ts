import { createServer, type AddressInfo, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { RecoveryEvent } from "@flashloan/recovery/pattern";
import type { FlashloanError } from "@flashloan/shared/errors";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { RiskClient, type PlanFacts } from "../src/risk-client.ts";

let lifecycle = new Lifecycle();
afterEach(async () => {
  await lifecycle.stop();
  lifecycle = new Lifecycle();
});

/** Takes connections and never says a word, as a frozen process does. */
async function silentServer(): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  lifecycle.onStop("silent server", () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("a risk manager that hangs is given up after three questions, and nothing is approved meanwhile", async () => {
  const events: RecoveryEvent[] = [];
  const client = lifecycle.add("client", new RpcClient(await silentServer()));
  const risk = new RiskClient(client, (event) => events.push(event));
  const outcome = (): Promise<string> =>
    risk.recordOutcome("0x1", true, 1n, 1).then(
      () => "recorded",
      (error: unknown) => (error as FlashloanError).code,
    );
  expect([await outcome(), await outcome(), await outcome()]).toEqual(Array(3).fill("deadline_exceeded"));
  await expect(risk.check({} as PlanFacts, "before_send", () => ({ outcomes: [] }) as never)).rejects.toMatchObject({
    code: "circuit_open",
  });
  expect(events.map(({ pattern, outcome: what }) => [pattern, what])).toEqual([
    ["circuit_breaker", "opened"],
    ["circuit_breaker", "refused"],
  ]);
});
