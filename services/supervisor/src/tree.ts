import { z } from "zod";
import { backoffMs } from "@flashloan/shared/clock";
import { FlashloanError } from "@flashloan/shared/errors";
import type { Random } from "@flashloan/shared/random";
import { nameSchema, type Fault, type UnitDeclaration, type Verdict } from "./unit.ts";

/** The wait before the second restart in a row; it doubles with each further one (Kubernetes' crash-loop back-off). */
export const BACKOFF_BASE_MS = 10_000;
export const BACKOFF_CAP_MS = 300_000;
/** A unit that was up for so long starts its back-off anew. */
export const BACKOFF_RESET_MS = 600_000;
/** Restarts in a row from which a waiting unit is said to be in a crash loop. */
const CRASH_LOOP_AT = 3;

const STRATEGIES = ["one_for_one", "rest_for_one", "one_for_all"] as const;

/** A supervisor of the tree: who is restarted with a failed child, and how many restarts are too many. */
export interface GroupSpec {
  readonly name: string;
  /** Erlang/OTP: the failed child alone, with those started after it, or with all of its group. */
  readonly strategy: (typeof STRATEGIES)[number];
  /** More than this many restarts within `periodMs` are too many. */
  readonly intensity: number;
  readonly periodMs: number;
  /** What follows then: the failing unit is left down for an operator, or the parent restarts the whole group. */
  readonly beyond: "quarantine" | "escalate";
  readonly groups: readonly GroupSpec[];
}

const DEFAULTS = { strategy: "one_for_one", intensity: 5, periodMs: 600_000, beyond: "quarantine" } as const;

/** A supervision tree as configured, with OTP's words. */
export const groupSpecSchema: z.ZodType<GroupSpec> = z.lazy(() =>
  z.strictObject({
    name: nameSchema,
    strategy: z.enum(STRATEGIES).default(DEFAULTS.strategy),
    intensity: z.number().int().min(0).max(1_000).default(DEFAULTS.intensity),
    periodMs: z.number().int().min(1_000).max(86_400_000).default(DEFAULTS.periodMs),
    beyond: z.enum(["quarantine", "escalate"]).default(DEFAULTS.beyond),
    groups: z.array(groupSpecSchema).max(64).default([]),
  }),
);

/** Where a unit is in its life under supervision. */
export const PHASES = ["starting", "up", "degraded", "down", "restarting", "crash_loop", "quarantined"] as const;
/** @see PHASES */
export type Phase = (typeof PHASES)[number];

/** Units to be restarted, in this order, because one of them failed. */
export interface RestartAction {
  readonly kind: "restart";
  readonly culprit: string;
  readonly fault: Fault;
  readonly units: readonly string[];
  /** The group whose rule says so: a parent's, when a group's restarts were too many. */
  readonly group: string;
}

/** A unit to be left down until an operator releases it. */
export interface QuarantineAction {
  readonly kind: "quarantine";
  readonly culprit: string;
  readonly fault: Fault;
  readonly reason: string;
}

/** What the tree wants done. */
export type Action = RestartAction | QuarantineAction;

/** A unit as others see it. */
export interface UnitView {
  readonly declaration: UnitDeclaration;
  readonly phase: Phase;
  readonly sinceMs: number;
  readonly reason: string;
  /** Restarts in a row, since the back-off was last reset. */
  readonly attempts: number;
  /** Not restarted before. */
  readonly notBeforeMs: number;
}

interface UnitState {
  declaration: UnitDeclaration;
  phase: Exclude<Phase, "crash_loop">;
  sinceMs: number;
  fault: Fault | undefined;
  reason: string;
  attempts: number;
  notBeforeMs: number;
}

interface Group {
  readonly spec: GroupSpec;
  readonly parent: Group | undefined;
  readonly children: Group[];
  restarts: number[];
}

const snapshotSchema = z.object({
  units: z.record(
    z.string(),
    z.object({
      phase: z.enum(["starting", "up", "degraded", "down", "restarting", "quarantined"]),
      reason: z.string(),
      attempts: z.number(),
      notBeforeMs: z.number(),
    }),
  ),
  groups: z.record(z.string(), z.array(z.number())),
});
/** What a tree keeps across a restart of its supervisor. */
export type TreeSnapshot = z.infer<typeof snapshotSchema>;

/**
 * The decisions of a supervisor, without any side effect: told what is thought of each unit, it says which are to be
 * restarted now. Restart strategies, intensity and escalation are Erlang/OTP's, the back-off is Kubernetes', except that
 * the first restart is immediate.
 */
export class SupervisionTree {
  readonly #root: Group;
  readonly #groups = new Map<string, Group>();
  readonly #units = new Map<string, UnitState>();
  readonly #random: Random;

