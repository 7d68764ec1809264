import { execFile, spawn, type ChildProcess } from "node:child_process";
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer, connect, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Generous: an idle machine needs a tenth of it. */
const START_DEADLINE_MS = 90_000;
const STOP_DEADLINE_MS = 60_000;
const PROBE_INTERVAL_MS = 50;
const PROBE_DEADLINE_MS = 1_000;

interface Launch {
  readonly name: string;
  readonly folder: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Options of setpriv, such as the user to become. */
  readonly privileges?: readonly string[];
  /** What asks for a graceful end. */
  readonly stopSignal: NodeJS.Signals;
  readonly isReady: () => Promise<boolean>;
}

/** A real server in processes of its own, on a free loopback port, with its data in a folder of its own. */
export class TestServer {
  readonly url: string;
  readonly port: number;
  readonly #launch: Launch;
  readonly #companions: ChildProcess[];
  #child: ChildProcess | undefined;

  constructor(url: string, port: number, launch: Launch, companions: ChildProcess[] = []) {
    this.url = url;
    this.port = port;
    this.#launch = launch;
    this.#companions = companions;
  }

  /** Starts it, again on the same port and data; resolves when it answers. */
  async start(): Promise<void> {
    const { name, folder, command, args, env, privileges = [], isReady } = this.#launch;
    const log = openSync(join(folder, "server.log"), "a");
    // The kernel ends it when the test process dies, however that happens.
    const child = spawn("setpriv", ["--pdeathsig", "KILL", ...privileges, "--", command, ...args], {
      cwd: folder,
      env: { ...process.env, ...env },
      stdio: ["ignore", log, log],
      detached: true,
    });
    closeSync(log);
    this.#child = child;
    const deadline = performance.now() + START_DEADLINE_MS;
    for (;;) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`${name} ended at its start: ${this.log()}`);
      if (await isReady()) return;
      if (performance.now() > deadline)
        throw new Error(`${name} was not ready within ${START_DEADLINE_MS} ms: ${this.log()}`);
      await pause(PROBE_INTERVAL_MS);
    }
  }

  /** Ends it as an operator does. */
  async stop(): Promise<void> {
    await this.#end(() => this.#child?.kill(this.#launch.stopSignal));
  }

  /** Ends it and all its children at once, as a power cut does to a process. */
  async kill(): Promise<void> {
    await this.#end((pids) => signalAll(pids, "SIGKILL"));
  }

  /** Freezes it: connections stay open, nothing is answered from when this returns. */
  pause(): void {
    const pids = this.#pids();
    signalAll(pids, "SIGSTOP");
    // The signal is taken some time later, thread by thread: what is asked meanwhile would still be answered.
    const deadline = performance.now() + STOP_DEADLINE_MS;
    while (!pids.every(isFrozen)) {
      if (performance.now() > deadline)
        throw new Error(`${this.#launch.name} did not stop within ${STOP_DEADLINE_MS} ms`);
    }
  }

  resume(): void {
    signalAll(this.#pids(), "SIGCONT");
  }

  /** A graceful stop, then a start. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Ends everything and removes the data. */
  async remove(): Promise<void> {
    await this.kill();
    for (const companion of this.#companions) companion.kill("SIGKILL");
    rmSync(this.#launch.folder, { recursive: true, force: true });
  }

  /** Sends a text command of a server that has them, such as Redis; resolves with the answer. */
  command(text: string): Promise<string> {
    return exchange(this.port, text);
  }

  /** The end of what it wrote. */
  log(): string {
    return readFileSync(join(this.#launch.folder, "server.log"), "utf8").slice(-3_000);
  }

  #pids(): number[] {
    return this.#child?.pid === undefined ? [] : tree(this.#child.pid);
  }

  async #end(signal: (pids: readonly number[]) => void): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const pids = this.#pids();
    signal(pids);
    const deadline = performance.now() + STOP_DEADLINE_MS;
    // Until it is reaped its id is taken, and PostgreSQL's lock file counts as that of a running server.
    while (pids.some(isAlive) || (child.exitCode === null && child.signalCode === null)) {
      if (performance.now() > deadline)
        throw new Error(`${this.#launch.name} did not end within ${STOP_DEADLINE_MS} ms: ${this.log()}`);
      await pause(10);
    }
    this.#child = undefined;
  }
}

/** RabbitMQ, with its command-line tool. */
export class RabbitServer extends TestServer {
  readonly #environment: Readonly<Record<string, string>>;

  constructor(
    url: string,
    port: number,
    launch: Launch,
    companions: ChildProcess[],
    environment: Readonly<Record<string, string>>,
  ) {
    super(url, port, launch, companions);
    this.#environment = environment;
  }

  /** Runs rabbitmqctl against this broker. */
  async control(...args: string[]): Promise<string> {
    const { stdout } = await run("/usr/lib/rabbitmq/bin/rabbitmqctl", ["--quiet", ...args], {
      env: { ...process.env, ...this.#environment },
    });
    return stdout;
  }
}

/** PostgreSQL with fsync on. */
export async function startPostgres(): Promise<TestServer> {
  const bin = postgresBinaries();
  const folder = newFolder("postgres");
  const [port] = await freePorts(1);
  // It refuses to run as root.
  const owner = process.getuid?.() === 0 ? userOf("postgres") : undefined;
  if (owner) chownSync(folder, owner.uid, owner.gid);
  const privileges = owner ? [`--reuid=${owner.uid}`, `--regid=${owner.gid}`, "--clear-groups"] : [];
  const data = join(folder, "data");
  await run(
    "setpriv",
    [
      ...privileges,
      "--",
      join(bin, "initdb"),
      "-D",
      data,
      "-U",
      "flashloan",
      "-A",
      "trust",
      "-E",
      "UTF8",
      "--locale=C.UTF-8",
      "--no-sync",
    ],
    { cwd: folder, env: { ...process.env, HOME: folder } },
  );
  const settings = [
    "listen_addresses=127.0.0.1",
    `unix_socket_directories=${folder}`,
    "fsync=on",
    "shared_buffers=32MB",
    "max_connections=60",
  ];
  const server = new TestServer(`postgres://flashloan@127.0.0.1:${port}/postgres`, port, {
    name: "PostgreSQL",
    folder,
    command: join(bin, "postgres"),
    args: ["-D", data, "-p", String(port), ...settings.flatMap((setting) => ["-c", setting])],
    env: { HOME: folder },
    privileges,
    stopSignal: "SIGINT",
    isReady: () => succeeds(join(bin, "pg_isready"), ["-q", "-h", "127.0.0.1", "-p", String(port), "-t", "1"]),
  });
  await server.start();
  return server;
}

/** Redis as a cache: nothing is written to disk. */
export async function startRedis(): Promise<TestServer> {
  const folder = newFolder("redis");
  const [port] = await freePorts(1);
  const server = new TestServer(`redis://127.0.0.1:${port}`, port, {
    name: "Redis",
    folder,
    command: binary("redis-server"),
    args: ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder],
    stopSignal: "SIGTERM",
    isReady: async () => (await exchange(port, "PING\r\n")).startsWith("+PONG"),
  });
  await server.start();
  return server;
}

/** RabbitMQ as one node with its own name server (epmd); no management. With a port for metrics, Prometheus may ask it. */
export async function startRabbit(metricsPort?: number): Promise<RabbitServer> {
  const home = "/usr/lib/rabbitmq/bin";
  if (!existsSync(home)) throw missing("rabbitmq-server");
  const folder = newFolder("rabbitmq");
  const [port, distribution, nameServer] = await freePorts(3);
  const settings = [
    "log.console.level = warning",
    "disk_free_limit.absolute = 50MB",
    "raft.wal_max_size_bytes = 16000000",
    ...(metricsPort === undefined ? [] : [`prometheus.tcp.port = ${metricsPort}`, "prometheus.tcp.ip = 127.0.0.1"]),
  ];
  writeFileSync(join(folder, "rabbitmq.conf"), `${settings.join("\n")}\n`);
  writeFileSync(join(folder, "enabled_plugins"), metricsPort === undefined ? "[].\n" : "[rabbitmq_prometheus].\n");
  mkdirSync(join(folder, "mnesia"));
  const env = {
    HOME: folder,
    ERL_EPMD_PORT: String(nameServer),
    ERL_EPMD_ADDRESS: "127.0.0.1",
    RABBITMQ_NODENAME: `flashloan-${port}@localhost`,
    RABBITMQ_NODE_IP_ADDRESS: "127.0.0.1",
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(distribution),
    RABBITMQ_MNESIA_BASE: join(folder, "mnesia"),
    RABBITMQ_LOG_BASE: folder,
    RABBITMQ_LOGS: "-",
    RABBITMQ_CONFIG_FILE: join(folder, "rabbitmq.conf"),
    RABBITMQ_CONF_ENV_FILE: join(folder, "no-environment"),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, "enabled_plugins"),
    RABBITMQ_PID_FILE: join(folder, "pid"),
    // The Erlang VM in place of the script, so that signals reach it.
    RABBITMQ_ALLOW_INPUT: "1",
    RABBITMQ_SERVER_START_ARGS: "-noinput",
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: "+S 1:1 +sbwt none",
  };
  const epmd = spawn(
    "setpriv",
    ["--pdeathsig", "KILL", "--", "epmd", "-port", String(nameServer), "-address", "127.0.0.1"],
    { stdio: "ignore" },
  );
  const server = new RabbitServer(
    `amqp://guest:guest@127.0.0.1:${port}`,
    port,
    {
      name: "RabbitMQ",
      folder,
      command: join(home, "rabbitmq-server"),
      args: [],
      env,
      stopSignal: "SIGTERM",
      // It answers a protocol header with Connection.Start, and listens only when all else has started.
      isReady: async () => (await exchange(port, "AMQP\u0000\u0000\u0009\u0001")).length > 0,
    },
    [epmd],
    env,
  );
  await server.start();
  return server;
}

/** etcd as one node. */
export async function startEtcd(): Promise<TestServer> {
  const folder = newFolder("etcd");
  const [port, peer] = await freePorts(2);
  const [client, peers] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${peer}`];
  const server = new TestServer(`etcd:127.0.0.1:${port}`, port, {
    name: "etcd",
    folder,
    command: binary("etcd"),
    args: [
      "--data-dir",
      join(folder, "data"),
      "--listen-client-urls",
      client,
      "--advertise-client-urls",
      client,
      "--listen-peer-urls",
      peers,
      "--initial-advertise-peer-urls",
      peers,
      "--initial-cluster",
      `default=${peers}`,
      "--log-level",
      "error",
    ],
    stopSignal: "SIGTERM",
    isReady: async () => (await exchange(port, "GET /health HTTP/1.0\r\n\r\n")).includes('"health":"true"'),
  });
  await server.start();
  return server;
}

/** A new folder for a server's data. */
export function newFolder(name: string): string {
  return mkdtempSync(join(tmpdir(), `flashloan-${name}-`));
}

/** Ports that were free a moment ago. */
async function freePorts<const N extends 1 | 2 | 3>(
  count: N,
): Promise<N extends 1 ? [number] : N extends 2 ? [number, number] : [number, number, number]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
          const server = createServer();
          server.once("error", reject);
          server.listen(0, "127.0.0.1", () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => void server.close(() => resolve()))));
  return ports as never;
}

/** What a server answers first to some bytes; empty when it doesn't answer. */
function exchange(port: number, request: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    const done = (answer: string): void => {
      socket.destroy();
      resolve(answer);
    };
    let answer = "";
    socket.setTimeout(PROBE_DEADLINE_MS, () => done(answer));
    socket.on("connect", () => socket.write(Buffer.from(request, "latin1")));
    socket.on("data", (chunk) => {
      answer += chunk.toString("latin1");
      if (!request.startsWith("GET")) done(answer);
    });
    socket.on("end", () => done(answer));
    socket.on("error", () => done(""));
  });
}

async function succeeds(command: string, args: readonly string[]): Promise<boolean> {
  try {
    await run(command, args);
    return true;
  } catch {
    return false;
  }
}

/** The path of a server's or tool's program. */
export function binary(name: string): string {
  for (const folder of [...(process.env["PATH"] ?? "").split(":"), "/usr/bin", "/usr/sbin"])
    if (existsSync(join(folder, name))) return join(folder, name);
  throw missing(name);
}

function postgresBinaries(): string {
  const base = "/usr/lib/postgresql";
  const versions = existsSync(base) ? readdirSync(base).sort((a, b) => Number(b) - Number(a)) : [];
  const newest = versions
    .map((version) => join(base, version, "bin"))
    .find((folder) => existsSync(join(folder, "initdb")));
  if (newest === undefined) throw missing("postgresql");
  return newest;
}

function missing(what: string): Error {
  return new Error(`${what} is not installed: "npm test -- servers" installs what the adapter tests need`);
}

function userOf(name: string): { uid: number; gid: number } {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((entry) => entry.startsWith(`${name}:`));
  const [, , uid, gid] = line?.split(":") ?? [];
  if (uid === undefined || gid === undefined) throw new Error(`there is no user "${name}"`);
  return { uid: Number(uid), gid: Number(gid) };
}

/** A process and all below it; PostgreSQL's and Erlang's children leave their parent's process group. */
function tree(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync("/proc")) {
    const status = /^\d+$/.test(entry) ? processStatus(Number(entry)) : undefined;
    if (status) children.set(status.parent, [...(children.get(status.parent) ?? []), Number(entry)]);
  }
  const found = [root];
  for (let at = 0; at < found.length; at++) found.push(...(children.get(found[at] ?? 0) ?? []));
  return found;
}

function processStatus(pid: number): { state: string; parent: number } | undefined {
  try {
    // "pid (name) state parent …"; the name may hold anything but is followed by the last parenthesis.
    const [state = "", parent = ""] = (readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1) ?? "").split(" ");
    return { state, parent: Number(parent) };
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  const status = processStatus(pid);
  return status !== undefined && status.state !== "Z" && status.state !== "X";
}

function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // It ended meanwhile.
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms));
}

/** Whether every thread of a process is stopped (or gone), by the kernel's word. */
function isFrozen(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).every((task) =>
      /\) [TtZX] /.test(readFileSync(`/proc/${pid}/task/${task}/stat`, "utf8")),
    );
  } catch {
    return true;
  }
}
