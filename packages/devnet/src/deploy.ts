import { AbiCoder, getAddress, Interface, keccak256, MaxUint256, parseEther, ZeroAddress, ZeroHash } from "ethers";
import { z } from "zod";
import { getHead, getHeader } from "@flashloan/evm/chain";
import { addressSchema, hashSchema, type Hex } from "@flashloan/evm/hex";
import type { JsonRpc } from "@flashloan/evm/json-rpc";
import { FlashloanError } from "@flashloan/shared/errors";
import { executorArtifact } from "@flashloan/contracts/artifact";
import { link, readArtifact, readBalancerArtifact, type Artifact } from "./artifacts.ts";
import { Deployer, type Contract } from "./deployer.ts";
import type { Deployment, DevnetToken } from "./deployment.ts";

/** Who is who among anvil's unlocked accounts. */
export const ROLES = {
  deployer: 0,
  operator: 1,
  rival: 2,
  load: 3,
  whale: 4,
  traders: [5, 6, 7, 8],
  treasury: 9,
  rivalTreasury: 10,
  owner: 11,
} as const;

const DEADLINE = 10n ** 12n;
/** Uniswap V3 full range at a tick spacing. */
const fullRange = (spacing: number): [number, number] => [
  -Math.floor(887272 / spacing) * spacing,
  Math.floor(887272 / spacing) * spacing,
];

/** The unlocked accounts, in anvil's order, lower case. */
export function devAccounts(rpc: JsonRpc): Promise<Hex[]> {
  return rpc.request("eth_accounts", [], z.array(addressSchema));
}

/** What the parts of a deployment share. */
interface Context {
  readonly deployer: Deployer;
  readonly accounts: readonly Hex[];
  readonly weth: Contract;
  readonly tokens: readonly (DevnetToken & { readonly contract: Contract })[];
}

type Token = Context["tokens"][number];

/**
 * Deploys WETH, four ERC-20s, two Uniswap V2 deployments, Uniswap V3 and V4, Balancer V2, Aave V3, our contract and a
 * rival's, all seeded with liquidity at the same fair prices. The chain must mine each transaction at once.
 * @throws FlashloanError devnet_failed
 */
export async function deployProtocols(
  rpc: JsonRpc,
  progress: (what: string) => void = () => undefined,
): Promise<Deployment> {
  const accounts = await devAccounts(rpc);
  const account = (role: number): Hex => addressSchema.parse(accounts[role]);
  const deployer = new Deployer(rpc, account(ROLES.deployer));

  progress("tokens");
  const context = await deployTokens(deployer, accounts);
  progress("Uniswap V2, twice");
  const uniswapV2 = [await deployUniswapV2(context, "uniswap", 1), await deployUniswapV2(context, "sushiswap", 0.8)];
  progress("Uniswap V3");
  const uniswapV3 = await deployUniswapV3(context);
  progress("Uniswap V4");
  const uniswapV4 = await deployUniswapV4(context);
  progress("Balancer V2");
  const balancer = await deployBalancer(context);
  progress("Aave V3");
  const aave = await deployAave(context);
  progress("FlashLoanExecutor");
  // PUSH1 0 CALLDATALOAD MLOAD POP STOP: memory expansion burns the gas that the calldata asks for, at no work.
  const burner: Artifact = { abi: new Interface([]), bytecode: "0x656000355150006000526006601af3", links: [] };
  const gasBurner = await deployer.deploy(burner);
  const source = executorArtifact();
  const artifact: Artifact = { abi: new Interface(source.abi), bytecode: source.bytecode, links: [] };
  const deployExecutor = async (owner: Hex, operator: Hex, treasury: Hex): Promise<Contract> =>
    deployer.deploy(
      artifact,
      owner,
      operator,
      treasury,
      context.weth.address,
      balancer.vault,
      aave.pool,
      uniswapV4.poolManager,
    );
  const ours = await deployExecutor(account(ROLES.owner), account(ROLES.operator), account(ROLES.treasury));
  const rival = await deployExecutor(account(ROLES.deployer), account(ROLES.rival), account(ROLES.rivalTreasury));

  progress("funds for the simulated traders");
  await fundTraders(context, [
    uniswapV2[0]?.router,
    uniswapV2[1]?.router,
    uniswapV3.router,
    uniswapV4.swapRouter,
    balancer.vault,
  ]);
  const head = await getHead(rpc);
  const genesis = await getHeader(rpc, 0);
  if (!genesis) throw new FlashloanError("devnet_failed", "the chain has no block 0");
  return {
    genesisHash: genesis.hash,
    genesisTimestampS: genesis.timestamp,
    deployedBlock: head.number,
    weth: context.weth.address,
    tokens: context.tokens.map(({ symbol, address, decimals, usd }) => ({ symbol, address, decimals, usd })),
    uniswapV2,
    uniswapV3,
    uniswapV4,
    balancer,
    aave,
    gasBurner: gasBurner.address,
    executor: {
      contract: ours.address,
      owner: account(ROLES.owner),
      operator: account(ROLES.operator),
      treasury: account(ROLES.treasury),
    },
    rival: { contract: rival.address, operator: account(ROLES.rival), treasury: account(ROLES.rivalTreasury) },
  };
}

