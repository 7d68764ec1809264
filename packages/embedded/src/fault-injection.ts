import { AsyncLocalStorage } from "node:async_hooks";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer } from "node:http";
import { buffer } from "node:stream/consumers";
import { deserialize } from "node:v8";
import { ServerInterceptingCall, type ServerInterceptor } from "@grpc/grpc-js";
import { FlashloanError } from "@flashloan/shared/errors";
import type { Running } from "@flashloan/shared/lifecycle";
import type { Service, ServiceContext } from "@flashloan/shared/service";

/**
 * For crash campaigns: FLASHLOAN_FAULT_POINT=name or name:n kills this process with SIGKILL when the named point is
 * reached for the n-th time. Nothing else can do that, and without the variable there is no such point.
 * @throws FlashloanError config_invalid
 */
export function faultPointFromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): ((point: string) => void) | undefined {
  const value = environment["FLASHLOAN_FAULT_POINT"];
  if (value === undefined || value === "") return undefined;
  const match = /^([A-Za-z_]+)(?::(\d+))?$/.exec(value);
  if (!match)
    throw new FlashloanError(
      "config_invalid",
      `FLASHLOAN_FAULT_POINT is "${value}": must be a point's name, or name:n for the n-th time`,
    );
  let remaining = Number(match[2] ?? 1);
  return (point) => {
    if (point !== match[1]) return;
    remaining -= 1;
    if (remaining === 0) process.kill(process.pid, "SIGKILL");
  };
}

/** A fault that can be done to a unit; until its next start, unless it says otherwise. */
export type InjectedFault = { readonly unit: string } & (
  | { readonly kind: "throw" | "reject" }
  /** Nothing that is asked is ever answered. */
  | { readonly kind: "hang" }
  /** The same, and it never stops either. */
  | { readonly kind: "hang_for_good" }
  /** Calls of the method with this path are answered so. */
  | { readonly kind: "lie"; readonly path: string; readonly answer: unknown }
  /** From now on no start succeeds. */
  | { readonly kind: "fail_starts" }
  /** The event loop gets no turn for so long. */
  | { readonly kind: "block"; readonly blockMs: number }
);

type Start = (context: ServiceContext) => Promise<Service>;

/** A unit as it runs now. */
interface Patient {
  /** Runs work as the unit's own. */
  readonly within: (work: () => void) => void;
  hangs: boolean;
  stops: boolean;
  readonly lies: Map<string, unknown>;
}

/** Does to units what may befall them. */
export interface FaultChannel extends Running {
  /** A unit's start, so that faults can be done to what it starts. */
  around(unit: string, start: Start): Start;
}

/**
 * For fault campaigns: FLASHLOAN_FAULT_SOCKET=PATH opens a socket there that takes faults, each an HTTP request whose body
 * is an {@link InjectedFault} in Node's own serialization. Without the variable there is no such thing, and on any chain but
 * the embedded devnet it is refused.
 * @throws FlashloanError config_invalid
 */
export async function openFaultChannel(
  environment: Readonly<Record<string, string | undefined>>,
): Promise<FaultChannel | undefined> {
  const socket = environment["FLASHLOAN_FAULT_SOCKET"];
  if (socket === undefined || socket === "") return undefined;
  if (environment["EXECUTOR_CHAIN_URL"])
    throw new FlashloanError(
      "config_invalid",
      "FLASHLOAN_FAULT_SOCKET is for the embedded devnet, and EXECUTOR_CHAIN_URL names another chain: unset one of them",
    );
  const patients = new Map<string, Patient>();
  const unstartable = new Set<string>();
  const server = createServer((request, response) => {
    void buffer(request).then((body) => {
      const fault = deserialize(body) as InjectedFault;
      const patient = patients.get(fault.unit);
      response.writeHead(patient ? 204 : 404).end(() => patient && befall(patient, fault, unstartable));
    });
  });
  rmSync(socket, { force: true });
  await once(server.listen(socket), "listening");
  return {
    around: (unit, start) => async (context) => {
      const patient: Patient = {
        within: AsyncLocalStorage.snapshot(),
        hangs: false,
        stops: true,
        lies: new Map(),
      };
      patients.set(unit, patient);
      if (unstartable.has(unit)) throw new Error("injected: it does not start");
      const service = await start({ ...context, interceptors: [...context.interceptors, intercept(patient)] });
      return { ...service, stop: () => (patient.stops ? service.stop() : new Promise(() => undefined)) };
    },
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function befall(patient: Patient, fault: InjectedFault, unstartable: Set<string>): void {
  const { within } = patient;
  const error = new Error(`injected: ${fault.kind}`);
  if (fault.kind === "throw")
    within(() => {
      setImmediate(() => {
        throw error;
      });
    });
  else if (fault.kind === "reject") within(() => void Promise.reject(error));
  else if (fault.kind === "lie") patient.lies.set(fault.path, fault.answer);
  else if (fault.kind === "fail_starts") unstartable.add(fault.unit);
  else if (fault.kind === "block") within(() => setImmediate(() => holdLoop(fault.blockMs)));
  else {
    patient.hangs = true;
    patient.stops = fault.kind === "hang";
  }
}

function holdLoop(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

function intercept(patient: Patient): ServerInterceptor {
  return ({ path }, call) =>
    new ServerInterceptingCall(call, {
      start: (next) => {
        if (!patient.hangs) next();
      },
      sendMessage: (message, next) => next(patient.lies.has(path) ? patient.lies.get(path) : message),
    });
}
