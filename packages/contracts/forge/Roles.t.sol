// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import { ExecutorTest, IExecutor } from "./ExecutorTest.sol";
import { Puppet } from "./mocks/Puppet.sol";
import { Call, IFlashLoanExecutor, LenderKind, Loan, Step } from "../solidity/interfaces/IFlashLoanExecutor.sol";
import { IUniswapV2Pair } from "../solidity/interfaces/Protocols.sol";

/// @notice Who may do what, the lock, and what the owner can withdraw.
contract RolesTest is ExecutorTest {
    // ───────────────────────────── deployment ─────────────────────────────

    function test_constructor_setsEverything() public view {
        assertEq(executor.owner(), owner);
        assertEq(executor.pendingOwner(), address(0));
        assertTrue(executor.isOperator(operator));
        assertEq(executor.treasury(), treasury);
        assertEq(executor.coinbaseCapBps(), 0);
        assertFalse(executor.paused());
        assertEq(executor.WETH(), address(weth));
        assertEq(executor.BALANCER_VAULT(), address(vault));
        assertEq(executor.AAVE_POOL(), address(aave));
        assertEq(executor.V4_POOL_MANAGER(), address(manager));
    }

    function tryDeploy(address owner_, address operator_, address treasury_, address weth_)
        private
        returns (bytes memory)
    {
        bytes memory creation = bytes.concat(
            code("FlashLoanExecutor"),
            abi.encode(owner_, operator_, treasury_, weth_, address(0), address(0), address(0))
        );
        (bool succeeded, bytes memory result) = address(new Creator()).call(creation);
        assertFalse(succeeded);
        return result;
    }

    function test_constructor_refusals() public {
        bytes memory zero = abi.encodeWithSelector(IFlashLoanExecutor.AddressZero.selector);
        assertEq(tryDeploy(address(0), operator, treasury, address(weth)), zero);
        assertEq(tryDeploy(owner, address(0), treasury, address(weth)), zero);
        assertEq(tryDeploy(owner, operator, address(0), address(weth)), zero);
        assertEq(tryDeploy(owner, operator, treasury, address(0)), zero);
        assertEq(
            tryDeploy(owner, owner, treasury, address(weth)),
            abi.encodeWithSelector(IFlashLoanExecutor.RolesOverlap.selector, owner)
        );
        assertEq(
            tryDeploy(owner, treasury, treasury, address(weth)),
            abi.encodeWithSelector(IFlashLoanExecutor.RolesOverlap.selector, treasury)
        );
    }

    function test_disabledProtocolsAreRefused() public {
        IExecutor bare = IExecutor(
            deploy(
                "FlashLoanExecutor",
                abi.encode(owner, operator, treasury, address(weth), address(0), address(0), address(0))
            )
        );
        LenderKind[3] memory kinds = [LenderKind.AAVE_V3, LenderKind.BALANCER_V2, LenderKind.UNISWAP_V4];
        for (uint256 i; i < kinds.length; ++i) {
            Call memory call = newCall(Loan(kinds[i], address(0), address(weth), LOAN, 0), list(out(), back()));
            vm.prank(operator);
            vm.expectRevert(abi.encodeWithSelector(IFlashLoanExecutor.LenderUnknown.selector, kinds[i], address(0)));
            bare.execute(call);
        }
        Call memory hop = newCall(
            v3Loan(v3Pool, address(weth), LOAN), list(exact(v4(address(0), address(weth), address(usdc)), LOAN), back())
        );
        vm.prank(operator);
        vm.expectRevert(
            abi.encodeWithSelector(IFlashLoanExecutor.LenderUnknown.selector, LenderKind.UNISWAP_V4, address(0))
        );
        bare.execute(hop);
    }

    function test_lendersOfTheDeploymentOnly() public {
        LenderKind[3] memory kinds = [LenderKind.AAVE_V3, LenderKind.BALANCER_V2, LenderKind.UNISWAP_V4];
        for (uint256 i; i < kinds.length; ++i) {
            runExpecting(
                newCall(Loan(kinds[i], stranger, address(weth), LOAN, 0), list(out(), back())),
                abi.encodeWithSelector(IFlashLoanExecutor.LenderUnknown.selector, kinds[i], stranger)
            );
        }
    }

    // ───────────────────────────── operators ─────────────────────────────

    function test_onlyOperatorsExecute() public {
        Call memory call = goodCall();
        address[3] memory others = [stranger, owner, treasury];
        for (uint256 i; i < others.length; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IFlashLoanExecutor.NotOperator.selector, others[i]));
            executor.execute(call);
        }
        vm.prank(owner);
        executor.setOperator(operator, false);
        runExpecting(call, abi.encodeWithSelector(IFlashLoanExecutor.NotOperator.selector, operator));
    }

    function test_pauseStopsAllOperatorsAtOnce() public {
        vm.startPrank(owner);
        executor.setOperator(stranger, true);
        vm.expectEmit(address(executor));
        emit IFlashLoanExecutor.PausedSet(true);
        executor.setPaused(true);
        vm.stopPrank();
        Call memory call = goodCall();
        bytes memory stopped = abi.encodeWithSelector(IFlashLoanExecutor.OperatorsPaused.selector);
        runExpecting(call, stopped);
        vm.prank(stranger);
        vm.expectRevert(stopped);
        executor.execute(call);

        vm.prank(owner);
        executor.setPaused(false);
        run(call);
        assertGt(weth.balanceOf(treasury), 0);
    }

    function test_callExpires() public {
        Call memory call = goodCall();
        vm.roll(call.lastBlock + 1);
        runExpecting(
            call, abi.encodeWithSelector(IFlashLoanExecutor.CallExpired.selector, call.lastBlock + 1, call.lastBlock)
        );
        vm.roll(call.lastBlock);
        run(call);
    }

    function test_operatorsSetNothing() public {
        bytes[] memory calls = new bytes[](8);
        calls[0] = abi.encodeCall(IFlashLoanExecutor.transferOwnership, (operator));
        calls[1] = abi.encodeCall(IFlashLoanExecutor.setOperator, (stranger, true));
        calls[2] = abi.encodeCall(IFlashLoanExecutor.setPaused, (false));
        calls[3] = abi.encodeCall(IFlashLoanExecutor.setTreasury, (operator));
        calls[4] = abi.encodeCall(IFlashLoanExecutor.setCoinbaseCap, (1));
        calls[5] = abi.encodeCall(IFlashLoanExecutor.setHooksAllowed, (stranger, true));
        calls[6] = abi.encodeCall(IFlashLoanExecutor.sweep, (new address[](1)));
        calls[7] = abi.encodeCall(IFlashLoanExecutor.rescue, (address(weth), operator, 1));
        address[2] memory callers = [operator, stranger];
        for (uint256 c; c < callers.length; ++c) {
            for (uint256 i; i < calls.length; ++i) {
                vm.prank(callers[c]);
                vm.expectRevert(abi.encodeWithSelector(IFlashLoanExecutor.NotOwner.selector, callers[c]));
                (bool reverted,) = address(executor).call(calls[i]);
                assertTrue(reverted, "expectRevert inverts");
            }
        }
    }

    // ───────────────────────────── ownership ─────────────────────────────

    function test_ownershipNeedsTwoSteps() public {
        vm.expectEmit(address(executor));
        emit IFlashLoanExecutor.OwnershipOffered(owner, stranger);
        vm.prank(owner);
        executor.transferOwnership(stranger);
        assertEq(executor.owner(), owner);
        assertEq(executor.pendingOwner(), stranger);

        vm.prank(treasury);
        vm.expectRevert(abi.encodeWithSelector(IFlashLoanExecutor.NotPendingOwner.selector, treasury));
        executor.acceptOwnership();

        vm.expectEmit(address(executor));
        emit IFlashLoanExecutor.OwnershipTransferred(owner, stranger);
        vm.prank(stranger);
        executor.acceptOwnership();
        assertEq(executor.owner(), stranger);
        assertEq(executor.pendingOwner(), address(0));

        vm.prank(owner);
        vm.expectRevert(abi.encodeWithSelector(IFlashLoanExecutor.NotOwner.selector, owner));
        executor.setPaused(true);
    }

    function test_ownershipOfferCanBeWithdrawn() public {
        vm.startPrank(owner);
        executor.transferOwnership(stranger);
        executor.transferOwnership(address(0));
        vm.stopPrank();
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IFlashLoanExecutor.NotPendingOwner.selector, stranger));
        executor.acceptOwnership();
    }

    function test_rolesStayApart() public {
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IFlashLoanExecutor.RolesOverlap.selector, owner));
        executor.setOperator(owner, true);
        vm.expectRevert(abi.encodeWithSelector(IFlashLoanExecutor.RolesOverlap.selector, treasury));
        executor.setOperator(treasury, true);
        vm.expectRevert(abi.encodeWithSelector(IFlashLoanExecutor.RolesOverlap.selector, operator));
        executor.setTreasury(operator);
        vm.expectRevert(abi.encodeWithSelector(IFlashLoanExecutor.RolesOverlap.selector, address(executor)));
        executor.setTreasury(address(executor));
        vm.expectRevert(abi.encodeWithSelector(IFlashLoanExecutor.AddressZero.selector));
        executor.setTreasury(address(0));
        vm.expectRevert(abi.encodeWithSelector(IFlashLoanExecutor.RolesOverlap.selector, operator));
        executor.transferOwnership(operator);
        // Made an operator between offer and acceptance.
        executor.transferOwnership(stranger);
        executor.setOperator(stranger, true);
        vm.stopPrank();
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IFlashLoanExecutor.RolesOverlap.selector, stranger));
        executor.acceptOwnership();
    }

    function test_treasuryCanChange() public {
        vm.expectEmit(address(executor));
        emit IFlashLoanExecutor.TreasurySet(stranger);
        vm.prank(owner);
        executor.setTreasury(stranger);
        run(goodCall());
        assertGt(weth.balanceOf(stranger), 0.6 ether);
        assertEq(weth.balanceOf(treasury), 0);
    }

    // ───────────────────────────── the lock ─────────────────────────────

    /// @dev A pool that is the owner too, and tries everything the lock covers in the middle of a call.
    function test_lockCoversEntryRescueAndSweep() public {
        Puppet puppet = new Puppet();
        IExecutor target = deployExecutor(address(puppet), operator, treasury);
        weth.transfer(address(target), 5 ether);
        puppet.answer(IUniswapV2Pair.getReserves.selector, abi.encode(uint112(1e30), uint112(1e30), uint32(0)));
        bytes4 onSwap = IUniswapV2Pair.swap.selector;
        address[] memory tokens = new address[](1);
        tokens[0] = address(weth);
        puppet.onCall(onSwap, address(target), abi.encodeCall(IFlashLoanExecutor.execute, (goodCall())), false);
        puppet.onCall(onSwap, address(target), abi.encodeCall(IFlashLoanExecutor.sweep, (tokens)), false);
        puppet.onCall(
            onSwap, address(target), abi.encodeCall(IFlashLoanExecutor.rescue, (address(weth), stranger, 1)), false
        );
        // It gives back what it got, so that the call comes to its end.
        puppet.onCall(onSwap, address(weth), abi.encodeCall(weth.transfer, (address(target), 1 ether)), true);
        Step[] memory steps = list(exact(v2(address(puppet), address(weth), address(usdc)), 1 ether));
        Call memory call = newCall(balancerLoan(address(weth), LOAN), steps);
        call.minProfitWei = 0;
        vm.prank(operator);
        target.execute(call);
        assertEq(puppet.failureCount(), 3);
        for (uint256 i; i < 3; ++i) {
            assertEq(puppet.failures(i), abi.encodeWithSelector(IFlashLoanExecutor.Locked.selector));
        }
        // And it is open again afterwards.
        puppet.act(address(target), abi.encodeCall(IFlashLoanExecutor.sweep, (tokens)));
        assertEq(weth.balanceOf(treasury), 5 ether);
    }

    // ───────────────────────────── withdrawals ─────────────────────────────

    function test_sweepGoesToTheTreasury() public {
        weth.transfer(address(executor), 2 ether);
        usdc.transfer(address(executor), 3e6);
        vm.deal(address(executor), 4 ether);
        address[] memory tokens = new address[](3);
        (tokens[0], tokens[1]) = (address(weth), address(usdc));
        vm.expectEmit(address(executor));
        emit IFlashLoanExecutor.Withdrawn(address(weth), treasury, 2 ether);
        vm.prank(owner);
        executor.sweep(tokens);
        assertEq(weth.balanceOf(treasury), 2 ether);
        assertEq(usdc.balanceOf(treasury), 3e6);
        assertEq(treasury.balance, 4 ether);
        assertEmpty();
    }

    function test_rescueGoesWhereTheOwnerSays() public {
        weth.transfer(address(executor), 2 ether);
        vm.deal(address(executor), 4 ether);
        vm.startPrank(owner);
        executor.rescue(address(weth), stranger, 0.5 ether);
        executor.rescue(address(0), stranger, 1 ether);
        vm.expectRevert(abi.encodeWithSelector(IFlashLoanExecutor.AddressZero.selector));
        executor.rescue(address(weth), address(0), 1);
        vm.stopPrank();
        assertEq(weth.balanceOf(stranger), 0.5 ether);
        assertEq(stranger.balance, 1 ether);
    }

    function test_nativeOnlyFromWethAndPoolManager() public {
        vm.deal(stranger, 1 ether);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IFlashLoanExecutor.NativeRefused.selector, stranger));
        (bool reverted,) = address(executor).call{ value: 1 ether }("");
        assertTrue(reverted, "expectRevert inverts");
        address[2] memory accepted = [address(weth), address(manager)];
        for (uint256 i; i < accepted.length; ++i) {
            vm.prank(accepted[i]);
            (bool succeeded,) = address(executor).call{ value: 1 }("");
            assertTrue(succeeded);
        }
    }

    // ───────────────────────────── the builder's share ─────────────────────────────

    function test_coinbase_offByDefault() public {
        Call memory call = goodCall();
        call.coinbaseBps = 1;
        runExpecting(call, abi.encodeWithSelector(IFlashLoanExecutor.CoinbaseShareAboveCap.selector, 1, 0));
    }

    function testFuzz_coinbase_isAShareOfRealizedProfit(uint256 capBps, uint256 bps) public {
        capBps = bound(capBps, 0, 10_000);
        bps = bound(bps, 0, 10_000);
        vm.prank(owner);
        executor.setCoinbaseCap(capBps);
        address builder = makeAddr("builder");
        vm.coinbase(builder);
        Call memory call = goodCall();
        call.coinbaseBps = bps;
        call.minProfitWei = 0;
        if (bps > capBps) {
            runExpecting(call, abi.encodeWithSelector(IFlashLoanExecutor.CoinbaseShareAboveCap.selector, bps, capBps));
            return;
        }
        uint256 gained = v2Out(cheapPair, address(usdc), v2Out(dearPair, address(weth), LOAN)) - LOAN;
        run(call);
        assertEq(builder.balance, gained * bps / 10_000);
        assertEq(weth.balanceOf(treasury), gained - builder.balance);
        assertEmpty();
    }

    function test_coinbase_minimumIsAfterTheShare() public {
        vm.prank(owner);
        executor.setCoinbaseCap(5000);
        Call memory call = goodCall();
        uint256 gained = v2Out(cheapPair, address(usdc), v2Out(dearPair, address(weth), LOAN)) - LOAN;
        call.coinbaseBps = 5000;
        uint256 profit = gained - gained / 2;
        call.minProfitWei = profit + 1;
        runExpecting(call, abi.encodeWithSelector(IFlashLoanExecutor.ProfitBelowMinimum.selector, profit, profit + 1));
        call.minProfitWei = profit;
        run(call);
    }

    function test_coinbase_capHasAMaximum() public {
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IFlashLoanExecutor.BpsAboveMaximum.selector, 10_001));
        executor.setCoinbaseCap(10_001);
        vm.expectEmit(address(executor));
        emit IFlashLoanExecutor.CoinbaseCapSet(10_000);
        executor.setCoinbaseCap(10_000);
    }

    function test_coinbase_builderThatReentersGetsNowhere() public {
        Puppet builder = new Puppet();
        vm.startPrank(owner);
        executor.setCoinbaseCap(1000);
        executor.setOperator(address(builder), true);
        vm.stopPrank();
        weth.transfer(address(executor), 5 ether);
        builder.onCall(bytes4(0), address(executor), abi.encodeCall(IFlashLoanExecutor.execute, (goodCall())), false);
        vm.coinbase(address(builder));
        Call memory call = goodCall();
        call.coinbaseBps = 1000;
        run(call);
        assertEq(builder.failures(0), abi.encodeWithSelector(IFlashLoanExecutor.Locked.selector));
        assertEq(weth.balanceOf(address(executor)), 5 ether);
    }

    function test_coinbase_builderThatRefusesRevertsAll() public {
        Puppet builder = new Puppet();
        vm.prank(owner);
        executor.setCoinbaseCap(1000);
        builder.onCall(bytes4(0), address(weth), abi.encodeCall(weth.withdraw, (1)), true);
        vm.coinbase(address(builder));
        Call memory call = goodCall();
        call.coinbaseBps = 1000;
        runExpecting(call, abi.encodeWithSignature("ETHTransferFailed()"));
    }
}

/// @notice Creates a contract from its calldata and passes its revert on.
contract Creator {
    fallback() external {
        assembly ("memory-safe") {
            let at := mload(0x40)
            calldatacopy(at, 0, calldatasize())
            if iszero(create(0, at, calldatasize())) {
                returndatacopy(at, 0, returndatasize())
                revert(at, returndatasize())
            }
        }
    }
}
