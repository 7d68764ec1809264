import { randomBytes } from "node:crypto";
import { computeAddress, hexlify, keccak256, SigningKey } from "ethers";
import * as secp256k1 from "tiny-secp256k1";
import { FlashloanError } from "@flashloan/shared/errors";
import type { Hex } from "./hex.ts";
import { encodeBytes, encodeList, encodeQuantity } from "./rlp.ts";

/** A type-2 (EIP-1559) transaction before it is signed; amounts in wei. */
export interface TransactionRequest {
  readonly chainId: number;
  readonly nonce: number;
  readonly to: Hex;
  readonly data: Hex;
  readonly valueWei: bigint;
  readonly gasLimit: bigint;
  readonly maxFeePerGasWei: bigint;
  readonly maxPriorityFeePerGasWei: bigint;
}

/** A transaction as it goes on the wire. */
export interface SignedTransaction {
  readonly raw: Hex;
  readonly hash: Hex;
}

/** Holds one key and signs with it; nothing else of the key ever leaves. */
export interface Signer {
  readonly address: Hex;
  /** @throws FlashloanError argument_invalid naming the field that no transaction could have */
  sign(request: TransactionRequest): SignedTransaction;
}

/** The byte that EIP-2718 puts before the fields of an EIP-1559 transaction. */
const TYPE = Buffer.of(2);
/** No account and no list of addresses and slots: we never send an access list. */
const EMPTY_LIST = Buffer.of(0xc0);
/** Calldata that no node would take: geth's pool refuses transactions over 128 KiB. */
const DATA_BYTES_MAX = 128 * 1024;
const UINT64_MAX = (1n << 64n) - 1n;
const UINT256_MAX = (1n << 256n) - 1n;

/**
 * A signer for a 32-byte hex private key. Signing is deterministic (RFC 6979), by secp256k1 in WebAssembly; the fields
 * are encoded here, since ethers' Transaction takes four times as long (its tests are the oracle).
 * @throws FlashloanError key_refused; its message never shows the key
 */
export function createSigner(privateKey: string): Signer {
  if (!/^0x[0-9a-fA-F]{64}$/.test(privateKey))
    throw new FlashloanError("key_refused", "a private key must be 0x and 64 hex digits");
  const key = Buffer.from(privateKey.slice(2), "hex");
  if (!secp256k1.isPrivate(key))
    throw new FlashloanError("key_refused", "the private key is outside secp256k1's range");
  const address = computeAddress(new SigningKey(key)).toLowerCase() as Hex;
  return { address, sign: (request) => sign(request, key) };
}

/** A fresh private key from the system's randomness. */
export function generatePrivateKey(): Hex {
  for (;;) {
    const key = randomBytes(32);
    if (secp256k1.isPrivate(key)) return hexlify(key) as Hex;
  }
}

function sign(request: TransactionRequest, key: Uint8Array): SignedTransaction {
  const fields = encodeFields(request);
  const digest = keccak256(Buffer.concat([TYPE, encodeList(fields)]));
  const { signature, recoveryId } = secp256k1.signRecoverable(Buffer.from(digest.slice(2), "hex"), key);
  const parts = [recoveryId, bigintOf(signature.subarray(0, 32)), bigintOf(signature.subarray(32))];
  const signed = encodeList([...fields, ...parts.map((part) => encodeQuantity(BigInt(part)))]);
  const raw = Buffer.concat([TYPE, signed]);
  return { raw: `0x${raw.toString("hex")}`, hash: keccak256(raw) as Hex };
}

/** The nine fields in EIP-1559's order. */
function encodeFields(request: TransactionRequest): Buffer[] {
  const { chainId, nonce, to, data, valueWei, gasLimit, maxFeePerGasWei, maxPriorityFeePerGasWei } = request;
  if (!/^0x[0-9a-fA-F]{40}$/.test(to)) throw invalid("to", to, "a 20-byte hex address");
  // Buffer.from would stop at the first character that is no hex digit, and sign something shorter.
  const dataBytes = Buffer.from(data.slice(2), "hex");
  if (!data.startsWith("0x") || dataBytes.length * 2 !== data.length - 2)
    throw invalid("data", `${data.slice(0, 20)}…`, "hex bytes");
  if (dataBytes.length > DATA_BYTES_MAX)
    throw invalid("data", `${dataBytes.length} bytes`, `at most ${DATA_BYTES_MAX}`);
  if (maxPriorityFeePerGasWei > maxFeePerGasWei)
    throw invalid("maxPriorityFeePerGasWei", maxPriorityFeePerGasWei, `at most maxFeePerGasWei ${maxFeePerGasWei}`);
  return [
    safeInteger("chainId", chainId, 1),
    safeInteger("nonce", nonce, 0),
    quantity("maxPriorityFeePerGasWei", maxPriorityFeePerGasWei, UINT256_MAX),
    quantity("maxFeePerGasWei", maxFeePerGasWei, UINT256_MAX),
    quantity("gasLimit", gasLimit, UINT64_MAX),
    encodeBytes(Buffer.from(to.slice(2), "hex")),
    quantity("valueWei", valueWei, UINT256_MAX),
    encodeBytes(dataBytes),
    EMPTY_LIST,
  ];
}

function safeInteger(field: string, value: number, least: number): Buffer {
  if (!Number.isSafeInteger(value) || value < least) throw invalid(field, value, `a safe integer of at least ${least}`);
  return encodeQuantity(BigInt(value));
}

function quantity(field: string, value: bigint, most: bigint): Buffer {
  if (value < 0n || value > most) throw invalid(field, value, `between 0 and ${most}`);
  return encodeQuantity(value);
}

function invalid(field: string, value: string | number | bigint, limit: string): FlashloanError {
  return new FlashloanError("argument_invalid", `a transaction's ${field} must be ${limit}, not ${value}`, {
    details: { field },
  });
}

function bigintOf(bytes: Uint8Array): bigint {
  return BigInt(hexlify(bytes));
}
