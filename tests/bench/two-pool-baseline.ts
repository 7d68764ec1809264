import { BigNumber } from "@ethersproject/bignumber";
import type { Address, Pool } from "@flashloan/amm/pool";

// The well-known baseline, written anew after flashbots/simple-arbitrage: for each token it compares every two Uniswap
// V2 pools against WETH, and where their prices cross it tries nine fixed sizes, in arbitrary-precision integers. When
// a size does worse than the one before, it meets halfway and stops.

/** Arbitrary-precision integers, so that the same scan runs in native BigInt and in the original's own numbers. */
export type Arithmetic<N> = {
  readonly of: (value: bigint) => N;
  readonly add: (a: N, b: N) => N;
  readonly subtract: (a: N, b: N) => N;
  readonly multiply: (a: N, b: N) => N;
  /** Rounded towards zero. */
  readonly divide: (a: N, b: N) => N;
  readonly less: (a: N, b: N) => boolean;
  readonly toBigint: (value: N) => bigint;
};

/** Native BigInt: the fastest that the baseline can be. */
export const nativeArithmetic: Arithmetic<bigint> = {
  of: (value) => value,
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  divide: (a, b) => a / b,
  less: (a, b) => a < b,
  toBigint: (value) => value,
};

/** ethers v5's BigNumber, which the original computes in. */
export const ethersArithmetic: Arithmetic<BigNumber> = {
  of: (value) => BigNumber.from(value.toString()),
  add: (a, b) => a.add(b),
  subtract: (a, b) => a.sub(b),
  multiply: (a, b) => a.mul(b),
  divide: (a, b) => a.div(b),
  less: (a, b) => a.lt(b),
  toBigint: (value) => value.toBigInt(),
};

/** A V2 pool against WETH, in the numbers of one arithmetic. */
export type TwoPoolMarket<N> = {
  readonly wethReserve: N;
  readonly tokenReserve: N;
  readonly feeNumerator: N;
  readonly feeDenominator: N;
};

/** The best of what a scan found for one token. */
export type CrossedMarket<N> = { readonly volume: N; readonly profit: N };

/** The baseline's markets: V2 pools against WETH by their other token; tokens with one pool are left out. */
export function groupMarkets<N>(
  pools: readonly Pool[],
  weth: Address,
  arithmetic: Arithmetic<N>,
): Map<Address, TwoPoolMarket<N>[]> {
  const markets = new Map<Address, TwoPoolMarket<N>[]>();
  for (const pool of pools) {
    if (pool.kind !== "uniswap-v2" || !pool.tokens.includes(weth)) continue;
    const wethFirst = pool.tokens[0] === weth;
    const [wethReserve, tokenReserve] = wethFirst ? pool.reserves : [pool.reserves[1], pool.reserves[0]];
    const { of } = arithmetic;
    const market = {
      wethReserve: of(wethReserve),
      tokenReserve: of(tokenReserve),
      feeNumerator: of(pool.feeNumerator),
      feeDenominator: of(pool.feeDenominator),
    };
    const token = pool.tokens[wethFirst ? 1 : 0];
    const list = markets.get(token);
    if (list === undefined) markets.set(token, [market]);
    else list.push(market);
  }
  for (const [token, list] of markets) if (list.length < 2) markets.delete(token);
  return markets;
}

const ETHER = 10n ** 18n;
const SIZES_WEI: readonly bigint[] = [
  ETHER / 100n,
  ETHER / 10n,
  ETHER / 6n,
  ETHER / 4n,
  ETHER / 2n,
  ETHER,
  2n * ETHER,
  5n * ETHER,
  10n * ETHER,
];

/** A full scan in one arithmetic, ready to be run again and again. */
export function createTwoPoolScan<N>(
  arithmetic: Arithmetic<N>,
): (markets: ReadonlyMap<Address, readonly TwoPoolMarket<N>[]>) => CrossedMarket<N>[] {
  const { add, subtract, multiply, divide, less, of } = arithmetic;
  const [zero, one, two, probe, unaffordable] = [of(0n), of(1n), of(2n), of(ETHER / 100n), of(1n << 256n)];
  const sizes = SIZES_WEI.map(of);

  const amountOut = (market: TwoPoolMarket<N>, reserveIn: N, reserveOut: N, amountIn: N): N => {
    const afterFee = multiply(amountIn, market.feeNumerator);
    return divide(multiply(afterFee, reserveOut), add(multiply(reserveIn, market.feeDenominator), afterFee));
  };
  /** Tokens for so much WETH. */
  const buy = (market: TwoPoolMarket<N>, weth: N): N =>
    amountOut(market, market.wethReserve, market.tokenReserve, weth);
  /** WETH for so many tokens. */
  const sell = (market: TwoPoolMarket<N>, tokens: N): N =>
    amountOut(market, market.tokenReserve, market.wethReserve, tokens);
  /** Tokens that so much WETH costs; the whole reserve costs more than there is. */
  const cost = (market: TwoPoolMarket<N>, weth: N): N => {
    if (!less(weth, market.wethReserve)) return unaffordable;
    const numerator = multiply(multiply(market.tokenReserve, weth), market.feeDenominator);
    return add(divide(numerator, multiply(subtract(market.wethReserve, weth), market.feeNumerator)), one);
  };
  const attempt = (from: TwoPoolMarket<N>, to: TwoPoolMarket<N>, volume: N): CrossedMarket<N> => ({
    volume,
    profit: subtract(sell(to, buy(from, volume)), volume),
  });
  const bestSize = (
    from: TwoPoolMarket<N>,
    to: TwoPoolMarket<N>,
    before: CrossedMarket<N> | undefined,
  ): CrossedMarket<N> | undefined => {
    let best = before;
    for (const size of sizes) {
      const result = attempt(from, to, size);
      if (best !== undefined && less(result.profit, best.profit)) {
        const halfway = attempt(from, to, divide(add(size, best.volume), two));
        return less(best.profit, halfway.profit) ? halfway : best;
      }
      best = result;
    }
    return best;
  };

  return (markets) => {
    const found: CrossedMarket<N>[] = [];
    for (const pools of markets.values()) {
      const priced = pools.map((market) => ({ market, buyPrice: cost(market, probe), sellPrice: buy(market, probe) }));
      let best: CrossedMarket<N> | undefined;
      for (const seller of priced)
        for (const buyer of priced)
          if (less(buyer.buyPrice, seller.sellPrice)) best = bestSize(seller.market, buyer.market, best);
      if (best !== undefined && less(zero, best.profit)) found.push(best);
    }
    return found;
  };
}
