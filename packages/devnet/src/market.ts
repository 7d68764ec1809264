import { z } from "zod";
import { createRandom, type Random } from "@flashloan/shared/random";
import { withDeadline } from "@flashloan/shared/clock";
import { FlashloanError } from "@flashloan/shared/errors";
import type { Running } from "@flashloan/shared/lifecycle";
import { headerSchema, type Header } from "@flashloan/evm/chain";
import { hashSchema, toQuantity, toWord, type Hex } from "@flashloan/evm/hex";
import type { JsonRpc } from "@flashloan/evm/json-rpc";
import { devAccounts, ROLES } from "./deploy.ts";
import type { Deployment } from "./deployment.ts";
import { listPools, readPrice, swapTransaction, type MarketPool, type SendFrom } from "./market-pools.ts";
import { createRival } from "./rival.ts";
import { BLOCK_GAS_LIMIT } from "./anvil.ts";

/** How the simulated market behaves; amounts in dollars, probabilities per block. */
export interface MarketOptions {
  /** The same seed makes the same flow. */
  readonly seed: number;
  /** Probability that each of the small traders trades in a block. */
  readonly traderActivity?: number;
  /** Probability of a whale in a block. */
  readonly whaleActivity: number;
  /** Probability that the rival goes for a gap that it sees. */
  readonly rivalActivity: number;
  /** Called with what fails; the market goes on with the next block. */
  readonly onError?: (error: unknown) => void;
}

const GWEI = 1_000_000_000n;
/** The background load keeps the base fee between these; below the first it can't be left (gas would be free). */
const BASE_FEE_MIN_WEI = 5n * GWEI;
const BASE_FEE_LOW_WEI = 7n * GWEI;
const BASE_FEE_HIGH_WEI = 12n * GWEI;
const OPENING_DEADLINE_MS = 60_000;
const MAX_FEE_WEI = 2_000n * GWEI;
const TRADE_GAS = 500_000n;
/** Standard deviation of a fair price's logarithm per block. */
const FAIR_VOLATILITY = 0.0006;
/** How strongly traders lean towards the fair price, per unit of log deviation. */
const LEAN = 60;
const TRADER_MEDIAN_DOLLARS = 1_800;
const WHALE_MEDIAN_DOLLARS = 27_000;
/** A trade takes at most this share of the smaller side of a pool's depth. */
const DEPTH_SHARE_MAX = 0.035;

/**
 * Runs the simulated market on a devnet: fair prices that wander, small traders who lean towards them, now and then a
 * whale, a rival searcher, and a background load that keeps gas at a price. None of them knows of our searcher.
 * Resolves with the first block whose base fee is a real one.
 * @throws FlashloanError `devnet_failed` when the chain mines no such block
 */
