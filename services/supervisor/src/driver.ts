import type { Running } from "@flashloan/shared/lifecycle";
import type { UnitDeclaration } from "./unit.ts";

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
