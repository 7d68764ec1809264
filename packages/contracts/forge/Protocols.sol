// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import { Test } from "forge-std/Test.sol";
import { TestToken } from "./mocks/TestToken.sol";

interface IWETH9 {
    function deposit() external payable;
    function withdraw(uint256 amount) external;
    function transfer(address to, uint256 amount) external returns (bool);
    function approve(address spender, uint256 amount) external returns (bool);
    function balanceOf(address account) external view returns (uint256);
    function allowance(address account, address spender) external view returns (uint256);
}

interface IV2Factory {
    function createPair(address a, address b) external returns (address);
}

interface IV2PairFull {
    function mint(address to) external returns (uint256);
    function getReserves() external view returns (uint112, uint112, uint32);
    function token0() external view returns (address);
    function swap(uint256 amount0Out, uint256 amount1Out, address to, bytes calldata data) external;
}

interface IV3Factory {
    function createPool(address a, address b, uint24 fee) external returns (address);
}

interface IV3PoolFull {
    function initialize(uint160 sqrtPriceX96) external;
    function mint(address to, int24 lower, int24 upper, uint128 amount, bytes calldata data) external;
}

interface IVaultFull {
    struct JoinPoolRequest {
        address[] assets;
        uint256[] maxAmountsIn;
        bytes userData;
        bool fromInternalBalance;
    }

    function joinPool(bytes32 poolId, address from, address to, JoinPoolRequest calldata request) external;
    function flashLoan(address recipient, address[] calldata tokens, uint256[] calldata amounts, bytes calldata data)
        external;
}

interface IWeightedPoolFactory {
    function create(
        string calldata name,
        string calldata symbol,
        address[] calldata tokens,
        uint256[] calldata weights,
        uint256 swapFee,
        address owner
    ) external returns (address);
}

interface IWeightedPool {
    function getPoolId() external view returns (bytes32);
}

struct PoolKey {
    address currency0;
    address currency1;
    uint24 fee;
    int24 tickSpacing;
    address hooks;
}

struct ModifyLiquidityParams {
    int24 tickLower;
    int24 tickUpper;
    int256 liquidityDelta;
    bytes32 salt;
}

interface IPoolManagerFull {
    function initialize(PoolKey calldata key, uint160 sqrtPriceX96) external returns (int24);
    function unlock(bytes calldata data) external returns (bytes memory);
    function sync(address currency) external;
}

interface IModifyLiquidity {
    function modifyLiquidity(PoolKey calldata key, ModifyLiquidityParams calldata params, bytes calldata hookData)
        external
        payable
        returns (int256);
}

interface IAaveProvider {
    function setACLAdmin(address admin) external;
    function setACLManager(address manager) external;
    function setPoolImpl(address implementation) external;
    function setPoolConfiguratorImpl(address implementation) external;
    function setPriceOracle(address oracle) external;
    function getPool() external view returns (address);
    function getPoolConfigurator() external view returns (address);
}

interface IAaveAcl {
    function addPoolAdmin(address admin) external;
    function addAssetListingAdmin(address admin) external;
}

interface IAaveConfigurator {
    struct InitReserveInput {
        address aTokenImpl;
        address stableDebtTokenImpl;
        address variableDebtTokenImpl;
        uint8 underlyingAssetDecimals;
        address interestRateStrategyAddress;
        address underlyingAsset;
        address treasury;
        address incentivesController;
        string aTokenName;
        string aTokenSymbol;
        string variableDebtTokenName;
        string variableDebtTokenSymbol;
        string stableDebtTokenName;
        string stableDebtTokenSymbol;
        bytes params;
    }

    function initReserves(InitReserveInput[] calldata input) external;
    function setReserveFlashLoaning(address asset, bool enabled) external;
    function updateFlashloanPremiumTotal(uint128 bps) external;
}

interface IAavePoolFull {
    function initialize(address provider) external;
    function supply(address asset, uint256 amount, address onBehalfOf, uint16 referral) external;
    function flashLoanSimple(address receiver, address asset, uint256 amount, bytes calldata params, uint16 referral)
        external;
}

interface IAaveOracle {
    function setAssetPrice(address asset, uint256 price) external;
}