export async function startMarket(rpc: JsonRpc, deployment: Deployment, options: MarketOptions): Promise<Running> {
  const accounts = await devAccounts(rpc);
  const account = (role: number): Hex => accounts[role] as Hex;
  const onError = options.onError ?? (() => undefined);
  const random = createRandom(options.seed);
  const pools = listPools(deployment);
  const fair = new Map(deployment.tokens.map((token) => [token.address, token.usd]));
  fair.set("0x0000000000000000000000000000000000000000", fair.get(deployment.weth) ?? 1);

  const sendFrom: SendFrom = (from, { to, data, valueWei = 0n }, gas, tipWei) =>
    rpc.request(
      "eth_sendTransaction",
      [
        {
          from,
          to,
          data,
          value: toQuantity(valueWei),
          gas: toQuantity(gas),
          maxFeePerGas: toQuantity(MAX_FEE_WEI),
          maxPriorityFeePerGas: toQuantity(tipWei),
        },
      ],
      hashSchema,
    );
  const rival = createRival(rpc, deployment, sendFrom, {
    random: createRandom(options.seed ^ 0x5eed),
    activity: options.rivalActivity,
  });

  const step = async (header: Header): Promise<void> => {
    // A market whose process got no time left blocks empty: what it sends now must not pay the fee they fell to.
    if (header.baseFeePerGas < BASE_FEE_MIN_WEI) await raiseBaseFee(rpc);
    wander(fair, deployment, random);
    // Every draw happens in a fixed order whatever the chain answers, so that a seed names one flow.
    const plans: { from: Hex; pool: MarketPool; dollars: number; coin: number; tipWei: bigint }[] = [];
    for (const role of ROLES.traders) {
      const active = random.next() < (options.traderActivity ?? 0.55);
      const plan = {
        from: account(role),
        pool: random.pick(pools),
        dollars: TRADER_MEDIAN_DOLLARS * Math.exp(random.normal() * 0.9),
        coin: random.next(),
        tipWei: BigInt(Math.round(5e7 + random.next() * 5e8)),
      };
      if (active) plans.push(plan);
    }
    const whaleComes = random.next() < options.whaleActivity;
    const whale = {
      from: account(ROLES.whale),
      pool: random.pick(pools),
      dollars: WHALE_MEDIAN_DOLLARS * Math.exp(random.normal() * 0.5),
      coin: random.next(),
      tipWei: BigInt(Math.round(1e9 + random.next() * 2e9)),
    };
    if (whaleComes) plans.push(whale);
    const work = plans.map(async ({ from, pool, dollars, coin, tipWei }) => {
      const transaction = await planTrade(rpc, deployment, fair, pool, dollars, coin, from);
      await sendFrom(from, transaction, TRADE_GAS, tipWei);
    });
    work.push(rival.onBlock(header), applyLoad(header));
    for (const result of await Promise.allSettled(work)) if (result.status === "rejected") onError(result.reason);
  };

  const applyLoad = async (header: Header): Promise<void> => {
    const baseFee = header.baseFeePerGas;
    const share = baseFee < BASE_FEE_LOW_WEI ? 85n : baseFee > BASE_FEE_HIGH_WEI ? 15n : 42n;
    const gas = (BLOCK_GAS_LIMIT * share) / 100n;
    await sendFrom(
      account(ROLES.load),
      { to: deployment.gasBurner, data: `0x${toWord(burnOffset(gas - 60_000n))}` },
      gas,
      0n,
    );
  };

  const opened = Promise.withResolvers<void>();
  let busy: Promise<void> | undefined;
  const onHead = (result: unknown): void => {
    const parsed = headerSchema.safeParse(result);
    if (!parsed.success || busy) return;
    if (parsed.data.baseFeePerGas >= BASE_FEE_MIN_WEI) opened.resolve();
    busy = step(parsed.data)
      .catch(onError)
      .finally(() => (busy = undefined));
  };
  const heads = await rpc.subscribe("newHeads", { message: onHead, reconnected: () => undefined });
  const stop = async (): Promise<void> => {
    await heads.stop();
    await busy;
  };
  try {
    // A chain that ran on without its market let the base fee fall to nothing: the first step raises it again.
    await withDeadline(opened.promise, OPENING_DEADLINE_MS, () => {
      const what = `the devnet mined no block at a base fee of ${BASE_FEE_MIN_WEI} wei or more within ${OPENING_DEADLINE_MS / 1_000} s`;
      return new FlashloanError("devnet_failed", `${what}: is its process alive, and does it mine?`);
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return { stop };
}

/** The next block's base fee, with room below: blocks may stay empty while the market's process gets no time. */
async function raiseBaseFee(rpc: JsonRpc): Promise<void> {
  await rpc.request("anvil_setNextBlockBaseFeePerGas", [toQuantity(BASE_FEE_HIGH_WEI)], z.unknown());
}

/** Fair prices take a step: ether and the other risky tokens wander, stable ones barely. */
function wander(fair: Map<Hex, number>, deployment: Deployment, random: Random): void {
  for (const token of deployment.tokens) {
    const stable = token.symbol === "USDC" || token.symbol === "DAI";
    const before = fair.get(token.address) ?? token.usd;
    const pulled = stable ? Math.log(token.usd / before) * 0.02 : 0;
    fair.set(
      token.address,
      before * Math.exp(random.normal() * (stable ? FAIR_VOLATILITY / 10 : FAIR_VOLATILITY) + pulled),
    );
  }
  fair.set("0x0000000000000000000000000000000000000000", fair.get(deployment.weth) ?? 1);
}

async function planTrade(
  rpc: JsonRpc,
  deployment: Deployment,
  fair: ReadonlyMap<Hex, number>,
  pool: MarketPool,
  dollars: number,
  coin: number,
  from: Hex,
): Promise<{ to: Hex; data: Hex; valueWei?: bigint }> {
  const { price, depthDollars } = await readPrice(rpc, deployment, pool, fair);
  // price: dollars of token 1 that the pool gives for a dollar of token 0. Above 1, token 0 is too dear there: sell it.
  const sellFirst = coin < 0.5 + Math.max(-0.45, Math.min(0.45, Math.log(price) * LEAN));
  const [tokenIn, tokenOut] = sellFirst ? pool.tokens : [pool.tokens[1], pool.tokens[0]];
  const token = deployment.tokens.find((candidate) => candidate.address === tokenIn) ?? deployment.tokens[0];
  const size = Math.min(dollars, depthDollars * DEPTH_SHARE_MAX);
  const units = size / (fair.get(tokenIn) ?? 1);
  const amountIn =
    BigInt(Math.max(1, Math.floor(units * 1e6))) * 10n ** BigInt(Math.max(0, (token?.decimals ?? 18) - 6));
  return swapTransaction(deployment, pool, tokenIn, tokenOut, amountIn, from);
}

/**
 * The memory offset whose first touch costs about `gas` (yellow paper, appendix H: 3w + w²/512 for w words).
 */
function burnOffset(gas: bigint): bigint {
  const words = Math.floor((-3 + Math.sqrt(9 + (4 * Number(gas)) / 512)) * 256);
  return BigInt(Math.max(0, words - 1)) * 32n;
}
