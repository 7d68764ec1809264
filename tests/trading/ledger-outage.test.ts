import { afterEach, expect, test } from "vitest";
import { createCheckpointService } from "@flashloan/checkpoint/service";
import { freePort } from "@flashloan/devnet/anvil";
import { getNonce } from "@flashloan/evm/chain";
import { HftExecutorServiceService as ExecutorApi } from "@flashloan/proto/executor/v1/executor";
import { openDatabase } from "@flashloan/shared/adapters/open";
import { testContext } from "@flashloan/shared/contract/context";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { startObservedServices } from "../support/observed-services.ts";
import { startStillDevnet } from "../support/still-devnet.ts";

const lifecycle = new Lifecycle();
afterEach(() => lifecycle.stop());

test("a ledger that goes down: nothing reaches the wire without it, and trading goes on when it is back", async () => {
  const database = lifecycle.add("database", await openDatabase("pglite:"));
  const port = await freePort();
  const serve = () =>
    createCheckpointService({ host: "127.0.0.1", port, database, context: testContext("checkpoint") });
  let ledger = await serve();
  lifecycle.onStop("ledger", () => ledger.stop());
  const devnet = lifecycle.add("devnet", await startStillDevnet());
  const observed = lifecycle.add(
    "services",
    await startObservedServices(devnet, {
      EXECUTOR_CHECKPOINT_ADDRESS: `127.0.0.1:${port}`,
      EXECUTOR_OPPORTUNITIES_MAX: "1",
    }),
  );
  const { operator } = devnet.deployment.executor;

  await ledger.stop();
  await devnet.swap(devnet.pair(0, "WETH", "LINK"), devnet.token("WETH"), 8n * 10n ** 18n);
  await devnet.mine();
  await observed.until(() => observed.reports.some((report) => report.opportunities.length > 0), "the gap is seen");
  const seen = observed.reports.length;
  await devnet.mine();
  await devnet.mine();
  await observed.until(() => observed.reports.length >= seen + 2, "two more blocks are reported");
  expect([observed.trades.length, await getNonce(devnet.rpc, operator, "pending")]).toEqual([0, 0]);

  ledger = await serve();
  // What could not be ledgered then is ledgered now, and the intent runs its course to an end that reconciles.
  for (
    let block = 0;
    block < 12 && !observed.trades.some((trade) => ["SETTLED", "ABANDONED", "REVERTED"].includes(trade.state));
    block++
  ) {
    const reports = observed.reports.length;
    await devnet.mine();
    await observed.until(() => observed.reports.length > reports, "the block is reported");
    await observed.executor.unary(ExecutorApi.getStatus, {});
  }
  await observed.until(
    () => observed.trades.some((trade) => ["SETTLED", "ABANDONED", "REVERTED"].includes(trade.state)),
    "an intent ends",
  );
  const { netWei, chainDeltaWei } = await observed.executor.unary(ExecutorApi.summarize, {
    fromBlock: 0n,
    toBlock: 0n,
  });
  expect(netWei).toBe(chainDeltaWei);
}, 120_000);
