/** The largest message that is taken, in bytes. */
const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;
const [QUOTE, BACKSLASH, OPEN, CLOSE] = [0x22, 0x5c, 0x7b, 0x7d];
const WHITE_SPACE = new Set([0x20, 0x09, 0x0a, 0x0d]);

/**
 * Cuts a stream of bytes into JSON objects. Nodes disagree on what stands between two messages (a line feed, or
 * nothing), so braces are counted, outside strings.
 */
export class MessageSplitter {
  readonly #take: (text: string) => void;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #depth = 0;
  #inString = false;
  #isEscaped = false;

  constructor(take: (text: string) => void) {
    this.#take = take;
  }

  /** False when the stream can't be one of messages, or a message is too large: it must be closed. */
  push(chunk: Buffer): boolean {
    let start = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      if (this.#depth === 0 && byte !== OPEN) {
        start = at + 1;
        if (WHITE_SPACE.has(byte)) continue;
        // Handed over as it is: the session refuses it, with an excerpt.
        this.#take(chunk.subarray(at).toString("utf8"));
        return false;
      }
      if (this.#step(byte)) {
        this.#take(Buffer.concat([...this.#chunks, chunk.subarray(start, at + 1)]).toString("utf8"));
        this.#chunks = [];
        this.#bytes = 0;
        start = at + 1;
      }
    }
    if (start < chunk.length) this.#chunks.push(chunk.subarray(start));
    this.#bytes += chunk.length - start;
    return this.#bytes <= MESSAGE_BYTES_MAX;
  }

  /** Takes one byte of a message; true when it was the last. */
  #step(byte: number): boolean {
    if (this.#isEscaped) this.#isEscaped = false;
    else if (this.#inString && byte === BACKSLASH) this.#isEscaped = true;
    else if (byte === QUOTE) this.#inString = !this.#inString;
    else if (!this.#inString && byte === OPEN) this.#depth += 1;
    else if (!this.#inString && byte === CLOSE) this.#depth -= 1;
    return this.#depth === 0;
  }
}
