import { createRandom, type Random } from "@flashloan/shared/random";
import { FlashloanError } from "@flashloan/shared/errors";
import type { SolveOptions } from "./portfolio.ts";
import type { Coupling } from "./quadratic.ts";

/** The most items of one problem. */
export const ITEMS_MAX = 5_000;
/** The share of the time that the exact search gets. */
const EXACT_SHARE = 0.6;
/** Nodes, or moves, between two looks at the clock. */
const LOOK_EVERY = 16;
const TOLERANCE = 1e-9;

/**
 * What may not be more than its capacity: Σ weight_i x_i over the items that it names. A conflict is a limit of 1 over the
 * items that exclude each other; the more of them one limit names, the better the bound.
 */
export interface Limit {
  readonly weights: readonly (readonly [item: number, weight: number])[];
  readonly capacity: number;
}

/** Items to choose from: the sum of values, and of what pairs gain or lose together, is to be as large as possible. */
export interface Packing {
  readonly values: ArrayLike<number>;
  /** What two items gain (or, below 0, lose) when both are chosen. */
  readonly pairs: readonly Coupling[];
  readonly limits: readonly Limit[];
}

/** The best choice that was found. */
export interface PackingSolution {
  readonly x: Uint8Array;
  readonly value: number;
  readonly solver: "greedy" | "descent" | "exact";
  /** True when nothing better exists. */
  readonly provenOptimal: boolean;
  /** No choice is above it. */
  readonly bound: number;
  /** What the greedy baseline reaches. */
  readonly greedy: number;
  readonly elapsedMs: number;
  /** True when time was up before the baseline and one improvement of it were through. */
  readonly degraded: boolean;
}

/**
 * Chooses items within limits, which are kept at all times rather than by penalties: the greedy baseline, its improvement by
 * adding and exchanging, branch and bound, and then improvement from ever new beginnings until the time is up.
 * @throws FlashloanError argument_invalid, naming item or limit
 */
export function pack(
  packing: Packing,
  options: Omit<SolveOptions, "solver" | "target" | "onImproved">,
): PackingSolution {
  const startedMs = options.now();
  const elapsed = (): number => options.now() - startedMs;
  const until = (ms: number) => (): boolean => elapsed() >= ms || options.cancelled?.() === true;
  const items = new Items(packing);
  const state = new Choice(items);
  const stop = until(options.deadlineMs);
  fill(state, stop);
  const greedy = state.value;
  let best = { x: state.x.slice(), value: greedy, solver: "greedy" as PackingSolution["solver"] };
  const take = (choice: Choice, solver: PackingSolution["solver"]): void => {
    if (choice.value > best.value + TOLERANCE) best = { x: choice.x.slice(), value: choice.value, solver };
  };
  improve(state, stop);
  take(state, "descent");
  const degraded = stop();
  const exactMs = elapsed() + EXACT_SHARE * Math.max(0, options.deadlineMs - elapsed());
  const tree = new Tree(items, best.value, (choice) => take(choice, "exact"), until(exactMs));
  tree.explore();
  const random = createRandom(options.seed);
  while (tree.stopped && !stop()) {
    shake(state, random);
    fill(state, stop);
    improve(state, stop);
    take(state, "descent");
    if (state.value < best.value) state.become(best.x);
  }
  const provenOptimal = !tree.stopped;
  const bound = provenOptimal ? best.value : Math.max(tree.rootBound, best.value);
  return { ...best, provenOptimal, bound, greedy, elapsedMs: elapsed(), degraded: degraded && !provenOptimal };
}

/** A problem in arrays. */
class Items {
  readonly size: number;
  readonly values: Float64Array;
  readonly pairsOf: readonly (readonly (readonly [other: number, gain: number])[])[];
  readonly capacities: Float64Array;
  /** By item: the limits that it counts in, and with what weight. */
  readonly limitsOf: readonly (readonly (readonly [limit: number, weight: number])[])[];
  /** By item: the one limit that its part of the bound is measured by, or −1. */
  readonly classOf: Int32Array;

  constructor({ values, pairs, limits }: Packing) {
    const size = values.length;
    if (size > ITEMS_MAX) throw invalid(`${size} items: at most ${ITEMS_MAX}`);
    this.size = size;
    this.values = Float64Array.from(values);
    for (const [i, value] of this.values.entries())
      if (!Number.isFinite(value)) throw invalid(`the value of item ${i} is ${value}: must be a finite number`);
    const check = (item: number, where: string): void => {
      if (!Number.isInteger(item) || item < 0 || item >= size)
        throw invalid(`${where} names item ${item}: there are ${size}, counted from 0`);
    };
    const pairsOf: Map<number, number>[] = Array.from({ length: size }, () => new Map());
    for (const [i, j, gain] of pairs) {
      check(i, "a pair");
      check(j, "a pair");
      if (i === j || !Number.isFinite(gain))
        throw invalid(`the pair of ${i} and ${j} gains ${gain}: must be two items and a finite number`);
      pairsOf[i]?.set(j, (pairsOf[i]?.get(j) ?? 0) + gain);
      pairsOf[j]?.set(i, (pairsOf[j]?.get(i) ?? 0) + gain);
    }
    this.pairsOf = pairsOf.map((map) => [...map]);
    this.capacities = Float64Array.from(limits, ({ capacity }) => capacity);
    const limitsOf: [number, number][][] = Array.from({ length: size }, () => []);
    for (const [l, { weights, capacity }] of limits.entries()) {
      if (!(capacity >= 0)) throw invalid(`the capacity of limit ${l} is ${capacity}: must be 0 or more`);
      for (const [item, weight] of weights) {
        check(item, `limit ${l}`);
        if (!(weight >= 0 && weight < Infinity))
          throw invalid(`limit ${l}: the weight of item ${item} is ${weight}, must be 0 or more`);
        if (weight > 0) limitsOf[item]?.push([l, weight]);
      }
    }
    this.limitsOf = limitsOf;
    this.classOf = this.#classes(limits);
  }

