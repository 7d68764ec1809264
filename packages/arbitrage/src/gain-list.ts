/** Entries in one block of a list: each block knows its largest gain, so that whole blocks can be skipped. */
const BLOCK_SIZE = 32;

/** A list of token pairs by gain that finds all above a threshold without looking at every entry. */
export class GainList {
  /** The largest gain in the list; −∞ when it is empty. */
  max = Number.NEGATIVE_INFINITY;
  readonly #gains: number[] = [];
  readonly #items: number[] = [];
  readonly #blockMax: number[] = [];

  /** Entries, those of gain −∞ included. */
  get length(): number {
    return this.#items.length;
  }

  /** The item at a position. */
  itemAt(position: number): number {
    return this.#items[position] as number;
  }

  /** Appends an item and returns its position, which never changes. */
  push(item: number, gain: number): number {
    const position = this.#items.length;
    this.#items.push(item);
    this.#gains.push(gain);
    const block = (position / BLOCK_SIZE) | 0;
    if (block === this.#blockMax.length) this.#blockMax.push(gain);
    else if (gain > (this.#blockMax[block] as number)) this.#blockMax[block] = gain;
    if (gain > this.max) this.max = gain;
    return position;
  }

  /** Changes the gain at a position. */
  set(position: number, gain: number): void {
    const before = this.#gains[position] as number;
    if (before === gain) return;
    this.#gains[position] = gain;
    const block = (position / BLOCK_SIZE) | 0;
    const blockBefore = this.#blockMax[block] as number;
    if (gain >= blockBefore) this.#blockMax[block] = gain;
    else if (before === blockBefore) this.#blockMax[block] = this.#maxOfBlock(block);
    if (gain >= this.max) this.max = gain;
    else if (before === this.max) this.max = this.#maxOfBlocks();
  }

  /** Writes the items whose gain is above `threshold` into `into`, growing it as needed, and returns their number. */
  collect(threshold: number, into: number[]): number {
    if (this.max <= threshold) return 0;
    const gains = this.#gains;
    const items = this.#items;
    const blockMax = this.#blockMax;
    let count = 0;
    for (let block = 0; block < blockMax.length; block += 1) {
      if ((blockMax[block] as number) <= threshold) continue;
      const end = Math.min((block + 1) * BLOCK_SIZE, items.length);
      for (let position = block * BLOCK_SIZE; position < end; position += 1) {
        if ((gains[position] as number) > threshold) into[count++] = items[position] as number;
      }
    }
    return count;
  }

  #maxOfBlock(block: number): number {
    const end = Math.min((block + 1) * BLOCK_SIZE, this.#gains.length);
    let max = Number.NEGATIVE_INFINITY;
    for (let position = block * BLOCK_SIZE; position < end; position += 1) {
      const gain = this.#gains[position] as number;
      if (gain > max) max = gain;
    }
    return max;
  }

  #maxOfBlocks(): number {
    let max = Number.NEGATIVE_INFINITY;
    for (const gain of this.#blockMax) if (gain > max) max = gain;
    return max;
  }
}
