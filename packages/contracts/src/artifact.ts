// The compiled FlashLoanExecutor, as committed; tools/build.ts writes it.
import artifact from "../artifacts/FlashLoanExecutor.json" with { type: "json" };
import type { Hex } from "./encode.ts";

/** A parameter in a JSON ABI. */
export type AbiParameter = {
  readonly name: string;
  readonly type: string;
  readonly internalType?: string;
  readonly indexed?: boolean;
  readonly components?: readonly AbiParameter[];
};

/** A function, event, error or constructor in a JSON ABI. */
export type AbiEntry = {
  readonly type: string;
  readonly name?: string;
  readonly inputs?: readonly AbiParameter[];
  readonly outputs?: readonly AbiParameter[];
  readonly stateMutability?: string;
  readonly anonymous?: boolean;
};

/** A compiled contract. */
export type ExecutorArtifact = {
  readonly contractName: "FlashLoanExecutor";
  /** solc's full version. */
  readonly compiler: string;
  /** keccak256 of the compiler's whole input: sources and settings. */
  readonly sourceHash: string;
  readonly abi: readonly AbiEntry[];
  /** Creation code; the constructor takes (owner, operator, treasury, weth, balancerVault, aavePool, v4PoolManager). */
  readonly bytecode: Hex;
  /** Code on chain, with zeros where the constructor puts the immutable addresses. */
  readonly deployedBytecode: Hex;
};

/** The compiled contract that the tests of this package ran on. */
export function executorArtifact(): ExecutorArtifact {
  return artifact as unknown as ExecutorArtifact;
}