async function deployTokens(deployer: Deployer, accounts: readonly Hex[]): Promise<Context> {
  const weth = await deployer.deploy(readArtifact("canonical-weth/build/contracts/WETH9.json"));
  await deployer.send(weth, "deposit", [], parseEther("100000"));
  const mintable = readArtifact("@aave/core-v3/artifacts/contracts/mocks/tokens/MintableERC20.sol/MintableERC20.json");
  const tokens: Token[] = [{ symbol: "WETH", address: weth.address, decimals: 18, usd: 3000, contract: weth }];
  const plans = [
    { symbol: "USDC", decimals: 6, usd: 1 },
    { symbol: "DAI", decimals: 18, usd: 1 },
    { symbol: "WBTC", decimals: 8, usd: 90_000 },
    { symbol: "LINK", decimals: 18, usd: 20 },
  ];
  for (const { symbol, decimals, usd } of plans) {
    const contract = await deployer.deploy(mintable, symbol, symbol, decimals);
    await deployer.send(contract, "mint(uint256)", [units({ decimals, usd }, 1_000_000_000)]);
    tokens.push({ symbol, address: contract.address, decimals, usd, contract });
  }
  return { deployer, accounts, weth, tokens };
}

/** So many dollars of a token, in its base units, rounded down. */
function units(token: { readonly decimals: number; readonly usd: number }, dollars: number): bigint {
  return (BigInt(Math.round(dollars)) * 10n ** BigInt(token.decimals)) / BigInt(token.usd);
}

function bySymbol(context: Context, symbol: string): Token {
  const token = context.tokens.find((candidate) => candidate.symbol === symbol);
  if (!token) throw new Error(`no token ${symbol}`);
  return token;
}

/** A pair of tokens in the order of their addresses, as the protocols want it. */
function sorted(context: Context, pair: readonly [string, string]): [Token, Token] {
  const [a, b] = [bySymbol(context, pair[0]), bySymbol(context, pair[1])];
  return BigInt(a.address) < BigInt(b.address) ? [a, b] : [b, a];
}

/** Integer square root, rounded down (Newton). */
function squareRoot(value: bigint): bigint {
  let x = value;
  let y = (x + 1n) / 2n;
  while (y < x) {
    x = y;
    y = (x + value / x) / 2n;
  }
  return x;
}

/** sqrt(amount1 / amount0) as Q64.96, rounded down. */
function squareRootPriceX96(amount0: bigint, amount1: bigint): bigint {
  return squareRoot((amount1 << 192n) / amount0);
}

async function approveAll(context: Context, spender: Hex): Promise<void> {
  for (const token of context.tokens) await context.deployer.send(token.contract, "approve", [spender, MaxUint256]);
}

