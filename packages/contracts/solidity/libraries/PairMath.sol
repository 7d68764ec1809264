// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title PairMath
/// @notice The output of a constant-product pair, as the pair itself will check it.
library PairMath {
    uint256 private constant FEE_DENOMINATOR = 1e6;

    /// @param fee Hundredths of a basis point: 3000 is the 997/1000 of Uniswap V2, exactly. At most 1e6.
    function amountOut(uint256 amountIn, uint256 reserveIn, uint256 reserveOut, uint256 fee)
        internal
        pure
        returns (uint256)
    {
        uint256 amountInAfterFee = amountIn * (FEE_DENOMINATOR - fee);
        return amountInAfterFee * reserveOut / (reserveIn * FEE_DENOMINATOR + amountInAfterFee);
    }
}
