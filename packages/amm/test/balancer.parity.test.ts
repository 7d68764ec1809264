import { AbiCoder, Interface, parseEther } from "ethers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readArtifact, readBalancerArtifact } from "@flashloan/devnet/artifacts";
import { approveAll, at, byAddress, startChain, type Call, type Chain, type Contract } from "./chain.ts";
import { createRandom, type Random } from "./random.ts";
import {
  AmmError,
  type Address,
  type BalancerStablePool,
  type BalancerWeightedPool,
  type PoolId,
} from "../src/pool.ts";
import { quoteExactIn, quoteExactOut, swapExactIn } from "../src/quote.ts";
import { validatePool } from "../src/validate.ts";

const SEED = 7;
const ROUNDS = 11;
const QUOTES_PER_ROUND = 25;
const POOL_ABI = new Interface(["function getPoolId() view returns (bytes32)"]);
const GIVEN_IN = 0;
const GIVEN_OUT = 1;

let chain: Chain;
let vault: Contract;
let weightedFactory: Contract;
let stableFactory: Contract;
let tokens: Map<Address, { contract: Contract; decimals: number }>;

beforeAll(async () => {
  chain = await startChain();
  const authorizer = await chain.deploy(readBalancerArtifact("20210418-authorizer", "Authorizer"), chain.account);
  const weth = await chain.deploy(readArtifact("canonical-weth/build/contracts/WETH9.json"));
  vault = await chain.deploy(readBalancerArtifact("20210418-vault", "Vault"), authorizer.address, weth.address, 0, 0);
  weightedFactory = await chain.deploy(
    readBalancerArtifact("20210418-weighted-pool", "WeightedPoolFactory"),
    vault.address,
  );
  stableFactory = await chain.deploy(
    readBalancerArtifact("20220609-stable-pool-v2", "StablePoolFactory"),
    vault.address,
  );
  tokens = new Map();
  for (const decimals of [6, 8, 18, 18, 6]) {
    const contract = await chain.token(decimals);
    tokens.set(contract.address, { contract, decimals });
  }
  await approveAll(
    chain,
    [...tokens.values()].map(({ contract }) => contract),
    vault.address,
  );
}, 60_000);

afterAll(() => chain.stop());

type AnyPool = BalancerWeightedPool | BalancerStablePool;

/** Creates a pool by its factory's `create`, funds it, and returns its id. */
async function createPool(
  factory: Contract,
  list: readonly Contract[],
  parameters: readonly unknown[],
  amounts: readonly bigint[],
): Promise<PoolId> {
  const addresses = list.map(({ address }) => address);
  const args = ["P", "P", addresses, ...parameters, chain.account];
  const [address] = await chain.read(factory, "create", args);
  await chain.send(factory, "create", args);
  const [id] = await chain.read(at(address, POOL_ABI), "getPoolId");
  const userData = AbiCoder.defaultAbiCoder().encode(["uint256", "uint256[]"], [0, amounts]);
  await chain.send(vault, "joinPool", [id, chain.account, chain.account, [addresses, amounts, userData, false]]);
  return String(id) as PoolId;
}

async function balancesOf(id: PoolId): Promise<bigint[]> {
  const answer = await chain.read(vault, "getPoolTokens", [id]);
  return [...(answer[1] as Iterable<bigint>)];
}

function queryCall(pool: AnyPool, kind: number, i: number, j: number, amount: bigint): Call {
  const assets = [pool.tokens[i], pool.tokens[j]];
  const funds = [chain.account, false, chain.account, false];
  return {
    to: vault,
    method: "queryBatchSwap",
    args: [kind, [[pool.id, 0, 1, amount, "0x"]], assets, funds],
  };
}

function attempt(quote: () => bigint): bigint | undefined {
  try {
    return quote();
  } catch (error) {
    expect(error).toBeInstanceOf(AmmError);
    return undefined;
  }
}

