// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice Where the capital of a call comes from.
/// @dev FIRST_SWAP is no lender: the first step's pool pays out before it is paid, which is a loan
/// without a premium.
enum LenderKind {
    FIRST_SWAP,
    AAVE_V3,
    BALANCER_V2,
    UNISWAP_V2,
    UNISWAP_V3,
    UNISWAP_V4
}

/// @notice What one step does.
enum StepKind {
    SWAP_V2,
    SWAP_V3,
    SWAP_V4,
    SWAP_BALANCER_V2,
    WRAP,
    UNWRAP
}

/// @notice How the input of a step is measured.
/// @dev EXACT: `amount` base units. FREE: everything held. FREE_BPS: `amount` basis points of it.
/// Held means gained since entry; FREE leaves out what the open loan will be repaid with.
enum AmountKind {
    EXACT,
    FREE,
    FREE_BPS
}

/// @notice The loan of a call. With FIRST_SWAP every other member is ignored: the first step says it all.
struct Loan {
    LenderKind kind;
    /// The Aave pool, Balancer vault or V4 pool manager this contract was deployed with, or any V2 pair or V3 pool.
    address source;
    /// The borrowed token; the zero address is native ETH (UNISWAP_V4 only).
    address token;
    /// Base units borrowed.
    uint256 amount;
    /// UNISWAP_V2 only: base units that the pair wants back, at least `amount`. Forks differ in their fee.
    uint256 repayAmount;
}

/// @notice One swap, wrap or unwrap. WRAP and UNWRAP use only `amountKind` and `amount`.
struct Step {
    StepKind kind;
    AmountKind amountKind;
    /// Base units, or basis points for FREE_BPS; ignored for FREE.
    uint256 amount;
    /// The token given; the zero address is native ETH (SWAP_V4 only).
    address tokenIn;
    /// The token wanted; the zero address is native ETH (SWAP_V4 only).
    address tokenOut;
    /// SWAP_V2: the pair. SWAP_V3: the pool. SWAP_V4: the pool's hooks, which the owner must have allowed unless zero.
    address pool;
    /// SWAP_BALANCER_V2: the pool's id in the vault.
    bytes32 poolId;
    /// SWAP_V2 and SWAP_V4: the fee in hundredths of a basis point (3000 is 0.30 %).
    uint24 fee;
    /// SWAP_V4: the pool's tick spacing.
    int24 tickSpacing;
}

/// @notice A whole arbitrage, as the operator signs it.
struct Call {
    /// The ledger's id of the intent; returned in the event, otherwise unused.
    bytes32 intentId;
    /// The last block in which the call may run.
    uint256 lastBlock;
    /// The least WETH, in wei, that must reach the treasury.
    uint256 minProfitWei;
    /// Share of the realized profit that goes to the block's builder, in basis points, at most the owner's cap.
    uint256 coinbaseBps;
    Loan loan;
    /// Run while the loan is open.
    Step[] steps;
    /// Run after repayment: they turn a surplus of another token into WETH.
    Step[] afterSteps;
}

/// @title IFlashLoanExecutor
/// @notice Borrows without collateral, trades, repays, and keeps the profit, all or nothing.
/// @dev Trust: the owner is trusted with everything. An operator is trusted with gas only: whatever an operator
/// signs and whatever contracts it names as pools or tokens, what this contract held before the call stays, because
/// only what was gained since entry can ever be spent, and profit can only go to the owner's treasury.
interface IFlashLoanExecutor {
    // ───────────────────────────── events ─────────────────────────────

    /// @notice A call was executed with profit.
    /// @param intentId The id given in the call.
    /// @param lender The lender, or the pool that paid out first.
    /// @param loanToken The borrowed token (the first swap's input token for FIRST_SWAP).
    /// @param loanAmount Base units borrowed.
    /// @param premium Base units of `loanToken` paid for the loan.
    /// @param surplus Base units of `loanToken` gained right after repayment, before the after-steps.
    /// @param profit Wei of WETH sent to the treasury.
    /// @param coinbasePaid Wei paid to the block's builder.
    event Executed(
        bytes32 indexed intentId,
        address indexed lender,
        address loanToken,
        uint256 loanAmount,
        uint256 premium,
        uint256 surplus,
        uint256 profit,
        uint256 coinbasePaid
    );
    /// @notice The owner named its successor, who must accept.
    event OwnershipOffered(address indexed owner, address indexed pendingOwner);
    /// @notice The successor accepted.
    event OwnershipTransferred(address indexed previousOwner, address indexed owner);
    /// @notice An operator was allowed or removed.
    event OperatorSet(address indexed operator, bool allowed);
    /// @notice All operators were stopped or released.
    event PausedSet(bool paused);
    /// @notice Profit goes to another address from now on.
    event TreasurySet(address indexed treasury);
    /// @notice The largest share of profit that a call may pay the block's builder changed.
    event CoinbaseCapSet(uint256 capBps);
    /// @notice V4 pools with these hooks were allowed or refused.
    event HooksAllowedSet(address indexed hooks, bool allowed);
    /// @notice Assets left this contract by the owner's hand; the zero address is native ETH.
    event Withdrawn(address indexed token, address indexed to, uint256 amount);

    // ───────────────────────────── errors ─────────────────────────────

