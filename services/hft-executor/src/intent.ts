import { z } from "zod";
import type { Hex } from "@flashloan/evm/hex";
import { FlashloanError } from "@flashloan/shared/errors";

// What the ledger remembers of an intent, and how its records add up to where it stands. Pure.

const hex = z.string().regex(/^0x[0-9a-f]*$/) as unknown as z.ZodType<Hex>;
const wei = z
  .string()
  .regex(/^-?\d+$/)
  .transform(BigInt);

/** A signed transaction of an intent. Every one of them bears the intent's nonce. */
const signedSchema = z.object({
  /** `execute` trades; `cancel` only uses the nonce up. */
  purpose: z.enum(["execute", "cancel"]),
  nonce: z.number().int().min(0),
  raw: hex,
  hash: hex,
  gasLimit: wei,
  maxFeePerGasWei: wei,
  maxPriorityFeePerGasWei: wei,
  /** Last block in which it can trade. */
  lastBlock: z.number().int(),
});
/** @see signedSchema */
export type SignedRecord = z.infer<typeof signedSchema>;

const planSchema = z.object({
  blockNumber: z.number().int(),
  route: z.string(),
  pools: z.array(z.string()),
  lender: z.string(),
  loanToken: hex,
  loanAmount: wei,
  predictedGrossWei: wei,
  predictedPremiumWei: wei,
  predictedNetWei: wei,
  /** The trace that it began in, so that its end belongs to it too, after a restart as well. */
  traceparent: z.string().max(64).optional(),
});
/** What was decided, for people and for comparison with what came of it. */
export type PlanRecord = z.infer<typeof planSchema>;

const includedSchema = z.object({
  hash: hex,
  blockNumber: z.number().int(),
  blockHash: hex,
  success: z.boolean(),
  gasUsed: wei,
  effectiveGasPriceWei: wei,
});
/** @see includedSchema */
export type IncludedRecord = z.infer<typeof includedSchema>;

const settledSchema = z.object({
  grossWei: wei,
  premiumWei: wei,
  builderWei: wei,
  gasWei: wei,
  netWei: wei,
});
/** What a final transaction earned and cost, read from the chain. */
export type SettledRecord = z.infer<typeof settledSchema>;

const payloadSchemas = {
  DETECTED: planSchema,
  SELECTED: z.object({}),
  APPROVED: z.object({}),
  BUILT: z.object({ steps: z.number().int() }),
  SIMULATED: z.object({ profitWei: wei, premiumWei: wei, gasUsed: wei, minProfitWei: wei }),
  SIGNED: signedSchema,
  REPLACED: signedSchema,
  SUBMITTED: z.object({ hash: hex }),
  INCLUDED: includedSchema,
  REORGED: z.object({ hash: hex, blockNumber: z.number().int() }),
  FINALIZED: z.object({ hash: hex, blockNumber: z.number().int(), timestampS: z.number().int() }),
  SETTLED: settledSchema,
  REVERTED: settledSchema.extend({ reason: z.string() }),
  ABANDONED: settledSchema.extend({ reason: z.string() }),
  DROPPED: z.object({ reason: z.string() }),
  PAPER: z.object({ grossWei: wei, premiumWei: wei, gasWei: wei, netWei: wei }),
} as const;

/** Every state of an intent that the ledger knows. PAPER ends an intent that was simulated only. */
export type IntentState = keyof typeof payloadSchemas;
/** States that end an intent. */
export const TERMINAL_STATES: ReadonlySet<IntentState> = new Set([
  "SETTLED",
  "REVERTED",
  "ABANDONED",
  "DROPPED",
  "PAPER",
]);

/** One step of an intent, typed by its state. */
export type IntentStep = {
  [S in IntentState]: { readonly state: S; readonly payload: z.output<(typeof payloadSchemas)[S]> };
}[IntentState];

/** Where an intent stands: the sum of its records. */
export interface Intent {
  readonly id: Hex;
  sequence: bigint;
  state: IntentState;
  plan: PlanRecord | undefined;
  /** Signed transactions, oldest first; the last is the one to be on the wire. */
  readonly signed: SignedRecord[];
  included: IncludedRecord | undefined;
  /** Timestamp of the block of the final transaction, in milliseconds since the Unix epoch; 0 before. */
  finalAtMs: number;
  outcome: SettledRecord | undefined;
  reason: string;
  paper: boolean;
  updatedAtMs: number;
}

/** A step's payload as the ledger keeps it: JSON, amounts as decimal strings. */
export function encodePayload(step: IntentStep): Buffer {
  return Buffer.from(
    JSON.stringify(step.payload, (_, value: unknown) => (typeof value === "bigint" ? value.toString() : value)),
  );
}

/** A step back from the ledger. @throws FlashloanError reconciliation_failed when the record is not one of ours */
export function decodeStep(state: string, payload: Uint8Array): IntentStep {
  const schema = payloadSchemas[state as IntentState];
  if (!schema)
    throw new FlashloanError(
      "reconciliation_failed",
      `the ledger holds a state "${state}" that this version does not know: run the version that wrote it`,
    );
  const parsed = schema.safeParse(JSON.parse(Buffer.from(payload).toString("utf8")));
  if (!parsed.success)
    throw new FlashloanError(
      "reconciliation_failed",
      `a ${state} record of the ledger is damaged: ${parsed.error.issues.map((issue) => `${issue.path.join(".")} ${issue.message}`).join("; ")}`,
    );
  return { state, payload: parsed.data } as IntentStep;
}

/** A new intent, before its first record. */
export function newIntent(id: Hex): Intent {
  return {
    id,
    sequence: 0n,
    state: "DETECTED",
    plan: undefined,
    signed: [],
    included: undefined,
    finalAtMs: 0,
    outcome: undefined,
    reason: "",
    paper: false,
    updatedAtMs: 0,
  };
}

/** Takes one more record. The only place where an intent changes. */
export function applyStep(intent: Intent, step: IntentStep, atMs: number): void {
  intent.sequence += 1n;
  intent.state = step.state;
  intent.updatedAtMs = atMs;
  switch (step.state) {
    case "DETECTED":
      intent.plan = step.payload;
      break;
    case "SIGNED":
    case "REPLACED":
      intent.signed.push(step.payload);
      break;
    case "INCLUDED":
      intent.included = step.payload;
      break;
    case "REORGED":
      intent.included = undefined;
      break;
    case "FINALIZED":
      intent.finalAtMs = step.payload.timestampS * 1_000;
      break;
    case "SETTLED":
      intent.outcome = step.payload;
      break;
    case "REVERTED":
    case "ABANDONED":
      intent.outcome = step.payload;
      intent.reason = step.payload.reason;
      break;
    case "DROPPED":
      intent.reason = step.payload.reason;
      break;
    case "PAPER":
      intent.paper = true;
      intent.outcome = { ...step.payload, builderWei: 0n };
      break;
    default:
      break;
  }
}

/** True while a transaction of the intent may still be included, or undone. */
export function isInFlight(intent: Intent): boolean {
  return intent.signed.length > 0 && !TERMINAL_STATES.has(intent.state);
}

/**
 * The most gas that an intent can still cost: one of its signed transactions will use its nonce up, and until then it
 * may be any of them.
 */
export function gasAtRisk(intent: Intent): bigint {
  if (!isInFlight(intent)) return 0n;
  const costs = intent.signed.map(({ gasLimit, maxFeePerGasWei }) => gasLimit * maxFeePerGasWei);
  return costs.reduce((most, cost) => (cost > most ? cost : most), 0n);
}
