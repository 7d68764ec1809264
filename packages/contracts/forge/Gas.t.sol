// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import { ExecutorTest } from "./ExecutorTest.sol";
import { Call, Loan, Step } from "../solidity/interfaces/IFlashLoanExecutor.sol";

/// @notice Gas of whole transactions, in snapshots/: tools/test.ts fails when a figure differs, --update writes them.
/// @dev Each call is a transaction of its own (isolate), with cold storage and the base cost, as on a chain. The
/// treasury holds some WETH already, as it does from the first profit on.
/// forge-config: default.isolate = true
contract GasTest is ExecutorTest {
    function setUp() public override {
        super.setUp();
        weth.transfer(treasury, 1 ether);
    }

    function measure(string memory group, string memory name, Loan memory loan, Step[] memory steps) private {
        measure(group, name, newCall(loan, steps));
    }

    function measure(string memory group, string memory name, Call memory call) private {
        run(call);
        vm.snapshotGasLastCall(group, name);
    }

    // ───────────────────────────── lenders, each with the same two V2 hops ─────────────────────────────

    function test_lender_aaveV3() public {
        measure("lenders", "AAVE_V3", aaveLoan(address(weth), LOAN), list(out(), back()));
    }

    function test_lender_balancerV2() public {
        measure("lenders", "BALANCER_V2", balancerLoan(address(weth), LOAN), list(out(), back()));
    }

    function test_lender_uniswapV2() public {
        address lender = newPair(address(weth), 100 ether, address(dai), 200_000 ether);
        measure("lenders", "UNISWAP_V2", v2Loan(lender, address(weth), LOAN), list(out(), back()));
    }

    function test_lender_uniswapV3() public {
        measure("lenders", "UNISWAP_V3", v3Loan(v3Pool, address(weth), LOAN), list(out(), back()));
    }

    function test_lender_uniswapV4() public {
        measure("lenders", "UNISWAP_V4", v4Loan(address(weth), LOAN), list(out(), back()));
    }

    function test_lender_firstSwapV2() public {
        measure("lenders", "FIRST_SWAP on V2", firstSwap(), list(out(), back()));
    }

    function test_lender_firstSwapV3() public {
        Step memory first = exact(v3(v3Pool, address(weth), address(usdc)), LOAN);
        measure("lenders", "FIRST_SWAP on V3", firstSwap(), list(first, back()));
    }

    function test_lender_firstSwapV4() public {
        Step memory first = exact(v4(address(0), address(weth), address(usdc)), LOAN);
        measure("lenders", "FIRST_SWAP on V4", firstSwap(), list(first, back()));
    }

    // ───────────────────────────── hops, each before the same V2 hop of an Aave loan ─────────────────────────────

    function measureHop(string memory name, Step memory hop) private {
        measure("hops", name, aaveLoan(address(weth), LOAN), list(exact(hop, LOAN), back()));
    }

    function test_hop_v2() public {
        measureHop("SWAP_V2", v2(dearPair, address(weth), address(usdc)));
    }

    function test_hop_v3() public {
        measureHop("SWAP_V3", v3(v3Pool, address(weth), address(usdc)));
    }

    function test_hop_v4() public {
        measureHop("SWAP_V4", v4(address(0), address(weth), address(usdc)));
    }

    function test_hop_v4InTheLoansUnlock() public {
        Step memory hop = exact(v4(address(0), address(weth), address(usdc)), LOAN);
        measure("hops", "SWAP_V4 in a V4 loan", v4Loan(address(weth), LOAN), list(hop, back()));
    }

    function test_hop_unwrapV4Native() public {
        Step[] memory steps = list(exact(unwrap(), LOAN), v4(address(0), address(0), address(usdc)), back());
        measure("hops", "UNWRAP, SWAP_V4 native", aaveLoan(address(weth), LOAN), steps);
    }

    function test_hop_balancerV2() public {
        measureHop("SWAP_BALANCER_V2", balancer(balancerPoolId, address(weth), address(usdc)));
    }

    function test_hop_afterStep() public {
        Call memory call = newCall(
            aaveLoan(address(usdc), 20_000e6),
            list(
                exact(v2(cheapPair, address(usdc), address(weth)), 20_000e6), v2(dearPair, address(weth), address(usdc))
            )
        );
        call.afterSteps = list(v3(v3Pool, address(usdc), address(weth)));
        measure("hops", "SWAP_V3 as after-step", call);
    }

    function test_hop_coinbase() public {
        vm.prank(owner);
        executor.setCoinbaseCap(1000);
        vm.coinbase(makeAddr("builder"));
        Call memory call = goodCall();
        call.coinbaseBps = 1000;
        measure("hops", "builder's share", call);
    }
}