async function deployUniswapV2(
  context: Context,
  name: string,
  scale: number,
): Promise<Deployment["uniswapV2"][number]> {
  const { deployer } = context;
  const factory = await deployer.deploy(readArtifact("@uniswap/v2-core/build/UniswapV2Factory.json"), deployer.account);
  const router = await deployer.deploy(
    readArtifact("@uniswap/v2-periphery/build/UniswapV2Router02.json"),
    factory.address,
    context.weth.address,
  );
  await approveAll(context, router.address);
  const plans: [string, string, number][] = [
    ["WETH", "USDC", 3_000_000],
    ["WETH", "DAI", 2_000_000],
    ["WETH", "WBTC", 1_500_000],
    ["WETH", "LINK", 900_000],
    ["USDC", "DAI", 1_500_000],
    ["LINK", "USDC", 600_000],
  ];
  const pairs: Deployment["uniswapV2"][number]["pairs"] = [];
  for (const [one, other, dollars] of plans) {
    const [a, b] = sorted(context, [one, other]);
    const to = deployer.account;
    await deployer.send(router, "addLiquidity", [
      a.address,
      b.address,
      units(a, dollars * scale),
      units(b, dollars * scale),
      0,
      0,
      to,
      DEADLINE,
    ]);
    const [pair] = await deployer.read(factory, "getPair", [a.address, b.address]);
    pairs.push({ address: addressSchema.parse(pair), tokens: [a.address, b.address] });
  }
  return { name, factory: factory.address, router: router.address, pairs };
}

async function deployUniswapV3(context: Context): Promise<Deployment["uniswapV3"]> {
  const { deployer } = context;
  const core = "@uniswap/v3-core/artifacts/contracts";
  const periphery = "@uniswap/v3-periphery/artifacts/contracts";
  const factory = await deployer.deploy(readArtifact(`${core}/UniswapV3Factory.sol/UniswapV3Factory.json`));
  const weth = context.weth.address;
  const positionManager = await deployer.deploy(
    readArtifact(`${periphery}/NonfungiblePositionManager.sol/NonfungiblePositionManager.json`),
    factory.address,
    weth,
    ZeroAddress,
  );
  const router = await deployer.deploy(
    readArtifact(`${periphery}/SwapRouter.sol/SwapRouter.json`),
    factory.address,
    weth,
  );
  const quoter = await deployer.deploy(
    readArtifact(`${periphery}/lens/QuoterV2.sol/QuoterV2.json`),
    factory.address,
    weth,
  );
  const tickLens = await deployer.deploy(readArtifact(`${periphery}/lens/TickLens.sol/TickLens.json`));
  await approveAll(context, positionManager.address);
  const poolAbi = readArtifact(`${core}/UniswapV3Pool.sol/UniswapV3Pool.json`).abi;
  const plans: { pair: [string, string]; fee: number; tickSpacing: number; dollars: number }[] = [
    { pair: ["WETH", "USDC"], fee: 500, tickSpacing: 10, dollars: 1_500_000 },
    { pair: ["WETH", "USDC"], fee: 3000, tickSpacing: 60, dollars: 1_200_000 },
    { pair: ["WETH", "DAI"], fee: 3000, tickSpacing: 60, dollars: 900_000 },
    { pair: ["USDC", "DAI"], fee: 500, tickSpacing: 10, dollars: 1_000_000 },
    { pair: ["WBTC", "WETH"], fee: 3000, tickSpacing: 60, dollars: 900_000 },
    { pair: ["LINK", "WETH"], fee: 10000, tickSpacing: 200, dollars: 500_000 },
  ];
  const pools: Deployment["uniswapV3"]["pools"] = [];
  for (const { pair, fee, tickSpacing, dollars } of plans) {
    const [a, b] = sorted(context, pair);
    const price = squareRootPriceX96(units(a, 1_000_000), units(b, 1_000_000));
    await deployer.send(positionManager, "createAndInitializePoolIfNecessary", [a.address, b.address, fee, price]);
    const [pool] = await deployer.read(factory, "getPool", [a.address, b.address, fee]);
    const [, tick] = await deployer.read(deployer.at(pool, poolAbi), "slot0");
    const base = Math.floor(Number(tick) / tickSpacing) * tickSpacing;
    // Narrow, middle and wide positions around the price, and one over the full range: swaps cross real ticks.
    const ranges = [1_200, 4_000, 15_000].map((width): [number, number] => {
      const half = Math.max(1, Math.round(width / tickSpacing)) * tickSpacing;
      return [base - half, base + half];
    });
    const shares = [0.15, 0.3, 0.35, 0.2];
    for (const [index, [tickLower, tickUpper]] of [...ranges, fullRange(tickSpacing)].entries()) {
      const share = (shares[index] ?? 0) * dollars;
      const position = {
        token0: a.address,
        token1: b.address,
        fee,
        tickLower,
        tickUpper,
        amount0Desired: units(a, share),
        amount1Desired: units(b, share),
        amount0Min: 0,
        amount1Min: 0,
        recipient: deployer.account,
        deadline: DEADLINE,
      };
      await deployer.send(positionManager, "mint", [position]);
    }
    pools.push({ address: addressSchema.parse(pool), tokens: [a.address, b.address], fee, tickSpacing });
  }
  return {
    factory: factory.address,
    router: router.address,
    quoter: quoter.address,
    tickLens: tickLens.address,
    positionManager: positionManager.address,
    pools,
  };
}

