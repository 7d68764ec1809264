import { allocateTasks, type Agent, type Task } from "@flashloan/decisions/allocation";
import type { Budget } from "@flashloan/decisions/decision";
import { chooseCompletions } from "@flashloan/decisions/completions";
import { choosePatches, choosePatchesGreedily, type Patch } from "@flashloan/decisions/patches";
import { createRandom, type Random } from "@flashloan/shared/random";
import { selectInBlocks, type Snapshot } from "./blocks.ts";
import { codeT, marginalRelevance, minimumBayesRisk, topK } from "./choosers.ts";
import { makeProblem, type Making } from "./programs.ts";

/** How two ways of choosing compare, problem by problem. */
export interface Comparison {
  readonly problems: number;
  /** What each reaches on average. */
  readonly means: Readonly<Record<string, number>>;
  /** Against each other way: problems in which ours is better, as good, worse. */
  readonly against: Readonly<Record<string, { readonly wins: number; readonly ties: number; readonly losses: number }>>;
  /** Share of choices that are proven optimal by their own measure. */
  readonly provenShare: number;
}

const OURS = "engine";
const MAKING: Making = { candidates: 30, rightShare: 0.15, inputs: 6, tests: 6, wrongTestShare: 0.25 };

/** What is gained in a block, in ether, when what is selected is carried out on its pools. */
export function compareSelections(blocks: Iterable<Snapshot>, budget: Budget): Comparison {
  const tally = new Tally();
  const room = { transactionsMax: 4, gasMax: 30_000_000, liquidity: {}, riskAversion: 0 };
  for (const { isProven, netWei } of selectInBlocks(blocks, budget, room))
    tally.take(isProven, Object.fromEntries(Object.entries(netWei).map(([name, wei]) => [name, Number(wei) / 1e18])));
  return tally.comparison();
}

/** Is one of the chosen right? Share of problems, over the committed generator's programs. */
export function compareCompletions(problems: number, count: number, seed: number, budget: Budget): Comparison {
  const random = createRandom(seed);
  const tally = new Tally();
  for (let n = 0; n < problems; n++) {
    const { candidates, right } = makeProblem(random, MAKING);
    // Nothing can be chosen where nothing is right, or everything is.
    if (right.size === 0 || right.size === candidates.length) {
      n -= 1;
      continue;
    }
    const choice = chooseCompletions(candidates, count, budget);
    const worth = (chosen: readonly string[]): number => (chosen.some((id) => right.has(id)) ? 1 : 0);
    tally.take(choice.provenOptimal, {
      [OURS]: worth(choice.chosen),
      "top-k": worth(topK(candidates, count)),
      MMR: worth(marginalRelevance(candidates, count)),
      "MBR-Exec": worth(minimumBayesRisk(candidates, count)),
      CodeT: worth(codeT(candidates, count)),
    });
  }
  return tally.comparison();
}

/** Share of failing tests that compatible patches mend. */
export function comparePatches(problems: number, seed: number, budget: Budget): Comparison {
  const random = createRandom(seed);
  const tally = new Tally();
  for (let n = 0; n < problems; n++) {
    const tests = Array.from({ length: 16 }, (_, i) => `test ${i}`);
    const patches = Array.from({ length: 14 }, (_, i): Patch => {
      const conflictsWith = Array.from({ length: i }, (__, j) => `${j}`).filter(() => random.next() < 0.3);
      return { id: `${i}`, mends: tests.filter(() => random.next() < 0.2), conflictsWith };
    });
    const mended = (chosen: readonly string[]): number =>
      new Set(patches.filter(({ id }) => chosen.includes(id)).flatMap(({ mends }) => mends)).size / tests.length;
    const choice = choosePatches(patches, budget);
    tally.take(choice.provenOptimal, {
      [OURS]: mended(choice.chosen),
      greedy: mended(choosePatchesGreedily(patches).map(({ id }) => id)),
      "most alone": Math.max(...patches.map(({ id }) => mended([id]))),
    });
  }
  return tally.comparison();
}

/** What the tasks that are given are worth, affinity, waiting and costs included. */
export function compareAllocations(problems: number, seed: number, budget: Budget): Comparison {
  const random = createRandom(seed);
  const tally = new Tally();
  for (let n = 0; n < problems; n++) {
    const { agents, tasks } = makeWork(random);
    const choice = allocateTasks(agents, tasks, budget);
    tally.take(choice.provenOptimal, {
      [OURS]: worthOf(agents, tasks, choice.assignments),
      greedy: worthOf(agents, tasks, giveInTurn(agents, tasks, byGain)),
      "round robin": worthOf(agents, tasks, giveInTurn(agents, tasks, byLoad)),
    });
  }
  return tally.comparison();
}

