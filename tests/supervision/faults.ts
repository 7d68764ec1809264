import { readFileSync } from "node:fs";
import { kill } from "node:process";
import {
  ExecutionState,
  HftExecutorServiceService as ExecutorApi,
  type SummarizeResponse,
} from "@flashloan/proto/executor/v1/executor";
import {
  SupervisorServiceService as SupervisorApi,
  UnitCommand,
  UnitPhase,
  type Incident,
} from "@flashloan/proto/supervisor/v1/supervisor";
import { systemClock } from "@flashloan/shared/clock";
import type { RpcClient } from "@flashloan/shared/rpc-client";
import { docker, type Stack } from "../support/stack.ts";

// What can befall a service in a container, done to it from outside, and how long the supervisor takes to mend it.

/** Every fault. */
export const CONTAINER_FAULTS = ["kill", "hang", "leak", "corrupt"] as const;
/** @see CONTAINER_FAULTS */
export type ContainerFault = (typeof CONTAINER_FAULTS)[number];
/** As what the supervisor may know each. */
const KNOWN_AS: Readonly<Record<ContainerFault, readonly string[]>> = {
  kill: ["crash"],
  hang: ["no_answer"],
  leak: ["out_of_memory", "crash", "no_answer"],
  corrupt: ["wrong_answer"],
};
const HEAL_DEADLINE_MS = 180_000;
const LOOK_EVERY_MS = 100;

/** One fault of one unit. */
export interface Healed {
  readonly unit: string;
  readonly fault: ContainerFault;
  /** As what the supervisor knew it. */
  readonly knownAs: string;
  /** From the deed until it was noticed. A leak has to fill the memory first. */
  readonly noticedMs: number;
  /** From the deed until the unit did its work again. */
  readonly healedMs: number;
}

/** Does each fault to each unit, one at a time, and waits until it is healed. @throws when it is not */
export async function runFaults(options: {
  readonly stack: Stack;
  readonly supervisor: RpcClient;
  readonly units: readonly string[];
  readonly faults: readonly ContainerFault[];
  readonly report: (line: string) => void;
}): Promise<Healed[]> {
  const { stack, supervisor, report } = options;
  const healed: Healed[] = [];
  for (const unit of options.units)
    for (const fault of options.faults) {
      await untilUp(supervisor);
      const order = {
        unit,
        command: UnitCommand.UNIT_COMMAND_RESET,
        operator: "fault campaign",
        reason: "between faults",
      };
      await supervisor.unary(SupervisorApi.commandUnit, order);
      const others = (await startsOf(supervisor, stack)).filter(([id]) => id !== unit);
      const { Id: id, State: state } = await stack.inspect(unit);
      const atMs = Date.now();
      await DEEDS[fault](id, state.Pid, unit);
      const incident = await untilClosed(supervisor, unit, atMs);
      const result = {
        unit,
        fault,
        knownAs: incident.fault,
        noticedMs: Math.max(0, Number(incident.openedAtMs) - atMs),
        healedMs: Number(incident.closedAtMs) - atMs,
      };
      report(
        `${unit} ${fault}: ${result.knownAs} after ${seconds(result.noticedMs)} s, healed after ${seconds(result.healedMs)} s`,
      );
      if (!KNOWN_AS[fault].includes(incident.fault))
        throw new Error(`${unit} ${fault} was taken for ${incident.fault}`);
      if (incident.outcome !== "healed") throw new Error(`${unit} ${fault} ended ${incident.outcome}`);
      const touched = (await startsOf(supervisor, stack)).filter(([other, at]) =>
        others.some(([name, before]) => name === other && before !== at),
      );
      if (touched.length > 0)
        throw new Error(`${unit} ${fault}: also restarted: ${touched.map(([name]) => name).join()}`);
      healed.push(result);
    }
  return healed;
}

/** What was traded by the ledger and by the chain, when everything that was signed has ended. */
export async function summaryAtRest(executor: RpcClient): Promise<SummarizeResponse> {
  const pause = { state: ExecutionState.EXECUTION_STATE_PAUSED, reason: "the campaign counts" };
  await executor.unary(ExecutorApi.setState, pause);
  await until(async () => (await executor.unary(ExecutorApi.getStatus, {})).inFlight === 0, "nothing is in flight");
  return executor.unary(ExecutorApi.summarize, { fromBlock: 0n, toBlock: 0n }, { deadlineMs: 60_000 });
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1);
}

async function untilUp(supervisor: RpcClient): Promise<void> {
  await until(async () => {
    const { leading, units } = await supervisor.unary(SupervisorApi.getStatus, {}, { retries: 3 });
    return leading && units.length > 0 && units.every(({ phase }) => phase === UnitPhase.UNIT_PHASE_UP);
  }, "every unit is up");
}

