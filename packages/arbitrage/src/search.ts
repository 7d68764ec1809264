import type { GainList } from "./gain-list.ts";
import type { MarketGraph } from "./market-graph.ts";

/** A cycle counts when the logarithm of its marginal price is above this: less is lost to rounding. */
export const MIN_GAIN = 1e-9;

/** Pairs are pruned with half of it, so that rounding in the potentials never decides. */
const PRUNE_GAIN = MIN_GAIN / 2;

const NONE = -1;

/** Cycles visited from one edge; more only exist where many pools of the same tokens are far off at once. */
const CYCLES_PER_EDGE_MAX = 20_000;

/** Takes a cycle's edges (the first `length` of `edges`) and its gain; the array is reused, so copy what is kept. */
export type CycleVisitor = (edges: Int32Array, length: number, gain: number) => void;

/**
 * Finds every cycle of 2 to `maxHops` edges through distinct tokens and pools whose marginal price, fees included, is
 * above 1, through a given edge.
 *
 * Cycles are enumerated lazily: over pairs of tokens first, by the best edge of each pair, with the best gain that
 * could still follow as a bound, and over the pools of a pair only where the pairs already promise a profit. So the
 * cost follows the number of profitable cycles, not the product of the pools' multiplicities.
 */
export class CycleSearch {
  readonly #graph: MarketGraph;
  readonly #maxHops: number;
  readonly #cycle = new Int32Array(4);
  /** One buffer for each depth of the enumeration. */
  readonly #outer: number[] = [];
  readonly #inner: number[] = [];
  #budget = 0;
  #cut = 0;

  constructor(graph: MarketGraph, maxHops: number) {
    this.#graph = graph;
    this.#maxHops = maxHops;
  }

  /** How many edges had more cycles than are visited, since the last call. */
  takeCut(): number {
    const cut = this.#cut;
    this.#cut = 0;
    return cut;
  }

