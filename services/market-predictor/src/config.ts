import { readFileSync } from "node:fs";
import { z } from "zod";
import { amountVariable, integerVariable, textVariable, type ConfigOf } from "@flashloan/shared/config";
import type { LenderKind } from "@flashloan/arbitrage/plan";
import { LENDER_KINDS } from "./search.ts";
import { venuesSchema, type Venues } from "./venues.ts";

const venuesVariable = z
  .string({ error: "must be set" })
  .transform((text, context): Venues => {
    try {
      const json: unknown = JSON.parse(text.trimStart().startsWith("{") ? text : readFileSync(text, "utf8"));
      const parsed = venuesSchema.safeParse(json);
      if (parsed.success) return parsed.data;
      for (const issue of parsed.error.issues)
        context.addIssue({ code: "custom", message: `${issue.path.join(".") || "venues"}: ${issue.message}` });
    } catch (error) {
      context.addIssue({
        code: "custom",
        message: `is neither JSON nor a readable JSON file (${(error as Error).message})`,
      });
    }
    return z.NEVER;
  })
  .describe("where pools are discovered: JSON, or the path of a JSON file") as unknown as z.ZodType<
  Venues,
  string | undefined
>;

const lendersVariable: z.ZodType<ReadonlySet<LenderKind>, string | undefined> = z
  .string()
  .default(LENDER_KINDS.join(","))
  .transform((text, context) => {
    const names = text.split(",").map((name) => name.trim());
    const unknown = names.find((name) => !LENDER_KINDS.some((kind) => kind === name));
    if (unknown === undefined) return new Set(names as LenderKind[]);
    context.addIssue({ code: "custom", message: `knows no lender "${unknown}"; use ${LENDER_KINDS.join(", ")}` });
    return z.NEVER;
  })
  .describe("lenders that routes may use, separated by commas; first-swap is a pool that pays before it is paid");

/** The environment of the market predictor. */
export const predictorConfigSchema = {
  PREDICTOR_HOST: textVariable("address that the gRPC server binds to", "127.0.0.1"),
  PREDICTOR_PORT: integerVariable(0, 65_535, 7002, "port of the gRPC server; 0 picks a free one"),
  PREDICTOR_CHAIN_URL: textVariable(
    "endpoint of the chain's node: ws://127.0.0.1:8545, wss://… or ipc:/path/of/socket",
  ),
  PREDICTOR_CHAIN_ID: integerVariable(1, 2 ** 40, 31_337, "id that the chain must have"),
  PREDICTOR_VENUES: venuesVariable,
  PREDICTOR_LENDERS: lendersVariable,
  PREDICTOR_PRIORITY_FEE_WEI: amountVariable(1_000_000_000n, "priority fee per gas that the search assumes"),
  PREDICTOR_VALID_BLOCKS: integerVariable(1, 32, 2, "blocks for which calls will be valid"),
  PREDICTOR_SELF_CHECK_BLOCKS: integerVariable(
    0,
    100_000,
    10,
    "blocks between self-checks of pool state; 0 switches them off",
  ),
  PREDICTOR_STALE_S: integerVariable(
    1,
    86_400,
    30,
    "seconds without a new block after which the predictor is not ready",
  ),
  PREDICTOR_SELF_CHECK_POOLS: integerVariable(1, 1_000, 4, "pools that one self-check compares"),
};
/** @see predictorConfigSchema */
export type PredictorConfig = ConfigOf<typeof predictorConfigSchema>;
