// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {
    AmountKind,
    Call,
    IFlashLoanExecutor,
    LenderKind,
    Loan,
    Step,
    StepKind
} from "../solidity/interfaces/IFlashLoanExecutor.sol";
import { Protocols } from "./Protocols.sol";
import { IFlashCallbacks } from "../solidity/interfaces/Protocols.sol";
import { TestToken } from "./mocks/TestToken.sol";

interface IExecutor is IFlashLoanExecutor, IFlashCallbacks { }

/// @notice The executor in the market of {Protocols}, and short ways to write calls.
abstract contract ExecutorTest is Protocols {
    uint256 internal constant LOAN = 10 ether;

    IExecutor internal executor;
    address internal owner = makeAddr("owner");
    address internal operator = makeAddr("operator");
    address internal treasury = makeAddr("treasury");
    address internal stranger = makeAddr("stranger");

    function setUp() public virtual {
        deployProtocols();
        executor = deployExecutor(owner, operator, treasury);
        vm.roll(100);
    }

    function deployExecutor(address owner_, address operator_, address treasury_) internal returns (IExecutor) {
        return IExecutor(
            deploy(
                "FlashLoanExecutor",
                abi.encode(owner_, operator_, treasury_, address(weth), address(vault), address(aave), address(manager))
            )
        );
    }

    // ───────────────────────────── calls ─────────────────────────────

    function newCall(Loan memory loan, Step[] memory steps) internal pure returns (Call memory call) {
        call.intentId = keccak256("intent");
        call.lastBlock = 1000;
        call.minProfitWei = 1;
        call.loan = loan;
        call.steps = steps;
    }

    function run(Call memory call) internal {
        vm.prank(operator);
        executor.execute(call);
    }

    function runExpecting(Call memory call, bytes memory revertData) internal {
        vm.prank(operator);
        vm.expectRevert(revertData);
        executor.execute(call);
    }

    // ───────────────────────────── loans ─────────────────────────────

    function aaveLoan(address token, uint256 amount) internal view returns (Loan memory) {
        return Loan(LenderKind.AAVE_V3, address(aave), token, amount, 0);
    }

    function balancerLoan(address token, uint256 amount) internal view returns (Loan memory) {
        return Loan(LenderKind.BALANCER_V2, address(vault), token, amount, 0);
    }

    function v2Loan(address pair, address token, uint256 amount) internal pure returns (Loan memory) {
        return Loan(LenderKind.UNISWAP_V2, pair, token, amount, amount * 1000 / 997 + 1);
    }

    function v3Loan(address pool, address token, uint256 amount) internal pure returns (Loan memory) {
        return Loan(LenderKind.UNISWAP_V3, pool, token, amount, 0);
    }

    function v4Loan(address token, uint256 amount) internal view returns (Loan memory) {
        return Loan(LenderKind.UNISWAP_V4, address(manager), token, amount, 0);
    }

    function firstSwap() internal pure returns (Loan memory loan) { }

    // ───────────────────────────── steps ─────────────────────────────

    function list(Step memory a) internal pure returns (Step[] memory steps) {
        steps = new Step[](1);
        steps[0] = a;
    }

    function list(Step memory a, Step memory b) internal pure returns (Step[] memory steps) {
        steps = new Step[](2);
        (steps[0], steps[1]) = (a, b);
    }

    function list(Step memory a, Step memory b, Step memory c) internal pure returns (Step[] memory steps) {
        steps = new Step[](3);
        (steps[0], steps[1], steps[2]) = (a, b, c);
    }

    function list(Step memory a, Step memory b, Step memory c, Step memory d)
        internal
        pure
        returns (Step[] memory steps)
    {
        steps = new Step[](4);
        (steps[0], steps[1], steps[2], steps[3]) = (a, b, c, d);
    }

    function v2(address pair, address tokenIn, address tokenOut) internal pure returns (Step memory step) {
        step.kind = StepKind.SWAP_V2;
        step.amountKind = AmountKind.FREE;
        (step.tokenIn, step.tokenOut) = (tokenIn, tokenOut);
        (step.pool, step.fee) = (pair, 3000);
    }

    function v3(address pool, address tokenIn, address tokenOut) internal pure returns (Step memory step) {
        step = v2(pool, tokenIn, tokenOut);
        step.kind = StepKind.SWAP_V3;
    }

    function v4(address hooks, address tokenIn, address tokenOut) internal pure returns (Step memory step) {
        step = v2(hooks, tokenIn, tokenOut);
        step.kind = StepKind.SWAP_V4;
        step.tickSpacing = 60;
    }

    function balancer(bytes32 poolId, address tokenIn, address tokenOut) internal pure returns (Step memory step) {
        step = v2(address(0), tokenIn, tokenOut);
        step.kind = StepKind.SWAP_BALANCER_V2;
        step.poolId = poolId;
    }

    function wrap() internal pure returns (Step memory step) {
        step.kind = StepKind.WRAP;
        step.amountKind = AmountKind.FREE;
    }

    function unwrap() internal pure returns (Step memory step) {
        step.kind = StepKind.UNWRAP;
        step.amountKind = AmountKind.FREE;
    }

    function exact(Step memory step, uint256 amount) internal pure returns (Step memory) {
        (step.amountKind, step.amount) = (AmountKind.EXACT, amount);
        return step;
    }

    function share(Step memory step, uint256 bps) internal pure returns (Step memory) {
        (step.amountKind, step.amount) = (AmountKind.FREE_BPS, bps);
        return step;
    }

    /// @dev The way back of every WETH loan: all USDC to WETH where WETH is cheap.
    function back() internal view returns (Step memory) {
        return v2(cheapPair, address(usdc), address(weth));
    }

    /// @dev The way out of every WETH loan: the loan to USDC where WETH is dear.
    function out() internal view returns (Step memory) {
        return exact(v2(dearPair, address(weth), address(usdc)), LOAN);
    }

    /// @dev A profitable call that needs no other protocol than V2.
    function goodCall() internal view returns (Call memory) {
        return newCall(balancerLoan(address(weth), LOAN), list(out(), back()));
    }

    // ───────────────────────────── expectations ─────────────────────────────

    function v2Out(address pair, address tokenIn, uint256 amountIn) internal view returns (uint256) {
        (uint256 reserveIn, uint256 reserveOut,) = IV2PairLike(pair).getReserves();
        if (IV2PairLike(pair).token0() != tokenIn) (reserveIn, reserveOut) = (reserveOut, reserveIn);
        return amountIn * 997 * reserveOut / (reserveIn * 1000 + amountIn * 997);
    }

    /// @dev Nothing but dust the test put there is left in the executor.
    function assertEmpty() internal view {
        assertEq(weth.balanceOf(address(executor)), 0, "WETH left");
        assertEq(usdc.balanceOf(address(executor)), 0, "USDC left");
        assertEq(address(executor).balance, 0, "ETH left");
        assertEq(weth.allowance(address(executor), address(vault)), 0, "WETH approved to the vault");
        assertEq(usdc.allowance(address(executor), address(vault)), 0, "USDC approved to the vault");
        assertEq(weth.allowance(address(executor), address(aave)), 0, "WETH approved to Aave");
        assertEq(usdc.allowance(address(executor), address(aave)), 0, "USDC approved to Aave");
    }
}

interface IV2PairLike {
    function getReserves() external view returns (uint112, uint112, uint32);
    function token0() external view returns (address);
}
