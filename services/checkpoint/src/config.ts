import { integerVariable, textVariable, type ConfigOf } from "@flashloan/shared/config";

/** The environment of the checkpoint service. */
export const checkpointConfigSchema = {
  CHECKPOINT_HOST: textVariable("address that the gRPC server binds to", "127.0.0.1"),
  CHECKPOINT_PORT: integerVariable(0, 65_535, 7001, "port of the gRPC server; 0 picks a free one"),
  CHECKPOINT_DATABASE_URL: textVariable(
    "where the ledger lives: pglite:FOLDER or postgres://user:password@host/database",
    "pglite:.data/ledger",
  ),
  CHECKPOINT_CACHE_URL: textVariable(
    "cache of each stream's newest record, which the database can rebuild: memory: or redis://host:6379",
    "memory:",
  ),
  CHECKPOINT_RETENTION_DAYS: integerVariable(
    0,
    36_500,
    0,
    "days after its end that a stream is replaced by its last record; 0: never. Intents and the platform's own streams are kept whole",
  ),
};
/** @see checkpointConfigSchema */
export type CheckpointConfig = ConfigOf<typeof checkpointConfigSchema>;