  /** Each item is measured by the limit that leaves the smallest share of what it names. */
  #classes(limits: readonly Limit[]): Int32Array {
    const tightness = limits.map(
      ({ weights, capacity }) => capacity / weights.reduce((sum, [, weight]) => sum + weight, 0),
    );
    return Int32Array.from(this.limitsOf, (its) => {
      const tight = its.filter(([l]) => (tightness[l] ?? 1) < 1);
      return tight.reduce((best, [l]) => (best < 0 || (tightness[l] ?? 1) < (tightness[best] ?? 1) ? l : best), -1);
    });
  }
}

/** What is chosen, what it is worth, what each item would add, and what room is left. */
class Choice {
  readonly items: Items;
  readonly x: Uint8Array;
  /** By item: its value, and what it gains with what is chosen. */
  readonly gains: Float64Array;
  readonly room: Float64Array;
  value = 0;

  constructor(items: Items) {
    this.items = items;
    this.x = new Uint8Array(items.size);
    this.gains = items.values.slice();
    this.room = items.capacities.slice();
  }

  fits(item: number): boolean {
    for (const [l, weight] of this.items.limitsOf[item] ?? [])
      if (weight > (this.room[l] as number) + TOLERANCE) return false;
    return true;
  }

  flip(item: number): void {
    const sign = this.x[item] ? -1 : 1;
    this.value += sign * (this.gains[item] as number);
    this.x[item] = sign > 0 ? 1 : 0;
    for (const [l, weight] of this.items.limitsOf[item] ?? []) this.room[l] = (this.room[l] as number) - sign * weight;
    for (const [other, gain] of this.items.pairsOf[item] ?? [])
      this.gains[other] = (this.gains[other] as number) + sign * gain;
  }

  become(x: Uint8Array): void {
    for (let i = 0; i < x.length; i++) if (this.x[i] && !x[i]) this.flip(i);
    for (let i = 0; i < x.length; i++) if (!this.x[i] && x[i]) this.flip(i);
  }
}

/** The baseline: again and again the item that gains most for the share of room that it takes, of those that fit. */
function fill(choice: Choice, stop: () => boolean): void {
  const { items } = choice;
  while (!stop()) {
    let [best, at] = [0, -1];
    for (let i = 0; i < items.size; i++) {
      const gain = choice.gains[i] as number;
      if (choice.x[i] || gain <= TOLERANCE || !choice.fits(i)) continue;
      let share = 1e-6;
      for (const [l, weight] of items.limitsOf[i] ?? []) share = Math.max(share, weight / (choice.room[l] as number));
      if (gain / share > best) [best, at] = [gain / share, i];
    }
    if (at < 0) return;
    choice.flip(at);
  }
}

/** Takes out what loses, adds what gains, exchanges one for another, until nothing of that helps. */
function improve(choice: Choice, stop: () => boolean): void {
  const { items } = choice;
  for (let isBetter = true; isBetter && !stop();) {
    isBetter = false;
    for (let i = 0; i < items.size; i++) {
      const gain = choice.gains[i] as number;
      if (choice.x[i] ? gain < -TOLERANCE : gain > TOLERANCE && choice.fits(i)) {
        choice.flip(i);
        isBetter = true;
      }
    }
    for (let out = 0; out < items.size && !stop(); out++) {
      if (!choice.x[out]) continue;
      const before = choice.value;
      choice.flip(out);
      let [best, at] = [before + TOLERANCE, -1];
      for (let i = 0; i < items.size; i++) {
        if (choice.x[i] || i === out || choice.value + (choice.gains[i] as number) <= best || !choice.fits(i)) continue;
        [best, at] = [choice.value + (choice.gains[i] as number), i];
      }
      choice.flip(at < 0 ? out : at);
      isBetter ||= at >= 0;
    }
  }
}

/** Takes out a part of what is chosen. */
function shake(choice: Choice, random: Random): void {
  const share = 0.2 + 0.4 * random.next();
  for (let i = 0; i < choice.x.length; i++) if (choice.x[i] && random.next() < share) choice.flip(i);
  // And puts in something that would not be put in.
  const item = choice.x.length > 0 ? random.below(choice.x.length) : 0;
  if (choice.x.length > 0 && !choice.x[item] && choice.fits(item)) choice.flip(item);
}

