import type { Interface } from "ethers";
import { AbiCoder, getCreateAddress, keccak256, MaxUint256 } from "ethers";
import { startAnvil } from "@flashloan/devnet/anvil";
import { readArtifact, type Artifact } from "@flashloan/devnet/artifacts";
import { toQuantity, type Hex } from "@flashloan/evm/hex";

/** Calls in one HTTP request. */
const BATCH_SIZE = 200;
const GAS_LIMIT = 29_000_000n;

/** A deployed contract. */
export type Contract = { readonly address: Hex; readonly abi: Interface };

/** One call to make, and how to read its answer. */
export type Call = {
  readonly to: Contract;
  readonly method: string;
  readonly args: readonly unknown[];
  readonly valueWei?: bigint;
  /** Storage to pretend, by contract and slot. */
  readonly storage?: Readonly<Record<Hex, Readonly<Record<Hex, Hex>>>>;
};

/** An answer: the decoded results, or undefined where the call reverted. */
export type Answer = readonly unknown[] | undefined;

/** A chain of its own with ERC-20s of chosen decimals, for tests against deployed bytecode. */
export type Chain = {
  readonly account: Hex;
  readonly deploy: (artifact: Artifact, ...args: unknown[]) => Promise<Contract>;
  readonly send: (to: Contract, method: string, args: readonly unknown[], valueWei?: bigint) => Promise<void>;
  readonly call: (calls: readonly Call[]) => Promise<Answer[]>;
  readonly read: (to: Contract, method: string, args?: readonly unknown[]) => Promise<readonly unknown[]>;
  /** Deploys a token with 2^100 base units in the account. */
  readonly token: (decimals: number) => Promise<Contract>;
  readonly stop: () => Promise<void>;
};

/** Starts the chain. */
export async function startChain(): Promise<Chain> {
  const anvil = await startAnvil();
  const url = anvil.url.replace("ws:", "http:");
  const request = async (requests: readonly { method: string; params: unknown[] }[]) => {
    const body = requests.map(({ method, params }, id) => ({ jsonrpc: "2.0", id, method, params }));
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    const answers = (await response.json()) as { id: number; result?: unknown; error?: { message: string } }[];
    return answers.toSorted((a, b) => a.id - b.id);
  };
  const one = async (method: string, params: unknown[]): Promise<unknown> => {
    const [answer] = await request([{ method, params }]);
    if (answer === undefined || answer.error) throw new Error(`${method}: ${answer?.error?.message}`);
    return answer.result;
  };
  const account = ((await one("eth_accounts", [])) as Hex[])[0] as Hex;

  const transact = async (transaction: Record<string, unknown>): Promise<void> => {
    const hash = await one("eth_sendTransaction", [{ from: account, gas: toQuantity(GAS_LIMIT), ...transaction }]);
    for (;;) {
      const receipt = (await one("eth_getTransactionReceipt", [hash])) as { status: Hex } | null;
      if (receipt === null) continue;
      if (receipt.status !== "0x1") throw new Error(`transaction ${String(hash)} reverted`);
      return;
    }
  };
  const deploy = async (artifact: Artifact, ...args: unknown[]): Promise<Contract> => {
    const nonce = Number(await one("eth_getTransactionCount", [account, "latest"]));
    await transact({ data: artifact.bytecode + artifact.abi.encodeDeploy(args).slice(2) });
    const address = getCreateAddress({ from: account, nonce }).toLowerCase() as Hex;
    return { address, abi: artifact.abi };
  };
  const send: Chain["send"] = (to, method, args, valueWei = 0n) =>
    transact({
      to: to.address,
      data: to.abi.encodeFunctionData(method, args),
      value: toQuantity(valueWei),
    });
  const call: Chain["call"] = async (calls) => {
    const answers: Answer[] = [];
    for (let start = 0; start < calls.length; start += BATCH_SIZE) {
      const batch = calls.slice(start, start + BATCH_SIZE);
      const results = await request(
        batch.map(({ to, method, args, valueWei = 0n, storage = {} }) => {
          const data = to.abi.encodeFunctionData(method, args);
          const transaction = { from: account, to: to.address, data, value: toQuantity(valueWei) };
          const overrides = Object.fromEntries(
            Object.entries(storage).map(([address, stateDiff]) => [address, { stateDiff }]),
          );
          return { method: "eth_call", params: [transaction, "latest", overrides] };
        }),
      );
      results.forEach(({ result }, k) => {
        const { to, method } = batch[k] as Call;
        answers.push(result === undefined ? undefined : [...to.abi.decodeFunctionResult(method, result as string)]);
      });
    }
    return answers;
  };
  const read: Chain["read"] = async (to, method, args = []) => {
    const [answer] = await call([{ to, method, args }]);
    if (answer === undefined) throw new Error(`${method} reverted`);
    return answer;
  };
  const mintable = readArtifact("@aave/core-v3/artifacts/contracts/mocks/tokens/MintableERC20.sol/MintableERC20.json");
  const token: Chain["token"] = async (decimals) => {
    const contract = await deploy(mintable, `T${decimals}`, `T${decimals}`, decimals);
    await send(contract, "mint(uint256)", [1n << 110n]);
    return contract;
  };
  return { account, deploy, send, call, read, token, stop: () => anvil.stop() };
}

/** A contract known by address. */
export function at(address: unknown, abi: Interface): Contract {
  return { address: String(address).toLowerCase() as Hex, abi };
}

/** Lets a spender take all of some tokens. */
export async function approveAll(chain: Chain, tokens: readonly Contract[], spender: Hex): Promise<void> {
  for (const token of tokens) await chain.send(token, "approve", [spender, MaxUint256]);
}

/** Contracts in the order of their addresses, as every protocol wants its tokens. */
export function byAddress(contracts: readonly Contract[]): Contract[] {
  return contracts.toSorted((a, b) => (BigInt(a.address) < BigInt(b.address) ? -1 : 1));
}

/** The storage slot of `mapping[key]` where the mapping stands at `slot`. */
export function mappingSlot(keyType: string, key: unknown, slot: bigint): Hex {
  return keccak256(AbiCoder.defaultAbiCoder().encode([keyType, "uint256"], [key, slot])) as Hex;
}

/** A 32-byte word. */
export function word(value: bigint): Hex {
  return `0x${BigInt.asUintN(256, value).toString(16).padStart(64, "0")}`;
}
