import { type Command, InvalidArgumentError, Option } from "commander";
import { readEndpoints } from "@flashloan/embedded/data-folder";
import {
  ExecutionMode,
  ExecutionState,
  HftExecutorServiceService as ExecutorApi,
  type Trade,
} from "@flashloan/proto/executor/v1/executor";
import { MarketPredictorServiceService as PredictorApi } from "@flashloan/proto/predictor/v1/predictor";
import { RiskManagerServiceService as RiskApi, TradingState } from "@flashloan/proto/risk/v1/risk";
import { errorFields, FlashloanError } from "@flashloan/shared/errors";
import type { RpcClient } from "@flashloan/shared/rpc-client";
import { openClient } from "./client.ts";
import { runDoctor } from "./doctor/doctor.ts";
import { formatEther, table, toJsonLine } from "./format.ts";

interface Target {
  readonly dataDir: string;
  readonly executor?: string;
  readonly risk?: string;
  readonly predictor?: string;
  readonly json: boolean;
}

const EXECUTION_STATES = {
  [ExecutionState.EXECUTION_STATE_ACTIVE]: "ACTIVE",
  [ExecutionState.EXECUTION_STATE_PAUSED]: "PAUSED",
  [ExecutionState.EXECUTION_STATE_KILLED]: "KILLED",
} as Record<number, string>;
const TRADING_STATES = {
  [TradingState.TRADING_STATE_ACTIVE]: "ACTIVE",
  [TradingState.TRADING_STATE_PAUSED]: "PAUSED",
  [TradingState.TRADING_STATE_KILLED]: "KILLED",
} as Record<number, string>;

const MODES = {
  [ExecutionMode.EXECUTION_MODE_PAPER]: "PAPER",
  [ExecutionMode.EXECUTION_MODE_LIVE]: "LIVE",
} as Record<number, string>;

/** Adds the commands that speak to running services. */
export function addOperatorCommands(program: Command, dataDir: string): void {
  const command = (name: string, description: string): Command =>
    program
      .command(name)
      .description(description)
      .option("--data-dir <path>", "data folder of the running platform, which says where its services listen", dataDir)
      .addOption(address("executor", "FLASHLOAN_EXECUTOR", "executor"))
      .addOption(address("risk", "FLASHLOAN_RISK", "risk manager"))
      .addOption(address("predictor", "FLASHLOAN_PREDICTOR", "market predictor"))
      .option("--json", "machine-readable output", false);

  command("status", "show mode, state, feed, limits and totals of every service").action(showStatus);
  command("trades", "list intents, newest first, with gross, premium, gas and net")
    .option("--limit <n>", "how many", positive, 20)
    .action(showTrades);
  command("opportunities", "show the opportunities of the coming blocks as they are found")
    .option("--blocks <n>", "how many blocks", positive, 5)
    .action(showOpportunities);
  for (const [name, description] of [
    ["pause", "take no new opportunity; what is signed is finished"],
    ["resume", "trade again after a pause or kill"],
    ["kill", "send nothing any more, not even a retry, until resumed; reaches executor and risk manager directly"],
  ] as const)
    command(name, description)
      .option("--reason <text>", "why; kept with the state", `flashloan ${name}`)
      .action((target: Target & { reason: string }) => setState(name, target));
  command("arm", "trade live on this chain; off the devnet everything is on paper until then")
    .requiredOption(
      "--genesis-hash <hash>",
      "hash of the chain's block 0, typed by you, so that no one arms the wrong chain",
    )
    .action((target: Target & { genesisHash: string }) => setMode("LIVE", target, target.genesisHash));
  command("disarm", "go back to paper; what is signed is finished").action((target: Target) =>
    setMode("PAPER", target, ""),
  );
  const doctor = command("doctor", "say what is wrong on this machine, and how to fix it").addOption(
    address("checkpoint", "FLASHLOAN_CHECKPOINT", "checkpoint service"),
  );
  doctor.action(async (target: Target & { checkpoint?: string }) => {
    const checks = await runDoctor(target);
    const bad = checks.filter((check) => check.result === "fail");
    if (target.json) print(toJsonLine({ ok: bad.length === 0, checks }));
    else
      print(
        table(
          checks.map((check) => [
            check.result === "ok" ? "ok  " : check.result === "warn" ? "warn" : "FAIL",
            check.name,
            check.message,
          ]),
        ),
      );
    if (bad.length > 0) process.exitCode = 1;
  });
}

