import { randomUUID } from "node:crypto";
import { withDeadline } from "@flashloan/shared/clock";
import { FlashloanError, toFlashloanError } from "@flashloan/shared/errors";
import { publishFact } from "@flashloan/shared/events";
import { HEARTBEAT_TYPE, heartbeatSchema } from "@flashloan/shared/heartbeat";
import type { Running } from "@flashloan/shared/lifecycle";
import type { Leadership } from "@flashloan/shared/ports/coordination";
import { RpcClient } from "@flashloan/shared/rpc-client";
import type { ServiceContext } from "@flashloan/shared/service";
import type { Alarm } from "./alerts.ts";
import type { Diagnostician, DiagnosisReport } from "./diagnosis.ts";
import type { PastFailure, UnitDriver, UnitSighting } from "./driver.ts";
import { UnitHealth, type Answer } from "./health.ts";
import { note, type CommandRecord, type Incident, type IncidentOutcome, type SupervisorStore } from "./incidents.ts";
import { KNOWN_QUESTIONS, type KnownQuestion } from "./known-questions.ts";
import { PHASES, type Action, type RestartAction, type SupervisionTree, type UnitView } from "./tree.ts";
import type { UnitDeclaration, Verdict } from "./unit.ts";

/** How often the driver is asked what runs. */
const ROUND_MS = 1_000;
/** How often a unit is asked how it is: one that is not up more often, so that it counts as healed as soon as it is. */
const ASK_EVERY_MS = 500;
const ASK_AGAIN_MS = 250;
const SIGHT_DEADLINE_MS = 3_000;
const ASK_DEADLINE_MS = 1_000;
/** How often the known questions are asked, and again after a wrong answer or none. */
const QUESTION_EVERY_MS = 3_000;
const QUESTION_AGAIN_MS = 1_000;
const STORE_DEADLINE_MS = 3_000;
/** What a unit is given to end by itself: time to drain when it can, hardly any when it has failed. */
const DRAIN_GRACE_MS = 15_000;
const FAULT_GRACE_MS = 500;
const RESTART_DEADLINE_MS = 60_000;
const INCIDENTS_OPEN_MAX = 1_000;
/** Incidents that may wait for their diagnosis; the others go without. */
const DIAGNOSES_WAITING_MAX = 20;
/** From this confidence on a recommended quarantine is followed, while the unit is down. */
const QUARANTINE_CONFIDENCE = 0.8;
/** Where the fencing token of the newest leader is kept. */
const FENCE_KEY = "supervisor/fence";

/** What a supervisor works with. */
export interface SupervisorDependencies {
  readonly driver: UnitDriver;
  /** Makes the tree, anew with every leadership. */
  readonly plant: () => SupervisionTree;
  readonly store: SupervisorStore;
  readonly alarm: Alarm;
  /** Who finds out why; it recommends, and nothing waits for it. */
  readonly diagnostician: Diagnostician;
  readonly context: ServiceContext;
  /** What ended the process before this one. */
  readonly pastFailures: readonly PastFailure[];
  /** False: failed units are told of and left as they are. */
  readonly restarts: boolean;
}

/** An operator's order. */
export type Order = Pick<CommandRecord, "unit" | "command" | "operator" | "reason">;

/**
 * Watches every unit and restarts what fails, as long as it leads: of several supervisors one acts. What is decided is the
 * tree's, what is thought of a unit its health's; here is what has effects.
 */
export class Supervisor implements Running {
  readonly #deps: SupervisorDependencies;
  readonly #stopping = new AbortController();
  readonly #health = new Map<string, UnitHealth>();
  readonly #clients = new Map<string, RpcClient>();
  readonly #registered = new Map<string, UnitDeclaration>();
  readonly #incidents = new Map<string, Incident>();
  readonly #asking = new Map<string, Promise<void>>();
  readonly #acting = new Set<Promise<void>>();
  readonly #diagnosing = new Set<Promise<void>>();
  #tree: SupervisionTree;
  #pastFailures: readonly PastFailure[];
  #leadership: Leadership | undefined;
  #running: Promise<void> | undefined;
  #heartbeats: Running | undefined;
  #hint: () => void = () => undefined;
  #savedState = "";

