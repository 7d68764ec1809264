import { depthOf } from "@flashloan/amm/curve";
import { NATIVE_TOKEN, type Address, type Pool, type PoolId, type PoolKind } from "@flashloan/amm/pool";
import { GainList } from "./gain-list.ts";
import { PairIndex } from "./pair-index.ts";

/** The pool kinds in the order of their numbers. */
export const POOL_KINDS = [
  "uniswap-v2",
  "uniswap-v3",
  "uniswap-v4",
  "balancer-weighted",
  "balancer-stable",
] as const satisfies readonly PoolKind[];

/** WETH's number; the chain's own coin is the same token. */
export const WETH_TOKEN = 0;

/** A token's price is set anew when its anchor pool has moved further than this (natural logarithm, 1 %). */
const REANCHOR_LOG = 0.01;
/** A pool becomes a token's anchor when it is this many times deeper than the one before. */
const ANCHOR_DEPTH_RATIO = 2;
/** A token with so many neighbours is a hub: two-step paths between hubs are kept ready. */
const HUB_DEGREE = 32;
/** Hubs at most: two-step paths cost eight bytes for each neighbour of a hub and each other hub. */
const HUBS_MAX = 64;
const NONE = -1;
const INITIAL_CAPACITY = 1_024;

/**
 * The market as numbers: tokens, pools, one directed edge per pool and ordered pair of its tokens, and the pairs of
 * tokens that edges connect. Columns of typed arrays, so that 100,000 pools stay small and near each other.
 *
 * Gains are relative to a price of each token in WETH (its potential, a logarithm): the gain of an edge is the
 * logarithm of what it pays over those prices, so a cycle's gains add up to the logarithm of its marginal price,
 * whatever the potentials are. Potentials only make the gains small, which is what prunes the search.
 */
export class MarketGraph {
  /** Edge columns. `edgeLog` is ln of the spot price; the reserves are `Depth`'s. */
  edgePool = new Int32Array(INITIAL_CAPACITY);
  edgePair = new Int32Array(INITIAL_CAPACITY);
  edgeLog = new Float64Array(INITIAL_CAPACITY);
  edgeReserveIn = new Float64Array(INITIAL_CAPACITY);
  edgeReserveOut = new Float64Array(INITIAL_CAPACITY);
  edgeIndexIn = new Uint8Array(INITIAL_CAPACITY);
  edgeIndexOut = new Uint8Array(INITIAL_CAPACITY);
  /** Pair columns. `pairBest` is the largest `edgeLog` of the pair's edges; −∞ without any. */
  pairFrom = new Int32Array(INITIAL_CAPACITY);
  pairTo = new Int32Array(INITIAL_CAPACITY);
  pairBest = new Float64Array(INITIAL_CAPACITY);
  /** ln of a token's price in WETH, base unit for base unit. */
  potential = new Float64Array(INITIAL_CAPACITY);
  /** By token: the pairs that leave it (gain + potential of the token) and that enter it (gain − potential). */
  readonly leaving: GainList[] = [];
  readonly entering: GainList[] = [];
  /** By token: its place among the hubs, or −1; and how many of its neighbours are not hubs. */
  hubIndex = new Int32Array(INITIAL_CAPACITY).fill(NONE);
  plainNeighbours = new Int32Array(INITIAL_CAPACITY);
  /** The hub tokens by their place. */
  readonly hubs: number[] = [];
  /** By pool number: its kind as an index of `POOL_KINDS`. */
  poolKind = new Uint8Array(INITIAL_CAPACITY);
  /** By pool number: its state, and its edges. */
  readonly pools: (Pool | undefined)[] = [];
  readonly edgesOfPool: (readonly number[])[] = [];

  readonly #tokenNumbers = new Map<Address, number>();
  readonly #tokens: Address[] = [];
  readonly #poolNumbers = new Map<PoolId, number>();
  readonly #freePools: number[] = [];
  readonly #freeEdges: number[] = [];
  readonly #pairs = new PairIndex();
  /** By place of the first hub, then of the last: the paths between them, as `twoSteps` says. */
  readonly #twoSteps: GainList[][] = [];
  /** By token: the pairs that lead from it to a hub, and from a hub to it. */
  readonly #pairsToHubs: number[][] = [];
  readonly #pairsFromHubs: number[][] = [];
  /** By pair: its edges, best first. */
  readonly #edgesOfPair: number[][] = [];
  #leavingPosition = new Int32Array(INITIAL_CAPACITY);
  #enteringPosition = new Int32Array(INITIAL_CAPACITY);
  #anchorPool = new Int32Array(INITIAL_CAPACITY);
  #anchorDepth = new Float64Array(INITIAL_CAPACITY);
  #edgeCount = 0;

