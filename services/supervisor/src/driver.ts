import type { Running } from "@flashloan/shared/lifecycle";
import type { Fault, UnitDeclaration } from "./unit.ts";

/** What a driver sees of a unit from outside, without asking the unit. */
export interface UnitSighting {
  readonly declaration: UnitDeclaration;
  /** `ended`: it ran and does not any more. `frozen`: it is there and gets no time. */
  readonly state: "running" | "ended" | "frozen";
  /** Changes with each start, whoever made it. */
  readonly incarnation: string;
  readonly startedAtMs: number;
  /** How the last run ended, if the driver knows; with an `error` where it knows that nobody else starts it again. */
  readonly lastExit:
    | { readonly code: number | undefined; readonly outOfMemory: boolean; readonly error?: string }
    | undefined;
  /** What a health check of the driver's own says. */
  readonly health: "healthy" | "unhealthy" | "unknown";
}

/** A failure that ended the supervisor's own process, so that only the next one can be told of it. */
export interface PastFailure {
  readonly atMs: number;
  /** The unit whose doing it was, or a name for the process itself. */
  readonly unit: string;
  readonly fault: Fault;
  readonly reason: string;
}

/**
 * How units are reached, where they run: the only way in which a supervisor touches them. Every call has a deadline of its
 * own.
 */
export interface UnitDriver extends Running {
  readonly kind: "in-process" | "docker" | "swarm" | "none";
  /** Every unit that there is. @throws FlashloanError service_unavailable, deadline_exceeded */
  sightings(): Promise<readonly UnitSighting[]>;
  /** Calls back when a look is worth it, earlier than the next round; what it misses the next round finds. */
  onHint(hint: () => void): void;
  /** Ends a unit, with grace if it may, and starts it again. @throws FlashloanError not_found, service_unavailable, deadline_exceeded */
  restart(unit: string, graceMs: number): Promise<void>;
  /** Its newest log lines, oldest first, bounded. */
  logs(unit: string, lines: number): Promise<readonly string[]>;
}