async function deployUniswapV4(context: Context): Promise<Deployment["uniswapV4"]> {
  const { deployer } = context;
  const out = "@uniswap/v4-core/out";
  const manager = await deployer.deploy(readArtifact(`${out}/PoolManager.sol/PoolManager.json`), deployer.account);
  const liquidityRouter = await deployer.deploy(
    readArtifact(`${out}/PoolModifyLiquidityTest.sol/PoolModifyLiquidityTest.json`),
    manager.address,
  );
  const swapRouter = await deployer.deploy(readArtifact(`${out}/PoolSwapTest.sol/PoolSwapTest.json`), manager.address);
  await approveAll(context, liquidityRouter.address);
  const coder = AbiCoder.defaultAbiCoder();
  const plans: {
    pair: [string, string];
    native: boolean;
    fee: number;
    tickSpacing: number;
    liquidityDollars: number;
  }[] = [
    { pair: ["WETH", "USDC"], native: true, fee: 500, tickSpacing: 10, liquidityDollars: 1_200_000 },
    { pair: ["WETH", "DAI"], native: false, fee: 3000, tickSpacing: 60, liquidityDollars: 600_000 },
  ];
  const pools: Deployment["uniswapV4"]["pools"] = [];
  for (const { pair, native, fee, tickSpacing, liquidityDollars } of plans) {
    const [one, other] = sorted(context, pair);
    const asCurrency = (token: Token): Token =>
      native && token.symbol === "WETH" ? { ...token, address: ZeroAddress as Hex } : token;
    const [a, b] = [asCurrency(one), asCurrency(other)].sort((x, y) =>
      BigInt(x.address) < BigInt(y.address) ? -1 : 1,
    ) as [Token, Token];
    const key = [a.address, b.address, fee, tickSpacing, ZeroAddress];
    const price = squareRootPriceX96(units(a, 1_000_000), units(b, 1_000_000));
    await deployer.send(manager, "initialize", [key, price]);
    const base = Math.floor(Math.log(Number(price) ** 2 / 2 ** 192) / Math.log(1.0001) / tickSpacing) * tickSpacing;
    // Liquidity of a full-range position worth so much on each side: L = sqrt(amount0 · amount1).
    const liquidity = squareRoot(units(a, liquidityDollars) * units(b, liquidityDollars));
    const half = Math.round(4_000 / tickSpacing) * tickSpacing;
    for (const [[lower, upper], amount] of [
      [fullRange(tickSpacing), liquidity],
      [[base - half, base + half], liquidity / 2n],
    ] as [[number, number], bigint][]) {
      const value = native ? parseEther("2000") : 0n;
      await deployer.send(
        deployer.at(liquidityRouter.address, liquidityRouter.abi),
        "modifyLiquidity((address,address,uint24,int24,address),(int24,int24,int256,bytes32),bytes)",
        [key, [lower, upper, amount, ZeroHash], "0x"],
        value,
      );
    }
    const id = keccak256(coder.encode(["address", "address", "uint24", "int24", "address"], key));
    pools.push({
      id: hashSchema.parse(id),
      tokens: [a.address, b.address],
      fee,
      tickSpacing,
      hooks: ZeroAddress as Hex,
    });
  }
  return {
    poolManager: manager.address,
    swapRouter: swapRouter.address,
    liquidityRouter: liquidityRouter.address,
    pools,
  };
}

