import { z } from "zod";
import { decodeExecuted, decodeRevert, type Executed } from "@flashloan/contracts/events";
import {
  addressSchema,
  bytesSchema,
  hashSchema,
  quantitySchema,
  smallQuantitySchema,
  toQuantity,
  type Hex,
} from "@flashloan/evm/hex";
import type { JsonRpc } from "@flashloan/evm/json-rpc";

/** Gas that a simulated call may use. */
const GAS_CAP = 8_000_000n;
const DEADLINE_MS = 2_000;

const callSchema = z.object({
  status: smallQuantitySchema,
  gasUsed: quantitySchema,
  returnData: bytesSchema,
  logs: z.array(z.object({ address: addressSchema, topics: z.array(hashSchema), data: bytesSchema })).default([]),
  error: z.object({ message: z.string(), data: z.string().optional() }).loose().optional(),
});
const resultSchema = z.array(z.object({ calls: z.array(callSchema).min(1) })).min(1);

/** What a call would do in the next block. */
export type Simulation =
  | { readonly ok: true; readonly executed: Executed; readonly gasUsed: bigint }
  | { readonly ok: false; readonly reason: string };

/** The call to be simulated, and the block that it is simulated on top of. */
export interface SimulationRequest {
  readonly from: Hex;
  readonly to: Hex;
  readonly data: Hex;
  /** Calls of the same kind that go before it, in the same block. */
  readonly before: readonly Hex[];
  readonly blockNumber: number;
  /** Timestamp of the block that the call would be in; pairs write more storage when the clock moves. */
  readonly timestampS: number;
  readonly baseFeeWei: bigint;
}

/** Runs a call by eth_simulateV1 as it would run in the next block; a revert is a result, not an error. */
export async function simulate(rpc: JsonRpc, request: SimulationRequest): Promise<Simulation> {
  const { from, to, data, before } = request;
  const blockOverrides = {
    number: toQuantity(request.blockNumber + 1),
    time: toQuantity(request.timestampS),
    baseFeePerGas: toQuantity(request.baseFeeWei),
  };
  const calls = [...before, data].map((input) => ({
    from,
    to,
    input,
    // Together they must fit into one block.
    gas: toQuantity(GAS_CAP / BigInt(before.length + 1)),
    maxFeePerGas: toQuantity(request.baseFeeWei),
    maxPriorityFeePerGas: "0x0",
  }));
  const parameters = [
    { blockStateCalls: [{ blockOverrides, calls }], validation: false },
    toQuantity(request.blockNumber),
  ];
  const [block] = await rpc.request("eth_simulateV1", parameters, resultSchema, DEADLINE_MS);
  const results = block?.calls ?? [];
  const result = results[before.length];
  if (results.slice(0, before.length).some(({ status }) => status !== 1))
    return { ok: false, reason: "one_before_it_reverted" };
  if (!result) return { ok: false, reason: "no_result" };
  if (result.status !== 1) return { ok: false, reason: revertReason(result.error?.data ?? result.returnData) };
  const executed = result.logs
    .filter((log) => log.address === to)
    .map((log) => decodeExecuted(log))
    .find((event) => event !== undefined);
  return executed ? { ok: true, executed, gasUsed: result.gasUsed } : { ok: false, reason: "no_executed_event" };
}

/** The name of the error that a revert's data holds. */
function revertReason(data: string): string {
  if (data === "0x" || data === "") return "reverted_without_reason";
  const decoded = decodeRevert(data);
  if (!decoded) return `reverted_${data.slice(0, 10)}`;
  return decoded.name === "Error" ? String(decoded.args[0]).slice(0, 80) : decoded.name;
}
