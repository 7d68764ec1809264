import { FlashloanError } from "@flashloan/shared/errors";
import type { HostedService } from "@flashloan/shared/run-service";
import type { UnitDriver, UnitSighting } from "@flashloan/supervisor/driver";
import type { UnitDeclaration } from "@flashloan/supervisor/unit";

interface Unit {
  readonly declaration: UnitDeclaration;
  /** Starts it at the place that it had before, so that its clients find it again. */
  readonly start: () => Promise<HostedService>;
  running: HostedService | undefined;
  starts: number;
  startedAtMs: number;
}

/** The units of this process: a restart ends one and starts it again in place, the others go on. */
export class InProcessDriver implements UnitDriver {
  readonly kind = "in-process";
  readonly #units = new Map<string, Unit>();
  readonly #readLog: (unit: string, lines: number) => readonly string[];

  /** @param readLog the newest log lines of a unit */
  constructor(readLog: (unit: string, lines: number) => readonly string[]) {
    this.#readLog = readLog;
  }

  /** Starts a unit and takes it in. */
  async add(declaration: UnitDeclaration, start: () => Promise<HostedService>): Promise<HostedService> {
    const running = await start();
    const address = running.address;
    this.#units.set(declaration.id, {
      declaration: { ...declaration, address },
      start,
      running,
      starts: 1,
      startedAtMs: Date.now(),
    });
    return running;
  }

  async sightings(): Promise<readonly UnitSighting[]> {
    return [...this.#units.values()].map(({ declaration, running, starts, startedAtMs }) => ({
      declaration,
      state: running ? "running" : "ended",
      incarnation: String(starts),
      startedAtMs,
      lastExit: undefined,
      health: "unknown",
    }));
  }

  onHint(): void {
    // Nothing in this process ends without us.
  }

  async restart(id: string): Promise<void> {
    const unit = this.#units.get(id);
    if (!unit) throw new FlashloanError("not_found", `this process has no unit "${id}"`);
    const ending = unit.running;
    unit.running = undefined;
    // What does not end within its own deadlines is left behind: its server is closed by then.
    await ending?.stop().catch(() => undefined);
    unit.running = await unit.start();
    unit.starts += 1;
    unit.startedAtMs = Date.now();
  }

  async logs(id: string, lines: number): Promise<readonly string[]> {
    return this.#readLog(id, lines);
  }

  /** Ends every unit, the last started first. */
  async stop(): Promise<void> {
    for (const unit of [...this.#units.values()].reverse()) {
      await unit.running?.stop();
      unit.running = undefined;
    }
  }
}