async function deployBalancer(context: Context): Promise<Deployment["balancer"]> {
  const { deployer } = context;
  const authorizer = await deployer.deploy(readBalancerArtifact("20210418-authorizer", "Authorizer"), deployer.account);
  const vault = await deployer.deploy(
    readBalancerArtifact("20210418-vault", "Vault"),
    authorizer.address,
    context.weth.address,
    90 * 86_400,
    30 * 86_400,
  );
  const weightedFactory = await deployer.deploy(
    readBalancerArtifact("20210418-weighted-pool", "WeightedPoolFactory"),
    vault.address,
  );
  const stableFactory = await deployer.deploy(
    readBalancerArtifact("20220609-stable-pool-v2", "StablePoolFactory"),
    vault.address,
  );
  await approveAll(context, vault.address);
  const pools: Deployment["balancer"]["pools"] = [];
  const join = async (
    factory: Contract,
    args: readonly unknown[],
    tokens: readonly Token[],
    amounts: readonly bigint[],
    kind: "balancer-weighted" | "balancer-stable",
  ): Promise<void> => {
    const receipt = await deployer.send(factory, "create", args);
    const created = receipt.logs
      .map((entry) => factory.abi.parseLog(entry))
      .find((event) => event?.name === "PoolCreated");
    const pool = deployer.at(created?.args[0], ["function getPoolId() view returns (bytes32)"]);
    const [id] = await deployer.read(pool, "getPoolId");
    const userData = AbiCoder.defaultAbiCoder().encode(["uint256", "uint256[]"], [0, amounts]);
    const request = [tokens.map((token) => token.address), amounts, userData, false];
    await deployer.send(vault, "joinPool", [id, deployer.account, deployer.account, request]);
    pools.push({ id: hashSchema.parse(id), address: pool.address, tokens: tokens.map((token) => token.address), kind });
  };
  const order = (tokens: Token[]): Token[] => tokens.sort((x, y) => (BigInt(x.address) < BigInt(y.address) ? -1 : 1));
  const weighted = order([bySymbol(context, "WETH"), bySymbol(context, "USDC"), bySymbol(context, "WBTC")]);
  const weights = weighted.map((token) => (token.symbol === "WETH" ? 0.5 : 0.25));
  const owner = deployer.account;
  await join(
    weightedFactory,
    [
      "50WETH-25USDC-25WBTC",
      "BPT",
      weighted.map((t) => t.address),
      weights.map((w) => parseEther(String(w))),
      parseEther("0.002"),
      owner,
    ],
    weighted,
    weighted.map((token, index) => units(token, 4_000_000 * (weights[index] ?? 0))),
    "balancer-weighted",
  );
  const stable = order([bySymbol(context, "USDC"), bySymbol(context, "DAI")]);
  await join(
    stableFactory,
    ["USDC-DAI", "BPT", stable.map((t) => t.address), 200, parseEther("0.0004"), owner],
    stable,
    stable.map((token) => units(token, 2_000_000)),
    "balancer-stable",
  );
  return {
    vault: vault.address,
    weightedFactory: weightedFactory.address,
    stableFactory: stableFactory.address,
    pools,
  };
}

