import { integerVariable, textVariable, type ConfigOf } from "@flashloan/shared/config";

const MIB = 1024 * 1024;

/** The environment of the quantum engine. */
export const quantumConfigSchema = {
  QUANTUM_HOST: textVariable("address that the gRPC and REST servers bind to", "127.0.0.1"),
  QUANTUM_PORT: integerVariable(0, 65_535, 7005, "port of the gRPC server; 0 picks a free one"),
  QUANTUM_REST_PORT: integerVariable(0, 65_535, 7105, "port of the REST server; 0 picks a free one"),
  QUANTUM_THREADS: integerVariable(
    1,
    64,
    1,
    "threads that questions are answered in, beside the one that is kept for the trading loop",
  ),
  QUANTUM_WAITING_MAX: integerVariable(0, 10_000, 64, "questions that may wait for a thread; more are refused"),
  QUANTUM_MEMORY_MIB: integerVariable(
    16,
    65_536,
    512,
    "memory that all questions at work may take together, MiB; one that takes more is refused",
  ),
  QUANTUM_DEADLINE_MS_MAX: integerVariable(1, 3_600_000, 60_000, "the longest that one answer may take"),
  QUANTUM_CACHE_MIB: integerVariable(1, 1_024, 16, "memory for answers that are kept for the same question, MiB"),
};
/** @see quantumConfigSchema */
export type QuantumConfig = ConfigOf<typeof quantumConfigSchema>;

/** The limits that a configuration sets, in bytes. */
export function memoryOf(config: QuantumConfig): { readonly workBytes: number; readonly cacheBytes: number } {
  return { workBytes: config.QUANTUM_MEMORY_MIB * MIB, cacheBytes: config.QUANTUM_CACHE_MIB * MIB };
}
