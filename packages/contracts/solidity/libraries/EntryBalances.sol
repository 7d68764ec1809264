// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import { IERC20Balance } from "../interfaces/Protocols.sol";
import { IFlashLoanExecutor } from "../interfaces/IFlashLoanExecutor.sol";

/// @title EntryBalances
/// @notice What this contract held of each token before a call touched it, in transient storage.
/// @dev A token's slot is its address above TOKEN_SLOTS, and holds its balance at entry + 1, so that zero means
/// "not touched yet". LIST_SLOTS holds the touched tokens in order, so that the end can check and clear each.
/// Both are far above the slots that the compiler gives to transient variables. The zero address is native ETH.
library EntryBalances {
    uint256 private constant TOKEN_SLOTS = 1 << 200;
    uint256 private constant LIST_SLOTS = 1 << 201;

    /// @notice The balance of this contract now.
    function current(address token) internal view returns (uint256) {
        return token == address(0) ? address(this).balance : IERC20Balance(token).balanceOf(address(this));
    }

    /// @notice Notes the balance of `token` if it is touched for the first time, before anything of it moves.
    /// @param count How many tokens are noted so far.
    /// @return How many are noted now.
    function note(address token, uint256 count) internal returns (uint256) {
        uint256 slot = TOKEN_SLOTS | uint256(uint160(token));
        if (_load(slot) != 0) return count;
        _store(slot, current(token) + 1);
        _store(LIST_SLOTS + count, uint256(uint160(token)));
        return count + 1;
    }

    /// @notice What was gained since entry; zero if less is held than at entry. The token must have been noted.
    function held(address token) internal view returns (uint256) {
        uint256 entry = _load(TOKEN_SLOTS | uint256(uint160(token))) - 1;
        uint256 balance = current(token);
        return balance > entry ? balance - entry : 0;
    }

    /// @notice Reverts if any noted token is below its balance at entry, and forgets them all.
    function verifyAndClear(uint256 count) internal {
        for (uint256 i; i < count; ++i) {
            address token = address(uint160(_load(LIST_SLOTS + i)));
            uint256 slot = TOKEN_SLOTS | uint256(uint160(token));
            uint256 entry = _load(slot) - 1;
            uint256 balance = current(token);
            if (balance < entry) revert IFlashLoanExecutor.BalanceBelowEntry(token, balance, entry);
            _store(slot, 0);
        }
    }

    function _load(uint256 slot) private view returns (uint256 value) {
        assembly ("memory-safe") {
            value := tload(slot)
        }
    }

    function _store(uint256 slot, uint256 value) private {
        assembly ("memory-safe") {
            tstore(slot, value)
        }
    }
}