async function untilClosed(supervisor: RpcClient, unit: string, sinceMs: number): Promise<Incident> {
  let found: Incident | undefined;
  await until(async () => {
    const page = { unit, pageSize: 1, pageToken: "" };
    const { incidents } = await supervisor.unary(SupervisorApi.listIncidents, page, { retries: 3 });
    found = incidents.find(({ openedAtMs, closedAtMs }) => Number(openedAtMs) >= sinceMs - 1_000 && closedAtMs > 0n);
    return found !== undefined;
  }, `${unit} is healed`);
  return found as unknown as Incident;
}

async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + HEAL_DEADLINE_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${HEAL_DEADLINE_MS} ms: ${what}`);
    await systemClock.sleep(LOOK_EVERY_MS);
  }
}

/** When each unit was last started. */
async function startsOf(supervisor: RpcClient, stack: Stack): Promise<[string, string][]> {
  const { units } = await supervisor.unary(SupervisorApi.getStatus, {});
  const names = units.map(({ declaration }) => declaration?.id ?? "");
  return Promise.all(
    names.map(async (name): Promise<[string, string]> => [name, (await stack.inspect(name)).State.StartedAt]),
  );
}

/** The service's own process: the one that init started. */
function serviceProcess(initPid: number): number {
  const [child] = readFileSync(`/proc/${initPid}/task/${initPid}/children`, "utf8").trim().split(" ");
  return child === undefined || child === "" ? initPid : Number(child);
}

const DEEDS: Readonly<Record<ContainerFault, (id: string, initPid: number, unit: string) => Promise<void>>> = {
  kill: async (_id, initPid) => void kill(initPid, "SIGKILL"),
  hang: async (_id, initPid) => void kill(serviceProcess(initPid), "SIGSTOP"),
  leak: (id, initPid) =>
    evaluate(id, initPid, "globalThis.leak = []; setInterval(() => leak.push(Buffer.alloc(8 << 20, 1)), 20); 0"),
  corrupt: (id, initPid, unit) => evaluate(id, initPid, "", LIES[unit]),
};

/** For each service an answer that is wrong, by the path of its method. */
const LIES: Readonly<Record<string, { readonly path: string; readonly answer: string }>> = {
  "risk-manager": {
    path: "/flashloan.risk.v1.RiskManagerService/CheckPlan",
    answer: "{ approved: true, refusals: [] }",
  },
  checkpoint: {
    path: "/flashloan.checkpoint.v1.CheckpointService/GetStatus",
    answer: "{ position: 1000000000n, durability: 2 }",
  },
  "market-predictor": {
    path: "/flashloan.predictor.v1.MarketPredictorService/ListPools",
    answer: '{ pools: [], nextPageToken: "" }',
  },
  "hft-executor": {
    path: "/flashloan.executor.v1.HftExecutorService/ListTrades",
    answer:
      '{ trades: [{ intentId: "0x1", state: "SETTLED", grossWei: "2", premiumWei: "0", gasWei: "1", netWei: "2" }], nextPageToken: "" }',
  },
};

/** Runs in the container, beside the service: opens the service's inspector and does something in its process. */
const INJECTOR = `
const [, expression, path, answer] = process.argv;
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let targets;
for (let tries = 0; !targets && tries < 100; tries++)
  targets = await fetch("http://127.0.0.1:9229/json").then((r) => r.json()).catch(() => wait(100));
const socket = new WebSocket(targets[0].webSocketDebuggerUrl);
await new Promise((resolve) => socket.addEventListener("open", resolve));
let last = 0;
const ask = (method, params) => new Promise((resolve, reject) => {
  const id = ++last;
  socket.addEventListener("message", ({ data }) => {
    const message = JSON.parse(data);
    if (message.id !== id) return;
    const fault = message.error ?? message.result.exceptionDetails;
    if (fault) reject(new Error(JSON.stringify(fault))); else resolve(message.result);
  });
  socket.send(JSON.stringify({ id, method, params }));
});
if (expression) await ask("Runtime.evaluate", { expression });
else {
  const load = 'process.getBuiltinModule("module").createRequire("/app/packages/shared/package.json")("@grpc/grpc-js")';
  const { result } = await ask("Runtime.evaluate", { expression: load + ".Server.prototype" });
  const { objects } = await ask("Runtime.queryObjects", { prototypeObjectId: result.objectId });
  const lie = "function () { let told = 0; for (const server of this) { const handler = server.handlers.get(" +
    JSON.stringify(path) + "); if (handler) { told += 1; handler.func = (call, callback) => callback(null, " + answer +
    "); } } return told; }";
  const told = await ask("Runtime.callFunctionOn", { objectId: objects.objectId, functionDeclaration: lie, returnByValue: true });
  if (told.result.value !== 1) throw new Error("no handler of " + path);
}
socket.close();
`;

async function evaluate(
  container: string,
  initPid: number,
  expression: string,
  lie?: { readonly path: string; readonly answer: string },
): Promise<void> {
  kill(serviceProcess(initPid), "SIGUSR1");
  const environment = ["--env", "NODE_OPTIONS="];
  const script = [
    "node",
    "--input-type=module",
    "--eval",
    INJECTOR,
    "--",
    expression,
    lie?.path ?? "",
    lie?.answer ?? "",
  ];
  await docker(["exec", ...environment, container, ...script]);
}
