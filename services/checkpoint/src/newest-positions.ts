/** Streams whose newest places are kept; the one not heard of for longest is forgotten. */
const STREAMS_MAX = 100_000;

/** The place of each stream's newest record, as far as it is known, with nothing known that could be outdated at `head`. */
export class NewestPositions {
  readonly #positions = new Map<string, bigint>();
  readonly #streamsMax: number;
  #head: bigint;
  /** Every stream that was forgotten has its newest record here or before. */
  #forgottenThrough: bigint;

  /** @param head everything up to here may concern streams that are not known */
  constructor(head: bigint, streamsMax = STREAMS_MAX) {
    this.#head = head;
    this.#forgottenThrough = head;
    this.#streamsMax = streamsMax;
  }

  /** Everything that was committed up to here is taken in. */
  get head(): bigint {
    return this.#head;
  }

  advance(head: bigint): void {
    if (head > this.#head) this.#head = head;
  }

  of(streamId: string): bigint | undefined {
    return this.#positions.get(streamId);
  }

  /** Takes in the place of a record that was committed. */
  take(streamId: string, position: bigint): void {
    const known = this.#positions.get(streamId) ?? 0n;
    this.#positions.delete(streamId);
    this.#positions.set(streamId, position > known ? position : known);
    for (const oldest of this.#positions.keys()) {
      if (this.#positions.size <= this.#streamsMax) break;
      this.forget(oldest);
    }
  }

  forget(streamId: string): void {
    const place = this.#positions.get(streamId);
    if (place === undefined) return;
    this.#positions.delete(streamId);
    if (place > this.#forgottenThrough) this.#forgottenThrough = place;
  }

  /**
   * Takes in what was read from the tables, unless something newer of this stream may have been forgotten meanwhile.
   * @param head what `head` was before the tables were read
   */
  learn(streamId: string, position: bigint, head: bigint): boolean {
    if (this.#forgottenThrough > head) return false;
    this.take(streamId, position);
    return this.#positions.get(streamId) === position;
  }
}
