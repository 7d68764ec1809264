import type { z } from "zod";
import { addressSchema, hashSchema, type Hex } from "@flashloan/evm/hex";
import { amountVariable, integerVariable, textVariable, type ConfigOf } from "@flashloan/shared/config";

/** The environment of the executor. The key is read here and nowhere else. */
export const executorConfigSchema = {
  EXECUTOR_HOST: textVariable("address that the gRPC server binds to", "127.0.0.1"),
  EXECUTOR_PORT: integerVariable(0, 65_535, 7004, "port of the gRPC server; 0 picks a free one"),
  EXECUTOR_CHAIN_URL: textVariable("WebSocket endpoint of the chain's node, such as ws://127.0.0.1:8545"),
  EXECUTOR_CHAIN_ID: integerVariable(1, 2 ** 40, 31_337, "id that the chain must have"),
  EXECUTOR_PRIVATE_KEY: textVariable(
    "the operator's private key, 0x and 64 hex digits; better as EXECUTOR_PRIVATE_KEY_FILE",
  ),
  EXECUTOR_CONTRACT: addressSchema.describe("address of the deployed FlashLoanExecutor") as unknown as z.ZodType<
    Hex,
    string | undefined
  >,
  EXECUTOR_DEVNET_GENESIS_HASH: hashSchema
    .optional()
    .describe(
      "genesis hash that the devnet's deployer recorded; only that chain is live by default",
    ) as unknown as z.ZodType<Hex | undefined, string | undefined>,
  EXECUTOR_PREDICTOR_ADDRESS: textVariable("host:port of the market predictor", "127.0.0.1:7002"),
  EXECUTOR_RISK_ADDRESS: textVariable("host:port of the risk manager", "127.0.0.1:7003"),
  EXECUTOR_QUANTUM_ADDRESS: textVariable(
    "host:port of the quantum engine, which chooses among a block's opportunities; not set: the best first",
  ).optional(),
  EXECUTOR_SELECTION_DEADLINE_MS: integerVariable(
    1,
    1_000,
    5,
    "how long the quantum engine may take for a block, after which the best are taken first",
  ),
  EXECUTOR_CHECKPOINT_ADDRESS: textVariable("host:port of the checkpoint service", "127.0.0.1:7001"),
  EXECUTOR_CONFIRMATIONS: integerVariable(
    1,
    1_000,
    2,
    "blocks, the inclusion's own counted, after which a transaction is final",
  ),
  EXECUTOR_IN_FLIGHT_MAX: integerVariable(1, 64, 4, "intents that may be signed and not final at once"),
  EXECUTOR_OPPORTUNITIES_MAX: integerVariable(1, 256, 16, "opportunities of a block that are considered, best first"),
  EXECUTOR_VALID_BLOCKS: integerVariable(1, 32, 2, "blocks for which a signed call can trade"),
  EXECUTOR_BLOCK_TIME_S: integerVariable(1, 60, 1, "seconds between blocks"),
  EXECUTOR_MIN_PRIORITY_FEE_WEI: amountVariable(1_000_000_000n, "least priority fee per gas"),
  EXECUTOR_MAX_PRIORITY_FEE_WEI: amountVariable(50_000_000_000n, "highest priority fee per gas"),
  EXECUTOR_PROFIT_SHARE_BPS: integerVariable(
    0,
    9_000,
    1_500,
    "share of the expected profit that is offered as priority fee, in basis points",
  ),
  EXECUTOR_SLIPPAGE_BPS: integerVariable(
    0,
    10_000,
    5_000,
    "how far below its simulation a profit may end before the call reverts, in basis points",
  ),
};
/** @see executorConfigSchema */
export type ExecutorConfig = ConfigOf<typeof executorConfigSchema>;
