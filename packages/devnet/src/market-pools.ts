import { Interface, keccak256, ZeroAddress } from "ethers";
import { bytesSchema, toWord, type Hex } from "@flashloan/evm/hex";
import type { JsonRpc } from "@flashloan/evm/json-rpc";
import type { Deployment } from "./deployment.ts";

/** A pair of tokens that can be traded somewhere. */
export type MarketPool =
  | { readonly kind: "v2"; readonly tokens: readonly [Hex, Hex]; readonly address: Hex; readonly router: Hex }
  | { readonly kind: "v3"; readonly tokens: readonly [Hex, Hex]; readonly address: Hex; readonly fee: number }
  | {
      readonly kind: "v4";
      readonly tokens: readonly [Hex, Hex];
      readonly id: Hex;
      readonly fee: number;
      readonly tickSpacing: number;
    }
  | {
      readonly kind: "balancer";
      readonly tokens: readonly [Hex, Hex];
      readonly id: Hex;
      readonly address: Hex;
      readonly stable: boolean;
    };

/** Sends a transaction from one of anvil's unlocked accounts; not waiting for its inclusion. */
export type SendFrom = (
  from: Hex,
  transaction: { to: Hex; data: Hex; valueWei?: bigint },
  gas: bigint,
  tipWei: bigint,
) => Promise<Hex>;

const DEADLINE = 10n ** 12n;
const SQRT_PRICE_MIN = 4295128740n;
const SQRT_PRICE_MAX = 1461446703485210103287273052203988822378723970341n;
const ABI = new Interface([
  "function getReserves() view returns (uint112,uint112,uint32)",
  "function slot0() view returns (uint160,int24,uint16,uint16,uint16,uint8,bool)",
  "function liquidity() view returns (uint128)",
  "function extsload(bytes32[]) view returns (bytes32[])",
  "function getPoolTokens(bytes32) view returns (address[],uint256[],uint256)",
  "function getNormalizedWeights() view returns (uint256[])",
  "function swapExactTokensForTokens(uint256,uint256,address[],address,uint256)",
  "function exactInputSingle((address tokenIn,address tokenOut,uint24 fee,address recipient,uint256 deadline,uint256 amountIn,uint256 amountOutMinimum,uint160 sqrtPriceLimitX96)) payable",
  "function swap((address,address,uint24,int24,address) key,(bool,int256,uint160) params,(bool,bool) settings,bytes data) payable",
]);
const VAULT = new Interface([
  "function swap((bytes32,uint8,address,address,uint256,bytes),(address,bool,address,bool),uint256,uint256) payable",
]);

/** Every pair that the simulated traders trade. */
export function listPools(deployment: Deployment): MarketPool[] {
  const v2 = deployment.uniswapV2.flatMap((venue) =>
    venue.pairs.map((pair): MarketPool => ({
      kind: "v2",
      tokens: pair.tokens,
      address: pair.address,
      router: venue.router,
    })),
  );
  const v3 = deployment.uniswapV3.pools.map((pool): MarketPool => ({
    kind: "v3",
    tokens: pool.tokens,
    address: pool.address,
    fee: pool.fee,
  }));
  const v4 = deployment.uniswapV4.pools.map((pool): MarketPool => ({
    kind: "v4",
    tokens: pool.tokens,
    id: pool.id,
    fee: pool.fee,
    tickSpacing: pool.tickSpacing,
  }));
  const balancer = deployment.balancer.pools.flatMap((pool) =>
    pool.tokens.flatMap((one, index) =>
      pool.tokens.slice(index + 1).map((other): MarketPool => ({
        kind: "balancer",
        tokens: [one, other],
        id: pool.id,
        address: pool.address,
        stable: pool.kind === "balancer-stable",
      })),
    ),
  );
  return [...v2, ...v3, ...v4, ...balancer];
}

