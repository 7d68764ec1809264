import { encodeExecute } from "@flashloan/contracts/encode";
import { keccak256, toUtf8Bytes } from "ethers";
import type { Random } from "@flashloan/shared/random";
import type { Header } from "@flashloan/evm/chain";
import { bytesSchema, type Hex } from "@flashloan/evm/hex";
import type { JsonRpc } from "@flashloan/evm/json-rpc";
import type { Deployment } from "./deployment.ts";
import type { SendFrom } from "./market-pools.ts";

/** 0x0902f1ac is getReserves(). */
const GET_RESERVES = "0x0902f1ac";
const GAS = 600_000n;
const GAS_EXPECTED = 190_000n;
/** It values what it may lose on a lost race below this share of its gain. */
const MARGIN = 1.2;

interface Pair {
  readonly address: Hex;
  readonly tokens: readonly [Hex, Hex];
}

/**
 * A rival searcher: two-pool cycles over the Uniswap V2 deployments, as simple as flashbots' simple-arbitrage, paying
 * a random share of its gain as tip. It trades through a contract of its own and knows nothing of ours.
 */
export function createRival(
  rpc: JsonRpc,
  deployment: Deployment,
  sendFrom: SendFrom,
  options: { random: Random; activity: number },
): { onBlock(header: Header): Promise<void> } {
  const byTokens = new Map<string, Pair[]>();
  for (const pair of deployment.uniswapV2.flatMap((venue) => venue.pairs)) {
    if (!pair.tokens.includes(deployment.weth)) continue;
    const key = pair.tokens.join();
    byTokens.set(key, [...(byTokens.get(key) ?? []), pair]);
  }
  const groups = [...byTokens.values()].filter((pairs) => pairs.length > 1);

  const readReserves = async (pair: Pair): Promise<{ weth: number; token: number }> => {
    const data = await rpc.request("eth_call", [{ to: pair.address, data: GET_RESERVES }, "latest"], bytesSchema);
    const reserves = [Number(BigInt(data.slice(0, 66))), Number(BigInt(`0x${data.slice(66, 130)}`))];
    const place = pair.tokens.indexOf(deployment.weth);
    return { weth: reserves[place] ?? 0, token: reserves[1 - place] ?? 0 };
  };

  return {
    onBlock: async (header) => {
      // Drawn before anything is read, so that the seed alone decides.
      const goes = options.random.next() < options.activity;
      const tipShare = 0.05 + options.random.next() * 0.45;
      let best: { buy: Pair; sell: Pair; amountIn: number; gain: number } | undefined;
      for (const pairs of groups) {
        const reserves = await Promise.all(pairs.map(readReserves));
        for (const [i, buy] of pairs.entries())
          for (const [j, sell] of pairs.entries()) {
            const [a, b] = [reserves[i], reserves[j]];
            if (i === j || !a || !b) continue;
            const found = bestTrade(a, b);
            if (found && (!best || found.gain > best.gain)) best = { buy, sell, ...found };
          }
      }
      const cost = Number(GAS_EXPECTED * header.baseFeePerGas) * MARGIN;
      if (!goes || !best || best.gain <= cost) return;
      const token = best.buy.tokens.find((candidate) => candidate !== deployment.weth) as Hex;
      const data = encodeExecute({
        intentId: keccak256(toUtf8Bytes(`rival ${header.hash}`)) as Hex,
        lastBlock: BigInt(header.number + 1),
        minProfitWei: 1n,
        coinbaseBps: 0,
        loan: { kind: "FIRST_SWAP" },
        steps: [
          {
            kind: "SWAP_V2",
            amount: { kind: "EXACT", amount: BigInt(Math.floor(best.amountIn)) },
            tokenIn: deployment.weth,
            tokenOut: token,
            pair: best.buy.address,
            fee: 3000,
          },
          {
            kind: "SWAP_V2",
            amount: { kind: "FREE" },
            tokenIn: token,
            tokenOut: deployment.weth,
            pair: best.sell.address,
            fee: 3000,
          },
        ],
        afterSteps: [],
      });
      const tip = BigInt(Math.floor(((best.gain - cost) * tipShare) / Number(GAS_EXPECTED)));
      await sendFrom(deployment.rival.operator, { to: deployment.rival.contract, data }, GAS, tip);
    },
  };
}

/** The best size of buying in `a` and selling in `b` (closed form for two constant-product pools with 0.3 % fees). */
function bestTrade(
  a: { weth: number; token: number },
  b: { weth: number; token: number },
): { amountIn: number; gain: number } | undefined {
  const f = 0.997;
  // The two pools in a row act as one with these virtual reserves.
  const e0 = (a.weth * b.token) / (b.token + f * a.token);
  const e1 = (f * a.token * b.weth) / (b.token + f * a.token);
  const amountIn = (Math.sqrt(e0 * e1 * f) - e0) / f;
  if (!(amountIn > 0)) return undefined;
  return { amountIn, gain: (f * e1 * amountIn) / (e0 + f * amountIn) - amountIn };
}
