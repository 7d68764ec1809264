import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { isAlive } from "@flashloan/devnet/anvil";
import { systemClock } from "@flashloan/shared/clock";

const GONE_DEADLINE_MS = 30_000;
const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** One JSON line that a platform printed. */
export interface PlatformEvent {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** How a platform process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A process that says what it does in JSON lines, each with an `event`. */
class EventProcess {
  readonly events: PlatformEvent[] = [];
  readonly exit: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #waiting = new Set<() => void>();
  #exited: Exit | undefined;
  stderr = "";

  /** @param args script and arguments, run from the sources; @param events the stream that carries the JSON lines */
  constructor(args: readonly string[], environment: NodeJS.ProcessEnv, events: "stdout" | "stderr") {
    const node = `${ROOT}node_modules/node/bin/node`;
    this.#child = spawn(node, ["--conditions=@flashloan/source", ...args], {
      cwd: ROOT,
      env: environment,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child.stderr?.on("data", (chunk: Buffer) => (this.stderr += chunk.toString()));
    const lines = createInterface({ input: this.#child[events] as NodeJS.ReadableStream });
    lines.on("line", (line) => {
      // What Node itself has to say is no event; it is in `stderr`.
      if (events === "stderr" && !line.startsWith("{")) return;
      this.events.push(JSON.parse(line) as PlatformEvent);
      for (const wake of this.#waiting) wake();
    });
    this.exit = new Promise((resolve) =>
      this.#child.once("close", (code, signal) => {
        void this.gone().then(() => {
          this.#exited = { code, signal };
          for (const wake of this.#waiting) wake();
          resolve(this.#exited);
        });
      }),
    );
  }

  /** What else has to be over before it counts as ended. */
  protected async gone(): Promise<void> {}

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** The first event (from a place in `events` on) that matches; fails when the process ends or the deadline passes first. */
  async waitFor(matches: (event: PlatformEvent) => boolean, deadlineMs: number, from = 0): Promise<PlatformEvent> {
    const found = await this.waitForEventOrExit(matches, deadlineMs, from);
    if (found === "exited")
      throw new Error(
        `the process ended (${JSON.stringify(this.#exited)}) before the event came; it printed ${JSON.stringify(this.events.slice(-5))} and ${this.stderr.slice(-2_000)}`,
      );
    return found;
  }

  /** The same, but the end of the process is an answer too. */
  async waitForEventOrExit(
    matches: (event: PlatformEvent) => boolean,
    deadlineMs: number,
    from = 0,
  ): Promise<PlatformEvent | "exited"> {
    const deadline = performance.now() + deadlineMs;
    for (let at = from; ;) {
      for (; at < this.events.length; at++) {
        const event = this.events[at];
        if (event && matches(event)) return event;
      }
      if (this.#exited) return "exited";
      const left = deadline - performance.now();
      if (left <= 0)
        throw new Error(
          `no matching event within ${deadlineMs} ms; the last were ${JSON.stringify(this.events.slice(-5))}; stderr ${this.stderr.slice(-2_000)}`,
        );
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, left);
        const waiting = this.#waiting;
        function done(): void {
          clearTimeout(timer);
          waiting.delete(done);
          resolve();
        }
        waiting.add(done);
      });
    }
  }

  /** Its end; when it does not end in time it is stopped, and the exit says so by having no SIGKILL. */
  async exitWithin(deadlineMs: number): Promise<Exit> {
    const timer = setTimeout(() => this.kill("SIGINT"), deadlineMs);
    const exit = await this.exit;
    clearTimeout(timer);
    return exit;
  }

  protected get hasExited(): boolean {
    return this.#exited !== undefined;
  }

  /** Ends it as Ctrl-C does, and by force after a deadline. */
  async stop(): Promise<Exit> {
    if (this.#exited) return this.#exited;
    this.kill("SIGINT");
    const force = setTimeout(() => this.kill("SIGKILL"), 40_000);
    const exit = await this.exit;
    clearTimeout(force);
    return exit;
  }
}

/** A `flashloan` command in a process of its own, as a user runs it; with `--json`, observed through what it prints. */
export class CommandProcess extends EventProcess {
  constructor(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
    super([`${ROOT}packages/cli/src/main.ts`, ...args], { ...process.env, ...environment }, "stdout");
  }
}

/** A platform in a process of its own, as a user starts it. */
export class PlatformProcess extends CommandProcess {
  /** @param args options of `flashloan start`; `--json` is added */
  constructor(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
    super(["start", "--json", ...args], environment);
  }

  /** SIGKILL strikes keeper and platform, as a lost machine does: of one alone the other notices. */
  override kill(signal: NodeJS.Signals): void {
    if (signal !== "SIGKILL") return super.kill(signal);
    // Its numbers may be others' by now.
    if (this.hasExited) return;
    super.kill("SIGSTOP");
    this.signalPlatform("SIGKILL");
    super.kill("SIGKILL");
  }

  /** Takes its keeper away. */
  killKeeper(): void {
    super.kill("SIGKILL");
  }

  /** Sends a signal to what is kept, once it has started. */
  signalPlatform(signal: NodeJS.Signals): void {
    const pid = this.#platformPid();
    if (pid !== undefined && isAlive(pid)) process.kill(pid, signal);
  }

  /** Its platform, which holds the data folder until its parent, or init in its stead, has taken notice of its end. */
  protected override async gone(): Promise<void> {
    const pid = this.#platformPid();
    if (pid === undefined) return;
    const deadline = performance.now() + GONE_DEADLINE_MS;
    while (isAlive(pid) && performance.now() < deadline) await systemClock.sleep(10);
  }

  #platformPid(): number | undefined {
    const started = this.events.findLast(({ event }) => event === "started");
    return (started?.["endpoints"] as { readonly pid: number } | undefined)?.pid;
  }
}

/** A service in a process of its own, as a container runs it, observed through its log. */
export class ServiceProcess extends EventProcess {
  /** @param environment all that it gets: nothing of ours leaks in */
  constructor(service: string, environment: Readonly<Record<string, string>>) {
    super([`${ROOT}services/${service}/src/main.ts`], environment, "stderr");
  }
}
