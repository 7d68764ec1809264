import { z } from "zod";
import {
  containerSchema,
  containersSchema,
  type Container,
  type ContainerSummary,
  type EngineEvent,
} from "@flashloan/engine-proxy/answers";
import { GRACE_S_MAX, LOG_LINES_MAX } from "@flashloan/engine-proxy/limits";
import { FlashloanError } from "@flashloan/shared/errors";
import type { UnitDriver, UnitSighting } from "../driver.ts";
import type { UnitDeclaration } from "../unit.ts";
import { EngineClient, type EngineDriverDeps } from "./engine-client.ts";
import { declarationOf, LabelFaults } from "./labels.ts";

/**
 * For so long a container that ended is left to the engine's own restart policy, which starts it again within fractions of a
 * second at first: docs/decisions/0016-who-restarts.md.
 */
const ENGINE_FIRST_MS = 5_000;
/** Beyond its grace: how long a container may take to be killed and started. */
const RESTART_DEADLINE_MS = 75_000;
/** Sightings are asked for one by one: so many at once. */
const INSPECTIONS_MAX = 8;

const logsSchema = z.object({ lines: z.array(z.string()) });
type Exit = NonNullable<UnitSighting["lastExit"]>;
interface Unit {
  readonly declaration: UnitDeclaration;
  readonly container: ContainerSummary;
}

/** Units that are containers of one Docker Engine, reached through the engine's proxy; declared by their labels. */
export function createDockerDriver(deps: EngineDriverDeps): UnitDriver {
  return new DockerDriver(deps);
}

class DockerDriver implements UnitDriver {
  readonly kind = "docker";
  readonly #client: EngineClient;
  readonly #now: () => number;
  readonly #faults: LabelFaults;
  readonly #hints: (() => void)[] = [];
  /** By container: a running one does not say any more how it ended before. */
  readonly #exits = new Map<string, Exit>();
  readonly #outOfMemory = new Set<string>();

  constructor(deps: EngineDriverDeps) {
    this.#client = new EngineClient(deps);
    this.#now = () => deps.clock.now();
    this.#faults = new LabelFaults(deps.log);
    this.#client.follow((event) => this.#hear(event));
  }

  async sightings(): Promise<readonly UnitSighting[]> {
    const units = await this.#units();
    const seen: UnitSighting[] = [];
    for (let from = 0; from < units.length; from += INSPECTIONS_MAX) {
      const sightings = await Promise.all(units.slice(from, from + INSPECTIONS_MAX).map((unit) => this.#look(unit)));
      seen.push(...sightings.filter((sighting) => sighting !== undefined));
    }
    return seen;
  }

  onHint(hint: () => void): void {
    this.#hints.push(hint);
  }

  async restart(unit: string, graceMs: number): Promise<void> {
    const id = await this.#containerOf(unit);
    const graceS = Math.min(GRACE_S_MAX, Math.ceil(graceMs / 1_000));
    await this.#client.post(`/containers/${id}/restart?t=${graceS}`, graceS * 1_000 + RESTART_DEADLINE_MS);
  }

  async logs(unit: string, lines: number): Promise<readonly string[]> {
    const id = await this.#containerOf(unit);
    const tail = Math.min(LOG_LINES_MAX, Math.max(0, Math.trunc(lines)));
    return (await this.#client.get(`/containers/${id}/logs?tail=${tail}`, logsSchema)).lines;
  }

  stop(): Promise<void> {
    return this.#client.stop();
  }

  /** The container of each unit: of several, as while one is replaced, the newest. */
  async #units(): Promise<readonly Unit[]> {
    const units = new Map<string, Unit>();
    const containers = await this.#client.get("/containers/json", containersSchema);
    for (const container of containers) {
      // What was never started waits for what it depends on, or is being taken away.
      if (container.State === "created" || container.State === "removing") continue;
      const number = Number(container.Labels["com.docker.compose.container-number"] ?? 1);
      const declaration = declarationOf(container.Labels, number);
      if ("fault" in declaration) {
        this.#faults.report(container.Id, container.Labels, declaration);
        continue;
      }
      const other = units.get(declaration.id);
      if (!other || other.container.Created <= container.Created) units.set(declaration.id, { declaration, container });
    }
    this.#forgetAllBut(new Set(containers.map(({ Id: id }) => id)));
    return [...units.values()];
  }

  async #look({ declaration, container }: Unit): Promise<UnitSighting | undefined> {
    try {
      const { Id: id, State: state } = await this.#client.get(`/containers/${container.Id}/json`, containerSchema);
      const hasEnded = !["running", "paused"].includes(state.Status);
      if (hasEnded) this.#exits.set(id, { code: state.ExitCode, outOfMemory: state.OOMKilled });
      return {
        declaration,
        state: stateOf(state, this.#now()),
        incarnation: `${id.slice(0, 12)}@${state.StartedAt}`,
        startedAtMs: Date.parse(state.StartedAt),
        lastExit: this.#exits.get(id),
        health: hasEnded ? "unknown" : healthOf(state),
      };
    } catch (error) {
      // Gone since it was listed.
      if (error instanceof FlashloanError && error.code === "not_found") return undefined;
      throw error;
    }
  }

  async #containerOf(unit: string): Promise<string> {
    const units = await this.#units();
    const found = units.find(({ declaration }) => declaration.id === unit);
    if (found) return found.container.Id;
    const known = units.map(({ declaration }) => declaration.id).join(", ") || "none";
    throw new FlashloanError("not_found", `no container is labelled as unit "${unit}"; there are: ${known}`);
  }

  #hear(event: EngineEvent | undefined): void {
    if (event) {
      const { ID: id, Attributes: attributes } = event.Actor;
      if (event.Action === "oom") this.#outOfMemory.add(id);
      if (event.Action === "die") {
        const code = attributes.exitCode === undefined ? undefined : Number(attributes.exitCode);
        this.#exits.set(id, { code, outOfMemory: this.#outOfMemory.delete(id) });
      }
    }
    for (const hint of this.#hints) hint();
  }

  #forgetAllBut(ids: ReadonlySet<string>): void {
    this.#faults.keep(ids);
    for (const id of this.#exits.keys()) if (!ids.has(id)) this.#exits.delete(id);
    for (const id of this.#outOfMemory) if (!ids.has(id)) this.#outOfMemory.delete(id);
  }
}

function stateOf(state: Container["State"], now: number): UnitSighting["state"] {
  if (state.Status === "paused") return "frozen";
  const isWithTheEngine = state.Status === "restarting" && now - Date.parse(state.FinishedAt) < ENGINE_FIRST_MS;
  return state.Status === "running" || isWithTheEngine ? "running" : "ended";
}

function healthOf({ Health: health }: Container["State"]): UnitSighting["health"] {
  return health?.Status === "healthy" || health?.Status === "unhealthy" ? health.Status : "unknown";
}
