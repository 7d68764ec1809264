// What FlashLoanExecutor says: its Executed event, and why it reverted.
import { Interface } from "ethers";
import { executorArtifact } from "./artifact.ts";
import type { Hex } from "./encode.ts";

/** topic0 of Executed; the tests compare it with the artifact's ABI. */
export const EXECUTED_TOPIC: Hex = "0xb3b79564c3910cc38d87ec4de30cf44e4ed867b2a9abcfbb9801be9b4aaa8efc";

/** What one call really did, in the chain's own words. */
export type Executed = {
  readonly intentId: Hex;
  /** The lender, or the pool that paid out first. */
  readonly lender: Hex;
  readonly loanToken: Hex;
  /** Base units of loanToken borrowed. */
  readonly loanAmount: bigint;
  /** Base units of loanToken paid for the loan. */
  readonly premium: bigint;
  /** Base units of loanToken gained right after repayment, before the after-steps. */
  readonly surplus: bigint;
  /** Wei of WETH sent to the treasury. */
  readonly profitWei: bigint;
  /** Wei paid to the block's builder. */
  readonly coinbasePaidWei: bigint;
  /** The premium in wei, at the rate at which the surplus became WETH, rounded up. */
  readonly premiumWei: bigint;
};

/** The parts of a log that decoding needs. */
export type EventLog = { readonly topics: readonly string[]; readonly data: string };

/** A revert of the executor, of solady's transfers, or a plain Solidity one (Error, Panic). */
export type DecodedRevert = {
  readonly name: string;
  readonly args: readonly (string | bigint)[];
};

function word(data: string, index: number): string {
  return data.slice(2 + 64 * index, 2 + 64 * (index + 1));
}

function uint(data: string, index: number): bigint {
  return BigInt(`0x${word(data, index)}`);
}

/** The event in a log, or undefined if the log is no Executed event (check the log's address yourself). */
export function decodeExecuted(log: EventLog): Executed | undefined {
  const [topic, intentId, lender] = log.topics;
  if (topic !== EXECUTED_TOPIC || intentId === undefined || lender === undefined) return undefined;
  if (log.data.length !== 2 + 64 * 6) return undefined;
  const premium = uint(log.data, 2);
  const surplus = uint(log.data, 3);
  const profitWei = uint(log.data, 4);
  const coinbasePaidWei = uint(log.data, 5);
  return {
    intentId: intentId as Hex,
    lender: `0x${lender.slice(26)}`,
    loanToken: `0x${word(log.data, 0).slice(24)}`,
    loanAmount: uint(log.data, 1),
    premium,
    surplus,
    profitWei,
    coinbasePaidWei,
    premiumWei: premiumInWei(premium, surplus, profitWei + coinbasePaidWei),
  };
}

/** Without a surplus there is no rate, and nothing was gained that a premium could be compared with. */
function premiumInWei(premium: bigint, surplus: bigint, gainedWei: bigint): bigint {
  if (surplus === 0n) return 0n;
  return (premium * gainedWei + surplus - 1n) / surplus;
}

const libraryErrors = ["error TransferFailed()", "error ApproveFailed()", "error ETHTransferFailed()"];

let revertInterface: Interface | undefined;

/** Built on first use: only failures need it. */
function revertDecoder(): Interface {
  revertInterface ??= new Interface([
    ...executorArtifact().abi.filter((entry) => entry.type === "error"),
    ...libraryErrors,
  ]);
  return revertInterface;
}

/** Name and arguments of a revert; undefined for data that is neither ours nor Solidity's (a pool's own error). */
export function decodeRevert(data: string): DecodedRevert | undefined {
  const decoded = data.length >= 10 ? revertDecoder().parseError(data) : null;
  if (decoded === null) return undefined;
  return {
    name: decoded.name,
    args: decoded.args.map(plainArgument),
  };
}

function plainArgument(arg: unknown): string | bigint {
  if (typeof arg === "bigint") return arg;
  const text = String(arg);
  // Addresses come with the upper-case letters of their checksum.
  return text.startsWith("0x") ? text.toLowerCase() : text;
}
