// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import { TestToken } from "./TestToken.sol";

/// @notice Moves like any token and returns nothing (as USDT does).
contract SilentToken is TestToken("SILENT", 6) {
    function transfer(address to, uint256 amount) public override returns (bool) {
        super.transfer(to, amount);
        _returnNothing();
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        super.transferFrom(from, to, amount);
        _returnNothing();
    }

    function approve(address spender, uint256 amount) public override returns (bool) {
        require(amount == 0 || allowance[msg.sender][spender] == 0, "approve to zero first");
        super.approve(spender, amount);
        _returnNothing();
    }

    function _returnNothing() private pure {
        assembly ("memory-safe") {
            return(0, 0)
        }
    }
}

/// @notice Once told to, returns false instead of moving anything.
contract FalseToken is TestToken("FALSE", 18) {
    bool public refusing;

    function setRefusing(bool refusing_) external {
        refusing = refusing_;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return refusing ? false : super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        return refusing ? false : super.transferFrom(from, to, amount);
    }

    function approve(address spender, uint256 amount) public override returns (bool) {
        return refusing ? false : super.approve(spender, amount);
    }
}

/// @notice Once told to, keeps 1 % of every transfer.
contract FeeToken is TestToken("FEE", 18) {
    bool public charging;

    function setCharging(bool charging_) external {
        charging = charging_;
    }

    function _move(address from, address to, uint256 amount) internal override {
        uint256 fee = charging ? amount / 100 : 0;
        super._move(from, to, amount - fee);
        if (fee != 0) super._move(from, address(this), fee);
    }
}

interface ITokenHooks {
    function tokensToSend(address from, address to, uint256 amount) external;
    function tokensReceived(address from, address to, uint256 amount) external;
}

/// @notice Calls a listener before and after every move, as ERC-777 does with sender and recipient.
contract HookToken is TestToken("HOOK", 18) {
    address public listener;

    function setListener(address listener_) external {
        listener = listener_;
    }

    function _move(address from, address to, uint256 amount) internal override {
        if (listener != address(0)) ITokenHooks(listener).tokensToSend(from, to, amount);
        super._move(from, to, amount);
        if (listener != address(0)) ITokenHooks(listener).tokensReceived(from, to, amount);
    }
}

/// @notice Anybody may set anybody's balance: a token of the attacker.
contract ElasticToken is TestToken("ELASTIC", 18) {
    function setBalance(address account, uint256 amount) external {
        balanceOf[account] = amount;
    }
}
