import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { z } from "zod";
import { freePort } from "@flashloan/devnet/anvil";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** The file that users start, as it is. */
export const COMPOSE_FILE = "docker-compose.advanced-langchain.yml";
const COMMAND_DEADLINE_MS = 600_000;
const OUTPUT_BYTES_MAX = 64 * 2 ** 20;

const configSchema = z.object({
  services: z.record(z.string(), z.looseObject({ restart: z.string(), image: z.string().optional() })),
});
const inspectSchema = z.array(
  z.object({
    Id: z.string(),
    RestartCount: z.number(),
    State: z.object({
      Status: z.string(),
      Pid: z.number(),
      ExitCode: z.number(),
      StartedAt: z.string(),
      Health: z.object({ Status: z.string() }).optional(),
    }),
    NetworkSettings: z.object({ Networks: z.record(z.string(), z.object({ IPAddress: z.string() })) }),
  }),
);
/** How a container is. */
export type ContainerState = z.infer<typeof inspectSchema>[number];

/** Runs a docker command; its standard output. @throws with what it printed on standard error */
export async function docker(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<string> {
  try {
    const { stdout } = await run("docker", [...args], {
      cwd: ROOT,
      env: { ...process.env, PATH: `/usr/bin:${process.env["PATH"] ?? ""}`, DOCKER_BUILDKIT: "1", ...environment },
      timeout: COMMAND_DEADLINE_MS,
      maxBuffer: OUTPUT_BYTES_MAX,
    });
    return stdout.trim();
  } catch (error) {
    const { stderr = "" } = error as { stderr?: string };
    throw new Error(`docker ${args.join(" ")}: ${stderr.slice(-4_000) || (error as Error).message}`, { cause: error });
  }
}

/** The stack of the compose file under a project name of its own, every published port on a free one. */
export class Stack {
  readonly #project: string;
  readonly #environment: Readonly<Record<string, string>>;

  private constructor(project: string, environment: Readonly<Record<string, string>>) {
    this.#project = project;
    this.#environment = environment;
  }

  /** @param environment variables of the file, over its defaults */
  static async create(project: string, environment: Readonly<Record<string, string>>): Promise<Stack> {
    const ports: Record<string, string> = {};
    const published = readFileSync(`${ROOT}${COMPOSE_FILE}`, "utf8").matchAll(/127\.0\.0\.1:\$\{([A-Z_]+):-\d+\}:\d+/g);
    for (const [, variable = ""] of published) ports[variable] = String(await freePort());
    return new Stack(project, { ...ports, ...environment });
  }

  /** A published port, by its variable. */
  port(variable: string): number {
    const port = this.#environment[variable];
    if (port === undefined) throw new RangeError(`${COMPOSE_FILE} publishes no ${variable}`);
    return Number(port);
  }

  compose(...args: string[]): Promise<string> {
    return docker(["compose", "-f", COMPOSE_FILE, "-p", this.#project, ...args], this.#environment);
  }

  /** What the file says of its services: those that run on, and the jobs that end. */
  async services(): Promise<{ readonly services: string[]; readonly jobs: string[] }> {
    const config = configSchema.parse(JSON.parse(await this.compose("config", "--format", "json")));
    const all = Object.entries(config.services);
    const names = (isJob: boolean): string[] =>
      all.filter(([, { restart }]) => (restart === "no") === isJob).map(([name]) => name);
    return { services: names(false), jobs: names(true) };
  }

  /** The container of a service, running or not. */
  async inspect(service: string): Promise<ContainerState> {
    const id = await this.compose("ps", "--all", "--quiet", service);
    const [state] = inspectSchema.parse(JSON.parse(await docker(["inspect", id])));
    if (!state) throw new Error(`${service} has no container`);
    return state;
  }

  /** `healthy`, `running` where the file asks no health, or what else the container is. */
  async health(service: string): Promise<string> {
    const { State: state } = await this.inspect(service);
    return state.Status === "running" ? (state.Health?.Status ?? "running") : `${state.Status} ${state.ExitCode}`;
  }

  /** Where this machine reaches a container directly on one of the stack's networks. */
  async addressOf(service: string, network: string): Promise<string> {
    const { NetworkSettings: settings } = await this.inspect(service);
    const address = settings.Networks[`${this.#project}_${network}`]?.IPAddress;
    if (!address) throw new Error(`${service} is not on ${network}`);
    return address;
  }

  /** A file out of a container. */
  read(service: string, path: string): Promise<string> {
    return this.compose("exec", "-T", service, "cat", path);
  }

  /** Ends everything of the stack, volumes included. */
  async remove(): Promise<void> {
    await this.compose("down", "--volumes", "--timeout", "20", "--remove-orphans");
  }
}

/** What the kernel counts for a container that only it can give back: anonymous memory, in bytes (cgroup v2 or v1). */
export function anonymousBytes(containerId: string, pid: number): number {
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").split("\n");
  const v1 = lines.find((line) => line.split(":")[1]?.split(",").includes("memory"));
  const path = (v1 ?? lines.find((line) => line.startsWith("0::")) ?? "").split(":")[2] ?? "";
  const [file, key] = v1
    ? [`/sys/fs/cgroup/memory${path}/memory.stat`, "total_rss"]
    : [`/sys/fs/cgroup${path}/memory.stat`, "anon"];
  const value = new RegExp(`^${key} (\\d+)$`, "m").exec(readFileSync(file, "utf8"))?.[1];
  if (value === undefined) throw new Error(`${file} of ${containerId} has no ${key}`);
  return Number(value);
}
