import { getCreateAddress, Interface, type InterfaceAbi } from "ethers";
import { z } from "zod";
import { systemClock } from "@flashloan/shared/clock";
import { FlashloanError } from "@flashloan/shared/errors";
import { getNonce, getReceipt, type Receipt } from "@flashloan/evm/chain";
import { bytesSchema, hashSchema, toQuantity, type Hex } from "@flashloan/evm/hex";
import type { JsonRpc } from "@flashloan/evm/json-rpc";
import type { Artifact } from "./artifacts.ts";

const GAS_LIMIT = 16_000_000n;
const RECEIPT_DEADLINE_MS = 20_000;

/** A contract of the devnet, for calls by an account that anvil unlocks. */
export interface Contract {
  readonly address: Hex;
  readonly abi: Interface;
}

/** Deploys and calls contracts from one unlocked account of a chain that mines each transaction at once. */
export class Deployer {
  readonly rpc: JsonRpc;
  readonly account: Hex;

  constructor(rpc: JsonRpc, account: Hex) {
    this.rpc = rpc;
    this.account = account;
  }

  /** Deploys a contract. @throws FlashloanError devnet_failed */
  async deploy(artifact: Artifact, ...args: readonly unknown[]): Promise<Contract> {
    const nonce = await getNonce(this.rpc, this.account, "pending");
    const data = artifact.bytecode + artifact.abi.encodeDeploy(args).slice(2);
    await this.#send({ data }, "a deployment");
    return { address: getCreateAddress({ from: this.account, nonce }).toLowerCase() as Hex, abi: artifact.abi };
  }

  /** Sends a transaction and returns its receipt. @throws FlashloanError devnet_failed when it reverts */
  async send(contract: Contract, method: string, args: readonly unknown[], valueWei = 0n): Promise<Receipt> {
    return this.#send(
      { to: contract.address, data: contract.abi.encodeFunctionData(method, args), value: toQuantity(valueWei) },
      method,
    );
  }

  /** Calls without a transaction; returns the decoded results. */
  async read(contract: Contract, method: string, args: readonly unknown[] = []): Promise<readonly unknown[]> {
    const data = contract.abi.encodeFunctionData(method, args);
    const result = await this.rpc.request(
      "eth_call",
      [{ from: this.account, to: contract.address, data }, "latest"],
      bytesSchema,
    );
    return contract.abi.decodeFunctionResult(method, result);
  }

  /** A contract that something else deployed. */
  at(address: unknown, abi: Interface | InterfaceAbi): Contract {
    return {
      address: z.string().parse(address).toLowerCase() as Hex,
      abi: abi instanceof Interface ? abi : new Interface(abi),
    };
  }

  async #send(transaction: Readonly<Record<string, string>>, what: string): Promise<Receipt> {
    const request = { from: this.account, gas: toQuantity(GAS_LIMIT), ...transaction };
    const hash = await this.rpc.request("eth_sendTransaction", [request], hashSchema);
    const deadline = systemClock.monotonic() + RECEIPT_DEADLINE_MS;
    let receipt = await getReceipt(this.rpc, hash);
    while (!receipt) {
      if (systemClock.monotonic() > deadline)
        throw new FlashloanError("devnet_failed", `${what} was not mined within ${RECEIPT_DEADLINE_MS} ms`);
      await systemClock.sleep(10);
      receipt = await getReceipt(this.rpc, hash);
    }
    if (receipt.status === 1) return receipt;
    const reason = await this.rpc.request("eth_call", [request, "latest"], z.string()).then(
      () => "out of gas",
      (error: Error) => error.message,
    );
    throw new FlashloanError("devnet_failed", `${what} reverted: ${reason}`);
  }
}
