import { Interface } from "ethers";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { executorArtifact } from "../src/artifact.ts";
import {
  decodeExecute,
  encodeExecute,
  LENDER_KINDS,
  NATIVE,
  STEP_KINDS,
  type ExecuteCall,
  type Hex,
  type Loan,
  type Step,
  type StepAmount,
} from "../src/encode.ts";

const abi = new Interface(executorArtifact().abi);
const zeroBytes32 = `0x${"0".repeat(64)}`;

// ───────────────────────────── arbitrary calls ─────────────────────────────

const hex = (bytes: number): fc.Arbitrary<Hex> =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((array): Hex => `0x${Buffer.from(array).toString("hex")}`);
const address = fc.oneof(hex(20), fc.constant(NATIVE));
const uint256 = fc.bigInt({ min: 0n, max: (1n << 256n) - 1n });
const bps = fc.integer({ min: 1, max: 10_000 });

const amount: fc.Arbitrary<StepAmount> = fc.oneof(
  fc.record({ kind: fc.constant("EXACT" as const), amount: uint256 }),
  fc.record({ kind: fc.constant("FREE" as const) }),
  fc.record({ kind: fc.constant("FREE_BPS" as const), bps }),
);
const swap = { amount, tokenIn: address, tokenOut: address };
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant("SWAP_V2" as const),
    ...swap,
    pair: address,
    fee: fc.integer({ min: 0, max: 1e6 }),
  }),
  fc.record({ kind: fc.constant("SWAP_V3" as const), ...swap, pool: address }),
  fc.record({
    kind: fc.constant("SWAP_V4" as const),
    ...swap,
    hooks: address,
    fee: fc.integer({ min: 0, max: 0xffffff }),
    tickSpacing: fc.integer({ min: -0x800000, max: 0x7fffff }),
  }),
  fc.record({ kind: fc.constant("SWAP_BALANCER_V2" as const), ...swap, poolId: hex(32) }),
  fc.record({ kind: fc.constant("WRAP" as const), amount }),
  fc.record({ kind: fc.constant("UNWRAP" as const), amount }),
);
const lent = { source: address, token: address, amount: uint256 };
const loan: fc.Arbitrary<Loan> = fc.oneof(
  fc.record({ kind: fc.constant("FIRST_SWAP" as const) }),
  fc.record({
    kind: fc.constantFrom("AAVE_V3" as const, "BALANCER_V2", "UNISWAP_V3", "UNISWAP_V4"),
    ...lent,
  }),
  fc.record({ kind: fc.constant("UNISWAP_V2" as const), ...lent, repayAmount: uint256 }),
);
const call: fc.Arbitrary<ExecuteCall> = fc.record({
  intentId: hex(32),
  lastBlock: uint256,
  minProfitWei: uint256,
  coinbaseBps: fc.integer({ min: 0, max: 10_000 }),
  loan,
  steps: fc.array(step, { maxLength: 6 }),
  afterSteps: fc.array(step, { maxLength: 3 }),
});

// ───────────────────────────── ethers as the oracle ─────────────────────────────

function amountTuple(of: StepAmount): [number, bigint | number] {
  if (of.kind === "EXACT") return [0, of.amount];
  return of.kind === "FREE" ? [1, 0] : [2, of.bps];
}

function stepTuple(of: Step): unknown[] {
  return [
    STEP_KINDS.indexOf(of.kind),
    ...amountTuple(of.amount),
    "tokenIn" in of ? of.tokenIn : NATIVE,
    "tokenOut" in of ? of.tokenOut : NATIVE,
    of.kind === "SWAP_V2" ? of.pair : of.kind === "SWAP_V3" ? of.pool : of.kind === "SWAP_V4" ? of.hooks : NATIVE,
    of.kind === "SWAP_BALANCER_V2" ? of.poolId : zeroBytes32,
    "fee" in of ? of.fee : 0,
    "tickSpacing" in of ? of.tickSpacing : 0,
  ];
}

function callTuple(of: ExecuteCall): unknown[] {
  const lender = of.loan;
  return [
    of.intentId,
    of.lastBlock,
    of.minProfitWei,
    of.coinbaseBps,
    [
      LENDER_KINDS.indexOf(lender.kind),
      "source" in lender ? lender.source : NATIVE,
      "token" in lender ? lender.token : NATIVE,
      "amount" in lender ? lender.amount : 0n,
      "repayAmount" in lender ? lender.repayAmount : 0n,
    ],
    of.steps.map(stepTuple),
    of.afterSteps.map(stepTuple),
  ];
}

test("the encoding is ethers', to the byte, and decodes to the same call", () => {
  fc.assert(
    fc.property(call, (value) => {
      const data = encodeExecute(value);
      expect(data).toBe(abi.encodeFunctionData("execute", [callTuple(value)]));
      expect(decodeExecute(data)).toEqual(value);
    }),
    { numRuns: 500, seed: 20240601 },
  );
});

// ───────────────────────────── what is refused ─────────────────────────────

const token: Hex = `0x${"11".repeat(20)}`;
const good: ExecuteCall = {
  intentId: `0x${"ab".repeat(32)}`,
  lastBlock: 1n,
  minProfitWei: 1n,
  coinbaseBps: 0,
  loan: { kind: "BALANCER_V2", source: token, token, amount: 1n },
  steps: [{ kind: "SWAP_V3", amount: { kind: "FREE" }, tokenIn: token, tokenOut: token, pool: token }],
  afterSteps: [],
};
const v2: Step = {
  kind: "SWAP_V2",
  amount: { kind: "FREE" },
  tokenIn: token,
  tokenOut: token,
  pair: token,
  fee: 3000,
};

test.each<[string, ExecuteCall]>([
  ["a negative amount", { ...good, minProfitWei: -1n }],
  ["more than 256 bits", { ...good, lastBlock: 1n << 256n }],
  ["a short intent id", { ...good, intentId: "0xab" }],
  ["an upper-case address", { ...good, steps: [{ ...v2, pair: `0x${"AA".repeat(20)}` }] }],
  ["an address of 21 bytes", { ...good, steps: [{ ...v2, tokenIn: `0x${"11".repeat(21)}` }] }],
  ["a share above the whole", { ...good, coinbaseBps: 10_001 }],
  ["a broken share", { ...good, coinbaseBps: 0.5 }],
  ["a fee above the whole", { ...good, steps: [{ ...v2, fee: 1_000_001 }] }],
  ["no share at all", { ...good, steps: [{ ...v2, amount: { kind: "FREE_BPS", bps: 0 } }] }],
])("encoding refuses %s", (_, value) => {
  expect(() => encodeExecute(value)).toThrow(RangeError);
});

test("decoding refuses everything that the encoder does not write", () => {
  const data = encodeExecute(good);
  const firstStepKindAt = 2 + 8 + 64 * 13;
  for (const bad of [
    "0x12345678",
    data.slice(0, -64),
    `${data}00`,
    // An unknown kind of step, and a dirty member that the kind does not use.
    `${data.slice(0, firstStepKindAt + 63)}9${data.slice(firstStepKindAt + 64)}`,
    `${data.slice(0, -65 - 64)}1${data.slice(-64 - 64)}`,
  ]) {
    expect(() => decodeExecute(bad as Hex)).toThrow(RangeError);
  }
});
