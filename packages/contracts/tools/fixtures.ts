// The code the forge tests deploy, as plain hex files in cache/fixtures: the executor's committed artifact, and the
// protocols' own bytecode from npm, whose packagings all differ.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packageDir } from "./compilation.ts";

type LinkReferences = Record<string, Record<string, { start: number; length: number }[]>>;

type NpmArtifact = {
  bytecode?: string | { object: string };
  deployedBytecode?: string | { object: string };
  creationCode?: string;
  linkReferences?: LinkReferences;
  deployedLinkReferences?: LinkReferences;
};

const fixturesDir = join(packageDir, "cache/fixtures");
const balancer = "@balancer-labs/v2-deployments/dist/tasks";
const aave = "@aave/core-v3/artifacts/contracts";

/** Contracts deployed by their constructors: fixture name → file in node_modules. */
const creations: Record<string, string> = {
  WETH9: "canonical-weth/build/contracts/WETH9.json",
  UniswapV2Factory: "@uniswap/v2-core/build/UniswapV2Factory.json",
  UniswapV3Factory: "@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json",
  PoolManager: "@uniswap/v4-core/out/PoolManager.sol/PoolManager.json",
  PoolModifyLiquidityTest: "@uniswap/v4-core/out/PoolModifyLiquidityTest.sol/PoolModifyLiquidityTest.json",
  BalancerAuthorizer: `${balancer}/20210418-authorizer/bytecode/Authorizer.json`,
  BalancerVault: `${balancer}/20210418-vault/bytecode/Vault.json`,
  BalancerWeightedPoolFactory: `${balancer}/20210418-weighted-pool/bytecode/WeightedPoolFactory.json`,
  AaveAddressesProvider: `${aave}/protocol/configuration/PoolAddressesProvider.sol/PoolAddressesProvider.json`,
  AaveAclManager: `${aave}/protocol/configuration/ACLManager.sol/ACLManager.json`,
  AavePool: `${aave}/protocol/pool/Pool.sol/Pool.json`,
  AavePoolConfigurator: `${aave}/protocol/pool/PoolConfigurator.sol/PoolConfigurator.json`,
  AaveToken: `${aave}/protocol/tokenization/AToken.sol/AToken.json`,
  AaveStableDebtToken: `${aave}/protocol/tokenization/StableDebtToken.sol/StableDebtToken.json`,
  AaveVariableDebtToken: `${aave}/protocol/tokenization/VariableDebtToken.sol/VariableDebtToken.json`,
  AaveRateStrategy: `${aave}/protocol/pool/DefaultReserveInterestRateStrategy.sol/DefaultReserveInterestRateStrategy.json`,
  MintableERC20: `${aave}/mocks/tokens/MintableERC20.sol/MintableERC20.json`,
  AavePriceOracle: `${aave}/mocks/oracle/PriceOracle.sol/PriceOracle.json`,
};

/** Aave's libraries, which the tests etch where the code of the pool expects them. */
const libraries = [
  "SupplyLogic",
  "BorrowLogic",
  "LiquidationLogic",
  "EModeLogic",
  "BridgeLogic",
  "ConfiguratorLogic",
  "PoolLogic",
  "FlashLoanLogic",
];

/** Where a library is etched; forge/Protocols.sol counts the same way. */
function libraryAddress(name: string): string {
  const index = libraries.indexOf(name);
  if (index < 0) throw new Error(`no address for the library ${name}`);
  return (0xaa0000 + index).toString(16).padStart(40, "0");
}

function readArtifact(file: string): NpmArtifact {
  return JSON.parse(readFileSync(join(packageDir, "node_modules", file), "utf8")) as NpmArtifact;
}

function link(code: string, references: LinkReferences = {}): string {
  let linked = code;
  for (const [name, places] of Object.values(references).flatMap((file) => Object.entries(file))) {
    for (const { start, length } of places) {
      linked = linked.slice(0, start * 2) + libraryAddress(name) + linked.slice((start + length) * 2);
    }
  }
  return linked;
}

function plainHex(code: NpmArtifact["bytecode"]): string {
  const hex = typeof code === "object" ? code.object : (code ?? "");
  return hex.replace(/^0x/, "");
}

function creationCode(file: string): string {
  const artifact = readArtifact(file);
  return link(plainHex(artifact.creationCode ?? artifact.bytecode), artifact.linkReferences);
}

function writeFixture(name: string, hex: string): void {
  if (!/^([0-9a-f]{2})+$/i.test(hex)) throw new Error(`no linked bytecode for ${name}`);
  writeFileSync(join(fixturesDir, `${name}.hex`), `0x${hex}`);
}

/** Writes every fixture. */
export function writeFixtures(executorBytecode: string): void {
  mkdirSync(fixturesDir, { recursive: true });
  writeFixture("FlashLoanExecutor", plainHex(executorBytecode));
  for (const [name, file] of Object.entries(creations)) writeFixture(name, creationCode(file));
  for (const name of libraries) {
    const artifact = readArtifact(`${aave}/protocol/libraries/logic/${name}.sol/${name}.json`);
    const code = link(plainHex(artifact.deployedBytecode), artifact.deployedLinkReferences);
    writeFixture(`Aave${name}`, code);
  }
}
