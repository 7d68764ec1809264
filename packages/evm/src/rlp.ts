/** Recursive length prefix, the encoding of transactions (Ethereum yellow paper, appendix B). */

const STRING = 0x80;
const LIST = 0xc0;
/** Longer payloads have their length spelled out after the prefix. */
const SHORT_MAX = 55;

/** A string of bytes. */
export function encodeBytes(bytes: Uint8Array): Buffer {
  const [only] = bytes;
  if (bytes.length === 1 && only !== undefined && only < STRING) return Buffer.of(only);
  return Buffer.concat([prefix(STRING, bytes.length), bytes]);
}

/** A non-negative integer: big-endian, without leading zeros; zero is the empty string. */
export function encodeQuantity(value: bigint): Buffer {
  return encodeBytes(bigEndian(value));
}

/** A list of items that are encoded already. */
export function encodeList(items: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const item of items) length += item.length;
  return Buffer.concat([prefix(LIST, length), ...items]);
}

function prefix(offset: number, length: number): Buffer {
  if (length <= SHORT_MAX) return Buffer.of(offset + length);
  const bytes = bigEndian(BigInt(length));
  return Buffer.concat([Buffer.of(offset + SHORT_MAX + bytes.length), bytes]);
}

function bigEndian(value: bigint): Buffer {
  if (value === 0n) return Buffer.alloc(0);
  const digits = value.toString(16);
  return Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, "hex");
}