  constructor(weth: Address) {
    this.#tokenNumber(weth);
    this.#tokenNumbers.set(NATIVE_TOKEN, WETH_TOKEN);
  }

  get poolCount(): number {
    return this.#poolNumbers.size;
  }

  get tokenCount(): number {
    return this.#tokens.length;
  }

  /** The number of a pool, or undefined. */
  poolNumber(id: PoolId): number | undefined {
    return this.#poolNumbers.get(id);
  }

  /** The address of a token number. */
  tokenAddress(token: number): Address {
    return this.#tokens[token] as Address;
  }

  /** The number of a token, or undefined; the chain's own coin has WETH's. */
  tokenNumber(address: Address): number | undefined {
    return this.#tokenNumbers.get(address);
  }

  /** True when the token has a price in WETH. */
  hasPrice(token: number): boolean {
    return token === WETH_TOKEN || this.#anchorDepth[token] !== 0;
  }

  /** The pair from one token to another, or −1. */
  pairOf(from: number, to: number): number {
    return this.#pairs.get(from, to);
  }

  /**
   * The paths first → y → last between two hubs: their gains are sums of logarithms without potentials, their items
   * the pairs first → y. Undefined unless both tokens are hubs.
   */
  twoSteps(first: number, last: number): GainList | undefined {
    const [from, to] = [this.hubIndex[first] as number, this.hubIndex[last] as number];
    return from < 0 || to < 0 ? undefined : this.#twoSteps[from]?.[to];
  }

  /** The edges of a pair, best marginal price first. */
  edgesOfPair(pair: number): readonly number[] {
    return this.#edgesOfPair[pair] as number[];
  }

  /** The gain of a pair's best edge. */
  gainOfPair(pair: number): number {
    return (
      (this.pairBest[pair] as number) +
      (this.potential[this.pairTo[pair] as number] as number) -
      (this.potential[this.pairFrom[pair] as number] as number)
    );
  }

  /** The gain of one edge. */
  gainOfEdge(edge: number): number {
    return (
      (this.edgeLog[edge] as number) +
      (this.potential[this.toOf(edge)] as number) -
      (this.potential[this.fromOf(edge)] as number)
    );
  }

  /** The token that an edge takes. */
  fromOf(edge: number): number {
    return this.pairFrom[this.edgePair[edge] as number] as number;
  }

  /** The token that an edge pays. */
  toOf(edge: number): number {
    return this.pairTo[this.edgePair[edge] as number] as number;
  }