  /** Visits every profitable cycle through `edge`, once each, up to `CYCLES_PER_EDGE_MAX`. */
  through(edge: number, visit: CycleVisitor): void {
    const graph = this.#graph;
    const log = graph.edgeLog[edge] as number;
    if (log === Number.NEGATIVE_INFINITY) return;
    const pair = graph.edgePair[edge] as number;
    const from = graph.pairFrom[pair] as number;
    const to = graph.pairTo[pair] as number;
    this.#cycle[0] = edge;
    this.#budget = CYCLES_PER_EDGE_MAX;
    const closing = graph.pairOf(to, from);
    this.#expandTwo(log, closing, visit);
    if (this.#maxHops < 3) return;
    const gain = log + (graph.potential[to] as number) - (graph.potential[from] as number);
    const leaving = graph.leaving[to] as GainList;
    const entering = graph.entering[from] as GainList;
    if (graph.twoSteps(to, from) !== undefined) this.#betweenHubs(log, from, to, visit);
    else if (leaving.length <= entering.length) this.#forward(log, gain, from, to, visit);
    else this.#backward(log, gain, from, to, visit);
    if (this.#budget <= 0) this.#cut += 1;
  }

  /** From the edge's end: to → x → from and to → x → y → from, where few pairs leave `to`. */
  #forward(log: number, gain: number, from: number, to: number, visit: CycleVisitor): void {
    const graph = this.#graph;
    const { potential } = graph;
    const entering = graph.entering[from] as GainList;
    const lastMax = entering.max + (potential[from] as number);
    const count = (graph.leaving[to] as GainList).collect(Number.NEGATIVE_INFINITY, this.#outer);
    for (let k = 0; k < count && this.#budget > 0; k += 1) {
      const first = this.#outer[k] as number;
      const x = graph.pairTo[first] as number;
      if (x === from) continue;
      const gainX = gain + graph.gainOfPair(first);
      const last = graph.pairOf(x, from);
      if (last !== NONE && gainX + graph.gainOfPair(last) > PRUNE_GAIN) {
        this.#expandThree(log, first, last, visit);
      }
      if (this.#maxHops < 4) continue;
      const paths = graph.twoSteps(x, from);
      if (paths !== undefined) {
        this.#pathsAfter(log, first, paths, from, to, visit);
        continue;
      }
      const leaving = graph.leaving[x] as GainList;
      const middleMax = leaving.max - (potential[x] as number);
      if (gainX + middleMax + lastMax <= PRUNE_GAIN) continue;
      if (leaving.length <= entering.length) {
        const threshold = PRUNE_GAIN - gainX - lastMax + (potential[x] as number);
        const inner = leaving.collect(threshold, this.#inner);
        for (let m = 0; m < inner && this.#budget > 0; m += 1) {
          const middle = this.#inner[m] as number;
          const y = graph.pairTo[middle] as number;
          if (y === from || y === to) continue;
          this.#tryFour(log, gain, first, middle, graph.pairOf(y, from), visit);
        }
      } else {
        const threshold = PRUNE_GAIN - gainX - middleMax - (potential[from] as number);
        const inner = entering.collect(threshold, this.#inner);
        for (let m = 0; m < inner && this.#budget > 0; m += 1) {
          const end = this.#inner[m] as number;
          const y = graph.pairFrom[end] as number;
          if (y === x || y === to) continue;
          this.#tryFour(log, gain, first, graph.pairOf(x, y), end, visit);
        }
      }
    }
  }

  /** The same from the edge's start backwards, where few pairs enter `from`: y first, then x. */
  #backward(log: number, gain: number, from: number, to: number, visit: CycleVisitor): void {
    const graph = this.#graph;
    const { potential } = graph;
    const leaving = graph.leaving[to] as GainList;
    const firstMax = leaving.max - (potential[to] as number);
    const count = (graph.entering[from] as GainList).collect(Number.NEGATIVE_INFINITY, this.#outer);
    for (let k = 0; k < count && this.#budget > 0; k += 1) {
      const last = this.#outer[k] as number;
      const y = graph.pairFrom[last] as number;
      if (y === to) continue;
      const gainY = gain + graph.gainOfPair(last);
      const first = graph.pairOf(to, y);
      if (first !== NONE && gainY + graph.gainOfPair(first) > PRUNE_GAIN) {
        this.#expandThree(log, first, last, visit);
      }
      if (this.#maxHops < 4) continue;
      const paths = graph.twoSteps(to, y);
      if (paths !== undefined) {
        this.#pathsBefore(log, last, paths, from, false, visit);
        continue;
      }
      const entering = graph.entering[y] as GainList;
      const middleMax = entering.max + (potential[y] as number);
      if (gainY + middleMax + firstMax <= PRUNE_GAIN) continue;
      if (entering.length <= leaving.length) {
        const threshold = PRUNE_GAIN - gainY - firstMax - (potential[y] as number);
        const inner = entering.collect(threshold, this.#inner);
        for (let m = 0; m < inner && this.#budget > 0; m += 1) {
          const middle = this.#inner[m] as number;
          const x = graph.pairFrom[middle] as number;
          if (x === from || x === to) continue;
          this.#tryFour(log, gain, graph.pairOf(to, x), middle, last, visit);
        }
      } else {
        const threshold = PRUNE_GAIN - gainY - middleMax + (potential[to] as number);
        const inner = leaving.collect(threshold, this.#inner);
        for (let m = 0; m < inner && this.#budget > 0; m += 1) {
          const start = this.#inner[m] as number;
          const x = graph.pairTo[start] as number;
          if (x === from || x === y) continue;
          this.#tryFour(log, gain, start, graph.pairOf(x, y), last, visit);
        }
      }
    }
  }

  /**
   * Both ends of the edge are hubs, with too many neighbours to try them all: the paths between hubs, kept sorted out
   * by gain, give every path whose x or y is a hub; paths whose x and y are not are walked from the few such x.
   */
  #betweenHubs(log: number, from: number, to: number, visit: CycleVisitor): void {
    const graph = this.#graph;
    const direct = graph.twoSteps(to, from) as GainList;
    const count = direct.collect(PRUNE_GAIN - log, this.#outer);
    for (let k = 0; k < count && this.#budget > 0; k += 1) {
      const first = this.#outer[k] as number;
      this.#expandThree(log, first, graph.pairOf(graph.pairTo[first] as number, from), visit);
    }
    if (this.#maxHops < 4) return;
    for (const hub of graph.hubs) {
      if (hub === from || hub === to) continue;
      const first = graph.pairOf(to, hub);
      const after = graph.twoSteps(hub, from);
      if (first !== NONE && after !== undefined) {
        this.#pathsAfter(log, first, after, from, to, visit);
      }
      const last = graph.pairOf(hub, from);
      const before = graph.twoSteps(to, hub);
      if (last !== NONE && before !== undefined) {
        this.#pathsBefore(log, last, before, from, true, visit);
      }
    }
    this.#plainPaths(log, from, to, visit);
  }

  /** to → x → y → from for a given pair to → x and the ready paths x → y → from. */
  #pathsAfter(log: number, first: number, paths: GainList, from: number, to: number, visit: CycleVisitor): void {
    const graph = this.#graph;
    const count = paths.collect(PRUNE_GAIN - log - (graph.pairBest[first] as number), this.#inner);
    for (let k = 0; k < count && this.#budget > 0; k += 1) {
      const middle = this.#inner[k] as number;
      const y = graph.pairTo[middle] as number;
      if (y === to) continue;
      this.#expandFour(log, first, middle, graph.pairOf(y, from), visit);
    }
  }

  /** to → x → y → from for a given pair y → from and the ready paths to → x → y; `plainOnly` leaves out hubs x. */
  #pathsBefore(
    log: number,
    last: number,
    paths: GainList,
    from: number,
    plainOnly: boolean,
    visit: CycleVisitor,
  ): void {
    const graph = this.#graph;
    const y = graph.pairFrom[last] as number;
    const count = paths.collect(PRUNE_GAIN - log - (graph.pairBest[last] as number), this.#inner);
    for (let k = 0; k < count && this.#budget > 0; k += 1) {
      const first = this.#inner[k] as number;
      const x = graph.pairTo[first] as number;
      if (x === from || (plainOnly && (graph.hubIndex[x] as number) >= 0)) continue;
      this.#expandFour(log, first, graph.pairOf(x, y), last, visit);
    }
  }

  /** to → x → y → from between hubs, where neither x nor y is one. */
  #plainPaths(log: number, from: number, to: number, visit: CycleVisitor): void {
    const graph = this.#graph;
    const { potential } = graph;
    const gain = log + (potential[to] as number) - (potential[from] as number);
    const count = (graph.leaving[to] as GainList).collect(Number.NEGATIVE_INFINITY, this.#outer);
    for (let k = 0; k < count && this.#budget > 0; k += 1) {
      const first = this.#outer[k] as number;
      const x = graph.pairTo[first] as number;
      if (graph.plainNeighbours[x] === 0 || (graph.hubIndex[x] as number) >= 0) continue;
      const inner = (graph.leaving[x] as GainList).collect(Number.NEGATIVE_INFINITY, this.#inner);
      for (let m = 0; m < inner && this.#budget > 0; m += 1) {
        const middle = this.#inner[m] as number;
        const y = graph.pairTo[middle] as number;
        if ((graph.hubIndex[y] as number) >= 0) continue;
        this.#tryFour(log, gain, first, middle, graph.pairOf(y, from), visit);
      }
    }
  }

  #tryFour(log: number, gain: number, first: number, middle: number, last: number, visit: CycleVisitor): void {
    if (middle === NONE || last === NONE || first === NONE) return;
    const graph = this.#graph;
    const total = gain + graph.gainOfPair(first) + graph.gainOfPair(middle) + graph.gainOfPair(last);
    if (total > PRUNE_GAIN) this.#expandFour(log, first, middle, last, visit);
  }

  #expandTwo(log: number, second: number, visit: CycleVisitor): void {
    if (second === NONE) return;
    const { edgeLog, edgePool } = this.#graph;
    const cycle = this.#cycle;
    const pool0 = edgePool[cycle[0] as number];
    for (const edge of this.#graph.edgesOfPair(second)) {
      const gain = log + (edgeLog[edge] as number);
      if (gain <= MIN_GAIN || this.#budget <= 0) break;
      if (edgePool[edge] === pool0) continue;
      cycle[1] = edge;
      this.#budget -= 1;
      visit(cycle, 2, gain);
    }
  }

  #expandThree(log: number, second: number, third: number, visit: CycleVisitor): void {
    const { edgeLog, edgePool, pairBest } = this.#graph;
    const cycle = this.#cycle;
    const pool0 = edgePool[cycle[0] as number];
    for (const edge1 of this.#graph.edgesOfPair(second)) {
      const log1 = log + (edgeLog[edge1] as number);
      if (log1 + (pairBest[third] as number) <= MIN_GAIN || this.#budget <= 0) break;
      const pool1 = edgePool[edge1];
      if (pool1 === pool0) continue;
      cycle[1] = edge1;
      for (const edge2 of this.#graph.edgesOfPair(third)) {
        const gain = log1 + (edgeLog[edge2] as number);
        if (gain <= MIN_GAIN || this.#budget <= 0) break;
        const pool2 = edgePool[edge2];
        if (pool2 === pool0 || pool2 === pool1) continue;
        cycle[2] = edge2;
        this.#budget -= 1;
        visit(cycle, 3, gain);
      }
    }
  }

  #expandFour(log: number, second: number, third: number, fourth: number, visit: CycleVisitor): void {
    const { edgeLog, edgePool, pairBest } = this.#graph;
    const cycle = this.#cycle;
    const pool0 = edgePool[cycle[0] as number];
    const best3 = pairBest[fourth] as number;
    const best23 = (pairBest[third] as number) + best3;
    for (const edge1 of this.#graph.edgesOfPair(second)) {
      const log1 = log + (edgeLog[edge1] as number);
      if (log1 + best23 <= MIN_GAIN || this.#budget <= 0) break;
      const pool1 = edgePool[edge1];
      if (pool1 === pool0) continue;
      cycle[1] = edge1;
      for (const edge2 of this.#graph.edgesOfPair(third)) {
        const log2 = log1 + (edgeLog[edge2] as number);
        if (log2 + best3 <= MIN_GAIN || this.#budget <= 0) break;
        const pool2 = edgePool[edge2];
        if (pool2 === pool0 || pool2 === pool1) continue;
        cycle[2] = edge2;
        for (const edge3 of this.#graph.edgesOfPair(fourth)) {
          const gain = log2 + (edgeLog[edge3] as number);
          if (gain <= MIN_GAIN || this.#budget <= 0) break;
          const pool3 = edgePool[edge3];
          if (pool3 === pool0 || pool3 === pool1 || pool3 === pool2) continue;
          cycle[3] = edge3;
          this.#budget -= 1;
          visit(cycle, 4, gain);
        }
      }
    }
  }
}
