import type { Limit } from "@flashloan/qubo/packing";
import { FlashloanError } from "@flashloan/shared/errors";
import { choose, type Budget, type Provenance } from "./decision.ts";

/** The most pairs of an agent and a task of one choice. */
export const PAIRS_MAX = 5_000;

/** Somebody who takes tasks. */
export interface Agent {
  readonly id: string;
  /** How well it does each kind of work, 0 to 1; what is not named it can't do. */
  readonly skills: Readonly<Record<string, number>>;
  /** How many tasks it has already. */
  readonly load: number;
  /** How many tasks it may have at once. */
  readonly capacity: number;
  /** What a task costs by it, in units of a task's value. */
  readonly cost: number;
}

/** Something to be done. */
export interface Task {
  readonly id: string;
  /** The kind of work. */
  readonly skill: string;
  /** What it is worth to have it done perfectly. */
  readonly value: number;
  /** Tasks that are better done by the same agent, and what that is worth. */
  readonly affinity?: Readonly<Record<string, number>>;
}

/** Who does what; tasks that nobody can do are left out. */
export interface AllocationChoice extends Provenance {
  readonly assignments: Readonly<Record<string, string>>;
  readonly unassigned: readonly string[];
}

/**
 * Gives each task to one agent or to none: skill × value − cost for each, less what waiting costs (the more the fuller the
 * agent is), and what affine tasks gain together. At most one agent for each task.
 * @throws FlashloanError argument_invalid, naming agent or task and field
 */
export function allocateTasks(agents: readonly Agent[], tasks: readonly Task[], budget: Budget): AllocationChoice {
  validate(agents, tasks);
  const pairs = tasks.flatMap((task, t) =>
    agents.flatMap((agent, a) => {
      const free = agent.capacity - agent.load;
      const gain = (agent.skills[task.skill] ?? 0) * task.value - agent.cost;
      return free > 0 && gain > 0 ? [{ task, t, agent, a, gain, free }] : [];
    }),
  );
  if (pairs.length > PAIRS_MAX)
    throw new FlashloanError(
      "argument_invalid",
      `${pairs.length} pairs of an agent and a task it can do: at most ${PAIRS_MAX}; allocate in parts`,
    );
  const together = pairs.flatMap((one, i) =>
    pairs.flatMap((other, j) => {
      if (j <= i || one.a !== other.a) return [];
      const affinity = (one.task.affinity?.[other.task.id] ?? 0) + (other.task.affinity?.[one.task.id] ?? 0);
      // Two tasks of one agent wait for each other.
      return [[i, j, affinity - Math.min(one.gain, other.gain) / (2 * one.agent.capacity)] as const];
    }),
  );
  const among = (capacity: number, belongs: (pair: (typeof pairs)[number]) => boolean): Limit => ({
    weights: pairs.flatMap((pair, i) => (belongs(pair) ? [[i, 1] as const] : [])),
    capacity,
  });
  const limits = [
    ...tasks.map((_, t) => among(1, (pair) => pair.t === t)),
    ...agents.map(({ capacity, load }, a) => among(Math.max(0, capacity - load), (pair) => pair.a === a)),
  ];
  const values = pairs.map(({ gain, agent }) => gain - waiting(agent, gain));
  const { isChosen, provenance } = choose({ values, pairs: together, limits }, budget);
  const given = pairs.filter((_, i) => isChosen(i));
  const assignments = Object.fromEntries(given.map(({ task, agent }) => [task.id, agent.id]));
  const unassigned = tasks.filter(({ id }) => assignments[id] === undefined).map(({ id }) => id);
  return { ...provenance, assignments, unassigned };
}

/** A task waits for what its agent has already: its gain, spread over the agent's places. */
function waiting({ load, capacity }: Agent, gain: number): number {
  return (gain * load) / (2 * capacity);
}

function validate(agents: readonly Agent[], tasks: readonly Task[]): void {
  const invalid = (message: string): FlashloanError => new FlashloanError("argument_invalid", message);
  const unique = (ids: readonly string[], what: string): void => {
    const twice = ids.find((id, i) => ids.indexOf(id) !== i);
    if (twice !== undefined) throw invalid(`${what} ${twice} is given twice`);
  };
  unique(
    agents.map(({ id }) => id),
    "agent",
  );
  unique(
    tasks.map(({ id }) => id),
    "task",
  );
  for (const { id, skills, load, capacity, cost } of agents) {
    if (!Number.isInteger(load) || load < 0)
      throw invalid(`agent ${id}: load is ${load}, must be a whole number from 0`);
    if (!Number.isInteger(capacity) || capacity < 1)
      throw invalid(`agent ${id}: capacity is ${capacity}, must be a whole number from 1`);
    if (!(cost >= 0)) throw invalid(`agent ${id}: cost is ${cost}, must be 0 or more`);
    const [kind, level] = Object.entries(skills).find(([, value]) => !(value >= 0 && value <= 1)) ?? [];
    if (kind !== undefined) throw invalid(`agent ${id}: skill ${kind} is ${level}, must be 0 to 1`);
  }
  for (const { id, value } of tasks)
    if (!(value >= 0)) throw invalid(`task ${id}: value is ${value}, must be 0 or more`);
}