    /// @notice The caller is not the owner.
    error NotOwner(address caller);
    /// @notice The caller is not the offered owner.
    error NotPendingOwner(address caller);
    /// @notice The caller is not an operator.
    error NotOperator(address caller);
    /// @notice The owner has stopped all operators.
    error OperatorsPaused();
    /// @notice Entry, rescue or sweep during another of them.
    error Locked();
    /// @notice An address that must not be zero is zero.
    error AddressZero();
    /// @notice One address was to have two roles that must be kept apart.
    error RolesOverlap(address account);
    /// @notice More than 10,000 basis points.
    error BpsAboveMaximum(uint256 bps);
    /// @notice The call came after its last valid block.
    error CallExpired(uint256 blockNumber, uint256 lastBlock);
    /// @notice The call would pay the builder more than the owner allows.
    error CoinbaseShareAboveCap(uint256 bps, uint256 capBps);
    /// @notice The lender is not the one this contract was deployed with, or its protocol is disabled.
    error LenderUnknown(LenderKind kind, address source);
    /// @notice A repay amount smaller than the loan.
    error RepayBelowLoan(uint256 amount, uint256 repayAmount);
    /// @notice The first step cannot pay out first: it must be an EXACT swap on V2, V3 or V4.
    error FirstSwapInvalid();
    /// @notice A callback that no open call of ours expects.
    error CallbackUnexpected(address sender, bytes4 selector);
    /// @notice A pool or lender returned without calling back.
    error CallbackMissing(address source);
    /// @notice A callback for something that somebody else began.
    error InitiatorUnexpected(address initiator);
    /// @notice The lender lent something else than asked for.
    error LoanUnexpected(address token, uint256 amount);
    /// @notice A V4 pool with hooks that the owner has not allowed.
    error HooksRefused(address hooks);
    /// @notice A swap's result has the wrong sign.
    error DeltaUnexpected(int256 deltaIn, int256 deltaOut);
    /// @notice A step has nothing to spend.
    error AmountZero(address token);
    /// @notice A step or repayment wants more than was gained since entry.
    error HeldTooLittle(address token, uint256 held, uint256 wanted);
    /// @notice An amount that no pool can take.
    error AmountTooLarge(uint256 amount);
    /// @notice A pool asks for more than the step gives.
    error PaymentAboveMaximum(address token, uint256 payment, uint256 maximum);
    /// @notice The profit is below the signed minimum (both in wei).
    error ProfitBelowMinimum(uint256 profit, uint256 minimum);
    /// @notice A token ended below the balance it had at entry.
    error BalanceBelowEntry(address token, uint256 balance, uint256 entry);
    /// @notice Native ETH from anybody but WETH and the V4 pool manager.
    error NativeRefused(address sender);

    // ───────────────────────────── operator ─────────────────────────────

    /// @notice Borrows, runs the steps, repays, runs the after-steps, pays the builder's share, and sends the WETH
    /// gained to the treasury; reverts unless that is at least `call.minProfitWei` and every token that was touched
    /// ends at or above its balance at entry.
    /// @dev Operators only; refused while paused.
    function execute(Call calldata call) external;

    // ───────────────────────────── owner ─────────────────────────────

    /// @notice Offers ownership to `newOwner` (zero withdraws the offer); nothing changes until it is accepted.
    function transferOwnership(address newOwner) external;

    /// @notice Accepts an offered ownership; refused for operators.
    function acceptOwnership() external;

    /// @notice Allows or removes an operator; the owner and the treasury cannot be operators.
    function setOperator(address operator, bool allowed) external;

    /// @notice Stops (true) or releases (false) all operators at once.
    function setPaused(bool paused_) external;

    /// @notice Names the address that receives all profit; it cannot be an operator or this contract.
    function setTreasury(address treasury_) external;

    /// @notice Sets the largest share of profit, in basis points, that a call may pay the builder (0 at first).
    function setCoinbaseCap(uint256 capBps) external;

    /// @notice Allows or refuses V4 pools with these hooks.
    function setHooksAllowed(address hooks, bool allowed) external;

    /// @notice Sends the whole balance of each token to the treasury; the zero address is native ETH.
    function sweep(address[] calldata tokens) external;

    /// @notice Sends `amount` of `token` to `to`; the zero address is native ETH.
    function rescue(address token, address to, uint256 amount) external;

    // ───────────────────────────── state ─────────────────────────────

    /// @notice Who may change settings and withdraw.
    function owner() external view returns (address);

    /// @notice Who may accept ownership; zero if nobody.
    function pendingOwner() external view returns (address);

    /// @notice Whether `account` may execute calls.
    function isOperator(address account) external view returns (bool);

    /// @notice Whether V4 pools with these hooks may be traded.
    function isHooksAllowed(address hooks) external view returns (bool);

    /// @notice Where profit goes.
    function treasury() external view returns (address);

    /// @notice The largest builder's share of profit, in basis points.
    function coinbaseCapBps() external view returns (uint16);

    /// @notice Whether all operators are stopped.
    function paused() external view returns (bool);

    /// @notice Wrapped ETH, the currency of profit.
    function WETH() external view returns (address);

    /// @notice The Balancer V2 vault; zero if disabled.
    function BALANCER_VAULT() external view returns (address);

    /// @notice The Aave V3 pool; zero if disabled.
    function AAVE_POOL() external view returns (address);

    /// @notice The Uniswap V4 pool manager; zero if disabled.
    function V4_POOL_MANAGER() external view returns (address);
}
