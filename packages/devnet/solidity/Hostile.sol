// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Contracts that lie
/// @notice Fixtures for the tests of what watches pools. Nothing here protects anything: anyone may call everything.

/// @notice A token that misbehaves as told.
contract HostileToken {
    /// @notice How `balanceOf` answers.
    enum Answer {
        Honest,
        Revert,
        Garbage,
        BurnAllGas
    }

    uint8 public immutable decimals;
    /// @notice Share of each transfer that never arrives, in basis points.
    uint256 public feeBps;
    Answer public answer;
    uint256 public totalSupply;
    mapping(address account => uint256 amount) private balances;
    mapping(address owner => mapping(address spender => uint256 amount)) public allowance;

    event Transfer(address indexed from, address indexed to, uint256 amount);
    event Approval(address indexed owner, address indexed spender, uint256 amount);

    constructor(uint8 decimals_, uint256 feeBps_) {
        decimals = decimals_;
        feeBps = feeBps_;
    }

    function setFee(uint256 feeBps_) external {
        feeBps = feeBps_;
    }

    function setAnswer(Answer answer_) external {
        answer = answer_;
    }

    function mint(address to, uint256 amount) external {
        balances[to] += amount;
        totalSupply += amount;
        emit Transfer(address(0), to, amount);
    }

    function balanceOf(address account) external view returns (uint256) {
        if (answer == Answer.Revert) revert("no balance for you");
        if (answer == Answer.BurnAllGas) while (true) {}
        if (answer == Answer.Garbage) {
            assembly ("memory-safe") {
                mstore(0, not(0))
                return(0, 7)
            }
        }
        return balances[account];
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
        return true;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        return move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        allowance[from][msg.sender] -= amount;
        return move(from, to, amount);
    }

    function move(address from, address to, uint256 amount) private returns (bool) {
        uint256 arrives = amount - amount * feeBps / 10_000;
        balances[from] -= amount;
        balances[to] += arrives;
        totalSupply -= amount - arrives;
        emit Transfer(from, to, arrives);
        return true;
    }
}

interface Token {
    function balanceOf(address account) external view returns (uint256);
    function transfer(address to, uint256 amount) external returns (bool);
}

/// @notice A Uniswap V2 pair to look at, that may claim reserves and pay what it likes.
contract HostilePair {
    address public immutable token0;
    address public immutable token1;
    uint112 private reserve0;
    uint112 private reserve1;
    /// @notice Share of what a swap is due that it pays, in basis points; 0 refuses to swap.
    uint256 public payoutBps = 10_000;

    event Sync(uint112 reserve0, uint112 reserve1);

    constructor(address token0_, address token1_) {
        token0 = token0_;
        token1 = token1_;
    }

    function getReserves() external view returns (uint112, uint112, uint32) {
        return (reserve0, reserve1, uint32(block.timestamp));
    }

    function setPayout(uint256 payoutBps_) external {
        payoutBps = payoutBps_;
    }

    /// @notice Says, by event and by getReserves, that it holds so much.
    function claim(uint112 reserve0_, uint112 reserve1_) public {
        reserve0 = reserve0_;
        reserve1 = reserve1_;
        emit Sync(reserve0_, reserve1_);
    }

    /// @notice Says by event alone that it holds so much.
    function pretend(uint112 reserve0_, uint112 reserve1_) external {
        emit Sync(reserve0_, reserve1_);
    }

    function sync() public {
        claim(uint112(Token(token0).balanceOf(address(this))), uint112(Token(token1).balanceOf(address(this))));
    }

    function swap(uint256 out0, uint256 out1, address to, bytes calldata) external {
        require(payoutBps > 0, "closed for repairs");
        uint256 product = uint256(reserve0) * reserve1;
        if (out0 > 0) Token(token0).transfer(to, out0 * payoutBps / 10_000);
        if (out1 > 0) Token(token1).transfer(to, out1 * payoutBps / 10_000);
        sync();
        require(uint256(reserve0) * reserve1 >= product, "K");
    }
}

/// @notice A factory that announces whatever it is told.
contract HostileFactory {
    event PairCreated(address indexed token0, address indexed token1, address pair, uint256 count);

    function createPair(address tokenA, address tokenB) external returns (address pair) {
        (address token0, address token1) = tokenA < tokenB ? (tokenA, tokenB) : (tokenB, tokenA);
        pair = address(new HostilePair(token0, token1));
        emit PairCreated(token0, token1, pair, 1);
    }

    /// @notice Announces any address as a pair.
    function announce(address token0, address token1, address pair) external {
        emit PairCreated(token0, token1, pair, 1);
    }

    /// @notice Emits the event with too little in it.
    function announceGarbage(uint256 bytesOfData) external {
        bytes32 topic = PairCreated.selector;
        assembly ("memory-safe") {
            log1(0, bytesOfData, topic)
        }
    }
}
