import { AMP_PRECISION } from "./balancer-stable.ts";
import { MAX_VAULT_BALANCE } from "./balancer-vault.ts";
import { lastIndexAtMost } from "./concentrated.ts";
import { ONE } from "./fixed-point.ts";
import {
  AmmError,
  type BalancerStablePool,
  type BalancerWeightedPool,
  type ConcentratedLiquidity,
  type Pool,
  type UniswapV2Pool,
} from "./pool.ts";
import { MAX_SQRT_PRICE_X96, MAX_TICK, MIN_SQRT_PRICE_X96, MIN_TICK, sqrtPriceAtTick } from "./tick-math.ts";
import { MAX_RESERVE } from "./uniswap-v2.ts";

const ADDRESS = /^0x[0-9a-f]{40}$/;
const POOL_ID = /^0x(?:[0-9a-f]{40}|[0-9a-f]{64})$/;
const MAX_FEE_PPM = 1_000_000;
const MAX_PROTOCOL_FEE_PPM = 1_000;
const MAX_TICK_SPACING = 32_767;
const MAX_LIQUIDITY = (1n << 128n) - 1n;
/** Initialized ticks in one pool; the densest real pools have under 3,000. */
const MAX_TICKS = 100_000;
/** Balancer's limits: swap fee below 10 %, weights of at least 1 %, amplification of 1 to 5,000. */
const MAX_BALANCER_FEE = ONE / 10n;
const MIN_WEIGHT = ONE / 100n;
const MAX_AMPLIFICATION = 5_000n * AMP_PRECISION;
const MAX_WEIGHTED_TOKENS = 8;
const MAX_STABLE_TOKENS = 5;
/** 10^18: a token without decimals. Tokens with more than 18 cannot be registered. */
const MAX_SCALING_FACTOR = 10n ** 18n;

/**
 * Refuses states that the protocol could not be in, so that rubbish from an RPC or a lying contract stops here.
 *
 * @param previous a valid earlier state of the same pool: lists that both share are not checked again.
 * @throws AmmError `invalid-state` with the field, its value and the limit in the message.
 */
export function validatePool(pool: Pool, previous?: Pool): void {
  check(typeof pool === "object" && pool !== null, "the pool is not an object");
  if (previous === undefined || previous.id !== pool.id || previous.tokens !== pool.tokens) {
    validateIdentity(pool);
  }
  switch (pool.kind) {
    case "uniswap-v2":
      return validateV2(pool);
    case "uniswap-v3":
      check(isPpm(pool.feePpm) && pool.feePpm < MAX_FEE_PPM, () => `feePpm ${pool.feePpm} is no fee`);
      return validateConcentrated(pool, previous);
    case "uniswap-v4":
      check(isPpm(pool.lpFeePpm), () => `lpFeePpm ${pool.lpFeePpm} is no fee`);
      check(ADDRESS.test(pool.hooks), () => `hooks ${pool.hooks} is not an address`);
      check(
        (pool.protocolFee & 0xfff) <= MAX_PROTOCOL_FEE_PPM && pool.protocolFee >>> 12 <= MAX_PROTOCOL_FEE_PPM,
        () => `protocolFee ${pool.protocolFee} is over ${MAX_PROTOCOL_FEE_PPM} ppm in a direction`,
      );
      return validateConcentrated(pool, previous);
    case "balancer-weighted":
      return validateWeighted(pool);
    case "balancer-stable":
      return validateStable(pool);
    default:
      throw new AmmError("invalid-state", `unknown pool kind ${(pool as Pool).kind}`);
  }
}

function validateIdentity(pool: Pool): void {
  check(POOL_ID.test(pool.id), () => `id ${pool.id} is not 20 or 32 lower-case hex bytes`);
  check(ADDRESS.test(pool.address), () => `address ${pool.address} is not 20 lower-case hex bytes`);
  check(Array.isArray(pool.tokens), "tokens is not a list");
  for (const token of pool.tokens) {
    check(ADDRESS.test(token), () => `token ${token} is not 20 lower-case hex bytes`);
  }
  check(new Set(pool.tokens).size === pool.tokens.length, "a token is listed twice");
}

function validateV2(pool: UniswapV2Pool): void {
  check(pool.tokens.length === 2, "a pair has two tokens");
  for (const reserve of pool.reserves) {
    check(typeof reserve === "bigint" && reserve > 0n, () => `reserve ${reserve} is not positive`);
    check(reserve <= MAX_RESERVE, () => `reserve ${reserve} does not fit 112 bits`);
  }
  check(pool.reserves.length === 2, "a pair has two reserves");
  const { feeNumerator, feeDenominator } = pool;
  check(
    feeNumerator > 0n && feeNumerator <= feeDenominator && feeDenominator <= 1_000_000n,
    () => `fee ${feeNumerator}/${feeDenominator} is not a share of the input`,
  );
}

