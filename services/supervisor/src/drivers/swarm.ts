import { z } from "zod";
import { nodesSchema, servicesSchema, tasksSchema, type Service, type Task } from "@flashloan/engine-proxy/answers";
import { LOG_LINES_MAX } from "@flashloan/engine-proxy/limits";
import { FlashloanError } from "@flashloan/shared/errors";
import type { UnitDriver, UnitSighting } from "../driver.ts";
import type { UnitDeclaration } from "../unit.ts";
import { EngineClient, type EngineDriverDeps } from "./engine-client.ts";
import { declarationOf, LabelFaults } from "./labels.ts";

/** How long the manager may take to accept an update; that tasks are replaced is seen by the next sightings. */
const RESTART_DEADLINE_MS = 75_000;
/** A task's life, as far as it is not over (SwarmKit). */
const LIVE_STATES: ReadonlySet<string> = new Set([
  "new",
  "allocated",
  "pending",
  "assigned",
  "accepted",
  "preparing",
  "ready",
  "starting",
  "running",
]);

const logsSchema = z.object({ lines: z.array(z.string()) });
interface Unit {
  readonly declaration: UnitDeclaration;
  readonly service: Service;
}

/** Units that are services of a Swarm's stack, reached through the engine's proxy on a manager; declared by their labels. */
export function createSwarmDriver(deps: EngineDriverDeps): UnitDriver {
  return new SwarmDriver(deps);
}

class SwarmDriver implements UnitDriver {
  readonly kind = "swarm";
  readonly #client: EngineClient;
  readonly #faults: LabelFaults;
  readonly #hints: (() => void)[] = [];

  constructor(deps: EngineDriverDeps) {
    this.#client = new EngineClient(deps);
    this.#faults = new LabelFaults(deps.log);
    // Only of this manager's own containers: what happens on other nodes the next round finds.
    this.#client.follow(() => {
      for (const hint of this.#hints) hint();
    });
  }

  async sightings(): Promise<readonly UnitSighting[]> {
    const [units, tasks, nodes] = await Promise.all([
      this.#units(),
      this.#client.get("/tasks", tasksSchema),
      this.#client.get("/nodes", nodesSchema),
    ]);
    const lost = new Set(nodes.filter(({ Status: status }) => status.State === "down").map(({ ID: id }) => id));
    return units.map((unit) => {
      const own = tasks.filter(({ ServiceID: id }) => id === unit.service.ID);
      return sightingOf(unit, own, lost);
    });
  }

  onHint(hint: () => void): void {
    this.#hints.push(hint);
  }

  /**
   * Has every task of the service replaced, in the order and with the grace that its own update configuration and stop grace
   * period say: a Swarm takes no other.
   */
  async restart(unit: string): Promise<void> {
    const { ID: id } = await this.#serviceOf(unit);
    await this.#client.post(`/services/${id}/restart`, RESTART_DEADLINE_MS);
  }

  async logs(unit: string, lines: number): Promise<readonly string[]> {
    const { ID: id } = await this.#serviceOf(unit);
    const tail = Math.min(LOG_LINES_MAX, Math.max(0, Math.trunc(lines)));
    return (await this.#client.get(`/services/${id}/logs?tail=${tail}`, logsSchema)).lines;
  }

  stop(): Promise<void> {
    return this.#client.stop();
  }

  async #units(): Promise<readonly Unit[]> {
    const services = await this.#client.get("/services", servicesSchema);
    this.#faults.keep(new Set(services.map(({ ID: id }) => id)));
    return services.flatMap((service) => {
      // Taken out by an operator.
      if (service.Spec.Mode.Replicated?.Replicas === 0) return [];
      const declaration = declarationOf(service.Spec.Labels);
      if (!("fault" in declaration)) return [{ declaration, service }];
      this.#faults.report(service.ID, service.Spec.Labels, declaration);
      return [];
    });
  }

  async #serviceOf(unit: string): Promise<Service> {
    const units = await this.#units();
    const found = units.find(({ declaration }) => declaration.id === unit);
    if (found) return found.service;
    const known = units.map(({ declaration }) => declaration.id).join(", ") || "none";
    throw new FlashloanError("not_found", `no service is labelled as unit "${unit}"; there are: ${known}`);
  }
}

function sightingOf(
  { declaration, service }: Unit,
  tasks: readonly Task[],
  lostNodes: ReadonlySet<string>,
): UnitSighting {
  const byAge = tasks.toSorted((a, b) => Date.parse(a.CreatedAt) - Date.parse(b.CreatedAt));
  const isLive = ({ Status: status, DesiredState: desired, NodeID: node = "" }: Task): boolean =>
    LIVE_STATES.has(status.State) && LIVE_STATES.has(desired) && !lostNodes.has(node);
  const newest = byAge.findLast(isLive);
  const over = byAge.findLast((task) => !LIVE_STATES.has(task.Status.State) && task.Status.ContainerStatus);
  return {
    declaration,
    // What is pending or starting is under way by Swarm's own hand: another restart would only begin it anew.
    state: newest ? "running" : "ended",
    incarnation: newest?.ID ?? byAge.at(-1)?.ID ?? service.ID,
    startedAtMs: Date.parse(startOf(newest ?? byAge.at(-1)) ?? service.CreatedAt),
    // A task's state does not say whether memory ran out.
    lastExit: over && { code: over.Status.ContainerStatus?.ExitCode, outOfMemory: false },
    health: newest ? healthOf(service, byAge.filter(isLive)) : "unknown",
  };
}

function startOf(task: Task | undefined): string | undefined {
  return task?.Status.State === "running" ? task.Status.Timestamp : task?.CreatedAt;
}

/** A task with a health check is `running` only while it is healthy: Swarm itself replaces one that is not. */
function healthOf(service: Service, live: readonly Task[]): UnitSighting["health"] {
  const test = service.Spec.TaskTemplate.ContainerSpec.Healthcheck.Test[0] ?? "NONE";
  return test !== "NONE" && live.some(({ Status: status }) => status.State === "running") ? "healthy" : "unknown";
}
