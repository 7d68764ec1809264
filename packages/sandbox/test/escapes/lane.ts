import { spawn, type ChildProcess } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import {
  closeSync,
  mkdtempSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server, type Socket as NetSocket } from "node:net";
import { join } from "node:path";
import type { RunResult, Sandbox } from "../../src/port.ts";
import type { EscapeCase, World } from "./case.ts";
import { files } from "./files.ts";
import { network } from "./network.ts";
import { processes } from "./processes.ts";
import { resources } from "./resources.ts";

/** The whole set. */
export const cases: readonly EscapeCase[] = [...network, ...files, ...processes, ...resources];
/** What must never be seen: in the watching process's own variables too. */
export const SECRET = "canary-5b1f0a7d93";
const DEADLINE_MS = 60_000;
const OUT = "outside";
const MIB = 1024 * 1024;

async function until(reached: () => boolean): Promise<boolean> {
  const deadline = performance.now() + DEADLINE_MS / 10;
  while (!reached() && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
  return reached();
}

type Seen = Pick<RunResult, "stdout" | "stderr" | "changed">;

/** A range of user ids. */
export interface RunUsers {
  readonly first: number;
  readonly count: number;
}

/** What one case at a time aims at, and the watch over it. */
export class Lane {
  readonly #users: RunUsers;
  readonly #base: string;
  readonly #folder: string;
  readonly #servers: Server[] = [];
  readonly #heard: string[] = [];
  readonly #udp = createSocket("udp4");
  readonly #expectedListing: string;
  #victim: ChildProcess | undefined;
  #world: World;

  private constructor(base: string, index: number, users: RunUsers) {
    this.#users = users;
    this.#base = mkdtempSync(join(base, "lane-"));
    this.#folder = join(this.#base, OUT);
    this.#resetFolder();
    this.#expectedListing = this.#listing();
    this.#world = {
      folder: this.#folder,
      secretFile: join(this.#folder, "secret-token"),
      tcpPort: 0,
      udpPort: 0,
      unixSocket: join(this.#base, "socket"),
      abstractSocket: `flashloan-escape-${process.pid}-${index}`,
      victimPid: 0,
      sleepS: `86399.7312${index}`,
    };
  }

  /** @param users ids that runs have on this machine: nobody of them may be left behind */
  static async open(base: string, index: number, users: RunUsers): Promise<Lane> {
    const lane = new Lane(base, index, users);
    const tcp = await lane.#listen("tcp", (server, done) => server.listen(0, "0.0.0.0", done));
    await lane.#listen("unix", (server, done) => server.listen(lane.#world.unixSocket, done));
    await lane.#listen("abstract unix", (server, done) => server.listen(`\0${lane.#world.abstractSocket}`, done));
    await new Promise<void>((resolve) => {
      lane.#udp.bind(0, "127.0.0.1", resolve);
    });
    lane.#udp.on("message", (message) => lane.#heard.push(message.toString() === "probe" ? "udp probe" : "udp"));
    lane.#world = {
      ...lane.#world,
      tcpPort: (tcp.address() as { port: number }).port,
      udpPort: lane.#udp.address().port,
    };
    await lane.#startVictim();
    return lane;
  }

  get world(): World {
    return this.#world;
  }

  /** Free space of what the folder is on. */
  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.#base);
    return bavail * bsize;
  }

  close(): void {
    this.#victim?.kill("SIGKILL");
    for (const server of this.#servers) server.close();
    this.#udp.close();
  }

  async #listen(what: string, listen: (server: Server, done: () => void) => void): Promise<Server> {
    const server = createServer((socket: NetSocket) => {
      this.#heard.push(what);
      socket.on("error", () => undefined);
      socket.end("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    });
    this.#servers.push(server);
    await new Promise<void>((resolve) => listen(server, resolve));
    return server;
  }

  /** Somebody else's process: a secret in its variables, its arguments and a file that it has open; it notes signals. */
  async #startVictim(): Promise<void> {
    const secret = openSync(this.#world.secretFile, "r");
    const victim = spawn(
      process.execPath,
      [
        "-e",
        'for(const s of ["SIGTERM","SIGUSR2","SIGINT","SIGHUP"])process.on(s,()=>process.stdout.write(s));setInterval(()=>{},1e9);process.stdout.write("ready")',
        SECRET,
      ],
      { cwd: this.#folder, env: { SECRET }, stdio: ["ignore", "pipe", "inherit", secret] },
    );
    closeSync(secret);
    await once(victim.stdout as NodeJS.ReadableStream, "data");
    victim.stdout?.on("data", (chunk: Buffer) => this.#heard.push(`signal ${chunk.toString()}`));
    victim.once("exit", (_, signal) => this.#heard.push(`victim ended by ${signal}`));
    this.#victim = victim;
    this.#world = { ...this.#world, victimPid: victim.pid ?? 0 };
  }

  #resetFolder(): void {
    rmSync(this.#folder, { recursive: true, force: true });
    mkdirSync(this.#folder);
    writeFileSync(join(this.#folder, "secret-token"), SECRET);
    writeFileSync(join(this.#folder, "kept"), "kept\n", { mode: 0o644 });
  }

  #listing(): string {
    return readdirSync(this.#folder)
      .sort()
      .map((name) => {
        const { mode, nlink, size } = statSync(join(this.#folder, name));
        return `${name} ${mode.toString(8)} ${nlink} ${size}`;
      })
      .join("; ");
  }

  #leftBehind(): number[] {
    const { first, count } = this.#users;
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => {
        try {
          if (readFileSync(`/proc/${pid}/cmdline`, "utf8") === `sleep\0${this.#world.sleepS}\0`) return true;
          const uid = Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
          return uid >= first && uid < first + count;
        } catch {
          return false;
        }
      });
  }

  /** What fired, seen from outside; then everything is as before. */
  async fired(result: Seen, isConfined: boolean): Promise<string[]> {
    // Whatever was sent before has arrived once this has.
    this.#udp.send(Buffer.from("probe"), this.#world.udpPort, "127.0.0.1");
    await until(() => this.#heard.includes("udp probe"));
    await until(() => !isConfined || this.#leftBehind().length === 0);
    const alarms = this.#heard.splice(0).filter((what) => what !== "udp probe");
    if (JSON.stringify([result.stdout, result.stderr, result.changed]).includes(SECRET)) alarms.push("secret seen");
    if (/\bESCAPED\b/.test(result.stdout)) alarms.push(`said ${result.stdout.slice(0, 100)}`);
    if (this.#listing() !== this.#expectedListing) alarms.push(`folder: ${this.#listing()}`);
    const left = this.#leftBehind();
    for (const pid of left) process.kill(pid, "SIGKILL");
    if (left.length > 0) alarms.push(`${left.length} processes left behind`);
    const victim = this.#victim;
    const isAlive = victim?.exitCode === null && victim.signalCode === null;
    if (victim && isAlive) {
      if (/^State:\s+T/m.test(readFileSync(`/proc/${victim.pid}/status`, "utf8"))) alarms.push("victim stopped");
      if (/core file size\s+4096/.test(readFileSync(`/proc/${victim.pid}/limits`, "utf8")))
        alarms.push("victim's limit changed");
    }
    if (alarms.length > 0) {
      this.#resetFolder();
      if (victim && isAlive) {
        victim.kill("SIGKILL");
        await once(victim, "exit");
      }
      await this.#startVictim();
      this.#heard.splice(0);
    }
    return alarms;
  }

  /** The same code as a plain process, with what such a process has: our variables, and results read as they come. */
  async runUnconfined(one: EscapeCase): Promise<Seen> {
    const workspace = mkdtempSync(join(this.#base, "workspace-"));
    const entry = join(workspace, one.language === "typescript" ? "main.mts" : "main");
    writeFileSync(entry, one.code(this.#world));
    const program = one.language === "shell" ? "sh" : process.execPath;
    const child = spawn(program, [entry], {
      cwd: workspace,
      env: { ...process.env, SECRET },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: DEADLINE_MS,
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    await once(child, "close");
    const changed: Record<string, string> = {};
    for (const name of readdirSync(workspace))
      if (!name.startsWith("main") && statSync(join(workspace, name)).isFile())
        changed[name] = readFileSync(join(workspace, name), "utf8");
    rmSync(workspace, { recursive: true });
    return { stdout, stderr, changed };
  }
}

/** Has a sandbox make one attempt; what was seen of it from outside, and which bounds it was over. */
export async function attemptConfined(lane: Lane, sandbox: Sandbox, one: EscapeCase): Promise<string[]> {
  const freeBefore = lane.freeBytes;
  const entry = one.language === "typescript" ? "main.mts" : "main";
  const result = await sandbox.run({
    language: one.language,
    files: { [entry]: one.code(lane.world) },
    entry,
    limits: { wallMs: 10_000, ...one.limits },
  });
  const faults = await lane.fired(result, true);
  const { stdout, stderr } = result;
  if (one.bounds?.(result) === false)
    faults.push(`bounds: ${JSON.stringify({ ...result, stdout: stdout.slice(0, 200), stderr: stderr.slice(0, 200) })}`);
  if (result.wallMs >= DEADLINE_MS) faults.push(`took ${result.wallMs} ms`);
  const takenBytes = freeBefore - lane.freeBytes;
  if (takenBytes >= 512 * MIB) faults.push(`took ${takenBytes} bytes of the disk`);
  return faults;
}

/** Makes one attempt without walls; what was seen of it. */
export async function attemptUnconfined(lane: Lane, one: EscapeCase): Promise<string[]> {
  return lane.fired(await lane.runUnconfined(one), false);
}
