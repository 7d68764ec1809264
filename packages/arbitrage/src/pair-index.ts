const EMPTY = -1;
const INITIAL_SLOTS = 1_024;
/** Slots are doubled when more than this share of them is taken. */
const LOAD_MAX = 0.5;

/** A hash table from an ordered pair of token numbers to a number: open addressing, nothing is ever removed. */
export class PairIndex {
  #from = new Int32Array(INITIAL_SLOTS).fill(EMPTY);
  #to = new Int32Array(INITIAL_SLOTS);
  #values = new Int32Array(INITIAL_SLOTS);
  #size = 0;

  /** The number stored for a pair, or −1. */
  get(from: number, to: number): number {
    const slot = this.#slotOf(from, to);
    return this.#from[slot] === EMPTY ? EMPTY : (this.#values[slot] as number);
  }

  /** Stores a number for a pair that has none. */
  add(from: number, to: number, value: number): void {
    if (this.#size >= this.#from.length * LOAD_MAX) this.#grow();
    const slot = this.#slotOf(from, to);
    this.#from[slot] = from;
    this.#to[slot] = to;
    this.#values[slot] = value;
    this.#size += 1;
  }

  #slotOf(from: number, to: number): number {
    const mask = this.#from.length - 1;
    let hash = Math.imul(from, 0x9e3779b1) ^ Math.imul(to, 0x85ebca6b);
    hash ^= hash >>> 15;
    let slot = hash & mask;
    while (this.#from[slot] !== EMPTY && (this.#from[slot] !== from || this.#to[slot] !== to)) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #grow(): void {
    const [from, to, values] = [this.#from, this.#to, this.#values];
    this.#from = new Int32Array(from.length * 2).fill(EMPTY);
    this.#to = new Int32Array(from.length * 2);
    this.#values = new Int32Array(from.length * 2);
    this.#size = 0;
    for (let slot = 0; slot < from.length; slot += 1) {
      if (from[slot] !== EMPTY) {
        this.add(from[slot] as number, to[slot] as number, values[slot] as number);
      }
    }
  }
}
