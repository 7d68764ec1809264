// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import { ExecutorTest } from "./ExecutorTest.sol";
import { Call, IFlashLoanExecutor, Loan } from "../solidity/interfaces/IFlashLoanExecutor.sol";

/// @notice Each lender lends, is repaid to the wei, and the event says what happened.
contract LendersTest is ExecutorTest {
    /// @dev Trades a WETH loan, sold dear and bought cheap on V2, so that only the lender varies.
    function checkWethLoan(Loan memory loan, address lender, uint256 premium) private {
        uint256 gross = v2Out(cheapPair, address(usdc), v2Out(dearPair, address(weth), LOAN)) - LOAN;
        uint256 profit = gross - premium;
        Call memory call = newCall(loan, list(out(), back()));
        call.minProfitWei = profit;
        vm.expectEmit(address(executor));
        emit IFlashLoanExecutor.Executed(call.intentId, lender, address(weth), LOAN, premium, profit, profit, 0);
        run(call);
        assertEq(weth.balanceOf(treasury), profit);
        assertEmpty();
    }

    function test_aave() public {
        checkWethLoan(aaveLoan(address(weth), LOAN), address(aave), LOAN * 5 / 10_000);
    }

    function test_balancer() public {
        checkWethLoan(balancerLoan(address(weth), LOAN), address(vault), 0);
    }

    function test_v2() public {
        address lender = newPair(address(weth), 100 ether, address(dai), 200_000 ether);
        Loan memory loan = v2Loan(lender, address(weth), LOAN);
        checkWethLoan(loan, lender, loan.repayAmount - LOAN);
    }

    function test_v3() public {
        checkWethLoan(v3Loan(v3Pool, address(weth), LOAN), v3Pool, LOAN * 3 / 1000);
    }

    function test_v4() public {
        checkWethLoan(v4Loan(address(weth), LOAN), address(manager), 0);
    }
}
