import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statfsSync } from "node:fs";
import { connect } from "node:net";
import { totalmem } from "node:os";
import { z } from "zod";
import { fail, ok, warn, type Check } from "./check.ts";

/** The compose file, in the folder from which the command is run. */
const COMPOSE_FILE = "docker-compose.advanced-langchain.yml";
/** The whole stack's own budget, and room for the engine. */
const MEMORY_BYTES_MIN = 5 * 2 ** 30;
const DISK_BYTES_MIN = 6 * 2 ** 30;
const COMMAND_DEADLINE_MS = 10_000;
const PORT_DEADLINE_MS = 500;

const containersSchema = z.array(
  z.object({ Service: z.string(), State: z.string(), Health: z.string().default(""), ExitCode: z.number().default(0) }),
);

/**
 * What Docker Compose needs of this machine, and how the stack is if it is up. The embedded platform needs none of it,
 * so what is missing is a warning; a container that is ill is a failure.
 */
export async function checkContainers(): Promise<Check[]> {
  if (!existsSync(COMPOSE_FILE)) return [ok("compose", `no ${COMPOSE_FILE} here: not looked at`)];
  const engine = docker("version", "--format", "{{.Server.Version}}");
  if (engine.missing)
    return [warn("engine", "no docker command: only Docker Compose and Swarm need it; install Docker Engine for them")];
  if (engine.code !== 0)
    return [
      warn(
        "engine",
        `the Docker engine does not answer (${engine.said}): start it (systemctl start docker), or add this user to its group`,
      ),
    ];
  const checks = [ok("engine", `Docker ${engine.out}`)];
  const compose = docker("compose", "version", "--short");
  if (compose.code !== 0 || !/^v?[2-9]/.test(compose.out))
    return [...checks, warn("compose", `Compose v2 is not there (${compose.said}): install its plugin`)];
  checks.push(ok("compose", compose.out), checkStackMemory(), ...checkStackDisk());
  const containers = listContainers();
  return [...checks, ...(containers.length > 0 ? containers.map(checkContainer) : await checkPorts())];
}

function docker(...args: string[]): { code: number | null; out: string; said: string; missing: boolean } {
  const { status, stdout, stderr, error } = spawnSync("docker", args, {
    encoding: "utf8",
    timeout: COMMAND_DEADLINE_MS,
  });
  const said = (stderr || stdout || error?.message || "no answer").trim().split("\n").at(-1) ?? "";
  return {
    code: status,
    out: (stdout ?? "").trim(),
    said,
    missing: (error as NodeJS.ErrnoException)?.code === "ENOENT",
  };
}

function checkStackMemory(): Check {
  const text = `${Math.round(totalmem() / 2 ** 20)} MiB in all`;
  if (totalmem() >= MEMORY_BYTES_MIN) return ok("engine memory", text);
  return warn("engine memory", `${text}: the whole stack wants ${MEMORY_BYTES_MIN / 2 ** 30} GiB`);
}

function checkStackDisk(): Check[] {
  const root = docker("info", "--format", "{{.DockerRootDir}}").out;
  if (!existsSync(root)) return [];
  const { bavail, bsize } = statfsSync(root);
  const free = bavail * bsize;
  if (free >= DISK_BYTES_MIN) return [ok("engine disk", `${Math.round(free / 2 ** 30)} GiB free`)];
  return [warn("engine disk", `${Math.round(free / 2 ** 30)} GiB free at ${root}: make room (docker system prune)`)];
}

/** The containers of the stack; none when it is not up. Compose prints one array or one object a line, by version. */
function listContainers(): z.infer<typeof containersSchema> {
  const { code, out } = docker("compose", "-f", COMPOSE_FILE, "ps", "--all", "--format", "json");
  if (code !== 0 || out === "") return [];
  const text = out.startsWith("[") ? out : `[${out.split("\n").join(",")}]`;
  return containersSchema.parse(JSON.parse(text));
}

function checkContainer({
  Service: service,
  State: state,
  Health: health,
  ExitCode: exitCode,
}: z.infer<typeof containersSchema>[number]): Check {
  const name = `container ${service}`;
  const look = `see docker compose -f ${COMPOSE_FILE} logs ${service}`;
  if (state === "exited" && exitCode === 0) return ok(name, "done");
  if (state !== "running") return fail(name, `${state}, exit code ${exitCode}: ${look}`);
  if (health === "unhealthy") return fail(name, `running but not ready: ${look}`);
  return ok(name, health === "" ? "running" : health);
}

/** Whether the ports that the file publishes are free; each is a variable. */
async function checkPorts(): Promise<Check[]> {
  const published = [...readFileSync(COMPOSE_FILE, "utf8").matchAll(/\$\{([A-Z][A-Z0-9_]*):-(\d{2,5})\}:\d+/g)];
  const ports = new Map(published.map(([, variable = "", port]) => [variable, process.env[variable] ?? port ?? ""]));
  const taken: Check[] = [];
  for (const [variable, port] of ports)
    if (await answers(Number(port)))
      taken.push(fail("port", `${port} is taken by another process: stop it, or set ${variable} to a free port`));
  return taken.length > 0 ? taken : [ok("ports", `${ports.size} ports are free`)];
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port, timeout: PORT_DEADLINE_MS });
    const end = (result: boolean) => (): void => {
      socket.destroy();
      resolve(result);
    };
    socket.once("connect", end(true)).once("error", end(false)).once("timeout", end(false));
  });
}
