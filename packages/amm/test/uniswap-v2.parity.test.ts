import { afterAll, beforeAll, expect, test } from "vitest";
import { readArtifact } from "@flashloan/devnet/artifacts";
import { at, byAddress, mappingSlot, startChain, word, type Call, type Chain, type Contract } from "./chain.ts";
import { createRandom } from "./random.ts";
import type { UniswapV2Pool } from "../src/pool.ts";
import { quoteExactIn, quoteExactOut } from "../src/quote.ts";

const SEED = 20_261_124;
const STATES = 600;
const MAX_RESERVE = (1n << 112n) - 1n;
/** Where UniswapV2Pair keeps both reserves and the last timestamp. */
const RESERVES_SLOT = 8n;
/** Where the token keeps its balances. */
const BALANCES_SLOT = 0n;

let chain: Chain;
let router: Contract;
let pair: Contract;
let tokens: [Contract, Contract];

beforeAll(async () => {
  chain = await startChain();
  const factory = await chain.deploy(readArtifact("@uniswap/v2-core/build/UniswapV2Factory.json"), chain.account);
  router = await chain.deploy(
    readArtifact("@uniswap/v2-periphery/build/UniswapV2Router02.json"),
    factory.address,
    factory.address,
  );
  tokens = byAddress([await chain.token(6), await chain.token(18)]) as [Contract, Contract];
  await chain.send(factory, "createPair", [tokens[0].address, tokens[1].address]);
  const [address] = await chain.read(factory, "getPair", [tokens[0].address, tokens[1].address]);
  pair = at(address, readArtifact("@uniswap/v2-core/build/UniswapV2Pair.json").abi);
}, 60_000);

afterAll(() => chain.stop());

/** A swap on the pair itself with the reserves and the payment written into its storage. */
function swapCall(pool: UniswapV2Pool, i: 0 | 1, amountIn: bigint, amountOut: bigint): Call {
  const [reserve0, reserve1] = pool.reserves;
  const balances = [reserve0 + (i === 0 ? amountIn : 0n), reserve1 + (i === 1 ? amountIn : 0n)];
  return {
    to: pair,
    method: "swap",
    args: [i === 1 ? amountOut : 0n, i === 0 ? amountOut : 0n, chain.account, "0x"],
    storage: {
      [pair.address]: { [word(RESERVES_SLOT)]: word((reserve1 << 112n) | reserve0) },
      [tokens[0].address]: {
        [mappingSlot("address", pair.address, BALANCES_SLOT)]: word(balances[0] as bigint),
      },
      [tokens[1].address]: {
        [mappingSlot("address", pair.address, BALANCES_SLOT)]: word(balances[1] as bigint),
      },
    },
  };
}

test("1,200 random swaps equal the router's and the pair's arithmetic to the wei", async () => {
  const random = createRandom(SEED);
  const cases = Array.from({ length: STATES }, () => {
    const reserves: [bigint, bigint] = [
      random.amount(10_000n, MAX_RESERVE / 4n),
      random.amount(10_000n, MAX_RESERVE / 4n),
    ];
    const pool: UniswapV2Pool = {
      kind: "uniswap-v2",
      id: pair.address,
      address: pair.address,
      tokens: [tokens[0].address, tokens[1].address],
      reserves,
      feeNumerator: 997n,
      feeDenominator: 1000n,
    };
    const i = random.integer(0, 1) as 0 | 1;
    const j = i === 0 ? 1 : 0;
    // At least enough to buy one unit, at most three times the reserve.
    const smallest = (2n * reserves[i]) / reserves[j] + 2n;
    const amountIn = random.amount(smallest, smallest + 3n * reserves[i]);
    const wanted = random.amount(1n, (reserves[j] * 9n) / 10n);
    const bought = quoteExactIn(pool, i, j, amountIn);
    let paid: bigint | undefined;
    try {
      paid = quoteExactOut(pool, i, j, wanted);
    } catch {
      paid = undefined;
    }
    return { pool, i, j, amountIn, bought, wanted, paid };
  });

  const calls: Call[] = cases.flatMap(({ pool, i, j, amountIn, bought, wanted, paid }) => [
    { to: router, method: "getAmountOut", args: [amountIn, pool.reserves[i], pool.reserves[j]] },
    swapCall(pool, i, amountIn, bought),
    swapCall(pool, i, amountIn, bought + 1n),
    { to: router, method: "getAmountIn", args: [wanted, pool.reserves[i], pool.reserves[j]] },
    swapCall(pool, i, paid ?? MAX_RESERVE, wanted),
  ]);
  const answers = await chain.call(calls);

  let compared = 0;
  cases.forEach(({ bought, paid, pool, i }, k) => {
    const [out, swapped, overswapped, input, exactSwapped] = answers.slice(k * 5, k * 5 + 5);
    expect(out?.[0]).toBe(bought);
    expect(swapped, "the pair pays the quote").toBeDefined();
    expect(overswapped, "and not one unit more").toBeUndefined();
    compared += 1;
    // An input that would not fit the pair's 112 bits is refused, and the pair refuses it too.
    const asked = input?.[0] as bigint;
    const fits = asked + pool.reserves[i] <= MAX_RESERVE;
    expect(paid).toBe(fits ? asked : undefined);
    expect(exactSwapped !== undefined, "the pair takes the exact-output payment").toBe(fits);
    compared += 1;
  });
  expect(compared).toBe(2 * STATES);
});