  /** Adds a pool that is not known yet. The state must be valid. */
  add(pool: Pool): void {
    this.update(this.#addPool(pool), pool);
  }

  /** Takes a known pool's new state. The state must be valid; its tokens must not have changed. */
  update(number: number, pool: Pool): void {
    this.pools[number] = pool;
    for (const edge of this.edgesOfPool[number] as readonly number[]) this.#refreshEdge(edge, pool);
    this.#anchor(number);
  }

  /** Removes a pool. Returns false when there was none. */
  remove(id: PoolId): boolean {
    const number = this.#poolNumbers.get(id);
    if (number === undefined) return false;
    for (const edge of this.edgesOfPool[number] as readonly number[]) {
      const pair = this.edgePair[edge] as number;
      const edges = this.#edgesOfPair[pair] as number[];
      edges.splice(edges.indexOf(edge), 1);
      this.#refreshPair(pair);
      this.#freeEdges.push(edge);
    }
    const edges = this.edgesOfPool[number] as readonly number[];
    this.edgesOfPool[number] = [];
    this.pools[number] = undefined;
    this.#poolNumbers.delete(id);
    this.#freePools.push(number);
    this.#releaseAnchors(number, edges);
    return true;
  }

  /** Gives the tokens that a removed pool priced another anchor; without one they keep their last price. */
  #releaseAnchors(number: number, edges: readonly number[]): void {
    for (const edge of edges) {
      const token = this.fromOf(edge);
      if (this.#anchorPool[token] !== number) continue;
      this.#anchorPool[token] = NONE;
      this.#anchorDepth[token] = Number.MIN_VALUE;
      this.#anchorNeighbours(token);
    }
  }

  #addPool(pool: Pool): number {
    const number = this.#freePools.pop() ?? this.pools.length;
    this.#poolNumbers.set(pool.id, number);
    const tokens = pool.tokens.map((token) => this.#tokenNumber(token));
    const edges: number[] = [];
    for (let i = 0; i < tokens.length; i += 1) {
      for (let j = 0; j < tokens.length; j += 1) {
        if (i === j) continue;
        const edge = this.#addEdge();
        const pair = this.#pairNumber(tokens[i] as number, tokens[j] as number);
        this.edgePool[edge] = number;
        this.edgePair[edge] = pair;
        this.edgeLog[edge] = Number.NEGATIVE_INFINITY;
        this.edgeIndexIn[edge] = i;
        this.edgeIndexOut[edge] = j;
        (this.#edgesOfPair[pair] as number[]).push(edge);
        edges.push(edge);
      }
    }
    this.edgesOfPool[number] = edges;
    if (number >= this.poolKind.length) this.poolKind = grown(this.poolKind);
    this.poolKind[number] = POOL_KINDS.indexOf(pool.kind);
    return number;
  }

  #refreshEdge(edge: number, pool: Pool): void {
    const depth = depthOf(pool, this.edgeIndexIn[edge] as number, this.edgeIndexOut[edge] as number);
    const log =
      depth.reserveIn > 0 && depth.reserveOut > 0
        ? Math.log(depth.reserveOut / depth.reserveIn)
        : Number.NEGATIVE_INFINITY;
    this.edgeReserveIn[edge] = depth.reserveIn;
    this.edgeReserveOut[edge] = depth.reserveOut;
    this.edgeLog[edge] = Number.isFinite(log) ? log : Number.NEGATIVE_INFINITY;
    const pair = this.edgePair[edge] as number;
    this.#sortEdge(pair, edge);
    this.#refreshPair(pair);
  }

  /** Moves one edge to its place among its pair's edges; the others are in order. */
  #sortEdge(pair: number, edge: number): void {
    const edges = this.#edgesOfPair[pair] as number[];
    if (edges.length === 1) return;
    const log = this.edgeLog[edge] as number;
    let at = edges.indexOf(edge);
    while (at > 0 && (this.edgeLog[edges[at - 1] as number] as number) < log) {
      edges[at] = edges[at - 1] as number;
      at -= 1;
    }
    while (at < edges.length - 1 && (this.edgeLog[edges[at + 1] as number] as number) > log) {
      edges[at] = edges[at + 1] as number;
      at += 1;
    }
    edges[at] = edge;
  }

  #refreshPair(pair: number): void {
    const first = (this.#edgesOfPair[pair] as number[])[0];
    const best = first === undefined ? Number.NEGATIVE_INFINITY : (this.edgeLog[first] as number);
    if (best === this.pairBest[pair]) return;
    this.pairBest[pair] = best;
    this.#refreshGains(pair);
    this.#refreshTwoSteps(pair);
  }

