// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import { ExecutorTest } from "./ExecutorTest.sol";
import { ElasticToken, FalseToken, FeeToken, HookToken, ITokenHooks, SilentToken } from "./mocks/BadTokens.sol";
import { Puppet } from "./mocks/Puppet.sol";
import { TestToken } from "./mocks/TestToken.sol";
import { Call, IFlashLoanExecutor, Step } from "../solidity/interfaces/IFlashLoanExecutor.sol";
import { IFlashCallbacks } from "../solidity/interfaces/Protocols.sol";

/// @notice Tokens that misbehave cost gas, never what the executor holds; donations and dust subsidize nothing.
contract TokensTest is ExecutorTest {
    /// @dev A cycle WETH → `token` → WETH over two pairs with a gap of 10 %.
    function cycle(TestToken token) private returns (Step[] memory) {
        token.mint(address(this), 1e30);
        address sale = newPair(address(weth), 1000 ether, address(token), 2200e18);
        address purchase = newPair(address(weth), 1000 ether, address(token), 2000e18);
        return list(exact(v2(sale, address(weth), address(token)), LOAN), v2(purchase, address(token), address(weth)));
    }

    function test_silentToken_everywhere() public {
        SilentToken token = new SilentToken();
        Step[] memory steps = cycle(token);
        run(newCall(aaveLoan(address(weth), LOAN), steps));
        assertGt(weth.balanceOf(treasury), 0.6 ether);

        // As the input of every other kind of pool; the vault's allowance must be set and cleared.
        Step[2] memory purchases = [
            v3(newV3Pool(address(weth), 1000 ether, address(token), 1800e18), address(token), address(weth)),
            balancer(newBalancerPool(address(weth), 1000 ether, address(token), 1800e18), address(token), address(weth))
        ];
        for (uint256 i; i < purchases.length; ++i) {
            uint256 before = weth.balanceOf(treasury);
            run(newCall(aaveLoan(address(weth), LOAN), list(steps[0], purchases[i])));
            assertGt(weth.balanceOf(treasury), before);
            assertEq(token.allowance(address(executor), address(vault)), 0);
            assertEq(token.balanceOf(address(executor)), 0);
        }

        // As a loan that is repaid, of what the pool manager happens to hold.
        send(address(token), address(manager), 2e18);
        Call memory call = newCall(
            v4Loan(address(token), 2e18),
            list(
                exact(v2(steps[1].pool, address(token), address(weth)), 2e18),
                v2(newPair(address(weth), 1000 ether, address(token), 2500e18), address(weth), address(token))
            )
        );
        call.afterSteps = list(v2(steps[1].pool, address(token), address(weth)));
        run(call);
        assertEq(token.balanceOf(address(executor)), 0);
    }

    function test_falseToken_reverts() public {
        FalseToken token = new FalseToken();
        Step[] memory steps = cycle(token);
        token.setRefusing(true);
        // The first pair cannot pay out; and a loan of it cannot be repaid.
        runExpecting(
            newCall(balancerLoan(address(weth), LOAN), steps),
            abi.encodeWithSignature("Error(string)", "UniswapV2: TRANSFER_FAILED")
        );
        token.setRefusing(false);
        address pool = newV3Pool(address(weth), 1000 ether, address(token), 2000e18);
        token.setRefusing(true);
        token.mint(address(executor), 5e18);
        Call memory call =
            newCall(balancerLoan(address(weth), LOAN), list(exact(v3(pool, address(token), address(weth)), 1e18)));
        runExpecting(call, abi.encodeWithSelector(IFlashLoanExecutor.HeldTooLittle.selector, address(token), 0, 1e18));
    }

    function test_falseToken_transferRefusalReverts() public {
        FalseToken token = new FalseToken();
        Step[] memory steps = cycle(token);
        // Begins to refuse between the two hops, when the WETH side of the first is paid.
        Puppet pool = new Puppet();
        pool.answer(bytes4(keccak256("getReserves()")), abi.encode(uint112(1e30), uint112(1e30), uint32(0)));
        bytes4 onSwap = bytes4(keccak256("swap(uint256,uint256,address,bytes)"));
        token.transfer(address(pool), 1e18);
        pool.onCall(onSwap, address(token), abi.encodeCall(TestToken.transfer, (address(executor), 1e18)), true);
        pool.onCall(onSwap, address(token), abi.encodeCall(FalseToken.setRefusing, (true)), true);
        steps[0] = exact(v2(address(pool), address(weth), address(token)), LOAN);
        runExpecting(newCall(balancerLoan(address(weth), LOAN), steps), abi.encodeWithSignature("TransferFailed()"));
        steps[1] = balancer(balancerPoolId, address(token), address(weth));
        runExpecting(newCall(v4Loan(address(weth), LOAN), steps), abi.encodeWithSignature("ApproveFailed()"));
    }

    function test_feeToken_reverts() public {
        FeeToken token = new FeeToken();
        Step[] memory steps = cycle(token);
        token.setCharging(true);
        // The second pair receives 1 % less than the executor counts on: its own invariant refuses.
        runExpecting(
            newCall(balancerLoan(address(weth), LOAN), steps), abi.encodeWithSignature("Error(string)", "UniswapV2: K")
        );
        token.setCharging(false);
        address pool = newV3Pool(address(weth), 1000 ether, address(token), 2000e18);
        token.setCharging(true);
        // A V3 pool checks what it was paid; a loan of it arrives short and cannot be spent as if it were whole.
        steps[1] = v3(pool, address(token), address(weth));
        runExpecting(newCall(balancerLoan(address(weth), LOAN), steps), abi.encodeWithSignature("Error(string)", "IIA"));
        runExpecting(
            newCall(v3Loan(pool, address(token), 1e18), list(exact(v3(pool, address(token), address(weth)), 1e18))),
            abi.encodeWithSelector(IFlashLoanExecutor.HeldTooLittle.selector, address(token), 0.99e18, 1e18)
        );
    }

    /// @dev ERC-777: the attacker is called in the middle of every move, knows the open call, and forges callbacks.
    function test_hookToken_cannotForgeCallbacks() public {
        HookToken token = new HookToken();
        Step[] memory steps = cycle(token);
        Puppet listener = new Puppet();
        weth.transfer(address(executor), 5 ether);
        Call memory call = newCall(balancerLoan(address(weth), LOAN), steps);
        bytes memory data = abi.encode(call);
        address[] memory tokens = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        (tokens[0], amounts[0]) = (address(weth), LOAN);
        bytes4[2] memory moments = [ITokenHooks.tokensToSend.selector, ITokenHooks.tokensReceived.selector];
        for (uint256 i; i < moments.length; ++i) {
            listener.onCall(
                moments[i],
                address(executor),
                abi.encodeCall(IFlashCallbacks.receiveFlashLoan, (tokens, amounts, amounts, data)),
                false
            );
            listener.onCall(
                moments[i],
                address(executor),
                abi.encodeCall(
                    IFlashCallbacks.uniswapV3SwapCallback, (int256(1 ether), 0, abi.encode(address(weth), 1 ether))
                ),
                false
            );
            listener.onCall(
                moments[i],
                address(vault),
                abi.encodeCall(vault.flashLoan, (address(executor), tokens, amounts, data)),
                false
            );
            listener.onCall(moments[i], address(manager), abi.encodeCall(manager.sync, (address(usdc))), false);
            listener.onCall(moments[i], address(executor), abi.encodeCall(IFlashLoanExecutor.execute, (call)), false);
        }
        token.setListener(address(listener));
        run(call);
        assertEq(weth.balanceOf(address(executor)), 5 ether);
        assertGt(weth.balanceOf(treasury), 0.6 ether);
        // Two moves of the token, both moments, four refusals each (the sync is no matter of ours).
        assertEq(listener.failureCount(), 2 * 2 * 4);
    }

    /// @dev Somebody syncs another currency between our payment's announcement and its settlement.
    function test_hookToken_v4SyncMischiefReverts() public {
        HookToken token = new HookToken();
        token.mint(address(this), 1e30);
        newV4Pool(address(weth), 1000 ether, address(token), 2000e18, address(0));
        address sale = newPair(address(weth), 1000 ether, address(token), 2200e18);
        Puppet listener = new Puppet();
        listener.onCall(
            ITokenHooks.tokensReceived.selector, address(manager), abi.encodeCall(manager.sync, (address(usdc))), false
        );
        token.setListener(address(listener));
        runExpecting(
            newCall(
                balancerLoan(address(weth), LOAN),
                list(
                    exact(v2(sale, address(weth), address(token)), LOAN), v4(address(0), address(token), address(weth))
                )
            ),
            abi.encodeWithSignature("CurrencyNotSettled()")
        );
    }

    /// @dev A currency left synced by a stranger does not spoil a native payment.
    function test_v4NativePaymentAfterForeignSync() public {
        manager.sync(address(usdc));
        run(
            newCall(
                balancerLoan(address(weth), LOAN),
                list(exact(unwrap(), LOAN), v4(address(0), address(0), address(usdc)), back())
            )
        );
        assertGt(weth.balanceOf(treasury), 0.6 ether);
    }

    // ───────────────────────────── dust and donations ─────────────────────────────

    /// @dev The loss of a wrong cycle is not paid from what lies here.
    function testFuzz_dustSubsidizesNothing(uint256 wethDust, uint256 usdcDust, uint256 nativeDust) public {
        wethDust = bound(wethDust, 0, 1000 ether);
        usdcDust = bound(usdcDust, 0, 1_000_000e6);
        nativeDust = bound(nativeDust, 0, 1000 ether);
        weth.transfer(address(executor), wethDust);
        usdc.transfer(address(executor), usdcDust);
        vm.deal(address(executor), nativeDust);
        Step[] memory wrong = list(
            exact(v2(cheapPair, address(weth), address(usdc)), LOAN), v2(dearPair, address(usdc), address(weth))
        );
        Call memory call = newCall(balancerLoan(address(weth), LOAN), wrong);
        call.minProfitWei = 0;
        uint256 returned = v2Out(dearPair, address(usdc), v2Out(cheapPair, address(weth), LOAN));
        runExpecting(
            call, abi.encodeWithSelector(IFlashLoanExecutor.HeldTooLittle.selector, address(weth), returned, LOAN)
        );
        // A right one leaves it as it was, to the wei.
        run(goodCall());
        assertEq(weth.balanceOf(address(executor)), wethDust);
        assertEq(usdc.balanceOf(address(executor)), usdcDust);
        assertEq(address(executor).balance, nativeDust);
        assertEq(weth.balanceOf(treasury), marketProfit(), "what the market paid, nothing of the dust");
    }

    /// @dev The profit of {goodCall} in the untouched market.
    function marketProfit() private pure returns (uint256) {
        uint256 sold = LOAN * 997 * (1000 * DEAR) / (1000 ether * 1000 + LOAN * 997);
        return sold * 997 * 1000 ether / (1000 * CHEAP * 1000 + sold * 997) - LOAN;
    }

    /// @dev All calls of a test are one transaction here: nothing of the first may be left in transient storage.
    function test_transientStorageIsClearedBetweenCalls() public {
        run(goodCall());
        uint256 first = weth.balanceOf(treasury);
        // Dust that comes between the calls belongs to the second call's entry balance, though a token was noted before.
        weth.transfer(address(executor), 3 ether);
        usdc.transfer(address(executor), 7e6);
        uint256 gained = v2Out(cheapPair, address(usdc), v2Out(dearPair, address(weth), LOAN)) - LOAN;
        run(goodCall());
        assertEq(weth.balanceOf(treasury) - first, gained);
        assertEq(weth.balanceOf(address(executor)), 3 ether);
        assertEq(usdc.balanceOf(address(executor)), 7e6);
    }

    /// @dev The last statement: a token that shrinks after everything else went well.
    function test_tokenBelowEntryReverts() public {
        ElasticToken token = new ElasticToken();
        Step[] memory steps = cycle(token);
        token.mint(address(executor), 10e18);
        Puppet builder = new Puppet();
        vm.coinbase(address(builder));
        vm.prank(owner);
        executor.setCoinbaseCap(100);
        builder.onCall(
            bytes4(0), address(token), abi.encodeCall(ElasticToken.setBalance, (address(executor), 4e18)), true
        );
        Call memory call = newCall(balancerLoan(address(weth), LOAN), steps);
        call.coinbaseBps = 100;
        runExpecting(
            call, abi.encodeWithSelector(IFlashLoanExecutor.BalanceBelowEntry.selector, address(token), 4e18, 10e18)
        );
    }

    function test_repayBelowLoanIsRefused() public {
        Call memory call = newCall(v2Loan(dearPair, address(weth), LOAN), list(out(), back()));
        call.loan.repayAmount = LOAN - 1;
        runExpecting(call, abi.encodeWithSelector(IFlashLoanExecutor.RepayBelowLoan.selector, LOAN, LOAN - 1));
    }
}
