/** The longest line that is passed on; the rest of a longer one is cut off. */
const LINE_CHARACTERS_MAX = 4_096;
/** The engine heads each piece of output with its stream and its length. */
const FRAME_HEAD_BYTES = 8;
const FRAME_BYTES_MAX = 2 ** 20;

/** The newest lines of what the engine gives as a container's output, oldest first. */
export async function readLogLines(
  output: AsyncIterable<Buffer>,
  linesMax: number,
  isRaw: boolean,
): Promise<readonly string[]> {
  const lines: string[] = [];
  let open = "";
  for await (const piece of isRaw ? output : frames(output)) {
    const parts = (open + piece.toString("utf8")).split("\n");
    open = (parts.pop() ?? "").slice(0, LINE_CHARACTERS_MAX);
    lines.push(...parts.map((part) => part.replace(/\r$/, "").slice(0, LINE_CHARACTERS_MAX)));
    if (lines.length > linesMax) lines.splice(0, lines.length - linesMax);
  }
  if (open !== "") lines.push(open);
  return linesMax === 0 ? [] : lines.slice(-linesMax);
}

async function* frames(output: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of output) {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= FRAME_HEAD_BYTES) {
      const size = rest.readUInt32BE(4);
      if (size > FRAME_BYTES_MAX) throw new RangeError(`a piece of ${size} bytes in a log`);
      if (rest.length < FRAME_HEAD_BYTES + size) break;
      yield rest.subarray(FRAME_HEAD_BYTES, FRAME_HEAD_BYTES + size);
      rest = rest.subarray(FRAME_HEAD_BYTES + size);
    }
  }
}