  /** @throws FlashloanError config_invalid when two groups have one name */
  constructor(spec: GroupSpec, random: Random) {
    this.#random = random;
    this.#root = this.#plant(spec, undefined);
  }

  /** Every unit, by group and start order. */
  units(now: number): UnitView[] {
    return [...this.#units.values()].map((unit) => ({
      declaration: unit.declaration,
      phase: unit.phase === "down" && unit.attempts >= CRASH_LOOP_AT && unit.notBeforeMs > now ? "crash_loop" : unit.phase,
      sinceMs: unit.sinceMs,
      reason: unit.reason,
      attempts: unit.attempts,
      notBeforeMs: unit.notBeforeMs,
    }));
  }

  /** Takes a unit in, or its new declaration. */
  declare(declaration: UnitDeclaration, now: number): void {
    const known = this.#units.get(declaration.id);
    if (known) known.declaration = declaration;
    else this.#units.set(declaration.id, newUnit(declaration, now));
    if (!this.#groups.has(declaration.group))
      this.#plant({ ...DEFAULTS, name: declaration.group, groups: [] }, this.#root);
  }

  /** Forgets a unit that is gone for good. */
  forget(id: string): void {
    this.#units.delete(id);
  }

  /** Takes in what is thought of a unit; true when that is a new failure. @throws FlashloanError not_found */
  observe(id: string, verdict: Verdict, now: number): boolean {
    const unit = this.#unit(id);
    if (unit.phase === "quarantined" || unit.phase === "restarting") return false;
    if (unit.phase === "up" && now - unit.sinceMs >= BACKOFF_RESET_MS) this.#resetBackoff(unit);
    if (verdict.status !== "failed") {
      if (unit.phase !== verdict.status) Object.assign(unit, { phase: verdict.status, sinceMs: now, fault: undefined });
      unit.reason = verdict.status === "degraded" ? verdict.reason : "";
      return false;
    }
    if (unit.phase === "down") return false;
    Object.assign(unit, { phase: "down", sinceMs: now, fault: verdict.fault, reason: verdict.reason });
    return true;
  }

  /** What is to be done now. Units of an action count as restarting until {@link restarted} tells how it went. */
  decide(now: number): Action[] {
    const actions: Action[] = [];
    for (const unit of this.#units.values()) {
      if (unit.phase !== "down" || unit.notBeforeMs > now) continue;
      if (unit.declaration.dependsOn.some((id) => this.#isDown(id))) continue;
      const group = this.#groups.get(unit.declaration.group) as Group;
      actions.push(this.#restart(group, unit, (strategyOf) => this.#peers(strategyOf, unit), now));
    }
    return actions;
  }

  /** How a restart went. */
  restarted(id: string, failure: string | undefined, now: number): void {
    const unit = this.#unit(id);
    if (unit.phase !== "restarting") return;
    if (failure === undefined) Object.assign(unit, { phase: "starting", sinceMs: now, fault: undefined, reason: "" });
    else Object.assign(unit, { phase: "down", sinceMs: now, fault: "restart_failed", reason: failure });
  }

  /** An operator's restart: planned, so it counts neither as a failure nor against an intensity. */
  plan(id: string, now: number): void {
    const unit = this.#unit(id);
    if (unit.phase === "restarting")
      throw new FlashloanError("argument_invalid", `${id} is being restarted already: wait until it is up`);
    Object.assign(unit, { phase: "restarting", sinceMs: now, reason: "planned" });
  }

  /** Leaves a unit as it is until it is released. */
  quarantine(id: string, reason: string, now: number): void {
    Object.assign(this.#unit(id), { phase: "quarantined", sinceMs: now, reason });
  }

  /** Ends a quarantine: the unit is looked at again, its back-off and its group's count begin anew. */
  release(id: string, now: number): void {
    const unit = this.#unit(id);
    if (unit.phase === "quarantined") Object.assign(unit, { phase: "starting", sinceMs: now, reason: "" });
    this.reset(id);
  }

  /** Begins a unit's back-off and its group's count anew. */
  reset(id: string): void {
    const unit = this.#unit(id);
    this.#resetBackoff(unit);
    for (let group = this.#groups.get(unit.declaration.group); group; group = group.parent) group.restarts = [];
  }

  /** What a new supervisor needs to go on from here. */
  snapshot(): TreeSnapshot {
    return {
      units: Object.fromEntries(
        [...this.#units].map(([id, { phase, reason, attempts, notBeforeMs }]) => [
          id,
          { phase, reason, attempts, notBeforeMs },
        ]),
      ),
      groups: Object.fromEntries([...this.#groups].map(([name, { restarts }]) => [name, restarts])),
    };
  }

  /** Goes on from a snapshot: of units that are declared already. A restart that was under way is looked at again. */
  restore(snapshot: unknown, now: number): void {
    const { units, groups } = snapshotSchema.parse(snapshot);
    for (const [name, restarts] of Object.entries(groups)) {
      const group = this.#groups.get(name);
      if (group) group.restarts = restarts;
    }
    for (const [id, { phase, reason, attempts, notBeforeMs }] of Object.entries(units)) {
      const unit = this.#units.get(id);
      if (!unit) continue;
      Object.assign(unit, { attempts, notBeforeMs, sinceMs: now });
      if (phase === "quarantined") Object.assign(unit, { phase, reason });
    }
  }

  #plant(spec: GroupSpec, parent: Group | undefined): Group {
    if (this.#groups.has(spec.name))
      throw new FlashloanError("config_invalid", `SUPERVISOR_TREE: two groups are named "${spec.name}": rename one`);
    const group: Group = { spec, parent, children: [], restarts: [] };
    this.#groups.set(spec.name, group);
    parent?.children.push(group);
    for (const child of spec.groups) this.#plant(child, group);
    return group;
  }

  #unit(id: string): UnitState {
    const unit = this.#units.get(id);
    if (unit) return unit;
    const known = [...this.#units.keys()].join(", ") || "none yet";
    throw new FlashloanError("not_found", `there is no unit "${id}"; known: ${known}`);
  }

  #isDown(id: string): boolean {
    const phase = this.#units.get(id)?.phase;
    return phase === "down" || phase === "restarting";
  }

  #resetBackoff(unit: UnitState): void {
    unit.attempts = 0;
    unit.notBeforeMs = 0;
  }

  /** Applies a group's rule to a failed unit, or that of its parent when the group's restarts are too many. */
  #restart(group: Group, unit: UnitState, affected: (group: Group) => UnitState[], now: number): Action {
    const { spec } = group;
    const fault = unit.fault ?? "crash";
    const culprit = unit.declaration.id;
    group.restarts = group.restarts.filter((at) => now - at < spec.periodMs);
    if (group.restarts.length >= spec.intensity) {
      if (spec.beyond === "escalate" && group.parent) {
        group.restarts = [];
        return this.#restart(group.parent, unit, (parent) => this.#groupPeers(parent, group), now);
      }
      const reason = `more than ${spec.intensity} restarts of group ${spec.name} within ${spec.periodMs / 1_000} s, the last for ${fault}: ${unit.reason}`;
      this.quarantine(culprit, reason, now);
      return { kind: "quarantine", culprit, fault, reason };
    }
    group.restarts.push(now);
    unit.attempts += 1;
    // The next one: the first restart was immediate, those that follow wait longer and longer, at least half of it.
    const wait = backoffMs(unit.attempts - 1, BACKOFF_BASE_MS, BACKOFF_CAP_MS, () => 0.5 + this.#random.next() / 2);
    unit.notBeforeMs = now + wait;
    const units = affected(group).filter((peer) => peer.phase !== "quarantined" && peer.phase !== "restarting");
    for (const peer of units) Object.assign(peer, { phase: "restarting", sinceMs: now });
    return { kind: "restart", culprit, fault, units: units.map((peer) => peer.declaration.id), group: spec.name };
  }

  /** The units that a group's strategy restarts with one of its own. */
  #peers({ spec }: Group, unit: UnitState): UnitState[] {
    if (spec.strategy === "one_for_one") return [unit];
    const peers = this.#members(spec.name);
    return spec.strategy === "one_for_all" ? peers : peers.slice(peers.indexOf(unit));
  }

  /** The units that a parent's strategy restarts with one of its groups. */
  #groupPeers(parent: Group, group: Group): UnitState[] {
    const { strategy } = parent.spec;
    const groups =
      strategy === "one_for_one"
        ? [group]
        : strategy === "one_for_all"
          ? parent.children
          : parent.children.slice(parent.children.indexOf(group));
    const collect = (at: Group): UnitState[] => [
      ...this.#members(at.spec.name),
      ...at.children.flatMap((child) => collect(child)),
    ];
    return groups.flatMap(collect);
  }

  /** A group's own units in their start order. */
  #members(name: string): UnitState[] {
    return [...this.#units.values()]
      .filter(({ declaration }) => declaration.group === name)
      .sort((a, b) => a.declaration.order - b.declaration.order || (a.declaration.id < b.declaration.id ? -1 : 1));
  }
}

function newUnit(declaration: UnitDeclaration, now: number): UnitState {
  return { declaration, phase: "starting", sinceMs: now, fault: undefined, reason: "", attempts: 0, notBeforeMs: 0 };
}
