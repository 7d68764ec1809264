import { AbiCoder, MaxUint256, ZeroAddress, ZeroHash } from "ethers";
import { expect } from "vitest";
import { z } from "zod";
import { readArtifact } from "@flashloan/devnet/artifacts";
import { devAccounts, ROLES } from "@flashloan/devnet/deploy";
import { listPools, swapTransaction } from "@flashloan/devnet/market-pools";
import { getNonce } from "@flashloan/evm/chain";
import { hashSchema, toQuantity, type Hex } from "@flashloan/evm/hex";
import { PATIENCE_MS, type TestChain } from "./devnet.ts";

const POSITION_MANAGER =
  "@uniswap/v3-periphery/artifacts/contracts/NonfungiblePositionManager.sol/NonfungiblePositionManager.json";
const LIQUIDITY_ROUTER = "@uniswap/v4-core/out/PoolModifyLiquidityTest.sol/PoolModifyLiquidityTest.json";
const MODIFY_LIQUIDITY = "modifyLiquidity((address,address,uint24,int24,address),(int24,int24,int256,bytes32),bytes)";
const VAULT = [
  "function joinPool(bytes32,address,address,(address[] assets,uint256[] maxAmountsIn,bytes userData,bool fromInternalBalance)) payable",
  "function exitPool(bytes32,address,address,(address[] assets,uint256[] minAmountsOut,bytes userData,bool toInternalBalance))",
];

/** Swaps once in each pool of the deployment, in its first direction; a block for each where the chain mines at once. */
export async function tradeEverywhere(chain: TestChain): Promise<void> {
  const trader = (await devAccounts(chain.rpc))[ROLES.traders[0]] as Hex;
  const pools = listPools(chain.deployment);
  const nonce = await getNonce(chain.rpc, trader, "latest");
  for (const pool of pools) {
    const [tokenIn, tokenOut] = pool.tokens;
    const decimals = chain.deployment.tokens.find(({ address }) => address === tokenIn)?.decimals ?? 18;
    const {
      to,
      data,
      valueWei = 0n,
    } = swapTransaction(chain.deployment, pool, tokenIn, tokenOut, 10n ** BigInt(decimals) / 50n, trader);
    const transaction = { from: trader, to, data, value: toQuantity(valueWei), gas: toQuantity(600_000) };
    await chain.rpc.request("eth_sendTransaction", [transaction], hashSchema);
  }
  await expect
    .poll(() => getNonce(chain.rpc, trader, "latest"), { timeout: PATIENCE_MS, interval: 5 })
    .toBe(nonce + pools.length);
}

/** Sells so much WETH to one pair that its price leaves the others' by several percent. */
export async function openGap(chain: TestChain): Promise<void> {
  const whale = (await devAccounts(chain.rpc))[ROLES.whale] as Hex;
  const { weth } = chain.deployment;
  const pool = listPools(chain.deployment).find(({ kind, tokens }) => kind === "v2" && tokens.includes(weth));
  if (!pool) throw new Error("the deployment has no pair with WETH");
  const other = pool.tokens.find((token) => token !== weth) as Hex;
  const { to, data } = swapTransaction(chain.deployment, pool, weth, other, 40n * 10n ** 18n, whale);
  await chain.rpc.request("eth_sendTransaction", [{ from: whale, to, data, gas: toQuantity(600_000) }], hashSchema);
}

/** Mines empty blocks. */
export async function mine(chain: TestChain, count = 1): Promise<void> {
  await chain.rpc.request("anvil_mine", [toQuantity(count)], z.unknown());
}

