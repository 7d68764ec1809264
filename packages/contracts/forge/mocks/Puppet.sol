// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice A contract that does what it was told when a function of it is called: a malicious pool, lender, pool
/// manager, owner or builder, whatever the test needs.
contract Puppet {
    struct Action {
        address target;
        bytes data;
        /// Whether a failure is passed on; otherwise it is kept in `failures`.
        bool mustSucceed;
    }

    mapping(bytes4 selector => Action[]) private _actions;
    mapping(bytes4 selector => bytes) private _answers;
    bytes[] public failures;

    /// @notice When `selector` is called, do this too.
    function onCall(bytes4 selector, address target, bytes calldata data, bool mustSucceed) external {
        _actions[selector].push(Action(target, data, mustSucceed));
    }

    /// @notice When `selector` is called, answer this.
    function answer(bytes4 selector, bytes calldata data) external {
        _answers[selector] = data;
    }

    /// @notice Forget what to do when `selector` is called.
    function forget(bytes4 selector) external {
        delete _actions[selector];
    }

    /// @notice Do something now.
    function act(address target, bytes calldata data) external {
        _do(Action(target, data, true));
    }

    function failureCount() external view returns (uint256) {
        return failures.length;
    }

    receive() external payable {
        _perform(bytes4(0));
    }

    fallback(bytes calldata) external payable returns (bytes memory) {
        _perform(msg.sig);
        return _answers[msg.sig];
    }

    function _perform(bytes4 selector) private {
        for (uint256 i; i < _actions[selector].length; ++i) {
            _do(_actions[selector][i]);
        }
    }

    function _do(Action memory action) private {
        (bool succeeded, bytes memory result) = action.target.call(action.data);
        if (succeeded) return;
        if (!action.mustSucceed) {
            failures.push(result);
            return;
        }
        assembly ("memory-safe") {
            revert(add(result, 32), mload(result))
        }
    }
}