function validateConcentrated(
  pool: ConcentratedLiquidity & { tokens: readonly string[] },
  previous: Pool | undefined,
): void {
  const { sqrtPriceX96, tick, liquidity, tickSpacing, ticks, liquidityNets } = pool;
  check(pool.tokens.length === 2, "the pool has two tokens");
  check(
    Number.isInteger(tickSpacing) && tickSpacing >= 1 && tickSpacing <= MAX_TICK_SPACING,
    () => `tickSpacing ${tickSpacing} is not between 1 and ${MAX_TICK_SPACING}`,
  );
  check(
    sqrtPriceX96 >= MIN_SQRT_PRICE_X96 && sqrtPriceX96 < MAX_SQRT_PRICE_X96,
    () => `sqrtPriceX96 ${sqrtPriceX96} is out of range (an uninitialized pool has 0)`,
  );
  check(Number.isInteger(tick) && tick >= MIN_TICK - 1 && tick <= MAX_TICK, () => `tick ${tick} is out of range`);
  validateTickMatchesPrice(sqrtPriceX96, tick);
  check(liquidity >= 0n && liquidity <= MAX_LIQUIDITY, () => `liquidity ${liquidity} is out of range`);
  check(ticks.length === liquidityNets.length, "ticks and liquidityNets differ in length");
  check(ticks.length <= MAX_TICKS, () => `over ${MAX_TICKS} initialized ticks`);
  const isKnown =
    previous !== undefined &&
    "ticks" in previous &&
    previous.ticks === ticks &&
    previous.liquidityNets === liquidityNets &&
    previous.tickSpacing === tickSpacing;
  if (!isKnown) validateTicks(ticks, liquidityNets, tickSpacing);
  const below = lastIndexAtMost(ticks, tick);
  const from = isKnown ? lastIndexAtMost(ticks, previous.tick) : -1;
  let sum = isKnown ? previous.liquidity : 0n;
  for (let k = from + 1; k <= below; k += 1) sum += liquidityNets[k] as bigint;
  for (let k = from; k > below; k -= 1) sum -= liquidityNets[k] as bigint;
  check(sum === liquidity, () => `liquidity ${liquidity} differs from the sum ${sum} of the nets up to tick ${tick}`);
}

/** The price lies in its tick's interval; on the boundary a downward crossing leaves the tick one lower. */
function validateTickMatchesPrice(sqrtPriceX96: bigint, tick: number): void {
  // A float logarithm is good to 1e−7 ticks: only near a boundary does it take the exact prices.
  const inTick = (2 * Math.log(Number(sqrtPriceX96) / 2 ** 96)) / Math.log(1.0001) - tick;
  if (inTick > 1e-6 && inTick < 1 - 1e-6) return;
  const message = (): string => `tick ${tick} does not match sqrtPriceX96 ${sqrtPriceX96}`;
  check(tick < MIN_TICK || sqrtPriceAtTick(tick) <= sqrtPriceX96, message);
  check(tick >= MAX_TICK || sqrtPriceX96 <= sqrtPriceAtTick(tick + 1), message);
}

function validateTicks(ticks: readonly number[], liquidityNets: readonly bigint[], tickSpacing: number): void {
  let previous = Number.NEGATIVE_INFINITY;
  let sum = 0n;
  for (let k = 0; k < ticks.length; k += 1) {
    const tick = ticks[k] as number;
    check(
      Number.isInteger(tick) && tick >= MIN_TICK && tick <= MAX_TICK && tick % tickSpacing === 0,
      () => `initialized tick ${tick} is out of range or off the spacing ${tickSpacing}`,
    );
    check(tick > previous, () => `ticks are not ascending at ${tick}`);
    previous = tick;
    sum += liquidityNets[k] as bigint;
    check(sum >= 0n && sum <= MAX_LIQUIDITY, () => `liquidity above tick ${tick} is out of range`);
  }
  check(sum === 0n, () => `liquidityNets sum to ${sum}, not 0`);
}

function validateBalances(pool: BalancerWeightedPool | BalancerStablePool, tokensMax: number): void {
  const count = pool.tokens.length;
  check(count >= 2 && count <= tokensMax, () => `${count} tokens are not between 2 and ${tokensMax}`);
  check(pool.balances.length === count, "balances and tokens differ in length");
  check(pool.scalingFactors.length === count, "scalingFactors and tokens differ in length");
  for (const balance of pool.balances) {
    check(typeof balance === "bigint" && balance > 0n, () => `balance ${balance} is not positive`);
    check(balance <= MAX_VAULT_BALANCE, () => `balance ${balance} does not fit 112 bits`);
  }
  for (const factor of pool.scalingFactors) {
    check(
      factor >= 1n && factor <= MAX_SCALING_FACTOR && /^10*$/.test(String(factor)),
      () => `scaling factor ${factor} is not a power of ten up to 10^18`,
    );
  }
  check(pool.swapFee >= 0n && pool.swapFee <= MAX_BALANCER_FEE, () => `swapFee ${pool.swapFee} is over 10 %`);
}

function validateWeighted(pool: BalancerWeightedPool): void {
  validateBalances(pool, MAX_WEIGHTED_TOKENS);
  check(pool.weights.length === pool.tokens.length, "weights and tokens differ in length");
  let sum = 0n;
  for (const weight of pool.weights) {
    check(weight >= MIN_WEIGHT && weight < ONE, () => `weight ${weight} is not between 1 % and 100 %`);
    sum += weight;
  }
  check(sum === ONE, () => `weights sum to ${sum}, not 10^18`);
}

function validateStable(pool: BalancerStablePool): void {
  validateBalances(pool, MAX_STABLE_TOKENS);
  check(
    pool.amplification >= AMP_PRECISION && pool.amplification <= MAX_AMPLIFICATION,
    () => `amplification ${pool.amplification} is not between 1 and 5,000 times ${AMP_PRECISION}`,
  );
}

function isPpm(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= MAX_FEE_PPM;
}

/** The message is made only where it is thrown: big integers are slow to print, and this runs on every update. */
function check(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new AmmError("invalid-state", typeof message === "string" ? message : message());
}
