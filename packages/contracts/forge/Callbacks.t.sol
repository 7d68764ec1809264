// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import { ExecutorTest, IExecutor } from "./ExecutorTest.sol";
import { IAavePoolFull, IV2PairFull, IVaultFull, PoolKey } from "./Protocols.sol";
import { Puppet } from "./mocks/Puppet.sol";
import { Call, IFlashLoanExecutor, LenderKind, Loan, Step } from "../solidity/interfaces/IFlashLoanExecutor.sol";
import {
    IAavePool,
    IBalancerVault,
    IFlashCallbacks,
    IUniswapV2Pair,
    IUniswapV3Pool,
    IUniswapV4PoolManager
} from "../solidity/interfaces/Protocols.sol";
import { TestToken } from "./mocks/TestToken.sol";

/// @notice Only the callback that an open call announced is answered, once; anything else reverts.
contract CallbacksTest is ExecutorTest {
    Puppet internal puppet;

    function setUp() public override {
        super.setUp();
        puppet = new Puppet();
        vm.label(address(puppet), "puppet");
        // Something to lose.
        weth.transfer(address(executor), 5 ether);
        usdc.transfer(address(executor), 5000e6);
    }

    function unexpected(address sender, bytes4 selector) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IFlashLoanExecutor.CallbackUnexpected.selector, sender, selector);
    }

    /// @dev All callbacks, with the data of a call that would be good.
    function callbacks() private view returns (bytes[] memory datas) {
        bytes memory data = abi.encode(goodCall());
        address[] memory tokens = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        (tokens[0], amounts[0]) = (address(weth), LOAN);
        datas = new bytes[](7);
        datas[0] = abi.encodeCall(IFlashCallbacks.executeOperation, (address(weth), LOAN, 0, address(executor), data));
        datas[1] = abi.encodeCall(IFlashCallbacks.receiveFlashLoan, (tokens, amounts, amounts, data));
        datas[2] = abi.encodeCall(IFlashCallbacks.uniswapV2Call, (address(executor), LOAN, 0, data));
        datas[3] = abi.encodeCall(IFlashCallbacks.uniswapV3FlashCallback, (0, 0, data));
        datas[4] = abi.encodeCall(IFlashCallbacks.uniswapV3SwapCallback, (int256(1 ether), 0, data));
        datas[5] = abi.encodeCall(
            IFlashCallbacks.uniswapV3SwapCallback, (int256(1 ether), 0, abi.encode(address(weth), 1 ether))
        );
        datas[6] = abi.encodeCall(IFlashCallbacks.unlockCallback, (data));
    }

    // ───────────────────────────── outside a call ─────────────────────────────

    function test_noCallIsOpen_nobodyIsAnswered() public {
        bytes[] memory datas = callbacks();
        address[6] memory senders = [stranger, operator, owner, address(vault), address(aave), address(manager)];
        for (uint256 s; s < senders.length; ++s) {
            for (uint256 i; i < datas.length; ++i) {
                vm.prank(senders[s]);
                vm.expectRevert(unexpected(senders[s], bytes4(datas[i])));
                (bool reverted,) = address(executor).call(datas[i]);
                assertTrue(reverted, "expectRevert inverts");
            }
        }
    }

    function test_strangersLoans_namingUsAsRecipient() public {
        bytes memory data = abi.encode(goodCall());
        address[] memory tokens = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        (tokens[0], amounts[0]) = (address(weth), LOAN);
        vm.startPrank(stranger);

        vm.expectRevert(unexpected(address(vault), IFlashCallbacks.receiveFlashLoan.selector));
        vault.flashLoan(address(executor), tokens, amounts, data);

        vm.expectRevert(unexpected(address(aave), IFlashCallbacks.executeOperation.selector));
        aave.flashLoanSimple(address(executor), address(weth), LOAN, data, 0);

        (uint256 out0, uint256 out1) = address(weth) < address(usdc) ? (LOAN, uint256(0)) : (uint256(0), LOAN);
        vm.expectRevert(unexpected(dearPair, IFlashCallbacks.uniswapV2Call.selector));
        IV2PairFull(dearPair).swap(out0, out1, address(executor), data);
    }

    // ───────────────────────────── inside a call: foreign loans in a pool's swap ─────────────────────────────

    /// @dev A call whose first hop goes to the puppet, which gets the loan for nothing; then nothing can repay.
    function callThroughPuppet() private returns (Call memory call) {
        puppet.answer(IUniswapV2Pair.getReserves.selector, abi.encode(uint112(1e30), uint112(1e30), uint32(0)));
        call = newCall(
            balancerLoan(address(weth), LOAN), list(exact(v2(address(puppet), address(weth), address(usdc)), LOAN))
        );
        // The puppet gives the loan back, so that the call itself is harmless and gets to its end.
        call.minProfitWei = 0;
        puppet.onCall(
            IUniswapV2Pair.swap.selector,
            address(weth),
            abi.encodeCall(TestToken.transfer, (address(executor), LOAN)),
            true
        );
    }

    function test_insideACall_allCallbacksOfAPoolAreRefused() public {
        Call memory call = callThroughPuppet();
        bytes[] memory datas = callbacks();
        for (uint256 i; i < datas.length; ++i) {
            puppet.onCall(IUniswapV2Pair.swap.selector, address(executor), datas[i], false);
        }
        run(call);
        assertEq(puppet.failureCount(), datas.length);
        for (uint256 i; i < datas.length; ++i) {
            assertEq(puppet.failures(i), unexpected(address(puppet), bytes4(datas[i])));
        }
        assertUnharmed();
    }

    function test_insideACall_foreignLoansAreRefused() public {
        Call memory call = callThroughPuppet();
        call.loan = v4Loan(address(weth), LOAN);
        bytes memory data = abi.encode(call);
        address[] memory tokens = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        (tokens[0], amounts[0]) = (address(weth), LOAN);
        bytes4 onSwap = IUniswapV2Pair.swap.selector;
        puppet.onCall(
            onSwap,
            address(vault),
            abi.encodeCall(IVaultFull.flashLoan, (address(executor), tokens, amounts, data)),
            false
        );
        puppet.onCall(
            onSwap,
            address(aave),
            abi.encodeCall(IAavePoolFull.flashLoanSimple, (address(executor), address(weth), LOAN, data, 0)),
            false
        );
        (uint256 out0, uint256 out1) = address(weth) < address(usdc) ? (LOAN, uint256(0)) : (uint256(0), LOAN);
        puppet.onCall(onSwap, dearPair, abi.encodeCall(IV2PairFull.swap, (out0, out1, address(executor), data)), false);
        run(call);
        assertEq(puppet.failureCount(), 3);
        assertEq(puppet.failures(0), unexpected(address(vault), IFlashCallbacks.receiveFlashLoan.selector));
        assertEq(puppet.failures(1), unexpected(address(aave), IFlashCallbacks.executeOperation.selector));
        assertEq(puppet.failures(2), unexpected(dearPair, IFlashCallbacks.uniswapV2Call.selector));
        assertUnharmed();
    }

    // ───────────────────────────── a lender that lies ─────────────────────────────

    function v2PuppetLoan() private returns (Call memory call) {
        puppet.answer(IUniswapV2Pair.token0.selector, abi.encode(address(weth)));
        call = newCall(v2Loan(address(puppet), address(weth), LOAN), list(out(), back()));
    }

    function v2Callback(address initiator, bytes memory data) private pure returns (bytes memory) {
        return abi.encodeCall(IFlashCallbacks.uniswapV2Call, (initiator, LOAN, 0, data));
    }

    function test_lenderThatDoesNotLend() public {
        Call memory call = v2PuppetLoan();
        puppet.onCall(
            IUniswapV2Pair.swap.selector, address(executor), v2Callback(address(executor), abi.encode(call)), true
        );
        // Nothing came in: the step may not spend the five WETH that are here.
        runExpecting(call, abi.encodeWithSelector(IFlashLoanExecutor.HeldTooLittle.selector, address(weth), 0, LOAN));
    }

    function test_lenderThatDoesNotCallBack() public {
        Call memory call = v2PuppetLoan();
        runExpecting(call, abi.encodeWithSelector(IFlashLoanExecutor.CallbackMissing.selector, address(puppet)));
    }

    function test_lenderThatCallsBackTwice() public {
        Call memory call = v2PuppetLoan();
        bytes memory callback = v2Callback(address(executor), abi.encode(call));
        bytes4 onSwap = IUniswapV2Pair.swap.selector;
        weth.transfer(address(puppet), LOAN);
        puppet.onCall(onSwap, address(weth), abi.encodeCall(TestToken.transfer, (address(executor), LOAN)), true);
        puppet.onCall(onSwap, address(executor), callback, true);
        puppet.onCall(onSwap, address(executor), callback, false);
        run(call);
        assertEq(puppet.failures(0), unexpected(address(puppet), IFlashCallbacks.uniswapV2Call.selector));
        assertUnharmed();
    }

    function test_lenderThatChangesTheData() public {
        Call memory call = v2PuppetLoan();
        Call memory other = v2PuppetLoan();
        other.loan.repayAmount += 1 ether;
        puppet.onCall(
            IUniswapV2Pair.swap.selector, address(executor), v2Callback(address(executor), abi.encode(other)), true
        );
        runExpecting(call, unexpected(address(puppet), IFlashCallbacks.uniswapV2Call.selector));
    }

    function test_lenderThatCallsAnotherCallback() public {
        Call memory call = v2PuppetLoan();
        puppet.onCall(
            IUniswapV2Pair.swap.selector,
            address(executor),
            abi.encodeCall(IFlashCallbacks.uniswapV3FlashCallback, (0, 0, abi.encode(call))),
            true
        );
        runExpecting(call, unexpected(address(puppet), IFlashCallbacks.uniswapV3FlashCallback.selector));
    }

    function test_lenderThatNamesAnotherInitiator() public {
        Call memory call = v2PuppetLoan();
        puppet.onCall(IUniswapV2Pair.swap.selector, address(executor), v2Callback(stranger, abi.encode(call)), true);
        runExpecting(call, abi.encodeWithSelector(IFlashLoanExecutor.InitiatorUnexpected.selector, stranger));
    }

    function test_callbackFromAnotherSender() public {
        // The lender has a friend call back with the right data.
        Puppet friend = new Puppet();
        Call memory call = v2PuppetLoan();
        puppet.onCall(
            IUniswapV2Pair.swap.selector,
            address(friend),
            abi.encodeCall(Puppet.act, (address(executor), v2Callback(address(executor), abi.encode(call)))),
            true
        );
        runExpecting(call, unexpected(address(friend), IFlashCallbacks.uniswapV2Call.selector));
    }

    function test_v3LenderThatWantsTooMuch() public {
        puppet.answer(IUniswapV3Pool.token0.selector, abi.encode(address(weth)));
        Call memory call = newCall(v3Loan(address(puppet), address(weth), LOAN), list(out(), back()));
        weth.transfer(address(puppet), LOAN);
        bytes4 onFlash = IUniswapV3Pool.flash.selector;
        puppet.onCall(onFlash, address(weth), abi.encodeCall(TestToken.transfer, (address(executor), LOAN)), true);
        puppet.onCall(
            onFlash,
            address(executor),
            abi.encodeCall(IFlashCallbacks.uniswapV3FlashCallback, (4 ether, 0, abi.encode(call))),
            true
        );
        uint256 returned = v2Out(cheapPair, address(usdc), v2Out(dearPair, address(weth), LOAN));
        runExpecting(
            call,
            abi.encodeWithSelector(IFlashLoanExecutor.HeldTooLittle.selector, address(weth), returned, LOAN + 4 ether)
        );
    }

    // ───────────────────────────── Aave and Balancer themselves ─────────────────────────────

    /// @dev An executor whose Aave pool, vault and pool manager are all the puppet.
    function puppetExecutor() private returns (IExecutor) {
        return IExecutor(
            deploy(
                "FlashLoanExecutor",
                abi.encode(owner, operator, treasury, address(weth), address(puppet), address(puppet), address(puppet))
            )
        );
    }

    function test_aave_initiatorMustBeUs() public {
        IExecutor target = puppetExecutor();
        Call memory call =
            newCall(Loan(LenderKind.AAVE_V3, address(puppet), address(weth), LOAN, 0), list(out(), back()));
        puppet.onCall(
            IAavePool.flashLoanSimple.selector,
            address(target),
            abi.encodeCall(IFlashCallbacks.executeOperation, (address(weth), LOAN, 0, stranger, abi.encode(call))),
            true
        );
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IFlashLoanExecutor.InitiatorUnexpected.selector, stranger));
        target.execute(call);
    }

    function test_aave_assetAndAmountMustBeOurs() public {
        IExecutor target = puppetExecutor();
        Call memory call =
            newCall(Loan(LenderKind.AAVE_V3, address(puppet), address(weth), LOAN, 0), list(out(), back()));
        bytes memory data = abi.encode(call);
        checkLoanUnexpected(
            target,
            call,
            IAavePool.flashLoanSimple.selector,
            abi.encodeCall(IFlashCallbacks.executeOperation, (address(usdc), LOAN, 0, address(target), data)),
            address(usdc),
            LOAN
        );
        checkLoanUnexpected(
            target,
            call,
            IAavePool.flashLoanSimple.selector,
            abi.encodeCall(IFlashCallbacks.executeOperation, (address(weth), LOAN + 1, 0, address(target), data)),
            address(weth),
            LOAN + 1
        );
    }

    function test_balancer_tokenAndAmountMustBeOurs() public {
        IExecutor target = puppetExecutor();
        Call memory call =
            newCall(Loan(LenderKind.BALANCER_V2, address(puppet), address(weth), LOAN, 0), list(out(), back()));
        bytes memory data = abi.encode(call);
        address[] memory tokens = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        (tokens[0], amounts[0]) = (address(usdc), LOAN);
        checkLoanUnexpected(
            target,
            call,
            IBalancerVault.flashLoan.selector,
            abi.encodeCall(IFlashCallbacks.receiveFlashLoan, (tokens, amounts, amounts, data)),
            address(usdc),
            LOAN
        );
        (tokens[0], amounts[0]) = (address(weth), 1);
        checkLoanUnexpected(
            target,
            call,
            IBalancerVault.flashLoan.selector,
            abi.encodeCall(IFlashCallbacks.receiveFlashLoan, (tokens, amounts, amounts, data)),
            address(weth),
            1
        );
    }

    function test_aave_whatItDoesNotPullIsNotApproved() public {
        IExecutor target = puppetExecutor();
        Call memory call =
            newCall(Loan(LenderKind.AAVE_V3, address(puppet), address(weth), LOAN, 0), list(out(), back()));
        bytes memory callback = abi.encodeCall(
            IFlashCallbacks.executeOperation, (address(weth), LOAN, 0, address(target), abi.encode(call))
        );
        weth.transfer(address(puppet), LOAN);
        bytes4 onLoan = IAavePool.flashLoanSimple.selector;
        puppet.onCall(onLoan, address(weth), abi.encodeCall(TestToken.transfer, (address(target), LOAN)), true);
        puppet.onCall(onLoan, address(target), callback, true);
        vm.prank(operator);
        target.execute(call);
        assertEq(weth.allowance(address(target), address(puppet)), 0);
    }

    function test_balancer_whatItDoesNotPullIsNotApproved() public {
        IExecutor target = puppetExecutor();
        puppet.answer(IBalancerVault.swap.selector, abi.encode(uint256(0)));
        Call memory call = newCall(
            v3Loan(v3Pool, address(weth), LOAN),
            list(exact(balancer(balancerPoolId, address(weth), address(usdc)), 1 ether), out(), back())
        );
        // One WETH of the loan is left, as the vault takes nothing of it.
        call.steps[1].amount = LOAN - 1 ether;
        vm.prank(operator);
        target.execute(call);
        assertEq(weth.allowance(address(target), address(puppet)), 0);
    }

    function checkLoanUnexpected(
        IExecutor target,
        Call memory call,
        bytes4 onLoan,
        bytes memory callback,
        address token,
        uint256 amount
    ) private {
        puppet.forget(onLoan);
        puppet.onCall(onLoan, address(target), callback, true);
        vm.prank(operator);
        vm.expectRevert(abi.encodeWithSelector(IFlashLoanExecutor.LoanUnexpected.selector, token, amount));
        target.execute(call);
    }

    // ───────────────────────────── a V3 pool that lies ─────────────────────────────

    function v3PuppetCall() private returns (Call memory call) {
        puppet.answer(IUniswapV3Pool.swap.selector, abi.encode(int256(0), int256(0)));
        call = newCall(
            balancerLoan(address(weth), LOAN), list(exact(v3(address(puppet), address(weth), address(usdc)), 1 ether))
        );
        call.minProfitWei = 0;
    }

    function v3Callback(int256 delta, bytes memory data) private pure returns (bytes memory) {
        return abi.encodeCall(IFlashCallbacks.uniswapV3SwapCallback, (delta, 0, data));
    }

    function test_v3Pool_wantsMoreThanTheStep() public {
        Call memory call = v3PuppetCall();
        puppet.onCall(
            IUniswapV3Pool.swap.selector,
            address(executor),
            v3Callback(1 ether + 1, abi.encode(address(weth), 1 ether)),
            true
        );
        runExpecting(
            call,
            abi.encodeWithSelector(IFlashLoanExecutor.PaymentAboveMaximum.selector, address(weth), 1 ether + 1, 1 ether)
        );
    }

    function test_v3Pool_negativeDeltasAreNoPayment() public {
        Call memory call = v3PuppetCall();
        puppet.onCall(
            IUniswapV3Pool.swap.selector, address(executor), v3Callback(-1, abi.encode(address(weth), 1 ether)), true
        );
        // The second delta, 0, is what is owed: nothing is paid, nothing came in, and the loan is whole.
        run(call);
        assertUnharmed();
    }

    function test_v3Pool_asksForAnotherToken() public {
        Call memory call = v3PuppetCall();
        puppet.onCall(
            IUniswapV3Pool.swap.selector,
            address(executor),
            v3Callback(1 ether, abi.encode(address(usdc), 1 ether)),
            true
        );
        runExpecting(call, unexpected(address(puppet), IFlashCallbacks.uniswapV3SwapCallback.selector));
    }

    function test_v3Pool_takesAndGivesNothing() public {
        Call memory call = v3PuppetCall();
        puppet.onCall(
            IUniswapV3Pool.swap.selector,
            address(executor),
            v3Callback(1 ether, abi.encode(address(weth), 1 ether)),
            true
        );
        runExpecting(
            call, abi.encodeWithSelector(IFlashLoanExecutor.HeldTooLittle.selector, address(weth), LOAN - 1 ether, LOAN)
        );
    }

    function test_v3Pool_firstSwapWantsMore() public {
        puppet.answer(IUniswapV3Pool.swap.selector, abi.encode(int256(0), int256(0)));
        Call memory call =
            newCall(firstSwap(), list(exact(v3(address(puppet), address(weth), address(usdc)), 1 ether), back()));
        puppet.onCall(IUniswapV3Pool.swap.selector, address(executor), v3Callback(2 ether, abi.encode(call)), true);
        runExpecting(
            call,
            abi.encodeWithSelector(IFlashLoanExecutor.PaymentAboveMaximum.selector, address(weth), 2 ether, 1 ether)
        );
    }

    // ───────────────────────────── a V4 pool manager, and its hooks ─────────────────────────────

    function test_v4_unlockCallbackOnlyInOurUnlock() public {
        // The real pool manager, unlocked by somebody else, never calls us: it calls who unlocked it.
        puppet.onCall(
            IFlashCallbacks.unlockCallback.selector,
            address(executor),
            abi.encodeCall(IFlashCallbacks.unlockCallback, (abi.encode(goodCall()))),
            false
        );
        puppet.answer(IFlashCallbacks.unlockCallback.selector, abi.encode(bytes("")));
        puppet.act(address(manager), abi.encodeCall(IUniswapV4PoolManager.unlock, ("")));
        assertEq(puppet.failures(0), unexpected(address(puppet), IFlashCallbacks.unlockCallback.selector));
    }

    function test_v4_hopRefusesHooksUnlessAllowed() public {
        // No permission bits: the pool manager accepts it, because it would never call it.
        address hooks = address(0x10000);
        newV4PoolWithDynamicFee(hooks);
        Step memory hop = exact(v4(hooks, address(weth), address(usdc)), LOAN);
        hop.fee = 0x800000;
        Call memory call = newCall(balancerLoan(address(weth), LOAN), list(hop, back()));
        runExpecting(call, abi.encodeWithSelector(IFlashLoanExecutor.HooksRefused.selector, hooks));
        vm.prank(owner);
        executor.setHooksAllowed(hooks, true);
        run(call);
        assertGt(weth.balanceOf(treasury), 0.6 ether);
        vm.prank(owner);
        executor.setHooksAllowed(hooks, false);
        runExpecting(call, abi.encodeWithSelector(IFlashLoanExecutor.HooksRefused.selector, hooks));
        call.loan = firstSwap();
        runExpecting(call, abi.encodeWithSelector(IFlashLoanExecutor.HooksRefused.selector, hooks));
    }

    /// @dev Hooks without permissions are only valid for pools with a dynamic fee (which starts at zero).
    function newV4PoolWithDynamicFee(address hooks) private {
        (address a, address b) = (address(weth), address(usdc));
        (uint256 amountA, uint256 amountB) = (1000 ether, 1000 * DEAR);
        if (a > b) (a, amountA, b, amountB) = (b, amountB, a, amountA);
        newV4PoolAt(PoolKey(a, b, 0x800000, 60, hooks), amountA, amountB);
    }

    function test_v4_badDeltasOfAPoolManager() public {
        IExecutor target = puppetExecutor();
        Step memory hop = exact(v4(address(0), address(weth), address(usdc)), LOAN);
        Call memory call = newCall(v3Loan(v3Pool, address(weth), LOAN), list(hop, back()));
        bytes memory data = abi.encode(call.steps[0], LOAN);
        puppet.onCall(
            IUniswapV4PoolManager.unlock.selector,
            address(target),
            abi.encodeCall(IFlashCallbacks.unlockCallback, (data)),
            true
        );
        bool wethIsFirst = address(weth) < address(usdc);
        // It pays us for giving: the sign is wrong.
        checkDelta(
            target, call, wethIsFirst, 1, 1, abi.encodeWithSelector(IFlashLoanExecutor.DeltaUnexpected.selector, 1, 1)
        );
        // It takes both sides.
        checkDelta(
            target,
            call,
            wethIsFirst,
            -1,
            -1,
            abi.encodeWithSelector(IFlashLoanExecutor.DeltaUnexpected.selector, -1, -1)
        );
        // It takes more than the step gives.
        checkDelta(
            target,
            call,
            wethIsFirst,
            -int256(LOAN) - 1,
            1,
            abi.encodeWithSelector(IFlashLoanExecutor.PaymentAboveMaximum.selector, address(weth), LOAN + 1, LOAN)
        );
    }

    function checkDelta(
        IExecutor target,
        Call memory call,
        bool inIsFirst,
        int256 deltaIn,
        int256 deltaOut,
        bytes memory expected
    ) private {
        (int256 delta0, int256 delta1) = inIsFirst ? (deltaIn, deltaOut) : (deltaOut, deltaIn);
        int256 packed = (delta0 << 128) | int256(uint256(uint128(int128(delta1))));
        puppet.answer(IUniswapV4PoolManager.swap.selector, abi.encode(packed));
        vm.prank(operator);
        vm.expectRevert(expected);
        target.execute(call);
    }

    /// @dev What was here before is still here.
    function assertUnharmed() private view {
        assertGe(weth.balanceOf(address(executor)), 5 ether);
        assertGe(usdc.balanceOf(address(executor)), 5000e6);
    }
}
