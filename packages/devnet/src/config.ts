import { z } from "zod";
import { choiceVariable, integerVariable, textVariable, type ConfigOf } from "@flashloan/shared/config";

const probabilityVariable = (fallback: string, description: string): z.ZodType<number, string | undefined> =>
  z
    .string()
    .optional()
    .transform((text) => text || fallback)
    .refine((text) => /^(0(\.\d+)?|1)$/.test(text), "must be a probability from 0 to 1, such as 0.5")
    .transform(Number)
    .describe(description);

/** How busy the simulated market is; read by the embedded platform and by the devnet's own process. */
export const marketConfigSchema = {
  DEVNET_WHALE_ACTIVITY: probabilityVariable("0.06", "probability per block that a whale trades, 0 to 1"),
  DEVNET_RIVAL_ACTIVITY: probabilityVariable("0.8", "probability that the rival goes for a gap that it sees, 0 to 1"),
};

/** The environment of the devnet as a process of its own (`packages/devnet/src/main.ts`). */
export const devnetConfigSchema = {
  DEVNET_HOST: textVariable("address that the chain listens on", "127.0.0.1"),
  DEVNET_PORT: integerVariable(1, 65_535, 8545, "port of the chain, HTTP and WebSocket"),
  DEVNET_DATA_DIR: textVariable("folder that keeps the chain; it survives kill -9", ".data/devnet"),
  DEVNET_SHARE_DIR: textVariable(
    "folder where the services find what is deployed: venues.json, contract, genesis-hash",
    ".data/devnet/share",
  ),
  DEVNET_KEY_DIR: textVariable("folder where the executor finds the operator's key", ".data/devnet/key"),
  DEVNET_SEED: integerVariable(0, 2 ** 31 - 1, 1, "seed of the simulated market"),
  DEVNET_BLOCK_TIME_S: integerVariable(1, 60, 1, "seconds between blocks"),
  READY_FILE: z
    .string()
    .optional()
    .transform((text) => text || undefined)
    .describe("file that is touched each second while blocks come, for a container's health check; best on tmpfs"),
  LOG_LEVEL: choiceVariable(
    ["trace", "debug", "info", "warn", "error", "silent"],
    "info",
    "least severe log level that is written",
  ),
  ...marketConfigSchema,
};
/** @see devnetConfigSchema */
export type DevnetConfig = ConfigOf<typeof devnetConfigSchema>;