/** Where a pool stands against fair prices: dollars of token 1 for a dollar of token 0, and the smaller side's depth. */
export async function readPrice(
  rpc: JsonRpc,
  deployment: Deployment,
  pool: MarketPool,
  fair: ReadonlyMap<Hex, number>,
): Promise<{ price: number; depthDollars: number }> {
  const dollars = pool.tokens.map((address) => {
    const token = deployment.tokens.find((candidate) => candidate.address === address);
    return (fair.get(address) ?? 0) / 10 ** (token?.decimals ?? 18);
  });
  const [dollar0 = 0, dollar1 = 0] = dollars;
  const virtual = (reserve0: number, reserve1: number): { price: number; depthDollars: number } => ({
    price: (reserve1 * dollar1) / (reserve0 * dollar0),
    depthDollars: Math.min(reserve0 * dollar0, reserve1 * dollar1),
  });
  switch (pool.kind) {
    case "v2": {
      const [reserve0, reserve1] = await call(rpc, pool.address, "getReserves", []);
      return virtual(Number(reserve0), Number(reserve1));
    }
    case "v3": {
      const [[sqrtPrice], [liquidity]] = await Promise.all([
        call(rpc, pool.address, "slot0", []),
        call(rpc, pool.address, "liquidity", []),
      ]);
      const root = Number(sqrtPrice) / 2 ** 96;
      return virtual(Number(liquidity) / root, Number(liquidity) * root);
    }
    case "v4": {
      const base = BigInt(keccak256(`${pool.id}${toWord(6n)}`));
      const [[slot0 = "0x0", liquidity = "0x0"]] = (await call(rpc, deployment.uniswapV4.poolManager, "extsload", [
        [`0x${toWord(base)}`, `0x${toWord(base + 3n)}`],
      ])) as [string[]];
      const root = Number(BigInt.asUintN(160, BigInt(slot0))) / 2 ** 96;
      return virtual(Number(BigInt(liquidity)) / root, Number(BigInt(liquidity)) * root);
    }
    case "balancer": {
      const [tokens, balances] = (await call(rpc, deployment.balancer.vault, "getPoolTokens", [pool.id])) as [
        string[],
        bigint[],
      ];
      const places = pool.tokens.map((token) => tokens.findIndex((candidate) => candidate.toLowerCase() === token));
      const balanceOf = (place: number | undefined): number => Number(balances[place ?? 0] ?? 0n);
      // A stable pool's price stays near one whatever its balances: lean against the imbalance instead.
      if (pool.stable) return virtual(balanceOf(places[0]), balanceOf(places[1]));
      const [weights] = (await call(rpc, pool.address, "getNormalizedWeights", [])) as [bigint[]];
      const weightOf = (place: number | undefined): number => Number(weights[place ?? 0] ?? 1n) / 1e18;
      return virtual(balanceOf(places[0]) / weightOf(places[0]), balanceOf(places[1]) / weightOf(places[1]));
    }
  }
}

/** The transaction that swaps exactly `amountIn`, by the protocol's own router, at any price. */
export function swapTransaction(
  deployment: Deployment,
  pool: MarketPool,
  tokenIn: Hex,
  tokenOut: Hex,
  amountIn: bigint,
  from: Hex,
): { to: Hex; data: Hex; valueWei?: bigint } {
  const encode = (abi: Interface, method: string, args: readonly unknown[]): Hex =>
    abi.encodeFunctionData(method, args) as Hex;
  switch (pool.kind) {
    case "v2":
      return {
        to: pool.router,
        data: encode(ABI, "swapExactTokensForTokens", [amountIn, 0, [tokenIn, tokenOut], from, DEADLINE]),
      };
    case "v3":
      return {
        to: deployment.uniswapV3.router,
        data: encode(ABI, "exactInputSingle", [
          {
            tokenIn,
            tokenOut,
            fee: pool.fee,
            recipient: from,
            deadline: DEADLINE,
            amountIn,
            amountOutMinimum: 0,
            sqrtPriceLimitX96: 0,
          },
        ]),
      };
    case "v4": {
      const zeroForOne = tokenIn === pool.tokens[0];
      const key = [pool.tokens[0], pool.tokens[1], pool.fee, pool.tickSpacing, ZeroAddress];
      const data = encode(ABI, "swap", [
        key,
        [zeroForOne, -amountIn, zeroForOne ? SQRT_PRICE_MIN : SQRT_PRICE_MAX],
        [false, false],
        "0x",
      ]);
      return { to: deployment.uniswapV4.swapRouter, data, valueWei: tokenIn === ZeroAddress ? amountIn : 0n };
    }
    case "balancer":
      return {
        to: deployment.balancer.vault,
        data: encode(VAULT, "swap", [
          [pool.id, 0, tokenIn, tokenOut, amountIn, "0x"],
          [from, false, from, false],
          0,
          DEADLINE,
        ]),
      };
  }
}

async function call(rpc: JsonRpc, to: Hex, method: string, args: readonly unknown[]): Promise<readonly unknown[]> {
  const result = await rpc.request(
    "eth_call",
    [{ to, data: ABI.encodeFunctionData(method, args) }, "latest"],
    bytesSchema,
  );
  return ABI.decodeFunctionResult(method, result);
}
