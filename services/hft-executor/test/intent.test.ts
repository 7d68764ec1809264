import { expect, test } from "vitest";
import { applyStep, decodeStep, encodePayload, isInFlight, newIntent, type IntentStep } from "../src/intent.ts";
import { addUp } from "../src/accounting.ts";

const hash = (byte: string): `0x${string}` => `0x${byte.repeat(32)}`;
const signed = (
  purpose: "execute" | "cancel",
  nonce: number,
  byte: string,
): Extract<IntentStep, { state: "SIGNED" }>["payload"] => ({
  purpose,
  nonce,
  raw: "0x02",
  hash: hash(byte),
  gasLimit: 1n,
  maxFeePerGasWei: 2n,
  maxPriorityFeePerGasWei: 1n,
  lastBlock: 5,
});
const included = (byte: string, blockNumber: number, success: boolean): IntentStep => ({
  state: "INCLUDED",
  payload: { hash: hash(byte), blockNumber, blockHash: hash("bb"), success, gasUsed: 10n, effectiveGasPriceWei: 3n },
});
const settled: IntentStep = {
  state: "SETTLED",
  payload: { grossWei: 100n, premiumWei: 10n, builderWei: 0n, gasWei: 30n, netWei: 60n },
};

/** The intent after steps that went through the ledger's bytes. */
function replay(steps: readonly IntentStep[]): ReturnType<typeof newIntent> {
  const intent = newIntent(hash("11"));
  for (const [index, step] of steps.entries()) applyStep(intent, decodeStep(step.state, encodePayload(step)), index);
  return intent;
}

test("a life from signature to settlement, through the ledger's bytes and back", () => {
  const steps: IntentStep[] = [
    { state: "SIGNED", payload: signed("execute", 7, "aa") },
    { state: "SUBMITTED", payload: { hash: hash("aa") } },
    included("aa", 3, true),
  ];
  expect(isInFlight(replay(steps))).toBe(true);
  const intent = replay([
    ...steps,
    { state: "FINALIZED", payload: { hash: hash("aa"), blockNumber: 3, timestampS: 9 } },
    settled,
  ]);
  expect(isInFlight(intent)).toBe(false);
  expect(intent).toMatchObject({
    sequence: 5n,
    state: "SETTLED",
    signed: [signed("execute", 7, "aa")],
    included: { blockNumber: 3, gasUsed: 10n },
    outcome: { netWei: 60n },
    updatedAtMs: 4,
  });
});

test("a reorganisation takes the inclusion back, a replacement keeps the nonce", () => {
  const intent = replay([
    { state: "SIGNED", payload: signed("execute", 7, "aa") },
    included("aa", 3, true),
    { state: "REORGED", payload: { hash: hash("aa"), blockNumber: 3 } },
    { state: "REPLACED", payload: signed("cancel", 7, "cc") },
  ]);
  expect(intent.included).toBeUndefined();
  expect(intent.signed.map((s) => [s.purpose, s.nonce, s.hash])).toEqual([
    ["execute", 7, hash("aa")],
    ["cancel", 7, hash("cc")],
  ]);
  expect(isInFlight(intent)).toBe(true);
});

test("a damaged or unknown record is refused, not guessed at", () => {
  expect(() => decodeStep("VANISHED", Buffer.from("{}"))).toThrow(/does not know/);
  expect(() => decodeStep("SIGNED", Buffer.from('{"purpose":"execute"}'))).toThrow(
    /SIGNED record of the ledger is damaged: .*nonce/,
  );
});

test("figures add up by block of inclusion, with the gas of what reverted or was cancelled", () => {
  const reverted: IntentStep = {
    state: "REVERTED",
    payload: { grossWei: 0n, premiumWei: 0n, builderWei: 0n, gasWei: 5n, netWei: -5n, reason: "r" },
  };
  const abandoned: IntentStep = {
    state: "ABANDONED",
    payload: { grossWei: 0n, premiumWei: 0n, builderWei: 0n, gasWei: 2n, netWei: -2n, reason: "r" },
  };
  const sign: IntentStep = { state: "SIGNED", payload: signed("execute", 1, "aa") };
  const intents = [
    replay([sign, included("aa", 10, true), settled]),
    replay([sign, included("aa", 11, false), reverted]),
    replay([sign, included("aa", 12, true), abandoned]),
    replay([sign, included("aa", 13, true), settled]),
    replay([sign]),
  ];
  expect(addUp(intents, 9, 12)).toEqual({
    trades: 1,
    reverted: 1,
    grossWei: 100n,
    premiumWei: 10n,
    builderWei: 0n,
    gasWei: 37n,
    netWei: 53n,
  });
  expect(addUp(intents, 10, 13)).toMatchObject({ trades: 1, netWei: 53n });
  expect(addUp(intents, 13, 20)).toMatchObject({ trades: 0, reverted: 0, netWei: 0n });
});

test("a ledger's DETECTED record keeps the trace that it began in; an older ledger has none, and reads the same", () => {
  const plan = {
    blockNumber: 1,
    route: "a > b",
    pools: ["a", "b"],
    lender: "first-swap",
    loanToken: hash("cc"),
    loanAmount: 1n,
    predictedGrossWei: 3n,
    predictedPremiumWei: 0n,
    predictedNetWei: 2n,
  };
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  expect(replay([{ state: "DETECTED", payload: plan }]).plan).toEqual(plan);
  const traced = { ...plan, traceparent };
  expect(replay([{ state: "DETECTED", payload: traced }]).plan).toEqual(traced);
});
