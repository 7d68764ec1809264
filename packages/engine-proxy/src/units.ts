import { z } from "zod";
import { containersSchema, containerSchema, eventSchema, nodesSchema, servicesSchema, tasksSchema } from "./answers.ts";
import type { EngineProxyConfig } from "./config.ts";
import type { Engine } from "./engine.ts";
import { readLogLines } from "./log-lines.ts";
import { Refusal } from "./refusal.ts";

/** How long the engine may take to tell something. */
const LOOK_DEADLINE_MS = 10_000;
/** How long it may take to start a container, or to take a service's new specification. */
const ACT_DEADLINE_MS = 60_000;

const rawLabelsSchema = z
  .record(z.string(), z.string())
  .nullish()
  .transform((labels) => labels ?? {});
const rawContainersSchema = z.array(z.looseObject({ Labels: rawLabelsSchema }));
const rawContainerSchema = z.looseObject({ Config: z.looseObject({ Labels: rawLabelsSchema, Tty: z.boolean() }) });
const rawServiceSchema = z.looseObject({
  ID: z.string(),
  Version: z.object({ Index: z.number() }),
  Spec: z.looseObject({
    Labels: rawLabelsSchema,
    TaskTemplate: z.looseObject({ ForceUpdate: z.number().optional() }),
  }),
});
const rawEventSchema = z.looseObject({
  Type: z.literal("container"),
  Actor: z.looseObject({ Attributes: rawLabelsSchema }),
});
type Labels = Readonly<Record<string, string>>;
type Scope = EngineProxyConfig["ENGINE_PROXY_SCOPE"];

/** Without this label nothing is shown and nothing is touched. */
const SUPERVISED: Labels = { "flashloan.supervised": "true" };
const PROJECT_LABEL: Readonly<Record<Scope, string>> = {
  compose: "com.docker.compose.project",
  swarm: "com.docker.stack.namespace",
};

/**
 * The supervised units of one Compose project or Swarm stack, and nothing else of the engine. Each answer is filtered by
 * labels twice, by the engine and here, and passed on field by field; before each deed the labels are looked at again.
 */
export class SupervisedUnits {
  readonly #engine: Engine;
  readonly #wanted: Labels;
  readonly #wantedOfEvents: Labels;

  constructor(engine: Engine, scope: Scope, project: string) {
    this.#engine = engine;
    const ofProject = { [PROJECT_LABEL[scope]]: project };
    // What `docker compose run` starts has its service's labels, and is nobody's unit.
    if (scope === "compose") this.#wanted = { ...SUPERVISED, ...ofProject, "com.docker.compose.oneoff": "False" };
    else this.#wanted = { ...SUPERVISED, ...ofProject };
    // A task's container has the stack's label; the service's own are not on it.
    this.#wantedOfEvents = scope === "compose" ? this.#wanted : ofProject;
  }

  async ping(): Promise<{ readonly engine: "ok" }> {
    await this.#engine.bytes({ method: "GET", path: "/_ping", deadlineMs: LOOK_DEADLINE_MS });
    return { engine: "ok" };
  }