/** Quotes a pool at random both ways against the Vault, swaps for real, and compares what is left. */
async function campaign(start: AnyPool, random: Random): Promise<{ compared: number; refused: number }> {
  let pool = start;
  let compared = 0;
  let refused = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    validatePool(pool);
    expect(await balancesOf(pool.id)).toEqual([...pool.balances]);
    const cases = Array.from({ length: QUOTES_PER_ROUND }, () => {
      const i = random.integer(0, pool.tokens.length - 1);
      const j = (i + random.integer(1, pool.tokens.length - 1)) % pool.tokens.length;
      const [balanceIn, balanceOut] = [pool.balances[i] as bigint, pool.balances[j] as bigint];
      const amountIn = random.amount(1n, (balanceIn * 2n) / 5n);
      const amountOut = random.amount(1n, (balanceOut * 2n) / 5n);
      return { i, j, amountIn, amountOut };
    });
    const answers = await chain.call(
      cases.flatMap(({ i, j, amountIn, amountOut }) => [
        queryCall(pool, GIVEN_IN, i, j, amountIn),
        queryCall(pool, GIVEN_OUT, i, j, amountOut),
      ]),
    );
    cases.forEach(({ i, j, amountIn, amountOut }, k) => {
      const [given, wanted] = answers.slice(2 * k, 2 * k + 2);
      const out = attempt(() => quoteExactIn(pool, i, j, amountIn));
      const input = attempt(() => quoteExactOut(pool, i, j, amountOut));
      expect(out, `${pool.kind} ${i}->${j} in ${amountIn}`).toBe(given && -((given[0] as bigint[])[1] as bigint));
      expect(input, `${pool.kind} ${i}->${j} out ${amountOut}`).toBe(wanted && (wanted[0] as bigint[])[0]);
      compared += (out === undefined ? 0 : 1) + (input === undefined ? 0 : 1);
      refused += (out === undefined ? 1 : 0) + (input === undefined ? 1 : 0);
    });
    const i = random.integer(0, pool.tokens.length - 1);
    const j = (i + 1) % pool.tokens.length;
    const amountIn = random.amount((pool.balances[i] as bigint) / 50n, (pool.balances[i] as bigint) / 4n);
    const funds = [chain.account, false, chain.account, false];
    await chain.send(vault, "swap", [
      [pool.id, GIVEN_IN, pool.tokens[i], pool.tokens[j], amountIn, "0x"],
      funds,
      0,
      10n ** 12n,
    ]);
    pool = swapExactIn(pool, i, j, amountIn).pool;
  }
  return { compared, refused };
}

function listOf(random: Random, count: number): { contract: Contract; decimals: number }[] {
  const all = [...tokens.values()];
  while (all.length > count) all.splice(random.integer(0, all.length - 1), 1);
  const order = byAddress(all.map(({ contract }) => contract)).map(({ address }) => address);
  return all.toSorted((a, b) => order.indexOf(a.contract.address) - order.indexOf(b.contract.address));
}

test("weighted: over 1,000 random swaps equal the Vault's to the wei, both ways", async () => {
  const random = createRandom(SEED);
  let compared = 0;
  let refused = 0;
  const plans = [
    { weights: [50n, 50n], fee: "0.003" },
    { weights: [80n, 20n], fee: "0.01" },
    { weights: [50n, 25n, 25n], fee: "0.002" },
    { weights: [2n, 38n, 60n], fee: "0.000001" },
    { weights: [33n, 7n, 20n, 40n], fee: "0.0005" },
  ];
  for (const { weights, fee } of plans) {
    const list = listOf(random, weights.length);
    const normalized = weights.map((weight) => weight * 10n ** 16n);
    const amounts = list.map(({ decimals }) => random.amount(10n ** BigInt(decimals), 10n ** BigInt(decimals + 7)));
    const id = await createPool(
      weightedFactory,
      list.map(({ contract }) => contract),
      [normalized, parseEther(fee)],
      amounts,
    );
    const result = await campaign(
      {
        kind: "balancer-weighted",
        id,
        address: vault.address,
        tokens: list.map(({ contract }) => contract.address),
        balances: amounts,
        scalingFactors: list.map(({ decimals }) => 10n ** BigInt(18 - decimals)),
        swapFee: parseEther(fee),
        weights: normalized,
      },
      random,
    );
    compared += result.compared;
    refused += result.refused;
  }
  expect(compared + refused).toBe(plans.length * ROUNDS * QUOTES_PER_ROUND * 2);
  expect(compared).toBeGreaterThan(2_000);
}, 60_000);

test("stable: over 1,000 random swaps equal the Vault's to the wei, both ways", async () => {
  const random = createRandom(SEED + 1);
  let compared = 0;
  let refused = 0;
  const plans = [
    { count: 2, amplification: 200n, fee: "0.0004" },
    { count: 2, amplification: 1n, fee: "0.003" },
    { count: 3, amplification: 50n, fee: "0.0001" },
    { count: 4, amplification: 1000n, fee: "0.000001" },
    { count: 5, amplification: 5000n, fee: "0.02" },
  ];
  for (const { count, amplification, fee } of plans) {
    const list = listOf(random, count);
    // Balances within a factor of 200 of each other: stable pools do not leave that band.
    const amounts = list.map(({ decimals }) =>
      random.amount(10n ** BigInt(decimals + 4), 2n * 10n ** BigInt(decimals + 6)),
    );
    const id = await createPool(
      stableFactory,
      list.map(({ contract }) => contract),
      [amplification, parseEther(fee)],
      amounts,
    );
    const result = await campaign(
      {
        kind: "balancer-stable",
        id,
        address: vault.address,
        tokens: list.map(({ contract }) => contract.address),
        balances: amounts,
        scalingFactors: list.map(({ decimals }) => 10n ** BigInt(18 - decimals)),
        swapFee: parseEther(fee),
        amplification: amplification * 1000n,
      },
      random,
    );
    compared += result.compared;
    refused += result.refused;
  }
  expect(compared + refused).toBe(plans.length * ROUNDS * QUOTES_PER_ROUND * 2);
  expect(compared).toBeGreaterThan(2_000);
}, 60_000);