async function deployAave(context: Context): Promise<Deployment["aave"]> {
  const { deployer } = context;
  const read = (folder: string, name: string): Artifact =>
    readArtifact(`@aave/core-v3/artifacts/contracts/${folder}/${name}.sol/${name}.json`);
  const registry = await deployer.deploy(
    read("protocol/configuration", "PoolAddressesProviderRegistry"),
    deployer.account,
  );
  const provider = await deployer.deploy(
    read("protocol/configuration", "PoolAddressesProvider"),
    "devnet",
    deployer.account,
  );
  await deployer.send(registry, "registerAddressesProvider", [provider.address, 1]);
  const libraries: Record<string, Hex> = {};
  for (const name of [
    "SupplyLogic",
    "BorrowLogic",
    "LiquidationLogic",
    "EModeLogic",
    "BridgeLogic",
    "ConfiguratorLogic",
    "PoolLogic",
    "FlashLoanLogic",
  ])
    libraries[name] = (await deployer.deploy(link(read("protocol/libraries/logic", name), libraries))).address;
  const poolArtifact = link(read("protocol/pool", "Pool"), libraries);
  const poolImplementation = await deployer.deploy(poolArtifact, provider.address);
  await deployer.send(poolImplementation, "initialize", [provider.address]);
  const configuratorArtifact = link(read("protocol/pool", "PoolConfigurator"), libraries);
  const configuratorImplementation = await deployer.deploy(configuratorArtifact);
  await deployer.send(provider, "setACLAdmin", [deployer.account]);
  const acl = await deployer.deploy(read("protocol/configuration", "ACLManager"), provider.address);
  await deployer.send(provider, "setACLManager", [acl.address]);
  await deployer.send(acl, "addPoolAdmin", [deployer.account]);
  await deployer.send(acl, "addAssetListingAdmin", [deployer.account]);
  await deployer.send(provider, "setPoolImpl", [poolImplementation.address]);
  await deployer.send(provider, "setPoolConfiguratorImpl", [configuratorImplementation.address]);
  const oracle = await deployer.deploy(read("mocks/oracle", "PriceOracle"));
  await deployer.send(provider, "setPriceOracle", [oracle.address]);
  const [poolAddress] = await deployer.read(provider, "getPool");
  const [configuratorAddress] = await deployer.read(provider, "getPoolConfigurator");
  const pool = deployer.at(poolAddress, poolArtifact.abi);
  const configurator = deployer.at(configuratorAddress, configuratorArtifact.abi);
  const aToken = await deployer.deploy(read("protocol/tokenization", "AToken"), pool.address);
  const stableDebt = await deployer.deploy(read("protocol/tokenization", "StableDebtToken"), pool.address);
  const variableDebt = await deployer.deploy(read("protocol/tokenization", "VariableDebtToken"), pool.address);
  const ray = (percent: number): bigint => BigInt(percent) * 10n ** 25n;
  const rates = await deployer.deploy(
    read("protocol/pool", "DefaultReserveInterestRateStrategy"),
    provider.address,
    ray(80),
    0,
    ray(4),
    ray(60),
    0,
    0,
    0,
    0,
    0,
  );
  const reserves = [bySymbol(context, "WETH"), bySymbol(context, "USDC")];
  const inputs = reserves.map((token) => ({
    aTokenImpl: aToken.address,
    stableDebtTokenImpl: stableDebt.address,
    variableDebtTokenImpl: variableDebt.address,
    underlyingAssetDecimals: token.decimals,
    interestRateStrategyAddress: rates.address,
    underlyingAsset: token.address,
    treasury: deployer.account,
    incentivesController: ZeroAddress,
    aTokenName: `a${token.symbol}`,
    aTokenSymbol: `a${token.symbol}`,
    variableDebtTokenName: `v${token.symbol}`,
    variableDebtTokenSymbol: `v${token.symbol}`,
    stableDebtTokenName: `s${token.symbol}`,
    stableDebtTokenSymbol: `s${token.symbol}`,
    params: "0x10",
  }));
  await deployer.send(configurator, "initReserves", [inputs]);
  // The premium starts at 0, which no live market has.
  const premiumBps = 5;
  await deployer.send(configurator, "updateFlashloanPremiumTotal", [premiumBps]);
  await approveAll(context, pool.address);
  for (const token of reserves) {
    await deployer.send(oracle, "setAssetPrice", [token.address, BigInt(token.usd) * 10n ** 8n]);
    await deployer.send(configurator, "setReserveFlashLoaning", [token.address, true]);
    await deployer.send(pool, "supply", [token.address, units(token, 15_000_000), deployer.account, 0]);
  }
  return { pool: pool.address, reserves: reserves.map((token) => token.address), premiumBps };
}

async function fundTraders(context: Context, spenders: readonly (Hex | undefined)[]): Promise<void> {
  for (const role of [ROLES.whale, ...ROLES.traders]) {
    const trader = addressSchema.parse(context.accounts[role]);
    const own = new Deployer(context.deployer.rpc, trader);
    for (const token of context.tokens) {
      if (token.symbol === "WETH") await own.send(token.contract, "deposit", [], parseEther("50000"));
      else await own.send(token.contract, "mint(uint256)", [units(token, 500_000_000)]);
      for (const spender of spenders)
        if (spender) await own.send(token.contract, "approve", [getAddress(spender), MaxUint256]);
    }
  }
}
