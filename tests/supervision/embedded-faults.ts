import { readFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { serialize } from "node:v8";
import { readEndpoints, type Endpoints } from "@flashloan/embedded/data-folder";
import type { InjectedFault } from "@flashloan/embedded/fault-injection";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { PlatformProcess } from "../support/platform-process.ts";
import type { FaultPlace } from "./faults.ts";
import { LIES } from "./lies.ts";

// What can befall a service of the embedded platform, done to it through the platform's fault channel.

/** Every fault. */
export const EMBEDDED_FAULTS = ["throw", "reject", "hang", "hang_for_good", "lie", "block"] as const;
/** @see EMBEDDED_FAULTS */
type EmbeddedFault = (typeof EMBEDDED_FAULTS)[number];
/** The services that faults are done to. */
export const EMBEDDED_UNITS = [
  "checkpoint",
  "risk-manager",
  "market-predictor",
  "quantum-engine",
  "hft-executor",
] as const;

const DEADLINE_MS = 120_000;
/** Longer than a watchdog waits. */
const BLOCK_MS = 120_000;

/** A platform with its fault channel open. */
export class FaultyPlatform {
  readonly process: PlatformProcess;
  readonly #folder: string;
  readonly #socket: string;
  readonly #clients = new Map<string, RpcClient>();

  /** @param folder its data folder, which is there */
  constructor(folder: string, seed: number, environment: Readonly<Record<string, string>> = {}) {
    this.#folder = folder;
    this.#socket = join(folder, "faults");
    this.process = new PlatformProcess(["--data-dir", folder, "--seed", String(seed)], {
      DEVNET_WHALE_ACTIVITY: "0.7",
      FLASHLOAN_FAULT_SOCKET: this.#socket,
      ...environment,
    });
  }

  /** Its start. */
  async started(): Promise<void> {
    await this.process.waitFor(({ event }) => event === "started", DEADLINE_MS);
  }

  /** A client of a service where it is now. */
  client(service: "supervisor" | "hftExecutor"): RpcClient {
    const address = this.#endpoints()[service] ?? "";
    const known = this.#clients.get(address) ?? new RpcClient(address);
    this.#clients.set(address, known);
    return known;
  }

  /** Does something to a unit. */
  async inject(fault: InjectedFault): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const call = request({ socketPath: this.#socket, method: "POST" }, (response) => {
      if (response.statusCode === 204) resolve();
      else reject(new Error(`the fault channel answered ${response.statusCode}`));
      response.resume();
    });
    call.once("error", reject).end(serialize(fault));
    await promise;
  }

  /** Its services as a place for faults. */
  place(): FaultPlace<EmbeddedFault> {
    return {
      supervisor: () => this.client("supervisor"),
      prepare: async (unit, fault) => () => this.inject(inWords(unit, fault)),
      runs: async () => new Map([...this.starts()].map(([unit, count]) => [unit, String(count)])),
      knownAs: {
        throw: ["crash"],
        reject: ["crash"],
        hang: ["no_answer"],
        hang_for_good: ["no_answer"],
        lie: ["wrong_answer"],
        block: ["loop_blocked"],
      },
      // The event loop is everybody's; the ledger's files can't be opened a second time.
      endsAll: (unit, fault) => fault === "block" || (fault === "hang_for_good" && unit === "checkpoint"),
    };
  }

  /** How many times each unit was started, by the platform's log. */
  starts(): Map<string, number> {
    const starts = new Map<string, number>();
    for (const line of readFileSync(join(this.#folder, "platform.log"), "utf8").split("\n")) {
      if (!line.includes('"service_started"')) continue;
      const { service } = JSON.parse(line) as { service: string };
      starts.set(service, (starts.get(service) ?? 0) + 1);
    }
    return starts;
  }

  /** Waits for a trade that settles from now on. */
  async tradesOn(): Promise<void> {
    const { events } = this.process;
    await this.process.waitFor(
      (event) => event.event === "trade" && event["state"] === "SETTLED",
      DEADLINE_MS,
      events.length,
    );
  }

  /** Ends it. */
  async stop(): Promise<void> {
    await this.process.stop();
    await Promise.all([...this.#clients.values()].map((client) => client.stop()));
  }

  #endpoints(): Endpoints {
    const endpoints = readEndpoints(this.#folder);
    if (!endpoints) throw new Error(`no platform runs in ${this.#folder}`);
    return endpoints;
  }
}

function inWords(unit: string, kind: EmbeddedFault): InjectedFault {
  if (kind === "block") return { unit, kind, blockMs: BLOCK_MS };
  if (kind !== "lie") return { unit, kind };
  const lie = LIES[unit];
  if (!lie) throw new Error(`no lie is known for ${unit}`);
  return { unit, kind, ...lie };
}
