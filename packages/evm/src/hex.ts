import { z } from "zod";

/** Lower-case 0x-prefixed hex. */
export type Hex = `0x${string}`;

/** A 20-byte address, brought to lower case. */
export const addressSchema = z
  .string()
  .regex(/^0x[0-9a-fA-F]{40}$/, "must be a 20-byte hex address")
  .transform((text) => text.toLowerCase() as Hex);
/** A 32-byte hash. */
export const hashSchema = z
  .string()
  .regex(/^0x[0-9a-fA-F]{64}$/, "must be a 32-byte hex hash")
  .transform((text) => text.toLowerCase() as Hex);
/** Bytes of any length. */
export const bytesSchema = z
  .string()
  .regex(/^0x([0-9a-fA-F]{2})*$/, "must be hex bytes")
  .transform((text) => text as Hex);
/** A JSON-RPC quantity as bigint. */
export const quantitySchema = z
  .string()
  .regex(/^0x[0-9a-fA-F]{1,64}$/, "must be a hex quantity")
  .transform(BigInt);
/** A JSON-RPC quantity that fits a safe integer. */
export const smallQuantitySchema = z
  .string()
  .regex(/^0x[0-9a-fA-F]{1,13}$/, "must be a small hex quantity")
  .transform(Number);

/** A quantity as JSON-RPC wants it. */
export function toQuantity(value: bigint | number): Hex {
  return `0x${value.toString(16)}`;
}

/** A word of ABI data: 32 bytes. */
export function toWord(value: bigint): string {
  return value.toString(16).padStart(64, "0");
}
