import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "@flashloan/devnet/anvil";
import { DEVNET_OPERATOR_KEY, venuesOf } from "@flashloan/devnet/venues";
import { Lifecycle, type Running } from "@flashloan/shared/lifecycle";
import { SERVICES, type ServiceName } from "@flashloan/shared/telemetry/declarations";
import { CommandProcess, ServiceProcess, type PlatformEvent } from "./platform-process.ts";
import { startEtcd, startPostgres, startRabbit, type TestServer } from "./servers.ts";
import { startStillDevnet, type StillDevnet } from "./still-devnet.ts";

const MIGRATE_DEADLINE_MS = 60_000;
const PORT_VARIABLES: Record<ServiceName, string> = {
  checkpoint: "CHECKPOINT_PORT",
  "market-predictor": "PREDICTOR_PORT",
  "risk-manager": "RISK_PORT",
  "hft-executor": "EXECUTOR_PORT",
  "quantum-engine": "QUANTUM_PORT",
  supervisor: "SUPERVISOR_PORT",
};

/** The services as containers run them: a process each, on real servers and a still devnet. */
export class ServiceFleet implements Running {
  readonly postgres: TestServer;
  readonly etcd: TestServer;
  readonly rabbit: TestServer;
  readonly devnet: StillDevnet;
  readonly #lifecycle: Lifecycle;
  readonly #folder: string;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #ports: ReadonlyMap<string, number>;
  readonly #processes = new Map<ServiceName, ServiceProcess>();

  private constructor(
    lifecycle: Lifecycle,
    world: { postgres: TestServer; etcd: TestServer; rabbit: TestServer; devnet: StillDevnet },
    folder: string,
    environment: Readonly<Record<string, string>>,
    ports: ReadonlyMap<string, number>,
  ) {
    this.#lifecycle = lifecycle;
    ({ postgres: this.postgres, etcd: this.etcd, rabbit: this.rabbit, devnet: this.devnet } = world);
    this.#folder = folder;
    this.#environment = environment;
    this.#ports = ports;
    lifecycle.onStop("services", async () => {
      await Promise.all([...this.#processes.values()].map((service) => service.stop()));
    });
  }

  /** Starts the servers and the devnet; no service yet. @param environment over what every service gets */
  static async open(environment: Readonly<Record<string, string>> = {}): Promise<ServiceFleet> {
    const lifecycle = new Lifecycle();
    const folder = mkdtempSync(join(tmpdir(), "flashloan-fleet-"));
    lifecycle.onStop("folder", () => rmSync(folder, { recursive: true }));
    const server = async (name: string, starting: Promise<TestServer>): Promise<TestServer> => {
      const started = await starting;
      lifecycle.onStop(name, () => started.remove());
      return started;
    };
    const [postgres, etcd, rabbit, devnet] = await Promise.all([
      server("PostgreSQL", startPostgres()),
      server("etcd", startEtcd()),
      server("RabbitMQ", startRabbit()),
      startStillDevnet(),
    ]);
    lifecycle.add("devnet", devnet);
    const ports = new Map<string, number>();
    for (const service of SERVICES)
      for (const kind of ["rpc", "metrics"]) ports.set(`${service} ${kind}`, await freePort());
    return new ServiceFleet(lifecycle, { postgres, etcd, rabbit, devnet }, folder, environment, ports);
  }

  /** Starts a service, or starts it again at the same place. */
  start(service: ServiceName): ServiceProcess {
    const { devnet } = this;
    const started = new ServiceProcess(service, {
      PATH: process.env["PATH"] ?? "",
      BUS_URL: this.rabbit.url,
      COORDINATION_URL: this.etcd.url,
      METRICS_PORT: String(this.#ports.get(`${service} metrics`)),
      READY_FILE: this.readyFileOf(service),
      [PORT_VARIABLES[service]]: String(this.#ports.get(`${service} rpc`)),
      CHECKPOINT_DATABASE_URL: this.postgres.url,
      SUPERVISOR_DATABASE_URL: this.postgres.url,
      PREDICTOR_CHAIN_URL: devnet.url,
      PREDICTOR_VENUES: JSON.stringify(venuesOf(devnet.deployment)),
      QUANTUM_REST_PORT: "0",
      // Nobody mines here unless told to.
      PREDICTOR_STALE_S: "3600",
      EXECUTOR_CHAIN_URL: devnet.url,
      EXECUTOR_PRIVATE_KEY: DEVNET_OPERATOR_KEY,
      EXECUTOR_CONTRACT: devnet.deployment.executor.contract,
      EXECUTOR_DEVNET_GENESIS_HASH: devnet.deployment.genesisHash,
      EXECUTOR_PREDICTOR_ADDRESS: this.addressOf("market-predictor"),
      EXECUTOR_RISK_ADDRESS: this.addressOf("risk-manager"),
      EXECUTOR_QUANTUM_ADDRESS: this.addressOf("quantum-engine"),
      EXECUTOR_CHECKPOINT_ADDRESS: this.addressOf("checkpoint"),
      ...this.#environment,
    });
    this.#processes.set(service, started);
    return started;
  }

  /** Runs the job that brings the database's schema up to date; what it printed. */
  async migrate(): Promise<readonly PlatformEvent[]> {
    const job = new CommandProcess(["migrate", "--json"], {
      CHECKPOINT_DATABASE_URL: this.postgres.url,
      SUPERVISOR_DATABASE_URL: this.postgres.url,
    });
    const { code } = await job.exitWithin(MIGRATE_DEADLINE_MS);
    if (code !== 0) throw new Error(`the job ended with ${code}: ${job.stderr}`);
    return job.events;
  }

  /** The newest process of a service. */
  processOf(service: ServiceName): ServiceProcess {
    const found = this.#processes.get(service);
    if (!found) throw new Error(`${service} was not started`);
    return found;
  }

  addressOf(service: ServiceName): string {
    return `127.0.0.1:${this.#ports.get(`${service} rpc`)}`;
  }

  readyFileOf(service: ServiceName): string {
    return join(this.#folder, `${service}.ready`);
  }

  /** Asks a service's telemetry endpoint: status and body. */
  async ask(service: ServiceName, path: "/metrics" | "/ready"): Promise<{ status: number; text: string }> {
    const response = await fetch(`http://127.0.0.1:${this.#ports.get(`${service} metrics`)}${path}`);
    return { status: response.status, text: await response.text() };
  }

  stop(): Promise<void> {
    return this.#lifecycle.stop();
  }
}
