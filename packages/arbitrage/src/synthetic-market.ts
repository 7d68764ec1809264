import { depthOf } from "@flashloan/amm/curve";
import { NATIVE_TOKEN, type Address, type Pool, type PoolId } from "@flashloan/amm/pool";
import { spotPrice, swapExactIn } from "@flashloan/amm/quote";
import { sqrtPriceAtTick, tickAtSqrtPrice } from "@flashloan/amm/tick-math";

/** What a synthetic market is made of. */
export type SyntheticMarketOptions = {
  readonly pools: number;
  readonly seed: number;
  /** `v2`: Uniswap V2 and a fork with another fee; `all`: every kind. Default `all`. */
  readonly kinds?: "v2" | "all";
  /** Standard deviation of a pool's price around its fair price (natural logarithm). Default 0.001. */
  readonly noise?: number;
};

/** A token of the market. */
export type SyntheticToken = {
  readonly address: Address;
  readonly decimals: number;
  readonly usd: number;
};

/** A seeded market for tests and benchmarks: its pools, and an endless stream of their next states. */
export type SyntheticMarket = {
  readonly weth: Address;
  readonly tokens: readonly SyntheticToken[];
  /** The present pools; `nextUpdate` changes them. */
  readonly pools: readonly Pool[];
  /** Trades on a random pool, partly back towards the fair price, and returns its new state. */
  readonly nextUpdate: () => Pool;
};

/** The Vault that all Balancer pools of the market share. */
export const SYNTHETIC_VAULT: Address = `0x${"ba".repeat(20)}`;
/** The PoolManager that all V4 pools of the market share. */
export const SYNTHETIC_POOL_MANAGER: Address = `0x${"44".repeat(20)}`;

/** Tokens that others are traded against, by share of the second pools of a token. */
const HUBS: readonly { decimals: number; usd: number; isStable: boolean }[] = [
  { decimals: 18, usd: 3_000, isStable: false },
  { decimals: 6, usd: 1, isStable: true },
  { decimals: 6, usd: 1, isStable: true },
  { decimals: 18, usd: 1, isStable: true },
  { decimals: 8, usd: 90_000, isStable: false },
];
const DECIMALS = [18, 18, 18, 18, 18, 18, 9, 8, 6, 18] as const;
const NOISE_DEFAULT = 0.001;
/** One trade in so many is a whale's, with this many times the usual price move. */
const WHALE_ONE_IN = 50;
const WHALE_FACTOR = 8;
/** The share of a pool's mispricing that its next trade leaves. */
const PERSISTENCE = 0.5;
const Q96 = 2 ** 96;

type Generator = {
  readonly next: () => number;
  readonly normal: () => number;
  readonly pick: <T>(list: readonly T[]) => T;
};

/**
 * Makes a market shaped like a real one: five hub tokens traded against each other in several pools, and long-tail
 * tokens of which most trade against WETH in one to four pools and a third against a second hub too.
 */
export function createSyntheticMarket(options: SyntheticMarketOptions): SyntheticMarket {
  const random = createGenerator(options.seed);
  const noise = options.noise ?? NOISE_DEFAULT;
  const kinds = options.kinds ?? "all";
  const tokens: SyntheticToken[] = HUBS.map((hub, k) => ({ ...hub, address: tokenAddress(k) }));
  const pools: Pool[] = [];
  const add = (a: number, b: number, usd: number): void => {
    if (pools.length >= options.pools) return;
    pools.push(
      createPool(
        random,
        pools.length,
        [tokens[a] as SyntheticToken, tokens[b] as SyntheticToken],
        usd,
        noise,
        kinds,
        isStablePair(a, b),
      ),
    );
  };
  const hubPools = Math.max(1, Math.min(6, Math.floor(options.pools / 40)));
  for (let a = 0; a < HUBS.length; a += 1) {
    for (let b = a + 1; b < HUBS.length; b += 1) {
      for (let k = 0; k < hubPools; k += 1) add(a, b, 10 ** (5.5 + 2 * random.next()));
    }
  }
  while (pools.length < options.pools) {
    const token = tokens.length;
    tokens.push({
      address: tokenAddress(token),
      decimals: random.pick(DECIMALS),
      usd: 10 ** (random.next() * 6 - 4),
    });
    const usd = 10 ** (3.5 + 3 * random.next());
    const withWeth = random.next() < 0.9;
    let wethPools = withWeth ? 1 : 0;
    while (wethPools > 0 && wethPools < 4 && random.next() < 0.5) wethPools += 1;
    for (let k = 0; k < wethPools; k += 1) add(0, token, usd * 3 ** (random.next() * 2 - 1));
    if (!withWeth || random.next() < 0.3) {
      add(1 + Math.floor(random.next() ** 2 * (HUBS.length - 1)), token, usd * random.next());
    }
  }
  const byAddress = new Map(tokens.map((token) => [token.address, token]));
  const fairLog = (pool: Pool): number => {
    const [from, to] = pool.tokens.map(
      (address) =>
        byAddress.get(address === NATIVE_TOKEN ? (tokens[0]?.address as Address) : address) as SyntheticToken,
    ) as [SyntheticToken, SyntheticToken];
    return Math.log(from.usd / to.usd) + (to.decimals - from.decimals) * Math.LN10;
  };
  const nextUpdate = (): Pool => {
    const at = Math.floor(random.next() * pools.length);
    const pool = pools[at] as Pool;
    const off = (Math.log(spotPrice(pool, 0, 1)) - Math.log(spotPrice(pool, 1, 0))) / 2 - fairLog(pool);
    const whale = random.next() < 1 / WHALE_ONE_IN ? WHALE_FACTOR : 1;
    const move = off * PERSISTENCE + random.normal() * noise * whale - off;
    const next = moved(pool, move);
    pools[at] = next;
    return next;
  };
  return { weth: tokenAddress(0), tokens, pools, nextUpdate };
}