class Tally {
  readonly #sums = new Map<string, number>();
  readonly #against = new Map<string, { wins: number; ties: number; losses: number }>();
  #problems = 0;
  #proven = 0;

  take(isProven: boolean, reached: Readonly<Record<string, number>>): void {
    this.#problems += 1;
    if (isProven) this.#proven += 1;
    const ours = reached[OURS] ?? 0;
    for (const [name, value] of Object.entries(reached)) {
      this.#sums.set(name, (this.#sums.get(name) ?? 0) + value);
      if (name === OURS) continue;
      const score = this.#against.get(name) ?? { wins: 0, ties: 0, losses: 0 };
      score[ours > value + 1e-9 ? "wins" : ours < value - 1e-9 ? "losses" : "ties"] += 1;
      this.#against.set(name, score);
    }
  }

  comparison(): Comparison {
    return {
      problems: this.#problems,
      means: Object.fromEntries([...this.#sums].map(([name, sum]) => [name, sum / this.#problems])),
      against: Object.fromEntries(this.#against),
      provenShare: this.#proven / this.#problems,
    };
  }
}

const SKILLS = ["code", "search", "review"] as const;

function makeWork(random: Random): { agents: Agent[]; tasks: Task[] } {
  const agents = Array.from({ length: 4 }, (_, i): Agent => {
    const skills = Object.fromEntries(SKILLS.map((skill) => [skill, Math.round(random.next() * 100) / 100]));
    return { id: `agent ${i}`, skills, load: random.below(2), capacity: 3, cost: random.below(3) };
  });
  const tasks = Array.from({ length: 9 }, (_, i): Task => {
    const affinity = i > 0 && random.next() < 0.5 ? { [`task ${random.below(i)}`]: 1 + random.below(5) } : {};
    return { id: `task ${i}`, skill: random.pick(SKILLS), value: 5 + random.below(16), affinity };
  });
  return { agents, tasks };
}

const gainOf = (agent: Agent, task: Task): number => (agent.skills[task.skill] ?? 0) * task.value - agent.cost;
const byGain = (agents: readonly Agent[], task: Task): Agent | undefined =>
  agents.toSorted((a, b) => gainOf(b, task) - gainOf(a, task)).find((agent) => gainOf(agent, task) > 0);
const byLoad = (agents: readonly Agent[]): Agent | undefined => agents.toSorted((a, b) => a.load - b.load)[0];

/** Task by task, the most valuable first, to whom the rule names among those that have a place left. */
function giveInTurn(
  agents: readonly Agent[],
  tasks: readonly Task[],
  rule: (agents: readonly Agent[], task: Task) => Agent | undefined,
): Record<string, string> {
  const loads = new Map(agents.map(({ id, load }) => [id, load]));
  const assignments: Record<string, string> = {};
  for (const task of tasks.toSorted((a, b) => b.value - a.value)) {
    const free = agents
      .map((agent) => ({ ...agent, load: loads.get(agent.id) ?? 0 }))
      .filter(({ load, capacity }) => load < capacity);
    const taker = rule(free, task);
    if (!taker) continue;
    assignments[task.id] = taker.id;
    loads.set(taker.id, (loads.get(taker.id) ?? 0) + 1);
  }
  return assignments;
}

/** Skill × value − cost, what affine tasks gain at one agent, less what waiting costs: as allocateTasks states it. */
function worthOf(
  agents: readonly Agent[],
  tasks: readonly Task[],
  assignments: Readonly<Record<string, string>>,
): number {
  const given = tasks.flatMap((task) => {
    const agent = agents.find(({ id }) => id === assignments[task.id]);
    return agent ? [{ task, agent, gain: gainOf(agent, task) }] : [];
  });
  let worth = 0;
  for (const [i, { task, agent, gain }] of given.entries()) {
    worth += gain - (gain * agent.load) / (2 * agent.capacity);
    for (const other of given.slice(i + 1)) {
      if (other.agent.id !== agent.id) continue;
      worth += (task.affinity?.[other.task.id] ?? 0) + (other.task.affinity?.[task.id] ?? 0);
      worth -= Math.min(gain, other.gain) / (2 * agent.capacity);
    }
  }
  return worth;
}
