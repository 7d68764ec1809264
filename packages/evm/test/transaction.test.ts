import fc from "fast-check";
import { Transaction, Wallet } from "ethers";
import { expect, test } from "vitest";
import type { Hex } from "../src/hex.ts";
import { createSigner, generatePrivateKey, type TransactionRequest } from "../src/transaction.ts";

const hex = (bytes: number, max = bytes): fc.Arbitrary<Hex> =>
  fc.uint8Array({ minLength: bytes, maxLength: max }).map((array): Hex => `0x${Buffer.from(array).toString("hex")}`);

/** Amounts of every length, short ones as likely as long ones. */
const amount = (bits: bigint): fc.Arbitrary<bigint> =>
  fc
    .tuple(fc.bigInt({ min: 0n, max: bits }), fc.bigInt({ min: 0n, max: (1n << bits) - 1n }))
    .map(([size, value]) => value & ((1n << size) - 1n));

const requests: fc.Arbitrary<TransactionRequest> = fc
  .record({
    chainId: fc.integer({ min: 1, max: 2 ** 40 }),
    nonce: fc.oneof(fc.nat(300), fc.nat(2 ** 31), fc.constant(Number.MAX_SAFE_INTEGER)),
    to: hex(20),
    data: fc.oneof(hex(0, 2), hex(50, 60), hex(0, 300), hex(3_000, 3_100)),
    valueWei: amount(256n),
    gasLimit: amount(64n),
    fees: fc.tuple(amount(256n), amount(256n)),
  })
  .map(({ fees: [a, b], ...rest }) => ({
    ...rest,
    maxFeePerGasWei: a > b ? a : b,
    maxPriorityFeePerGasWei: a > b ? b : a,
  }));

const keys = hex(32).filter((key) => BigInt(key) > 0n && BigInt(key) < 2n ** 255n);

test("signs exactly what ethers signs", async () => {
  const property = fc.asyncProperty(keys, requests, async (key, request) => {
    const wallet = new Wallet(key);
    const signer = createSigner(key);
    const { to, data, chainId, nonce, gasLimit } = request;
    const expected = await wallet.signTransaction({
      type: 2,
      to,
      data,
      chainId,
      nonce,
      gasLimit,
      value: request.valueWei,
      maxFeePerGas: request.maxFeePerGasWei,
      maxPriorityFeePerGas: request.maxPriorityFeePerGasWei,
    });
    const signed = signer.sign(request);
    expect(signed.raw).toBe(expected);
    expect(signed.hash).toBe(Transaction.from(expected).hash);
    expect(signer.address).toBe(wallet.address.toLowerCase());
  });
  await fc.assert(property, { numRuns: 500, seed: 1 });
});

test("signs calldata whose length takes three bytes to say", async () => {
  const key = generatePrivateKey();
  const data: Hex = `0x${"5a".repeat(70_000)}`;
  const { valueWei, maxFeePerGasWei, maxPriorityFeePerGasWei, ...rest } = { ...fine, data };
  const fees = { maxFeePerGas: maxFeePerGasWei, maxPriorityFeePerGas: maxPriorityFeePerGasWei };
  const expected = await new Wallet(key).signTransaction({ type: 2, ...rest, value: valueWei, ...fees });
  expect(createSigner(key).sign({ ...fine, data }).raw).toBe(expected);
});

test("signs the same request always the same, so that resending changes nothing", () => {
  const signer = createSigner(generatePrivateKey());
  const request: TransactionRequest = {
    chainId: 1,
    nonce: 0,
    to: signer.address,
    data: "0x",
    valueWei: 0n,
    gasLimit: 21_000n,
    maxFeePerGasWei: 1n,
    maxPriorityFeePerGasWei: 1n,
  };
  expect(signer.sign(request)).toEqual(signer.sign(request));
});

const fine: TransactionRequest = {
  chainId: 1,
  nonce: 0,
  to: `0x${"11".repeat(20)}`,
  data: "0x1234",
  valueWei: 0n,
  gasLimit: 21_000n,
  maxFeePerGasWei: 5n,
  maxPriorityFeePerGasWei: 1n,
};

test.each<[string, Partial<TransactionRequest>]>([
  ["chainId", { chainId: 0 }],
  ["chainId", { chainId: 1.5 }],
  ["nonce", { nonce: -1 }],
  ["nonce", { nonce: 2 ** 53 }],
  ["to", { to: "0x" }],
  ["to", { to: "0x1" }],
  ["data", { data: "0x123" }],
  ["data", { data: "0x12zz34" }],
  ["data", { data: "1234" as Hex }],
  ["data", { data: `0x${"00".repeat(128 * 1024 + 1)}` }],
  ["valueWei", { valueWei: -1n }],
  ["valueWei", { valueWei: 1n << 256n }],
  ["gasLimit", { gasLimit: 1n << 64n }],
  ["maxFeePerGasWei", { maxFeePerGasWei: 1n << 256n }],
  ["maxPriorityFeePerGasWei", { maxPriorityFeePerGasWei: -1n }],
  ["maxPriorityFeePerGasWei", { maxPriorityFeePerGasWei: 6n }],
])("refuses to sign a transaction with an impossible %s (%#)", (field, change) => {
  const signer = createSigner(generatePrivateKey());
  expect(() => signer.sign({ ...fine, ...change })).toThrow(
    expect.objectContaining({ code: "argument_invalid", details: { field } }),
  );
});

test.each([
  "",
  "0x",
  "11".repeat(32),
  `0x${"11".repeat(31)}`,
  `0x${"11".repeat(33)}`,
  `0x${"1g".repeat(32)}`,
  `0x${"00".repeat(32)}`,
  `0x${"ff".repeat(32)}`,
  // The group's order: one more than the largest key.
  "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
])("refuses the key in case %#, and does not show it", (key) => {
  expect(() => createSigner(key)).toThrow(
    expect.objectContaining({
      code: "key_refused",
      message: expect.not.stringContaining(key.slice(2, 12) || "no key at all"),
    }),
  );
});

test("takes the largest key", () => {
  const key = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140";
  expect(createSigner(key).address).toBe(new Wallet(key).address.toLowerCase());
});

test("generates keys that differ and that it takes itself", () => {
  const made = Array.from({ length: 20 }, () => createSigner(generatePrivateKey()).address);
  expect(new Set(made).size).toBe(20);
});
