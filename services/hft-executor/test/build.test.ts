import { expect, test } from "vitest";
import type { Hop, Opportunity } from "@flashloan/proto/predictor/v1/predictor";
import { buildCall, intentIdOf, type CallTerms } from "../src/build.ts";

const address = (byte: string): `0x${string}` => `0x${byte.repeat(20)}`;
const NATIVE = address("00");
const [WETH, USDC, DAI] = [address("aa"), address("bb"), address("cc")];
const [PAIR, POOL3, MANAGER, VAULT] = [address("01"), address("02"), address("03"), address("04")];
const terms: CallTerms = {
  intentId: `0x${"99".repeat(32)}`,
  weth: WETH,
  lastBlock: 10n,
  minProfitWei: 5n,
  coinbaseBps: 0,
};

const hop = (
  kind: string,
  target: string,
  tokenIn: string,
  tokenOut: string,
  amountIn: bigint,
  amountOut: bigint,
): Hop => ({
  poolId: kind === "uniswap-v4" || kind.startsWith("balancer") ? `0x${"77".repeat(32)}` : target,
  kind,
  address: target,
  tokenIn,
  tokenOut,
  amountIn: amountIn.toString(),
  amountOut: amountOut.toString(),
  feePpm: 3_000,
  tickSpacing: 60,
  depthShareBps: 10,
});
const opportunity = (
  lender: string,
  source: string,
  token: string,
  hops: Hop[],
  conversion: Hop[] = [],
): Opportunity => ({
  id: "1-0",
  loan: { lender, source, token, amount: hops[0]?.amountIn ?? "0", premium: "3" },
  hops,
  conversion,
  gasUnits: 200_000n,
  grossWei: "0",
  premiumWei: "0",
  gasCostWei: "0",
  netWei: "0",
  loanValueWei: "0",
});

test("a cycle of two pools on a lender's loan: the first hop exact, the second all that was gained", () => {
  const call = buildCall(
    opportunity("balancer-v2", VAULT, WETH, [
      hop("uniswap-v2", PAIR, WETH, USDC, 100n, 200n),
      hop("uniswap-v3", POOL3, USDC, WETH, 200n, 110n),
    ]),
    terms,
  );
  expect(call).toEqual({
    intentId: terms.intentId,
    lastBlock: 10n,
    minProfitWei: 5n,
    coinbaseBps: 0,
    loan: { kind: "BALANCER_V2", source: VAULT, token: WETH, amount: 100n },
    steps: [
      {
        kind: "SWAP_V2",
        amount: { kind: "EXACT", amount: 100n },
        tokenIn: WETH,
        tokenOut: USDC,
        pair: PAIR,
        fee: 3_000,
      },
      { kind: "SWAP_V3", amount: { kind: "FREE" }, tokenIn: USDC, tokenOut: WETH, pool: POOL3 },
    ],
    afterSteps: [],
  });
});

test("native ETH pools are wrapped and unwrapped around", () => {
  const last = buildCall(
    opportunity("aave-v3", VAULT, WETH, [
      hop("uniswap-v2", PAIR, WETH, USDC, 100n, 200n),
      hop("uniswap-v4", MANAGER, USDC, NATIVE, 200n, 110n),
    ]),
    terms,
  );
  expect(last.steps.map((step) => step.kind)).toEqual(["SWAP_V2", "SWAP_V4", "WRAP"]);
  const first = buildCall(
    opportunity("aave-v3", VAULT, WETH, [
      hop("uniswap-v4", MANAGER, NATIVE, USDC, 100n, 200n),
      hop("uniswap-v2", PAIR, USDC, WETH, 200n, 110n),
    ]),
    terms,
  );
  expect(first.steps.map((step) => [step.kind, step.amount])).toEqual([
    ["UNWRAP", { kind: "EXACT", amount: 100n }],
    ["SWAP_V4", { kind: "EXACT", amount: 100n }],
    ["SWAP_V2", { kind: "FREE" }],
  ]);
  const own = buildCall(
    opportunity("first-swap", MANAGER, WETH, [
      hop("uniswap-v4", MANAGER, NATIVE, USDC, 100n, 200n),
      hop("uniswap-v2", PAIR, USDC, WETH, 200n, 110n),
    ]),
    terms,
  );
  expect(own.steps.map((step) => [step.kind, step.amount])).toEqual([
    ["SWAP_V4", { kind: "EXACT", amount: 100n }],
    ["SWAP_V2", { kind: "FREE" }],
    ["UNWRAP", { kind: "EXACT", amount: 100n }],
  ]);
});

test("a loan of another token is converted after repayment; a V2 pair is repaid with its premium", () => {
  const call = buildCall(
    opportunity(
      "uniswap-v2",
      PAIR,
      USDC,
      [hop("balancer-stable", VAULT, USDC, DAI, 100n, 101n), hop("uniswap-v3", POOL3, DAI, USDC, 101n, 104n)],
      [hop("uniswap-v2", PAIR, USDC, WETH, 1n, 1n)],
    ),
    terms,
  );
  expect(call.loan).toEqual({ kind: "UNISWAP_V2", source: PAIR, token: USDC, amount: 100n, repayAmount: 103n });
  expect(call.steps.map((step) => step.kind)).toEqual(["SWAP_BALANCER_V2", "SWAP_V3"]);
  expect(call.afterSteps).toEqual([
    { kind: "SWAP_V2", amount: { kind: "FREE" }, tokenIn: USDC, tokenOut: WETH, pair: PAIR, fee: 3_000 },
  ]);
});

test("the same opportunity of the same block is the same intent; another block, size or lender is another", () => {
  const hops = [hop("uniswap-v2", PAIR, WETH, USDC, 100n, 200n), hop("uniswap-v3", POOL3, USDC, WETH, 200n, 110n)];
  const ids = [
    intentIdOf("0xb1", opportunity("aave-v3", VAULT, WETH, hops)),
    intentIdOf("0xb1", opportunity("aave-v3", VAULT, WETH, hops)),
    intentIdOf("0xb2", opportunity("aave-v3", VAULT, WETH, hops)),
    intentIdOf("0xb1", opportunity("balancer-v2", VAULT, WETH, hops)),
    intentIdOf(
      "0xb1",
      opportunity("aave-v3", VAULT, WETH, [hop("uniswap-v2", PAIR, WETH, USDC, 101n, 200n), ...hops.slice(1)]),
    ),
  ];
  expect(ids[0]).toBe(ids[1]);
  expect(new Set(ids).size).toBe(4);
});

test("what can't be built is refused with its name", () => {
  expect(() =>
    buildCall(opportunity("bank", VAULT, WETH, [hop("uniswap-v2", PAIR, WETH, USDC, 1n, 1n)]), terms),
  ).toThrow(/unknown lender "bank"/);
  expect(() => buildCall(opportunity("aave-v3", VAULT, WETH, [hop("curve", PAIR, WETH, USDC, 1n, 1n)]), terms)).toThrow(
    /unknown kind "curve"/,
  );
  expect(() => buildCall(opportunity("aave-v3", VAULT, WETH, []), terms)).toThrow(/no hops/);
});