  constructor(dependencies: SupervisorDependencies) {
    this.#deps = dependencies;
    this.#tree = dependencies.plant();
    this.#pastFailures = dependencies.pastFailures;
  }

  /** True when this is the supervisor that acts. */
  get leading(): boolean {
    return this.#leadership !== undefined && !this.#leadership.lost.aborted;
  }

  /** Every unit. */
  units(): UnitView[] {
    return this.#tree.units(this.#deps.context.clock.now());
  }

  /** Begins: waits to lead, then watches, until it is stopped. */
  async start(): Promise<void> {
    const { driver, context } = this.#deps;
    driver.onHint(() => this.#hint());
    this.#heartbeats = await context.bus.subscribe(
      { group: "supervisor", pattern: HEARTBEAT_TYPE, prefetch: 64 },
      async ({ data, time }) => {
        const beat = heartbeatSchema.safeParse(data);
        const ageMs = context.clock.now() - Date.parse(time);
        // One that waited in its queue tells of another time.
        if (beat.success && ageMs < SIGHT_DEADLINE_MS)
          this.#health.get(beat.data.unit)?.beat(beat.data.unmet, context.clock.now());
      },
    );
    this.#running = this.#run();
  }

  /** Takes in a unit that no driver declares. */
  register(declaration: UnitDeclaration): void {
    this.#registered.set(declaration.id, declaration);
    this.#tree.declare(declaration, this.#deps.context.clock.now());
  }

