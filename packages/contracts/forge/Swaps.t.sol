// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import { ExecutorTest } from "./ExecutorTest.sol";
import { TestToken } from "./mocks/TestToken.sol";
import { AmountKind, Call, IFlashLoanExecutor, Loan, Step } from "../solidity/interfaces/IFlashLoanExecutor.sol";
import { PairMath } from "../solidity/libraries/PairMath.sol";

/// @notice Each kind of hop in both directions, inside and outside an open unlock, first swaps, and graphs of swaps.
contract SwapsTest is ExecutorTest {
    address internal constant NATIVE = address(0);

    /// @dev Sells a WETH loan through `sale`, buys back where WETH is cheap, and keeps more than nothing.
    function checkSale(Loan memory loan, Step[] memory steps) private returns (uint256 profit) {
        run(newCall(loan, steps));
        profit = weth.balanceOf(treasury);
        // 2,200 against 2,000 less fees and slippage on 10 of 1,000 WETH.
        assertGt(profit, 0.6 ether);
        assertLt(profit, 0.8 ether);
        assertEmpty();
    }

    /// @dev Buys WETH with a USDC loan where it is cheap, sells it through `sale`, and converts the surplus.
    function checkPurchase(Loan memory loan, Step memory sale) private {
        Call memory call = newCall(loan, list(exact(v2(cheapPair, address(usdc), address(weth)), 20_000e6), sale));
        call.afterSteps = list(v2(cheapPair, address(usdc), address(weth)));
        run(call);
        assertGt(weth.balanceOf(treasury), 0.6 ether);
        assertLt(weth.balanceOf(treasury), 0.8 ether);
        assertEmpty();
    }

    function usdcLoan() private view returns (Loan memory) {
        return balancerLoan(address(usdc), 20_000e6);
    }

    // ───────────────────────────── one hop of each kind ─────────────────────────────

    function test_v2_inBothDirections() public {
        checkPurchase(usdcLoan(), v2(dearPair, address(weth), address(usdc)));
    }

    function test_v3_sale() public {
        checkSale(
            balancerLoan(address(weth), LOAN), list(exact(v3(v3Pool, address(weth), address(usdc)), LOAN), back())
        );
    }

    function test_v3_inTheMiddle() public {
        checkPurchase(usdcLoan(), v3(v3Pool, address(weth), address(usdc)));
    }

    function test_v4_ownUnlock() public {
        checkSale(
            balancerLoan(address(weth), LOAN), list(exact(v4(address(0), address(weth), address(usdc)), LOAN), back())
        );
    }

    function test_v4_inTheMiddle() public {
        checkPurchase(usdcLoan(), v4(address(0), address(weth), address(usdc)));
    }

    function test_v4_inTheLoansUnlock() public {
        checkSale(v4Loan(address(weth), LOAN), list(exact(v4(address(0), address(weth), address(usdc)), LOAN), back()));
    }

    function test_v4_eachHopOfAnotherLoanOpensItsOwnUnlock() public {
        newV4Pool(address(weth), 1000 ether, address(dai), 1_950_000 ether, address(0));
        newV4Pool(address(usdc), 1_000_000e6, address(dai), 1_000_000 ether, address(0));
        Step[] memory steps = list(
            exact(v4(address(0), address(weth), address(usdc)), LOAN),
            v4(address(0), address(usdc), address(dai)),
            v4(address(0), address(dai), address(weth))
        );
        run(newCall(balancerLoan(address(weth), LOAN), steps));
        assertGt(weth.balanceOf(treasury), 0.5 ether);
        assertEmpty();
    }

    function test_v4_afterStepOpensItsOwnUnlock() public {
        Call memory call = newCall(
            v4Loan(address(usdc), 20_000e6),
            list(
                exact(v2(cheapPair, address(usdc), address(weth)), 20_000e6),
                v4(address(0), address(weth), address(usdc))
            )
        );
        call.afterSteps = list(v4(address(0), address(usdc), address(weth)));
        run(call);
        assertGt(weth.balanceOf(treasury), 0.5 ether);
        assertEmpty();
    }

    function test_v4_native() public {
        checkSale(
            balancerLoan(address(weth), LOAN),
            list(exact(unwrap(), LOAN), v4(address(0), NATIVE, address(usdc)), back())
        );
    }

    function test_v4_nativeOut() public {
        // The other way round: ETH is bought where it is cheap (here: sold dear on V2), and wrapped.
        newV4Pool(NATIVE, 1000 ether, address(dai), 2_000_000 ether, address(0));
        address daiPair = newPair(address(weth), 1000 ether, address(dai), 2_200_000 ether);
        checkSale(
            balancerLoan(address(weth), LOAN),
            list(exact(v2(daiPair, address(weth), address(dai)), LOAN), v4(address(0), address(dai), NATIVE), wrap())
        );
    }

    function test_v4_nativeLoan() public {
        Call memory call =
            newCall(v4Loan(NATIVE, LOAN), list(exact(v4(address(0), NATIVE, address(usdc)), LOAN), back(), unwrap()));
        call.afterSteps = list(wrap());
        run(call);
        assertGt(weth.balanceOf(treasury), 0.6 ether);
        assertEmpty();
    }

    function test_balancer_sale() public {
        checkSale(
            aaveLoan(address(weth), LOAN),
            list(exact(balancer(balancerPoolId, address(weth), address(usdc)), LOAN), back())
        );
    }

    function test_balancer_inTheMiddle() public {
        checkPurchase(aaveLoan(address(usdc), 20_000e6), balancer(balancerPoolId, address(weth), address(usdc)));
    }

    // ───────────────────────────── what protocols do not allow ─────────────────────────────

    function test_balancerLoan_cannotFundBalancerHop() public {
        Step[] memory steps = list(exact(balancer(balancerPoolId, address(weth), address(usdc)), LOAN), back());
        runExpecting(
            newCall(balancerLoan(address(weth), LOAN), steps), abi.encodeWithSignature("Error(string)", "BAL#400")
        );
    }

    function test_lendingV2PairIsNoHop() public {
        Call memory call = newCall(v2Loan(dearPair, address(weth), LOAN), list(out(), back()));
        runExpecting(call, abi.encodeWithSignature("Error(string)", "UniswapV2: LOCKED"));
    }

    function test_lendingV3PoolIsNoHop() public {
        Step[] memory steps = list(exact(v3(v3Pool, address(weth), address(usdc)), LOAN), back());
        runExpecting(
            newCall(v3Loan(v3Pool, address(weth), LOAN), steps), abi.encodeWithSignature("Error(string)", "LOK")
        );
    }

    // ───────────────────────────── first swap pays out before payment ─────────────────────────────

    function checkFirstSwap(Step memory first, address lender) private {
        Call memory call = newCall(firstSwap(), list(exact(first, LOAN), back()));
        vm.recordLogs();
        run(call);
        uint256 profit = weth.balanceOf(treasury);
        assertGt(profit, 0.6 ether);
        assertEmpty();
        // The event is the last log: loan token, amount, premium, surplus, profit, coinbase.
        bytes memory data = lastData(lender);
        assertEq(data, abi.encode(address(weth), LOAN, 0, profit, profit, 0));
    }

    function lastData(address lender) private returns (bytes memory) {
        VmLog[] memory logs = abi.decode(abi.encode(vm.getRecordedLogs()), (VmLog[]));
        VmLog memory log = logs[logs.length - 1];
        assertEq(log.emitter, address(executor));
        assertEq(log.topics[0], IFlashLoanExecutor.Executed.selector);
        assertEq(log.topics[2], bytes32(uint256(uint160(lender))));
        return log.data;
    }

    struct VmLog {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    function test_firstSwap_v2() public {
        checkFirstSwap(v2(dearPair, address(weth), address(usdc)), dearPair);
    }

    function test_firstSwap_v3() public {
        checkFirstSwap(v3(v3Pool, address(weth), address(usdc)), v3Pool);
    }

    function test_firstSwap_v4() public {
        checkFirstSwap(v4(address(0), address(weth), address(usdc)), address(manager));
    }

    function test_firstSwap_v4_thenV4() public {
        newV4Pool(address(weth), 1000 ether, address(dai), 1_950_000 ether, address(0));
        newV4Pool(address(usdc), 1_000_000e6, address(dai), 1_000_000 ether, address(0));
        run(
            newCall(
                firstSwap(),
                list(
                    exact(v4(address(0), address(weth), address(usdc)), LOAN),
                    v4(address(0), address(usdc), address(dai)),
                    v4(address(0), address(dai), address(weth))
                )
            )
        );
        assertGt(weth.balanceOf(treasury), 0.5 ether);
        assertEmpty();
    }

    function test_firstSwap_v4Native() public {
        Call memory call =
            newCall(firstSwap(), list(exact(v4(address(0), NATIVE, address(usdc)), LOAN), back(), unwrap()));
        call.afterSteps = list(wrap());
        run(call);
        assertGt(weth.balanceOf(treasury), 0.6 ether);
        assertEmpty();
    }

    function test_firstSwap_surplusInAnotherToken() public {
        // USDC in: WETH is bought cheap on credit, sold dear, and the USDC surplus converted afterwards.
        Call memory call = newCall(
            firstSwap(),
            list(exact(v2(cheapPair, address(usdc), address(weth)), 20_000e6), v3(v3Pool, address(weth), address(usdc)))
        );
        call.afterSteps = list(v2(dearPair, address(usdc), address(weth)));
        run(call);
        assertGt(weth.balanceOf(treasury), 0.5 ether);
        assertEmpty();
    }

    function test_firstSwap_refusals() public {
        bytes memory refused = abi.encodeWithSelector(IFlashLoanExecutor.FirstSwapInvalid.selector);
        runExpecting(newCall(firstSwap(), new Step[](0)), refused);
        runExpecting(newCall(firstSwap(), list(v2(dearPair, address(weth), address(usdc)), back())), refused);
        runExpecting(newCall(firstSwap(), list(exact(wrap(), LOAN), back())), refused);
        runExpecting(
            newCall(firstSwap(), list(exact(balancer(balancerPoolId, address(weth), address(usdc)), LOAN), back())),
            refused
        );
        bytes memory zero = abi.encodeWithSelector(IFlashLoanExecutor.AmountZero.selector, address(weth));
        runExpecting(newCall(firstSwap(), list(exact(v2(dearPair, address(weth), address(usdc)), 0), back())), zero);
    }

    // ───────────────────────────── graphs ─────────────────────────────

    function test_splitAndMerge() public {
        // 60 % over V3, the rest over V2; both halves meet in one purchase.
        Step[] memory steps = list(
            exact(v3(v3Pool, address(weth), address(usdc)), LOAN * 6 / 10),
            exact(v2(dearPair, address(weth), address(usdc)), LOAN * 4 / 10),
            back()
        );
        uint256 profit = checkSale(balancerLoan(address(weth), LOAN), steps);
        assertGt(profit, 0.7 ether, "two pools move less than one");
    }

    function test_splitByShare() public {
        address otherPair = newPair(address(weth), 1000 ether, address(usdc), 1000 * CHEAP);
        Step[] memory steps = list(
            out(), share(v2(cheapPair, address(usdc), address(weth)), 5000), v2(otherPair, address(usdc), address(weth))
        );
        checkSale(balancerLoan(address(weth), LOAN), steps);
    }

    function test_freeLeavesTheRepaymentAlone() public {
        // A last step that spends "all" WETH inside the loan spends the surplus only.
        Call memory call =
            newCall(aaveLoan(address(weth), LOAN), list(out(), back(), v3(v3Pool, address(weth), address(usdc))));
        call.afterSteps = list(back());
        run(call);
        assertGt(weth.balanceOf(treasury), 0.6 ether);
        assertEmpty();
    }

    // ───────────────────────────── amounts ─────────────────────────────

    function test_amounts_refusals() public {
        Loan memory loan = balancerLoan(address(weth), LOAN);
        runExpecting(
            newCall(loan, list(exact(v2(dearPair, address(weth), address(usdc)), LOAN + 1), back())),
            abi.encodeWithSelector(IFlashLoanExecutor.HeldTooLittle.selector, address(weth), LOAN, LOAN + 1)
        );
        runExpecting(
            newCall(loan, list(v2(dearPair, address(weth), address(usdc)), back())),
            abi.encodeWithSelector(IFlashLoanExecutor.AmountZero.selector, address(weth))
        );
        runExpecting(
            newCall(loan, list(out(), share(back(), 10_001))),
            abi.encodeWithSelector(IFlashLoanExecutor.BpsAboveMaximum.selector, 10_001)
        );
        runExpecting(
            newCall(balancerLoan(address(weth), 0), list(out(), back())),
            abi.encodeWithSelector(IFlashLoanExecutor.AmountZero.selector, address(weth))
        );
    }

    function test_amountIsNeverNegativeToV3() public {
        // A token whose balances have no bound could make "exact input" mean "exact output".
        TestToken endless = new TestToken("ENDLESS", 0);
        uint256 tooMuch = uint256(type(int256).max) + 1;
        Loan memory loan = firstSwap();
        Step memory step = exact(v3(v3Pool, address(endless), address(usdc)), tooMuch);
        runExpecting(
            newCall(loan, list(step, back())),
            abi.encodeWithSelector(IFlashLoanExecutor.AmountTooLarge.selector, tooMuch)
        );
    }

    // ───────────────────────────── fuzz ─────────────────────────────

    /// @dev The quote is what a pair pays at most: one more and its own check refuses.
    function testFuzz_pairMath(uint256 amountIn, uint256 reserveIn, uint256 reserveOut) public pure {
        reserveIn = bound(reserveIn, 1, type(uint112).max);
        reserveOut = bound(reserveOut, 1, type(uint112).max);
        amountIn = bound(amountIn, 1, type(uint112).max);
        uint256 amountOut = PairMath.amountOut(amountIn, reserveIn, reserveOut, 3000);
        assertEq(amountOut, amountIn * 997 * reserveOut / (reserveIn * 1000 + amountIn * 997));
        assertLt(amountOut, reserveOut);
        assertEq(
            PairMath.amountOut(amountIn, reserveIn, reserveOut, 2500),
            amountIn * 9975 * reserveOut / (reserveIn * 10_000 + amountIn * 9975)
        );
    }

    /// @dev A pool that moved after signing gives its real output; only the signed minimum decides.
    function testFuzz_movedPool(uint256 moved, uint256 loanAmount) public {
        moved = bound(moved, 1e6, 100_000e6);
        loanAmount = bound(loanAmount, 0.001 ether, 60 ether);
        usdc.transfer(cheapPair, moved);
        uint256 wethOut = v2Out(cheapPair, address(usdc), moved);
        bool zeroOut = address(usdc) > address(weth);
        Pair(cheapPair).swap(zeroOut ? wethOut : 0, zeroOut ? 0 : wethOut, address(this), "");

        uint256 returned = v2Out(cheapPair, address(usdc), v2Out(dearPair, address(weth), loanAmount));
        Call memory call = newCall(
            balancerLoan(address(weth), loanAmount),
            list(exact(v2(dearPair, address(weth), address(usdc)), loanAmount), back())
        );
        if (returned > loanAmount) {
            run(call);
            assertEq(weth.balanceOf(treasury), returned - loanAmount);
        } else if (returned == loanAmount) {
            runExpecting(call, abi.encodeWithSelector(IFlashLoanExecutor.ProfitBelowMinimum.selector, 0, 1));
        } else {
            runExpecting(
                call,
                abi.encodeWithSelector(IFlashLoanExecutor.HeldTooLittle.selector, address(weth), returned, loanAmount)
            );
        }
        assertEmpty();
    }
}

interface Pair {
    function swap(uint256 amount0Out, uint256 amount1Out, address to, bytes calldata data) external;
}