/** Where one service is; containers say it by the environment. */
function address(name: string, variable: string, service: string): Option {
  return new Option(`--${name} <host:port>`, `address of the ${service}, instead of the data folder's`).env(variable);
}

function positive(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError("must be a positive whole number.");
  return Number(text);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Where a service listens. @throws FlashloanError service_unavailable when nothing says so */
function addressOf(target: Target, service: "executor" | "risk" | "predictor"): string {
  const given = target[service];
  if (given !== undefined) return given;
  const endpoints = readEndpoints(target.dataDir);
  if (!endpoints)
    throw new FlashloanError(
      "service_unavailable",
      `no platform is running in ${target.dataDir}: start one with "npm start", name its folder with --data-dir, or its service with --${service}`,
    );
  const names: Record<typeof service, "hftExecutor" | "riskManager" | "marketPredictor"> = {
    executor: "hftExecutor",
    risk: "riskManager",
    predictor: "marketPredictor",
  };
  return endpoints[names[service]];
}

async function withClient<T>(address: string, use: (client: RpcClient) => Promise<T>): Promise<T> {
  const client = openClient(address);
  try {
    return await use(client);
  } finally {
    await client.stop();
  }
}

async function showStatus(target: Target): Promise<void> {
  const ask = async <T>(
    service: "executor" | "risk" | "predictor",
    use: (client: RpcClient) => Promise<T>,
  ): Promise<T | { error: Record<string, unknown> }> => {
    try {
      return await withClient(addressOf(target, service), use);
    } catch (error) {
      return { error: errorFields(error) };
    }
  };
  const [executor, risk, predictor] = await Promise.all([
    ask("executor", (client) => client.unary(ExecutorApi.getStatus, {})),
    ask("risk", (client) => client.unary(RiskApi.getStatus, {})),
    ask("predictor", (client) => client.unary(PredictorApi.getStatus, {})),
  ]);
  const failed = [executor, risk, predictor].some((answer) => "error" in answer);
  if (failed) process.exitCode = 1;
  if (target.json)
    return print(
      toJsonLine({
        executor:
          "error" in executor
            ? executor
            : { ...executor, state: EXECUTION_STATES[executor.state], mode: MODES[executor.mode] },
        risk: "error" in risk ? risk : { ...risk, state: TRADING_STATES[risk.state] },
        predictor,
      }),
    );
  const rows: string[][] = [];
  if ("error" in executor) rows.push(["executor", String(executor.error["message"])]);
  else {
    rows.push(["mode", MODES[executor.mode] ?? "?"]);
    rows.push(["execution", `${EXECUTION_STATES[executor.state] ?? "?"} (${executor.reason})`]);
    rows.push([
      "chain",
      `${executor.chainId}, contract ${executor.contract}, signer ${executor.signer}, next nonce ${executor.nextNonce}`,
    ]);
    rows.push([
      "trades",
      `${executor.tradesSettled} settled, ${executor.tradesReverted} reverted, ${executor.inFlight} in flight`,
    ]);
    rows.push([
      "not traded",
      Object.entries(executor.endedUnsigned)
        .map(([reason, count]) => `${reason} ${count}`)
        .join(", ") || "none",
    ]);
  }
  if ("error" in risk) rows.push(["risk", String(risk.error["message"])]);
  else {
    rows.push(["risk", `${TRADING_STATES[risk.state] ?? "?"} (${risk.reason}), ${risk.approvals} approvals`]);
    if (!risk.outcomesKnown)
      rows.push(["", "refuses every plan: the executor has not told it the last day's outcomes (outcomes_unknown)"]);
    rows.push([
      "exposure",
      `${risk.openIntents} open, at most ${formatEther(BigInt(risk.exposureWei))} ETH of gas to come (by events, which may be late)`,
    ]);
    rows.push([
      "gas paid",
      `${formatEther(BigInt(risk.gasSpentHourWei))} ETH in the last hour, ${formatEther(BigInt(risk.gasSpentDayWei))} in the last day`,
    ]);
    rows.push([
      "refusals",
      Object.entries(risk.refusals)
        .filter(([, count]) => count > 0n)
        .map(([rule, count]) => `${rule} ${count}`)
        .join(", ") || "none",
    ]);
  }
  if ("error" in predictor) rows.push(["feed", String(predictor.error["message"])]);
  else
    rows.push([
      "feed",
      `block ${predictor.blockNumber}, ${predictor.ageMs} ms old, ${predictor.poolsWatched} pools, ${predictor.poolsQuarantined} set aside, ${predictor.reorgs} reorganisations, ${predictor.selfChecks} self-checks with ${predictor.selfCheckDifferences} differences`,
    ]);
  print(table(rows));
}

async function showTrades(target: Target & { limit: number }): Promise<void> {
  const trades = await withClient(addressOf(target, "executor"), async (client) => {
    const listed: Trade[] = [];
    let pageToken = "";
    do {
      const pageSize = Math.min(target.limit - listed.length, 500);
      const page = await client.unary(ExecutorApi.listTrades, { pageSize, pageToken });
      listed.push(...page.trades);
      pageToken = page.nextPageToken;
    } while (pageToken !== "" && listed.length < target.limit);
    return listed;
  });
  if (target.json) return print(toJsonLine(trades.map((trade) => ({ ...trade, mode: MODES[trade.mode] }))));
  if (trades.length === 0) return print("no trade yet");
  const rows = trades.map((trade) => [
    trade.blockNumber.toString(),
    trade.state,
    MODES[trade.mode] ?? "?",
    trade.lender,
    ...[trade.grossWei, trade.premiumWei, trade.gasWei, trade.netWei].map((wei) => formatEther(BigInt(wei))),
    trade.transactionHash.slice(0, 12),
    trade.reason,
  ]);
  print(
    table([
      ["block", "state", "mode", "lender", "gross ETH", "premium", "gas", "net ETH", "transaction", "reason"],
      ...rows,
    ]),
  );
}

async function showOpportunities(target: Target & { blocks: number }): Promise<void> {
  const abort = new AbortController();
  let left = target.blocks;
  await withClient(addressOf(target, "predictor"), async (client) => {
    for await (const { report } of client.serverStream(
      PredictorApi.streamOpportunities,
      { opportunitiesMax: 16 },
      abort.signal,
    )) {
      if (!report) continue;
      if (target.json) print(toJsonLine(report));
      else {
        const rejected = (report.stats?.rejections ?? [])
          .filter(({ count }) => count > 0)
          .map(({ reason, count }) => `${reason} ${count}`);
        print(
          `block ${report.blockNumber}: ${report.stats?.grossPositive ?? 0} cycles gain before costs, ${report.stats?.netPositive ?? 0} after${rejected.length > 0 ? ` (${rejected.join(", ")})` : ""}`,
        );
        for (const opportunity of report.opportunities)
          print(
            `  net ${formatEther(BigInt(opportunity.netWei))} ETH, gross ${formatEther(BigInt(opportunity.grossWei))}, loan from ${opportunity.loan?.lender}: ${opportunity.hops.map((hop) => `${hop.kind} ${hop.poolId.slice(0, 10)}`).join(" > ")}`,
          );
      }
      left -= 1;
      if (left === 0) abort.abort();
    }
  });
}

async function setMode(name: "LIVE" | "PAPER", target: Target, genesisHash: string): Promise<void> {
  const mode = name === "LIVE" ? ExecutionMode.EXECUTION_MODE_LIVE : ExecutionMode.EXECUTION_MODE_PAPER;
  await withClient(addressOf(target, "executor"), (client) => client.unary(ExecutorApi.setMode, { mode, genesisHash }));
  print(target.json ? toJsonLine({ mode: name }) : `the executor is in mode ${name}`);
}

/** Tells executor and risk manager, each by itself: one that is down does not keep the other from stopping. */
async function setState(name: "pause" | "resume" | "kill", target: Target & { reason: string }): Promise<void> {
  const states = { pause: 2, resume: 1, kill: 3 } as const;
  const outcomes = await Promise.all(
    (["executor", "risk"] as const).map(async (service) => {
      try {
        await withClient(addressOf(target, service), (client): Promise<unknown> =>
          service === "executor"
            ? client.unary(ExecutorApi.setState, { state: states[name], reason: target.reason })
            : client.unary(RiskApi.setState, { state: states[name], reason: target.reason }),
        );
        return { service, ok: true, message: { pause: "PAUSED", resume: "ACTIVE", kill: "KILLED" }[name] };
      } catch (error) {
        return { service, ok: false, message: String(errorFields(error)["message"]) };
      }
    }),
  );
  if (target.json) print(toJsonLine({ command: name, outcomes }));
  else print(table(outcomes.map(({ service, ok, message }) => [service, ok ? message : `FAILED: ${message}`])));
  if (outcomes.some(({ ok }) => !ok)) process.exitCode = 1;
}
