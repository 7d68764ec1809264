import { readFileSync } from "node:fs";
import { kill } from "node:process";
import { serialize } from "node:v8";
import { SupervisorServiceService as SupervisorApi } from "@flashloan/proto/supervisor/v1/supervisor";
import type { RpcClient } from "@flashloan/shared/rpc-client";
import { docker, type Stack } from "../support/stack.ts";
import type { FaultPlace } from "./faults.ts";
import { LIES, type Lie } from "./lies.ts";

// What can befall a service in a container, done to it from outside.

/** Every fault. */
export const CONTAINER_FAULTS = ["kill", "hang", "leak", "corrupt"] as const;
/** @see CONTAINER_FAULTS */
type ContainerFault = (typeof CONTAINER_FAULTS)[number];

/** A stack as a place for faults. A leak has to fill the memory before there is anything to notice. */
export function inContainers(stack: Stack, supervisor: RpcClient): FaultPlace<ContainerFault> {
  return {
    supervisor: () => supervisor,
    prepare: async (unit, fault) => {
      const { Id: id, State: state } = await stack.inspect(unit);
      return () => DEEDS[fault](id, state.Pid, unit);
    },
    runs: async () => {
      const { units } = await supervisor.unary(SupervisorApi.getStatus, {});
      const names = units.map(({ declaration }) => declaration?.id ?? "");
      return new Map(
        await Promise.all(
          names.map(async (name): Promise<[string, string]> => [name, (await stack.inspect(name)).State.StartedAt]),
        ),
      );
    },
    knownAs: {
      kill: ["crash"],
      hang: ["no_answer"],
      leak: ["out_of_memory", "crash", "no_answer"],
      corrupt: ["wrong_answer"],
    },
    endsAll: () => false,
  };
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
  const parsed = "process.getBuiltinModule('v8').deserialize(Buffer.from(" + JSON.stringify(answer) + ", 'base64'))";
  const lie = "function () { let told = 0; for (const server of this) { const handler = server.handlers.get(" +
    JSON.stringify(path) + "); if (handler) { told += 1; handler.func = (call, callback) => callback(null, " + parsed +
    "); } } return told; }";
  const told = await ask("Runtime.callFunctionOn", { objectId: objects.objectId, functionDeclaration: lie, returnByValue: true });
  if (told.result.value !== 1) throw new Error("no handler of " + path);
}
socket.close();
`;

async function evaluate(container: string, initPid: number, expression: string, lie?: Lie): Promise<void> {
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
    lie ? serialize(lie.answer).toString("base64") : "",
  ];
  await docker(["exec", ...environment, container, ...script]);
}