  /** Carries out an operator's order, once it is kept. @throws FlashloanError not_found, service_unavailable, argument_invalid */
  async command(order: Order): Promise<UnitView> {
    const { store, context } = this.#deps;
    const { unit, command } = order;
    if (!this.leading)
      throw new FlashloanError(
        "service_unavailable",
        "this supervisor does not lead: ask the one that does, or wait for it",
      );
    this.#view(unit);
    await store.keepCommand({ ...order, atMs: context.clock.now(), outcome: "ok" });
    context.log.warn({ ...order }, "unit_command");
    const now = context.clock.now();
    if (command === "reset") this.#tree.reset(unit);
    else if (command === "release") this.#tree.release(unit, now);
    else if (command === "quarantine") {
      this.#tree.quarantine(unit, `by ${order.operator}: ${order.reason}`, now);
      this.#close(unit, "quarantined", `quarantined by ${order.operator}`);
    } else {
      this.#tree.plan(unit, now);
      await this.#restartOne(unit, DRAIN_GRACE_MS);
    }
    this.#hint();
    return this.#view(unit);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#hint();
    await this.#heartbeats?.stop();
    await this.#running;
    await Promise.all([...this.#asking.values(), ...this.#acting, ...this.#diagnosing]);
    await withDeadline(this.#deps.store.flush(), STORE_DEADLINE_MS, () => new Error("late")).catch(() => undefined);
    await Promise.all([...this.#clients.values()].map((client) => client.stop()));
  }

  async #run(): Promise<void> {
    const { context } = this.#deps;
    while (!this.#stopping.signal.aborted) {
      try {
        this.#leadership = await context.coordination.campaign("supervisor", this.#stopping.signal);
        context.log.info({ fencingToken: String(this.#leadership.fencingToken) }, "supervisor_leads");
        await this.#recover();
        await this.#lead(AbortSignal.any([this.#stopping.signal, this.#leadership.lost]));
      } catch (error) {
        if (!this.#stopping.signal.aborted) context.log.error({ error }, "supervisor_round_failed");
      } finally {
        const led = this.#leadership;
        this.#leadership = undefined;
        await led?.stop();
        this.#report();
      }
    }
  }

  /** Goes on from what the last leader saved; without it when the database is away. */
  async #recover(): Promise<void> {
    const { store, context, plant } = this.#deps;
    this.#tree = plant();
    this.#health.clear();
    this.#incidents.clear();
    const now = context.clock.now();
    for (const declaration of this.#registered.values()) this.#tree.declare(declaration, now);
    try {
      for (const sighting of await this.#sight()) this.#tree.declare(sighting.declaration, now);
      const late = (): Error => new Error("the database is late");
      const state = await withDeadline(store.readState(), STORE_DEADLINE_MS, late);
      if (state !== undefined) this.#tree.restore(state, now);
      for (const incident of await withDeadline(store.open(), STORE_DEADLINE_MS, late))
        this.#incidents.set(incident.unit, incident);
    } catch (error) {
      context.log.warn({ error }, "supervisor_begins_anew");
    }
    for (const failure of this.#pastFailures) this.#recall(failure);
    this.#pastFailures = [];
  }

  /** Keeps an incident of what ended this process's forerunner. */
  #recall({ unit, fault, reason, atMs }: PastFailure): void {
    const now = this.#deps.context.clock.now();
    const incident = this.#open(unit, { status: "failed", fault, reason }, atMs);
    note(incident, now, "action", "restart of the whole process, by its keeper");
    this.#deps.store.keep(incident);
    // A unit is healed when it is up again; the process is.
    if (!this.units().some(({ declaration }) => declaration.id === unit)) this.#close(unit, "healed", "it runs again");
  }

  async #lead(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps.context;
    while (!signal.aborted) {
      const hinted = new Promise<void>((resolve) => (this.#hint = resolve));
      try {
        await this.#round(signal);
      } catch (error) {
        log.warn({ error: toFlashloanError(error) }, "supervisor_round_failed");
      }
      const rest = new AbortController();
      await Promise.race([
        clock.sleep(ROUND_MS, AbortSignal.any([signal, rest.signal])).catch(() => undefined),
        hinted,
      ]);
      rest.abort();
    }
  }

  async #round(signal: AbortSignal): Promise<void> {
    const { context, driver } = this.#deps;
    const { clock } = context;
    const sightings = await this.#sight();
    // What changed while this one was frozen is the next leader's doing.
    if (signal.aborted) return;
    const now = clock.now();
    for (const sighting of sightings) this.#see(sighting, now);
    for (const { declaration } of this.units())
      if (
        !sightings.some((sighting) => sighting.declaration.id === declaration.id) &&
        !this.#registered.has(declaration.id)
      ) {
        this.#tree.forget(declaration.id);
        this.#close(declaration.id, "gone", `${driver.kind} does not know it any more`);
      }
    for (const { declaration } of this.units()) this.#follow(declaration, signal);
    for (const { declaration } of this.units()) this.#judge(declaration.id, clock.now());
    this.#decide();
  }

  #decide(): void {
    const now = this.#deps.context.clock.now();
    if (this.#deps.restarts) for (const action of this.#tree.decide(now)) this.#act(action);
    this.#report();
    void this.#save();
  }

  /** Asks a unit again and again, so that one which does not answer delays nobody else's judgement. */
  #follow({ id, speaks }: UnitDeclaration, signal: AbortSignal): void {
    if (speaks === "nothing" || this.#asking.has(id)) return;
    const following = this.#askOn(id, signal)
      .catch((error: unknown) => {
        if (!signal.aborted) this.#deps.context.log.error({ error, unit: id }, "unit_not_asked");
      })
      .finally(() => this.#asking.delete(id));
    this.#asking.set(id, following);
  }

  async #askOn(id: string, signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps.context;
    let [questionedAtMs, questionInMs] = [Number.NEGATIVE_INFINITY, QUESTION_EVERY_MS];
    for (;;) {
      // It may have been declared anew, at another address.
      const unit = this.units().find(({ declaration }) => declaration.id === id);
      if (!unit) return;
      const asks = clock.now() - questionedAtMs >= questionInMs;
      if (asks) questionedAtMs = clock.now();
      const isWell = await this.#ask(unit.declaration, asks);
      if (signal.aborted) return;
      questionInMs = isWell ? QUESTION_EVERY_MS : QUESTION_AGAIN_MS;
      const before = unit.phase;
      this.#judge(id, clock.now());
      const { phase } = this.#view(id);
      if (phase !== before) this.#decide();
      await clock.sleep(isWell && phase === "up" ? ASK_EVERY_MS : ASK_AGAIN_MS, signal);
    }
  }

  #sight(): Promise<readonly UnitSighting[]> {
    return withDeadline(
      this.#deps.driver.sightings(),
      SIGHT_DEADLINE_MS,
      () =>
        new FlashloanError(
          "deadline_exceeded",
          `${this.#deps.driver.kind} did not say within ${SIGHT_DEADLINE_MS} ms what runs`,
        ),
    );
  }

  #see(sighting: UnitSighting, now: number): void {
    const { id } = sighting.declaration;
    this.#tree.declare(sighting.declaration, now);
    const health = this.#healthOf(id);
    const before = health.incarnation;
    if (!health.sighted(sighting, now)) return;
    const phase = this.#view(id).phase;
    if (phase === "restarting" || phase === "quarantined") return;
    // Its engine was quicker than we: a failure all the same.
    const fault = sighting.lastExit?.outOfMemory ? "out_of_memory" : "crash";
    const reason = `it ended (${before ?? "unseen"}) and was started again by ${this.#deps.driver.kind}`;
    const incident = this.#open(id, { status: "failed", fault, reason }, now);
    note(incident, now, "action", "restarted by its engine's own policy");
    this.#deps.store.keep(incident);
  }

  /** True when it answered, and well. */
  async #ask({ id, address, speaks }: UnitDeclaration, asks: boolean): Promise<boolean> {
    if (address === undefined) return true;
    const { clock } = this.#deps.context;
    const health = this.#healthOf(id);
    const client = speaks === "grpc" ? this.#client(address) : undefined;
    const answer = await (client?.health(ASK_DEADLINE_MS) ?? pingMcp(address));
    health.answered(answer, clock.now());
    const question = KNOWN_QUESTIONS[id];
    if (!asks || !client || !question || answer !== "serving") return typeof answer === "string";
    const probe = await this.#probe(question, client);
    if (probe) health.probed(probe.wrong);
    return probe !== undefined && probe.wrong === undefined;
  }

  /** What was wrong with the answer to a known question; undefined without an answer, which is the health check's business. */
  async #probe(question: KnownQuestion, client: RpcClient): Promise<{ wrong: string | undefined } | undefined> {
    try {
      return { wrong: await question(client, ASK_DEADLINE_MS) };
    } catch (error) {
      const { code, message } = toFlashloanError(error);
      // An answer that can't be read is a wrong one.
      const isRefusal = code === "internal" || code === "argument_invalid";
      return isRefusal ? { wrong: `it refuses a known question: ${message}` } : undefined;
    }
  }

  #judge(id: string, now: number): void {
    const verdict = this.#healthOf(id).verdict(now);
    const news = this.#tree.observe(id, verdict, now);
    if (verdict.status === "failed" && news) this.#open(id, verdict, now);
    else if (verdict.status === "up") this.#close(id, "healed", "it is up and answers");
  }

  #open(id: string, { fault, reason }: Extract<Verdict, { status: "failed" }>, now: number): Incident {
    const { store, alarm, context } = this.#deps;
    const known = this.#incidents.get(id);
    if (known) {
      note(known, now, "evidence", `${fault}: ${reason}`);
      store.keep(known);
      return known;
    }
    const entries = [{ atMs: now, kind: "evidence" as const, text: `${fault}: ${reason}` }];
    const incident: Incident = {
      id: randomUUID(),
      unit: id,
      fault,
      openedAtMs: now,
      closedAtMs: undefined,
      outcome: undefined,
      entries,
    };
    if (this.#incidents.size < INCIDENTS_OPEN_MAX) this.#incidents.set(id, incident);
    context.metrics.add("flashloan_supervisor_incidents_total", { fault });
    store.keep(incident);
    alarm({
      name: "UnitFailed",
      severity: "warning",
      unit: id,
      incidentId: incident.id,
      summary: `${id} failed (${fault}): ${reason}`,
    });
    void this.#collect(incident);
    if (this.#diagnosing.size < DIAGNOSES_WAITING_MAX) {
      const diagnosing = this.#diagnose(incident, reason).finally(() => this.#diagnosing.delete(diagnosing));
      this.#diagnosing.add(diagnosing);
    }
    return incident;
  }

  /** Adds the unit's last words to an incident. */
  async #collect(incident: Incident): Promise<void> {
    try {
      const lines = await withDeadline(
        this.#deps.driver.logs(incident.unit, 20),
        SIGHT_DEADLINE_MS,
        () => new Error("late"),
      );
      if (lines.length > 0) note(incident, this.#deps.context.clock.now(), "evidence", lines.join("\n"));
    } catch (error) {
      note(
        incident,
        this.#deps.context.clock.now(),
        "evidence",
        `its log can't be read: ${toFlashloanError(error).message}`,
      );
    }
    this.#deps.store.keep(incident);
  }

  /** Has an incident explained, and follows what is recommended as far as it may be done without. */
  async #diagnose(incident: Incident, reason: string): Promise<void> {
    const { diagnostician, context, store } = this.#deps;
    const { id, unit, fault } = incident;
    try {
      const brief = {
        id,
        unit,
        fault,
        reason,
        openedAt: new Date(incident.openedAtMs).toISOString(),
        actions: incident.entries.filter(({ kind }) => kind === "action").map(({ text }) => text),
      };
      const report = await diagnostician.diagnose(brief, this.#stopping.signal);
      note(incident, context.clock.now(), "diagnosis", inWords(report));
      store.keep(incident);
      if (report.cause === "code_fault" && report.codeFault) {
        const { file = null, line = null, message, stack } = report.codeFault;
        publishFact(context, "flashloan.code-fault", unit, { incidentId: id, unit, fault, file, line, message, stack });
      }
      this.#followAdvice(report, incident);
    } catch (error) {
      if (!this.#stopping.signal.aborted) context.log.error({ error, incidentId: id }, "incident_not_diagnosed");
    }
  }

  /** Of what may be recommended only a quarantine is more than what is done anyway. */
  #followAdvice({ pattern, confidence, explanation }: DiagnosisReport, { unit, id }: Incident): void {
    if (!this.#deps.restarts || pattern !== "quarantine" || confidence < QUARANTINE_CONFIDENCE) return;
    const isOpen = this.#incidents.get(unit)?.id === id;
    const phase = this.units().find(({ declaration }) => declaration.id === unit)?.phase;
    if (!this.leading || !isOpen || (phase !== "down" && phase !== "crash_loop")) return;
    this.#tree.quarantine(unit, explanation, this.#deps.context.clock.now());
    this.#setAside(unit, explanation);
  }

  #setAside(unit: string, reason: string): void {
    const incidentId = this.#incidents.get(unit)?.id ?? "";
    this.#close(unit, "quarantined", reason);
    this.#deps.alarm({
      name: "UnitQuarantined",
      severity: "critical",
      unit,
      incidentId,
      summary: `${unit} is left down: ${reason}`,
    });
  }

  #close(id: string, outcome: IncidentOutcome, text: string): void {
    const incident = this.#incidents.get(id);
    if (!incident) return;
    const { store, alarm, context } = this.#deps;
    const now = context.clock.now();
    this.#incidents.delete(id);
    incident.closedAtMs = now;
    incident.outcome = outcome;
    note(incident, now, "outcome", text);
    store.keep(incident);
    if (outcome !== "healed") return;
    const tookMs = now - incident.openedAtMs;
    context.metrics.observe("flashloan_supervisor_heal_seconds", {}, tookMs / 1_000);
    alarm({
      name: "UnitHealed",
      severity: "info",
      unit: id,
      incidentId: incident.id,
      summary: `${id} is up again after ${(tookMs / 1_000).toFixed(1)} s`,
    });
  }

  #act(action: Action): void {
    if (action.kind === "quarantine") return this.#setAside(action.culprit, action.reason);
    const acting = this.#restart(action).finally(() => this.#acting.delete(acting));
    this.#acting.add(acting);
  }