function isStablePair(a: number, b: number): boolean {
  return HUBS[a]?.isStable === true && HUBS[b]?.isStable === true;
}

/** The pool after a trade that moves ln of its price of token 0 by about `move`. */
function moved(pool: Pool, move: number): Pool {
  const [i, j] = move < 0 ? [0, 1] : [1, 0];
  const { reserveIn } = depthOf(pool, i, j);
  const amountIn = BigInt(Math.floor(Math.max(0, reserveIn * Math.expm1(Math.abs(move) / 2))));
  try {
    return swapExactIn(pool, i, j, amountIn).pool;
  } catch {
    // Too small to buy a unit, or too large for the pool: nobody trades.
    return { ...pool };
  }
}

function createPool(
  random: Generator,
  number: number,
  pair: readonly [SyntheticToken, SyntheticToken],
  usd: number,
  noise: number,
  kinds: "v2" | "all",
  isStable: boolean,
): Pool {
  const [a, b] = pair[0].address < pair[1].address ? pair : [pair[1], pair[0]];
  const offset = random.normal() * noise;
  const amounts: [number, number] = [
    (usd / a.usd) * 10 ** a.decimals * Math.exp(-offset / 2),
    (usd / b.usd) * 10 ** b.decimals * Math.exp(offset / 2),
  ];
  const tokens = [a.address, b.address] as const;
  const kind = kinds === "v2" ? 0 : random.next();
  const whole = (x: number): bigint => BigInt(Math.max(1_000, Math.floor(x)));
  const id = poolId(number, 20);
  if (kind >= 0.95) {
    const base = {
      id: poolId(number, 32),
      address: SYNTHETIC_VAULT,
      tokens,
      balances: amounts.map(whole),
      scalingFactors: [10n ** BigInt(18 - a.decimals), 10n ** BigInt(18 - b.decimals)],
    };
    if (isStable) {
      return { ...base, kind: "balancer-stable", swapFee: 4n * 10n ** 14n, amplification: 200_000n };
    }
    const half = 5n * 10n ** 17n;
    return { ...base, kind: "balancer-weighted", swapFee: 2n * 10n ** 15n, weights: [half, half] };
  }
  if (kind >= 0.65) {
    const feePpm = random.pick([500, 3_000, 3_000, 10_000]);
    const isV4 = kind >= 0.88;
    const state = concentrated(random, amounts, feePpm);
    if (!isV4) return { kind: "uniswap-v3", id, address: id, tokens, feePpm, ...state };
    return {
      kind: "uniswap-v4",
      id: poolId(number, 32),
      address: SYNTHETIC_POOL_MANAGER,
      tokens,
      keyFee: feePpm,
      lpFeePpm: feePpm,
      protocolFee: 0,
      hooks: NATIVE_TOKEN,
      ...state,
    };
  }
  const isFork = random.next() < 0.3;
  return {
    kind: "uniswap-v2",
    id,
    address: id,
    tokens,
    reserves: [whole(amounts[0]), whole(amounts[1])],
    feeNumerator: isFork ? 9_975n : 997n,
    feeDenominator: isFork ? 10_000n : 1_000n,
  };
}

/** A wide position under two narrow ones around the price that the amounts give. */
function concentrated(random: Generator, amounts: readonly [number, number], feePpm: number) {
  const tickSpacing = feePpm === 500 ? 10 : feePpm === 3_000 ? 60 : 200;
  const sqrtPriceX96 = BigInt(Math.floor(Math.sqrt(amounts[1] / amounts[0]) * Q96));
  const tick = tickAtSqrtPrice(sqrtPriceX96);
  const liquidity = Math.sqrt(amounts[0] * amounts[1]);
  const nets = new Map<number, bigint>();
  let inRange = 0n;
  for (const [width, share] of [
    [20_000, 1],
    [2_000, 1 + 2 * random.next()],
    [400, 3 * random.next()],
  ] as const) {
    const delta = BigInt(Math.floor(liquidity * share));
    const lower = Math.floor((tick - width * (0.5 + random.next())) / tickSpacing) * tickSpacing;
    const upper = Math.ceil((tick + width * (0.5 + random.next())) / tickSpacing) * tickSpacing;
    nets.set(lower, (nets.get(lower) ?? 0n) + delta);
    nets.set(upper, (nets.get(upper) ?? 0n) - delta);
    inRange += delta;
  }
  const ticks = [...nets.keys()].toSorted((x, y) => x - y);
  return {
    tickSpacing,
    sqrtPriceX96: sqrtPriceX96 < sqrtPriceAtTick(tick) ? sqrtPriceAtTick(tick) : sqrtPriceX96,
    tick,
    liquidity: inRange,
    ticks,
    liquidityNets: ticks.map((at) => nets.get(at) as bigint),
  };
}

function tokenAddress(number: number): Address {
  return `0x${(number + 0x1000).toString(16).padStart(40, "0")}`;
}

function poolId(number: number, bytes: 20 | 32): PoolId {
  return `0x${bytes === 20 ? "20" : "32"}${number.toString(16).padStart(bytes * 2 - 2, "0")}`;
}

/** mulberry32, and the normal deviates of Box and Muller. */
function createGenerator(seed: number): Generator {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    pick: (list) => list[Math.floor(next() * list.length)] as never,
  };
}