  async containers(): Promise<z.infer<typeof containersSchema>> {
    const query = { all: "1", filters: filtersOf(this.#wanted) };
    const all = await this.#look("/containers/json", rawContainersSchema, query);
    return parse(
      containersSchema,
      all.filter(({ Labels: labels }) => hasAll(labels, this.#wanted)),
    );
  }

  async container(id: string): Promise<z.infer<typeof containerSchema>> {
    return parse(containerSchema, await this.#ownContainer(id));
  }

  async containerLogs(id: string, tail: number): Promise<{ readonly lines: readonly string[] }> {
    const { Config: config } = await this.#ownContainer(id);
    return this.#logs(`/containers/${id}/logs`, tail, config.Tty);
  }

  async startContainer(id: string): Promise<void> {
    await this.#ownContainer(id);
    await this.#engine.bytes({ method: "POST", path: `/containers/${id}/start`, deadlineMs: ACT_DEADLINE_MS });
  }

  async restartContainer(id: string, graceS: number): Promise<void> {
    await this.#ownContainer(id);
    const deadlineMs = graceS * 1_000 + ACT_DEADLINE_MS;
    await this.#engine.bytes({
      method: "POST",
      path: `/containers/${id}/restart`,
      query: { t: String(graceS) },
      deadlineMs,
    });
  }

  async services(): Promise<z.infer<typeof servicesSchema>> {
    const all = await this.#look("/services", z.array(rawServiceSchema), { filters: filtersOf(this.#wanted) });
    return parse(
      servicesSchema,
      all.filter(({ Spec: spec }) => hasAll(spec.Labels, this.#wanted)),
    );
  }

  async tasks(): Promise<z.infer<typeof tasksSchema>> {
    const own = new Set((await this.services()).map(({ ID: id }) => id));
    if (own.size === 0) return [];
    const filters = JSON.stringify({ service: [...own] });
    const all = await this.#look("/tasks", tasksSchema, { filters });
    return all.filter(({ ServiceID: id }) => own.has(id));
  }

  nodes(): Promise<z.infer<typeof nodesSchema>> {
    return this.#look("/nodes", nodesSchema);
  }

  async serviceLogs(id: string, tail: number): Promise<{ readonly lines: readonly string[] }> {
    await this.#ownService(id);
    return this.#logs(`/services/${id}/logs`, tail, false);
  }

  /** A forced update: the service's own specification, read here and not taken from the client, once more. */
  async restartService(id: string): Promise<void> {
    const { Spec: spec, Version: version } = await this.#ownService(id);
    const template = spec.TaskTemplate;
    await this.#engine.bytes({
      method: "POST",
      path: `/services/${id}/update`,
      // Refused by the engine when the service has changed since it was read.
      query: { version: String(version.Index) },
      body: { ...spec, TaskTemplate: { ...template, ForceUpdate: (template.ForceUpdate ?? 0) + 1 } },
      deadlineMs: ACT_DEADLINE_MS,
    });
  }

  /** What happens to the units' containers from now on, until the signal says that it is enough; each as a line of JSON. */
  async events(signal: AbortSignal): Promise<AsyncIterable<string>> {
    const filters = filtersOf(this.#wantedOfEvents, { type: ["container"], event: EVENTS });
    const stream = await this.#engine.stream({ method: "GET", path: "/events", query: { filters } }, signal);
    return this.#projectEvents(stream);
  }

  async *#projectEvents(stream: AsyncIterable<Buffer>): AsyncGenerator<string> {
    let open = "";
    for await (const chunk of stream) {
      const lines = (open + chunk.toString("utf8")).split("\n");
      open = lines.pop() ?? "";
      if (open.length > EVENT_CHARACTERS_MAX) throw new Refusal("engine_refused", "the engine's event is too large");
      for (const line of lines) {
        const event = this.#projectEvent(line);
        if (event !== undefined) yield event;
      }
    }
  }

  /** An event's line as it is passed on; nothing when it is of something else. */
  #projectEvent(line: string): string | undefined {
    try {
      const event: unknown = JSON.parse(line);
      const { Actor: actor } = rawEventSchema.parse(event);
      return hasAll(actor.Attributes, this.#wantedOfEvents) ? JSON.stringify(eventSchema.parse(event)) : undefined;
    } catch {
      return undefined;
    }
  }

  #look<T>(path: string, schema: z.ZodType<T>, query: Readonly<Record<string, string>> = {}): Promise<T> {
    return this.#engine.json({ method: "GET", path, query, deadlineMs: LOOK_DEADLINE_MS }, schema);
  }

  async #ownContainer(id: string): Promise<z.infer<typeof rawContainerSchema>> {
    const container = await this.#look(`/containers/${id}/json`, rawContainerSchema);
    this.#requireOwn(container.Config.Labels);
    return container;
  }

  async #ownService(id: string): Promise<z.infer<typeof rawServiceSchema>> {
    const service = await this.#look(`/services/${id}`, rawServiceSchema);
    this.#requireOwn(service.Spec.Labels);
    return service;
  }

  #requireOwn(labels: Labels): void {
    if (!hasAll(labels, this.#wanted))
      throw new Refusal("not_allowed", "this is not a supervised unit of the project: its labels say so");
  }

  async #logs(path: string, tail: number, isRaw: boolean): Promise<{ readonly lines: readonly string[] }> {
    const query = { stdout: "1", stderr: "1", tail: String(tail) };
    const deadline = AbortSignal.timeout(LOOK_DEADLINE_MS);
    try {
      const answer = await this.#engine.stream({ method: "GET", path, query }, deadline);
      return { lines: await readLogLines(answer, tail, isRaw) };
    } catch (error) {
      if (!deadline.aborted) throw error;
      throw new Refusal("deadline_exceeded", `the engine did not give its logs within ${LOOK_DEADLINE_MS} ms`, error);
    }
  }
}

const EVENT_CHARACTERS_MAX = 256 * 1_024;
/** The events after which a look at the units is worth it. */
const EVENTS = ["start", "die", "oom", "pause", "unpause", "health_status", "destroy"];

function filtersOf(labels: Labels, others: Readonly<Record<string, readonly string[]>> = {}): string {
  return JSON.stringify({ ...others, label: Object.entries(labels).map(([name, value]) => `${name}=${value}`) });
}

function hasAll(labels: Labels, wanted: Labels): boolean {
  return Object.entries(wanted).every(([name, value]) => Object.hasOwn(labels, name) && labels[name] === value);
}

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Refusal("engine_refused", "the engine's answer is not what its API describes", parsed.error);
}