  /** Restarts the units of an action one after the other, in their start order. */
  async #restart({ culprit, units, group, fault }: RestartAction): Promise<void> {
    const { context, store } = this.#deps;
    for (const unit of units) {
      const incident = this.#incidents.get(culprit);
      if (incident) {
        note(
          incident,
          context.clock.now(),
          "action",
          unit === culprit ? `restart (${fault})` : `restart of ${unit}, by the rule of ${group}`,
        );
        store.keep(incident);
      }
      await this.#restartOne(unit, unit === culprit ? FAULT_GRACE_MS : DRAIN_GRACE_MS);
    }
  }

  async #restartOne(unit: string, graceMs: number): Promise<void> {
    const { driver, context } = this.#deps;
    try {
      await this.#fence();
      await withDeadline(
        driver.restart(unit, graceMs),
        RESTART_DEADLINE_MS,
        () => new FlashloanError("deadline_exceeded", `${unit} was not restarted within ${RESTART_DEADLINE_MS} ms`),
      );
      context.metrics.add("flashloan_supervisor_restarts_total", { outcome: "done" });
      context.log.warn({ unit, graceMs }, "unit_restarted");
      // What was known of it was of another run.
      this.#health.set(unit, new UnitHealth());
      this.#tree.restarted(unit, undefined, context.clock.now());
    } catch (error) {
      const { message } = toFlashloanError(error);
      context.metrics.add("flashloan_supervisor_restarts_total", { outcome: "failed" });
      context.log.error({ unit, error }, "unit_not_restarted");
      this.#tree.restarted(unit, message, context.clock.now());
    }
    this.#hint();
  }

  /**
   * Makes sure, right before an effect, that no later leader has begun: its token is in the store of coordination before it
   * acts. One that was frozen past its lease finds it there. @throws FlashloanError service_unavailable when it leads no more
   */
  async #fence(): Promise<void> {
    const leadership = this.#leadership;
    const refused = (): FlashloanError =>
      new FlashloanError("service_unavailable", "this supervisor leads no more: the one that does acts");
    if (!leadership) throw refused();
    const { coordination } = this.#deps.context;
    for (;;) {
      const fence = await coordination.read(FENCE_KEY);
      const token = BigInt(fence?.value ?? 0);
      if (token > leadership.fencingToken) throw refused();
      if (token === leadership.fencingToken) break;
      const written = await coordination.compareAndSwap(FENCE_KEY, fence?.version, leadership.fencingToken.toString());
      if (written !== undefined) break;
    }
    if (leadership.lost.aborted) throw refused();
  }

  /** Saves the tree's state when it changed. */
  async #save(): Promise<void> {
    const leadership = this.#leadership;
    const state = this.#tree.snapshot();
    const text = JSON.stringify(state);
    if (!leadership || text === this.#savedState) return;
    this.#savedState = text;
    try {
      const { store, context } = this.#deps;
      const saved = await withDeadline(
        store.saveState(leadership.fencingToken, state),
        STORE_DEADLINE_MS,
        () => new Error("late"),
      );
      if (!saved) context.log.error({}, "supervisor_state_refused");
    } catch {
      // Tried again with the next change; the incidents' store says that the database is away.
      this.#savedState = "";
    }
  }

  #report(): void {
    const { metrics } = this.#deps.context;
    metrics.set("flashloan_supervisor_leading", {}, this.leading ? 1 : 0);
    const units = this.leading ? this.units() : [];
    for (const phase of PHASES)
      metrics.set("flashloan_supervisor_units", { phase }, units.filter((unit) => unit.phase === phase).length);
  }

  #view(id: string): UnitView {
    const view = this.units().find(({ declaration }) => declaration.id === id);
    if (view) return view;
    const known = this.units().map(({ declaration }) => declaration.id);
    throw new FlashloanError("not_found", `there is no unit "${id}"; known: ${known.join(", ") || "none yet"}`);
  }

  #healthOf(id: string): UnitHealth {
    const known = this.#health.get(id) ?? new UnitHealth();
    this.#health.set(id, known);
    return known;
  }

  #client(address: string): RpcClient {
    const known = this.#clients.get(address) ?? new RpcClient(address, this.#deps.context.tlsFolder);
    this.#clients.set(address, known);
    return known;
  }
}

function inWords({ cause, pattern, confidence, model, explanation, failure }: DiagnosisReport): string {
  const instead = failure ? ` (in place of a model: ${failure.reason})` : "";
  return `${cause}, so ${pattern} (${Math.round(confidence * 100)} % sure, by ${model}${instead}): ${explanation}`;
}

/** An MCP server's ping (any revision's Streamable HTTP: a JSON-RPC request by POST). */
async function pingMcp(url: string): Promise<Answer> {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", accept: "application/json, text/event-stream" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "ping" }),
      signal: AbortSignal.timeout(ASK_DEADLINE_MS),
    });
    await response.body?.cancel();
    return response.status < 500 ? "serving" : "not_serving";
  } catch (error) {
    return { silent: (error as Error).message };
  }
}