/** Adds a V3 position, shrinks it, and takes it away; `step` runs after each transaction. */
export async function changeV3Liquidity(chain: TestChain, step: () => Promise<void>): Promise<void> {
  const { deployer, deployment } = chain;
  const pool = deployment.uniswapV3.pools[0] as (typeof deployment.uniswapV3.pools)[number];
  const [token0, token1] = pool.tokens;
  const manager = deployer.at(deployment.uniswapV3.positionManager, readArtifact(POSITION_MANAGER).abi);
  const poolContract = deployer.at(pool.address, ["function slot0() view returns (uint160,int24)"]);
  const [, tick] = (await deployer.read(poolContract, "slot0")) as [bigint, bigint];
  const base = Math.floor(Number(tick) / pool.tickSpacing) * pool.tickSpacing;
  const spacing = pool.tickSpacing;
  // Around the price, above it, below it, and one that begins where the first ends: its net there cancels.
  const ranges = [
    [base - 7 * spacing, base + 9 * spacing],
    [base + 20 * spacing, base + 30 * spacing],
    [base - 30 * spacing, base - 20 * spacing],
    [base + 9 * spacing, base + 13 * spacing],
  ] as const;
  const deadline = MaxUint256;
  for (const [tickLower, tickUpper] of ranges) {
    const amounts = { amount0Desired: 10n ** 9n, amount1Desired: 10n ** 9n, amount0Min: 0, amount1Min: 0 };
    await deployer.send(manager, "mint", [
      { token0, token1, fee: pool.fee, tickLower, tickUpper, ...amounts, recipient: deployer.account, deadline },
    ]);
    await step();
  }
  const [held] = (await deployer.read(manager, "balanceOf", [deployer.account])) as [bigint];
  for (let index = held - BigInt(ranges.length); index < held; index++) {
    const [tokenId] = await deployer.read(manager, "tokenOfOwnerByIndex", [deployer.account, index]);
    const position = await deployer.read(manager, "positions", [tokenId]);
    const liquidity = position[7] as bigint;
    const maximum = (1n << 128n) - 1n;
    for (const part of [liquidity / 3n, liquidity - liquidity / 3n]) {
      await deployer.send(manager, "decreaseLiquidity", [
        { tokenId, liquidity: part, amount0Min: 0, amount1Min: 0, deadline },
      ]);
      await step();
    }
    await deployer.send(manager, "collect", [
      { tokenId, recipient: deployer.account, amount0Max: maximum, amount1Max: maximum },
    ]);
    await step();
  }
}

/** Adds, shrinks and removes V4 positions; `step` runs after each transaction. */
export async function changeV4Liquidity(chain: TestChain, step: () => Promise<void>): Promise<void> {
  const { deployer, deployment } = chain;
  const pool =
    deployment.uniswapV4.pools.find(({ tokens }) => !tokens.includes(ZeroAddress as Hex)) ??
    deployment.uniswapV4.pools[0];
  if (!pool) throw new Error("the deployment has no V4 pool");
  const router = deployer.at(deployment.uniswapV4.liquidityRouter, readArtifact(LIQUIDITY_ROUTER).abi);
  const key = [...pool.tokens, pool.fee, pool.tickSpacing, pool.hooks];
  const spacing = pool.tickSpacing;
  for (const [lower, upper] of [
    [-3 * spacing, 4 * spacing],
    [4 * spacing, 9 * spacing],
  ] as const)
    for (const delta of [10n ** 9n, 5n * 10n ** 8n, -(10n ** 9n), -5n * 10n ** 8n]) {
      await deployer.send(router, MODIFY_LIQUIDITY, [key, [lower, upper, delta, ZeroHash], "0x"]);
      await step();
    }
}

/** Joins and leaves each Balancer pool; `step` runs after each transaction. */
export async function changeBalancerLiquidity(chain: TestChain, step: () => Promise<void>): Promise<void> {
  const { deployer, deployment } = chain;
  const vault = deployer.at(deployment.balancer.vault, VAULT);
  const coder = AbiCoder.defaultAbiCoder();
  for (const pool of deployment.balancer.pools) {
    const amounts = pool.tokens.map((_, index) => 10n ** 6n * BigInt(index + 1));
    const join = coder.encode(["uint256", "uint256[]", "uint256"], [1, amounts, 0]);
    const assets = [...pool.tokens];
    await deployer.send(vault, "joinPool", [
      pool.id,
      deployer.account,
      deployer.account,
      [assets, amounts, join, false],
    ]);
    await step();
    // EXACT_BPT_IN_FOR_TOKENS_OUT is 1 for weighted pools, and 1 for the stable pool of this deployment.
    const exit = coder.encode(["uint256", "uint256"], [1, 10n ** 15n]);
    await deployer.send(vault, "exitPool", [
      pool.id,
      deployer.account,
      deployer.account,
      [assets, assets.map(() => 0), exit, false],
    ]);
    await step();
  }
}