/**
 * Depth first: with an item, then without it. The bound splits what is free into classes by one limit each and fills every
 * class by itself with fractions of items, each credited with half of what it could gain with every other free one.
 */
class Tree {
  readonly #items: Items;
  readonly #choice: Choice;
  readonly #isFree: Uint8Array;
  /** By item: half of what it can gain with other free items. */
  readonly #hopes: Float64Array;
  /** Items that are not free, in the order in which they were settled. */
  readonly #settled: number[] = [];
  readonly #found: (choice: Choice) => void;
  readonly #stop: () => boolean;
  #best: number;
  #nodes = 0;
  rootBound: number;
  stopped = false;

  constructor(items: Items, known: number, found: (choice: Choice) => void, stop: () => boolean) {
    this.#items = items;
    this.#choice = new Choice(items);
    this.#isFree = new Uint8Array(items.size).fill(1);
    this.#hopes = Float64Array.from(items.pairsOf, (pairs) =>
      pairs.reduce((sum, [, gain]) => sum + Math.max(0, gain) / 2, 0),
    );
    this.rootBound = items.values.reduce((sum, value, i) => sum + Math.max(0, value + (this.#hopes[i] as number)), 0);
    this.#best = known;
    this.#found = found;
    this.#stop = stop;
  }

  /** Without recursion: there may be as many decisions above a node as items. */
  explore(): void {
    /** Items that were taken and are to be done without yet, and how many were settled when each was. */
    const taken: { readonly item: number; readonly settled: number }[] = [];
    for (;;) {
      const item = this.#look();
      if (this.stopped) return;
      if (item !== undefined) {
        this.#settle(item);
        this.#choice.flip(item);
        taken.push({ item, settled: this.#settled.length });
        continue;
      }
      const back = taken.pop();
      if (!back) return;
      while (this.#settled.length > back.settled) this.#free();
      this.#choice.flip(back.item);
    }
  }

  /** Looks at a node: the item to decide next, or undefined when nothing below is better than what is known. */
  #look(): number | undefined {
    this.#nodes += 1;
    if (this.#nodes % LOOK_EVERY === 1 && this.#stop()) this.stopped = true;
    if (this.stopped) return undefined;
    const { gains } = this.#choice;
    if (this.#choice.value > this.#best + TOLERANCE) {
      this.#best = this.#choice.value;
      this.#found(this.#choice);
    }
    // What does not fit any more, or can't gain any more, is out.
    const open: number[] = [];
    for (let i = 0; i < this.#items.size; i++) {
      if (!this.#isFree[i]) continue;
      if ((gains[i] as number) + 2 * (this.#hopes[i] as number) <= TOLERANCE || !this.#choice.fits(i)) this.#settle(i);
      else open.push(i);
    }
    const bound = this.#bound(open);
    if (this.#nodes === 1) this.rootBound = bound;
    if (bound <= this.#best + TOLERANCE) return undefined;
    return open.reduce((best, i) => (this.#worth(i) > this.#worth(best) ? i : best), open[0] as number);
  }

  #worth(i: number): number {
    return (this.#choice.gains[i] as number) + (this.#hopes[i] as number);
  }

  /** Takes an item out of what is free. */
  #settle(item: number): void {
    this.#settled.push(item);
    this.#isFree[item] = 0;
    this.#hope(item, -0.5);
  }

  /** Takes the item that was settled last back into what is free. */
  #free(): void {
    const item = this.#settled.pop() as number;
    this.#isFree[item] = 1;
    this.#hope(item, 0.5);
  }

  #hope(item: number, share: number): void {
    for (const [other, gain] of this.#items.pairsOf[item] ?? [])
      if (gain > 0) this.#hopes[other] = (this.#hopes[other] as number) + share * gain;
  }

  #bound(open: readonly number[]): number {
    const classes = new Map<number, { worth: number; weight: number }[]>();
    let bound = this.#choice.value;
    for (const i of open) {
      const worth = this.#worth(i);
      if (worth <= 0) continue;
      const limit = this.#items.classOf[i] as number;
      if (limit < 0) {
        bound += worth;
        continue;
      }
      const weight = this.#items.limitsOf[i]?.find(([l]) => l === limit)?.[1] ?? 0;
      const members = classes.get(limit);
      if (members) members.push({ worth, weight });
      else classes.set(limit, [{ worth, weight }]);
    }
    for (const [limit, members] of classes) {
      let room = this.#choice.room[limit] as number;
      members.sort((a, b) => b.worth * a.weight - a.worth * b.weight);
      for (const { worth, weight } of members) {
        if (room <= 0) break;
        bound += worth * Math.min(1, room / weight);
        room -= weight;
      }
    }
    return bound;
  }
}

function invalid(message: string): FlashloanError {
  return new FlashloanError("argument_invalid", message);
}