  /** Brings the two-step paths up to date that begin or end with the pair. */
  #refreshTwoSteps(pair: number): void {
    const [from, to] = [this.pairFrom[pair] as number, this.pairTo[pair] as number];
    const best = this.pairBest[pair] as number;
    const fromHub = this.hubIndex[from] as number;
    if (fromHub >= 0) {
      const position = this.#leavingPosition[pair] as number;
      for (const last of this.#pairsToHubs[to] as number[]) {
        const lastHub = this.hubIndex[this.pairTo[last] as number] as number;
        if (lastHub === fromHub) continue;
        this.#twoSteps[fromHub]?.[lastHub]?.set(position, best + (this.pairBest[last] as number));
      }
    }
    const toHub = this.hubIndex[to] as number;
    if (toHub >= 0) {
      for (const first of this.#pairsFromHubs[from] as number[]) {
        const firstHub = this.hubIndex[this.pairFrom[first] as number] as number;
        if (firstHub === toHub) continue;
        const position = this.#leavingPosition[first] as number;
        this.#twoSteps[firstHub]?.[toHub]?.set(position, (this.pairBest[first] as number) + best);
      }
    }
  }

  /** Makes a token a hub: its neighbours learn of it, and its paths to and from the other hubs are laid. */
  #promote(token: number): void {
    const hub = this.hubs.length;
    this.hubs.push(token);
    this.hubIndex[token] = hub;
    const [leaving, entering] = [this.leaving[token] as GainList, this.entering[token] as GainList];
    for (let position = 0; position < entering.length; position += 1) {
      const pair = entering.itemAt(position);
      const neighbour = this.pairFrom[pair] as number;
      (this.#pairsToHubs[neighbour] as number[]).push(pair);
      this.plainNeighbours[neighbour] = (this.plainNeighbours[neighbour] as number) - 1;
    }
    for (let position = 0; position < leaving.length; position += 1) {
      const pair = leaving.itemAt(position);
      (this.#pairsFromHubs[this.pairTo[pair] as number] as number[]).push(pair);
    }
    this.#twoSteps.push(this.hubs.map((other) => this.#layTwoSteps(token, other)));
    this.hubs.forEach((other, k) => {
      if (k !== hub) this.#twoSteps[k]?.push(this.#layTwoSteps(other, token));
    });
  }

  #layTwoSteps(first: number, last: number): GainList {
    const paths = new GainList();
    const leaving = this.leaving[first] as GainList;
    for (let position = 0; position < leaving.length; position += 1) {
      const pair = leaving.itemAt(position);
      paths.push(pair, this.#twoStepGain(pair, last));
    }
    return paths;
  }

  #twoStepGain(pair: number, last: number): number {
    const second = this.#pairs.get(this.pairTo[pair] as number, last);
    if (second === NONE || last === this.pairFrom[pair]) return Number.NEGATIVE_INFINITY;
    return (this.pairBest[pair] as number) + (this.pairBest[second] as number);
  }

  #refreshGains(pair: number): void {
    const [from, to] = [this.pairFrom[pair] as number, this.pairTo[pair] as number];
    const best = this.pairBest[pair] as number;
    (this.leaving[from] as GainList).set(this.#leavingPosition[pair] as number, best + (this.potential[to] as number));
    (this.entering[to] as GainList).set(
      this.#enteringPosition[pair] as number,
      best - (this.potential[from] as number),
    );
  }

  /**
   * Prices tokens by their deepest pool that leads to WETH. Prices may lag: they only speed the search up, and are
   * set anew when the anchor pool itself has moved by over 1 %.
   */
  #anchor(number: number): void {
    for (const edge of this.edgesOfPool[number] as readonly number[]) {
      const [from, to] = [this.fromOf(edge), this.toOf(edge)];
      if (from === WETH_TOKEN || !this.hasPrice(to)) continue;
      const back = this.#reverseOf(number, edge);
      const [log, backLog] = [this.edgeLog[edge] as number, this.edgeLog[back] as number];
      if (!Number.isFinite(log) || !Number.isFinite(backLog)) continue;
      const price = (this.potential[to] as number) + (log - backLog) / 2;
      const depth = (this.edgeReserveIn[edge] as number) * Math.exp(price);
      const isAnchor = this.#anchorPool[from] === number;
      if (!isAnchor && depth <= (this.#anchorDepth[from] as number) * ANCHOR_DEPTH_RATIO) continue;
      // Two tokens must not anchor each other, or their prices would drift off together.
      if (this.#anchorPool[to] === number) continue;
      const isFirst = !this.hasPrice(from);
      this.#anchorPool[from] = number;
      this.#anchorDepth[from] = Number.isFinite(depth) && depth > 0 ? depth : Number.MIN_VALUE;
      if (Math.abs(price - (this.potential[from] as number)) > REANCHOR_LOG) {
        this.#setPotential(from, price);
      }
      if (isFirst) this.#anchorNeighbours(from);
    }
  }

  /** Lets every pool of a token price the token's neighbours. */
  #anchorNeighbours(token: number): void {
    const leaving = this.leaving[token] as GainList;
    for (let position = 0; position < leaving.length; position += 1) {
      for (const edge of this.edgesOfPair(leaving.itemAt(position))) {
        this.#anchor(this.edgePool[edge] as number);
      }
    }
  }

  #reverseOf(number: number, edge: number): number {
    const [i, j] = [this.edgeIndexIn[edge], this.edgeIndexOut[edge]];
    for (const other of this.edgesOfPool[number] as readonly number[]) {
      if (this.edgeIndexIn[other] === j && this.edgeIndexOut[other] === i) return other;
    }
    return edge;
  }

  #setPotential(token: number, potential: number): void {
    this.potential[token] = potential;
    for (const list of [this.leaving[token], this.entering[token]] as GainList[]) {
      for (let position = 0; position < list.length; position += 1) {
        this.#refreshGains(list.itemAt(position));
      }
    }
  }

  #tokenNumber(address: Address): number {
    const known = this.#tokenNumbers.get(address);
    if (known !== undefined) return known;
    const token = this.#tokens.length;
    this.#tokenNumbers.set(address, token);
    this.#tokens.push(address);
    this.leaving.push(new GainList());
    this.entering.push(new GainList());
    this.#pairsToHubs.push([]);
    this.#pairsFromHubs.push([]);
    if (token >= this.potential.length) {
      this.hubIndex = grown(this.hubIndex);
      this.plainNeighbours = grown(this.plainNeighbours);
      this.potential = grown(this.potential);
      this.#anchorPool = grown(this.#anchorPool);
      this.#anchorDepth = grown(this.#anchorDepth);
    }
    this.#anchorPool[token] = NONE;
    this.hubIndex[token] = NONE;
    return token;
  }

  #pairNumber(from: number, to: number): number {
    const known = this.#pairs.get(from, to);
    if (known !== NONE) return known;
    const pair = this.#edgesOfPair.length;
    if (pair >= this.pairFrom.length) {
      this.pairFrom = grown(this.pairFrom);
      this.pairTo = grown(this.pairTo);
      this.pairBest = grown(this.pairBest);
      this.#leavingPosition = grown(this.#leavingPosition);
      this.#enteringPosition = grown(this.#enteringPosition);
    }
    this.#pairs.add(from, to, pair);
    this.#edgesOfPair.push([]);
    this.pairFrom[pair] = from;
    this.pairTo[pair] = to;
    this.pairBest[pair] = Number.NEGATIVE_INFINITY;
    this.#leavingPosition[pair] = (this.leaving[from] as GainList).push(pair, Number.NEGATIVE_INFINITY);
    this.#enteringPosition[pair] = (this.entering[to] as GainList).push(pair, Number.NEGATIVE_INFINITY);
    this.#introduce(pair, from, to);
    return pair;
  }

  /** Tells hubs and neighbours of a new pair, and makes its tokens hubs once they have the neighbours for it. */
  #introduce(pair: number, from: number, to: number): void {
    const fromHub = this.hubIndex[from] as number;
    if (fromHub >= 0) {
      (this.#pairsFromHubs[to] as number[]).push(pair);
      // Every path list of a hub has an entry for each pair that leaves it, in the same places.
      for (const paths of this.#twoSteps[fromHub] as GainList[]) {
        paths.push(pair, Number.NEGATIVE_INFINITY);
      }
    }
    if ((this.hubIndex[to] as number) >= 0) (this.#pairsToHubs[from] as number[]).push(pair);
    else this.plainNeighbours[from] = (this.plainNeighbours[from] as number) + 1;
    for (const token of [from, to]) {
      const degree = (this.leaving[token] as GainList).length;
      if (degree < HUB_DEGREE || this.hubs.length >= HUBS_MAX || this.hubIndex[token] !== NONE) continue;
      this.#promote(token);
    }
  }

  #addEdge(): number {
    const free = this.#freeEdges.pop();
    if (free !== undefined) return free;
    const edge = this.#edgeCount;
    this.#edgeCount += 1;
    if (edge >= this.edgePool.length) {
      this.edgePool = grown(this.edgePool);
      this.edgePair = grown(this.edgePair);
      this.edgeLog = grown(this.edgeLog);
      this.edgeReserveIn = grown(this.edgeReserveIn);
      this.edgeReserveOut = grown(this.edgeReserveOut);
      this.edgeIndexIn = grown(this.edgeIndexIn);
      this.edgeIndexOut = grown(this.edgeIndexOut);
    }
    return edge;
  }
}

/** A copy of a column with twice the room. */
function grown<T extends Int32Array<ArrayBuffer> | Float64Array<ArrayBuffer> | Uint8Array<ArrayBuffer>>(column: T): T {
  const copy = new (column.constructor as new (length: number) => T)(column.length * 2);
  copy.set(column);
  return copy;
}