/// @notice The real protocols, from the bytecode that tools/fixtures.ts took from npm.
/// @dev The market: a WETH costs 2,000 USDC on `cheapPair` and 2,200 USDC everywhere else.
abstract contract Protocols is Test {
    uint256 internal constant CHEAP = 2000e6;
    uint256 internal constant DEAR = 2200e6;
    int24 internal constant MAX_TICK = 887220;

    IWETH9 internal weth;
    TestToken internal usdc;
    TestToken internal dai;

    address internal cheapPair;
    address internal dearPair;
    address internal v3Pool;
    IPoolManagerFull internal manager;
    IModifyLiquidity internal liquidityRouter;
    PoolKey internal v4Key;
    PoolKey internal v4NativeKey;
    IVaultFull internal vault;
    bytes32 internal balancerPoolId;
    IAavePoolFull internal aave;

    function code(string memory name) internal view returns (bytes memory) {
        return vm.parseBytes(vm.readFile(string.concat("cache/fixtures/", name, ".hex")));
    }

    function deploy(string memory name, bytes memory args) internal returns (address deployed) {
        bytes memory creation = bytes.concat(code(name), args);
        assembly ("memory-safe") {
            deployed := create(0, add(creation, 32), mload(creation))
        }
        require(deployed != address(0), name);
    }

    function deployProtocols() internal {
        weth = IWETH9(deploy("WETH9", ""));
        usdc = newToken("USDC", 6);
        dai = newToken("DAI", 18);
        vm.deal(address(this), 1_000_000 ether);
        weth.deposit{ value: 100_000 ether }();
        usdc.mint(address(this), 1_000_000_000e6);
        dai.mint(address(this), 1_000_000_000 ether);
        deployV2();
        deployV3();
        deployV4();
        deployBalancer();
        deployAave();
    }

    /// @dev OpenZeppelin's ERC-20, mintable, as compiled for Aave's own tests: its gas is that of a real token.
    function newToken(string memory symbol, uint8 decimals) internal returns (TestToken) {
        return TestToken(deploy("MintableERC20", abi.encode(symbol, symbol, decimals)));
    }

    /// @dev For tokens that return nothing, too.
    function send(address token, address to, uint256 amount) internal {
        (bool succeeded,) = token.call(abi.encodeCall(TestToken.transfer, (to, amount)));
        require(succeeded, "send");
    }

    function allow(address token, address spender) internal {
        (bool succeeded,) = token.call(abi.encodeCall(TestToken.approve, (spender, type(uint256).max)));
        require(succeeded, "allow");
    }

    // ───────────────────────────── Uniswap V2 ─────────────────────────────

    function deployV2() private {
        cheapPair = newPair(address(weth), 1000 ether, address(usdc), 1000 * CHEAP);
        dearPair = newPair(address(weth), 1000 ether, address(usdc), 1000 * DEAR);
    }

    function newPair(address a, uint256 amountA, address b, uint256 amountB) internal returns (address pair) {
        pair = IV2Factory(deploy("UniswapV2Factory", abi.encode(address(this)))).createPair(a, b);
        send(a, pair, amountA);
        send(b, pair, amountB);
        IV2PairFull(pair).mint(address(this));
    }

    // ───────────────────────────── Uniswap V3 ─────────────────────────────

    function deployV3() private {
        v3Pool = newV3Pool(address(weth), 1000 ether, address(usdc), 1000 * DEAR);
    }

    function newV3Pool(address a, uint256 amountA, address b, uint256 amountB) internal returns (address pool) {
        if (a > b) (a, amountA, b, amountB) = (b, amountB, a, amountA);
        pool = IV3Factory(deploy("UniswapV3Factory", "")).createPool(a, b, 3000);
        uint160 price = sqrtPriceX96(amountA, amountB);
        IV3PoolFull(pool).initialize(price);
        uint128 liquidity = uint128(amountA * price >> 96);
        IV3PoolFull(pool).mint(address(this), -MAX_TICK, MAX_TICK, liquidity, abi.encode(a, b));
    }

    function uniswapV3MintCallback(uint256 owed0, uint256 owed1, bytes calldata data) external {
        (address token0, address token1) = abi.decode(data, (address, address));
        send(token0, msg.sender, owed0);
        send(token1, msg.sender, owed1);
    }

    /// @dev sqrt(amount1 / amount0) × 2^96, to the 2^-32 that the tests need.
    function sqrtPriceX96(uint256 amount0, uint256 amount1) internal pure returns (uint160) {
        uint256 shift = 128;
        while (amount1 >> (255 - shift) != 0) shift -= 2;
        return uint160(squareRoot((amount1 << shift) / amount0) << (96 - shift / 2));
    }

    function squareRoot(uint256 x) internal pure returns (uint256 y) {
        y = x;
        for (uint256 z = x / 2 + 1; z < y; z = (x / z + z) / 2) {
            y = z;
        }
    }

    // ───────────────────────────── Uniswap V4 ─────────────────────────────

    function deployV4() private {
        manager = IPoolManagerFull(deploy("PoolManager", abi.encode(address(this))));
        liquidityRouter = IModifyLiquidity(deploy("PoolModifyLiquidityTest", abi.encode(manager)));
        v4Key = newV4Pool(address(weth), 1000 ether, address(usdc), 1000 * DEAR, address(0));
        v4NativeKey = newV4Pool(address(0), 1000 ether, address(usdc), 1000 * DEAR, address(0));
    }

    function newV4Pool(address a, uint256 amountA, address b, uint256 amountB, address hooks)
        internal
        returns (PoolKey memory key)
    {
        if (a > b) (a, amountA, b, amountB) = (b, amountB, a, amountA);
        key = PoolKey(a, b, 3000, 60, hooks);
        newV4PoolAt(key, amountA, amountB);
    }

    function newV4PoolAt(PoolKey memory key, uint256 amountA, uint256 amountB) internal {
        (address a, address b) = (key.currency0, key.currency1);
        uint160 price = sqrtPriceX96(amountA, amountB);
        manager.initialize(key, price);
        if (a != address(0)) allow(a, address(liquidityRouter));
        allow(b, address(liquidityRouter));
        int256 liquidity = int256(amountA * price >> 96);
        liquidityRouter.modifyLiquidity{ value: a == address(0) ? amountA + 1 ether : 0 }(
            key, ModifyLiquidityParams(-MAX_TICK, MAX_TICK, liquidity, 0), ""
        );
    }

    receive() external payable { }

    // ───────────────────────────── Balancer V2 ─────────────────────────────

    function deployBalancer() private {
        address authorizer = deploy("BalancerAuthorizer", abi.encode(address(this)));
        vault = IVaultFull(deploy("BalancerVault", abi.encode(authorizer, weth, 90 days, 30 days)));
        balancerPoolId = newBalancerPool(address(weth), 1000 ether, address(usdc), 1000 * DEAR);
    }

    function newBalancerPool(address a, uint256 amountA, address b, uint256 amountB) internal returns (bytes32 poolId) {
        if (a > b) (a, amountA, b, amountB) = (b, amountB, a, amountA);
        address[] memory tokens = new address[](2);
        uint256[] memory numbers = new uint256[](2);
        (tokens[0], tokens[1]) = (a, b);
        (numbers[0], numbers[1]) = (0.5 ether, 0.5 ether);
        address factory = deploy("BalancerWeightedPoolFactory", abi.encode(vault));
        address pool = IWeightedPoolFactory(factory).create("W", "W", tokens, numbers, 0.003 ether, address(this));
        poolId = IWeightedPool(pool).getPoolId();
        allow(a, address(vault));
        allow(b, address(vault));
        (numbers[0], numbers[1]) = (amountA, amountB);
        vault.joinPool(
            poolId,
            address(this),
            address(this),
            IVaultFull.JoinPoolRequest(tokens, numbers, abi.encode(uint256(0), numbers), false)
        );
    }

    // ───────────────────────────── Aave V3 ─────────────────────────────

    function deployAave() private {
        string[8] memory libraries = [
            "SupplyLogic",
            "BorrowLogic",
            "LiquidationLogic",
            "EModeLogic",
            "BridgeLogic",
            "ConfiguratorLogic",
            "PoolLogic",
            "FlashLoanLogic"
        ];
        for (uint160 i; i < 8; ++i) {
            vm.etch(address(0xaa0000 + i), code(string.concat("Aave", libraries[i])));
        }

        address provider = deploy("AaveAddressesProvider", abi.encode("TEST", address(this)));
        address pool = deploy("AavePool", abi.encode(provider));
        IAavePoolFull(pool).initialize(provider);
        IAaveProvider(provider).setACLAdmin(address(this));
        address acl = deploy("AaveAclManager", abi.encode(provider));
        IAaveProvider(provider).setACLManager(acl);
        IAaveAcl(acl).addPoolAdmin(address(this));
        IAaveAcl(acl).addAssetListingAdmin(address(this));
        IAaveProvider(provider).setPoolImpl(pool);
        IAaveProvider(provider).setPoolConfiguratorImpl(deploy("AavePoolConfigurator", ""));
        address oracle = deploy("AavePriceOracle", "");
        IAaveProvider(provider).setPriceOracle(oracle);
        IAaveOracle(oracle).setAssetPrice(address(weth), 2000e8);
        IAaveOracle(oracle).setAssetPrice(address(usdc), 1e8);
        aave = IAavePoolFull(IAaveProvider(provider).getPool());
        listOnAave(provider);
    }

    function listOnAave(address provider) private {
        IAaveConfigurator configurator = IAaveConfigurator(IAaveProvider(provider).getPoolConfigurator());
        address strategy = deploy("AaveRateStrategy", abi.encode(provider, 0.8e27, 0, 0.04e27, 0.6e27, 0, 0, 0, 0, 0));
        IAaveConfigurator.InitReserveInput[] memory input = new IAaveConfigurator.InitReserveInput[](2);
        address aToken = deploy("AaveToken", abi.encode(aave));
        address stableDebt = deploy("AaveStableDebtToken", abi.encode(aave));
        address variableDebt = deploy("AaveVariableDebtToken", abi.encode(aave));
        for (uint256 i; i < 2; ++i) {
            input[i].aTokenImpl = aToken;
            input[i].stableDebtTokenImpl = stableDebt;
            input[i].variableDebtTokenImpl = variableDebt;
            input[i].underlyingAssetDecimals = i == 0 ? 18 : 6;
            input[i].interestRateStrategyAddress = strategy;
            input[i].underlyingAsset = i == 0 ? address(weth) : address(usdc);
            input[i].treasury = address(this);
            input[i].params = hex"10";
        }
        configurator.initReserves(input);
        configurator.updateFlashloanPremiumTotal(5);
        for (uint256 i; i < 2; ++i) {
            address asset = input[i].underlyingAsset;
            configurator.setReserveFlashLoaning(asset, true);
            allow(asset, address(aave));
            aave.supply(asset, i == 0 ? 1000 ether : 2_000_000e6, address(this), 0);
        }
    }
}
