// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import { SafeTransferLib } from "solady/src/utils/SafeTransferLib.sol";
import {
    AmountKind,
    Call,
    IFlashLoanExecutor,
    LenderKind,
    Loan,
    Step,
    StepKind
} from "./interfaces/IFlashLoanExecutor.sol";
import {
    IAavePool,
    IBalancerVault,
    IFlashCallbacks,
    IUniswapV2Pair,
    IUniswapV3Pool,
    IUniswapV4PoolManager,
    IWETH
} from "./interfaces/Protocols.sol";
import { EntryBalances } from "./libraries/EntryBalances.sol";
import { PairMath } from "./libraries/PairMath.sol";

/// @title FlashLoanExecutor
/// @notice See {IFlashLoanExecutor}.
/// @dev Three rules carry the safety of what the contract holds:
/// 1. Only what was gained since entry is ever spent ({EntryBalances}).
/// 2. A callback is answered once, and only if an open call of ours announced its sender, selector and data.
/// 3. The last statement of a call compares every touched token with its balance at entry.
contract FlashLoanExecutor is IFlashLoanExecutor, IFlashCallbacks {
    using SafeTransferLib for address;

    uint256 private constant BPS = 10_000;

    /// @dev Data of a V3 swap that only wants its payment: (token, maximum). A whole call is longer.
    uint256 private constant PAYMENT_BYTES = 64;
    /// @dev Data of an unlock for a single hop: (Step, amountIn). A whole call is longer.
    uint256 private constant HOP_BYTES = 320;

    /// @dev One inside the ends of the price range (TickMath of V3 and V4): a swap without a price limit.
    uint160 private constant SQRT_PRICE_LOWEST = 4295128740;
    uint160 private constant SQRT_PRICE_HIGHEST = 1461446703485210103287273052203988822378723970341;

    // ───────────────────────────── storage ─────────────────────────────

    /// @inheritdoc IFlashLoanExecutor
    address public immutable WETH;
    /// @inheritdoc IFlashLoanExecutor
    address public immutable BALANCER_VAULT;
    /// @inheritdoc IFlashLoanExecutor
    address public immutable AAVE_POOL;
    /// @inheritdoc IFlashLoanExecutor
    address public immutable V4_POOL_MANAGER;

    /// @inheritdoc IFlashLoanExecutor
    address public owner;
    /// @inheritdoc IFlashLoanExecutor
    address public pendingOwner;
    /// @inheritdoc IFlashLoanExecutor
    address public treasury;
    /// @inheritdoc IFlashLoanExecutor
    uint16 public coinbaseCapBps;
    /// @inheritdoc IFlashLoanExecutor
    bool public paused;
    /// @inheritdoc IFlashLoanExecutor
    mapping(address account => bool) public isOperator;
    /// @inheritdoc IFlashLoanExecutor
    mapping(address hooks => bool) public isHooksAllowed;

    /// @dev Entry, rescue and sweep exclude each other and themselves.
    bool private transient _locked;
    /// @dev The pool manager is unlocked for us: V4 hops use that unlock.
    bool private transient _v4Unlocked;
    /// @dev How many tokens {EntryBalances} has noted.
    uint256 private transient _noted;
    /// @dev Commitment to the one callback that may come next; zero when none may.
    bytes32 private transient _expected;
    /// @dev What the open loan will be repaid with; FREE amounts leave it alone.
    address private transient _reservedToken;
    uint256 private transient _reservedAmount;

    // ───────────────────────────── access ─────────────────────────────

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        _;
    }

    modifier locked() {
        if (_locked) revert Locked();
        _locked = true;
        _;
        _locked = false;
    }

    /// @param owner_ Trusted with settings and withdrawals.
    /// @param operator The first operator.
    /// @param treasury_ Receives all profit.
    /// @param weth Wrapped ETH.
    /// @param balancerVault Balancer V2's vault, or zero to do without it.
    /// @param aavePool Aave V3's pool, or zero to do without it.
    /// @param v4PoolManager Uniswap V4's pool manager, or zero to do without it.
    constructor(
        address owner_,
        address operator,
        address treasury_,
        address weth,
        address balancerVault,
        address aavePool,
        address v4PoolManager
    ) {
        if (owner_ == address(0) || weth == address(0)) revert AddressZero();
        WETH = weth;
        BALANCER_VAULT = balancerVault;
        AAVE_POOL = aavePool;
        V4_POOL_MANAGER = v4PoolManager;
        owner = owner_;
        emit OwnershipTransferred(address(0), owner_);
        _setTreasury(treasury_);
        _setOperator(operator, true);
    }

    /// @dev Unwrapping and native V4 currency are the only ways in.
    receive() external payable {
        if (msg.sender != WETH && msg.sender != V4_POOL_MANAGER) revert NativeRefused(msg.sender);
    }

    // ───────────────────────────── execution ─────────────────────────────

    /// @inheritdoc IFlashLoanExecutor
    function execute(Call calldata call) external locked {
        if (!isOperator[msg.sender]) revert NotOperator(msg.sender);
        if (paused) revert OperatorsPaused();
        if (block.number > call.lastBlock) revert CallExpired(block.number, call.lastBlock);
        if (call.coinbaseBps > coinbaseCapBps) revert CoinbaseShareAboveCap(call.coinbaseBps, coinbaseCapBps);

        _note(WETH);
        (address lender, address token, uint256 amount, uint256 premium) = _borrow(call);
        uint256 surplus = EntryBalances.held(token);
        _runSteps(call.afterSteps, 0);
        (uint256 profit, uint256 coinbasePaid) = _payOut(call);

        emit Executed(call.intentId, lender, token, amount, premium, surplus, profit, coinbasePaid);
        EntryBalances.verifyAndClear(_noted);
        _noted = 0;
    }

    /// @dev Splits the WETH gained between the builder and the treasury. The minimum is checked before anything is
    /// sent: a lost race should cost little gas.
    function _payOut(Call calldata call) private returns (uint256 profit, uint256 coinbasePaid) {
        uint256 gained = EntryBalances.held(WETH);
        coinbasePaid = gained * call.coinbaseBps / BPS;
        profit = gained - coinbasePaid;
        if (profit < call.minProfitWei) revert ProfitBelowMinimum(profit, call.minProfitWei);
        if (coinbasePaid != 0) {
            IWETH(WETH).withdraw(coinbasePaid);
            SafeTransferLib.safeTransferETH(block.coinbase, coinbasePaid);
        }
        if (profit != 0) WETH.safeTransfer(treasury, profit);
    }

    // ───────────────────────────── loans ─────────────────────────────

    /// @dev Takes the loan, which runs the steps and repays in its callback.
    function _borrow(Call calldata call)
        private
        returns (address lender, address token, uint256 amount, uint256 premium)
    {
        Loan calldata loan = call.loan;
        LenderKind kind = loan.kind;
        if (kind == LenderKind.FIRST_SWAP) return _borrowFromFirstSwap(call);
        (lender, token, amount) = (loan.source, loan.token, loan.amount);
        if (amount == 0) revert AmountZero(token);
        _note(token);

        // The data of every loan is the call itself: the callback reads it from its own calldata.
        bytes memory data = msg.data[4:];
        if (kind == LenderKind.AAVE_V3) {
            _requireLender(kind, lender, AAVE_POOL);
            bytes32 outer = _expect(lender, IFlashCallbacks.executeOperation.selector, data);
            IAavePool(lender).flashLoanSimple(address(this), token, amount, data, 0);
            _requireAnswered(lender, outer);
            token.safeApprove(lender, 0);
        } else if (kind == LenderKind.BALANCER_V2) {
            _requireLender(kind, lender, BALANCER_VAULT);
            _borrowFromBalancer(token, amount, data);
        } else if (kind == LenderKind.UNISWAP_V2) {
            if (loan.repayAmount < amount) revert RepayBelowLoan(amount, loan.repayAmount);
            bool isToken0 = IUniswapV2Pair(lender).token0() == token;
            _swapPair(lender, isToken0, amount, data);
        } else if (kind == LenderKind.UNISWAP_V3) {
            bool isToken0 = IUniswapV3Pool(lender).token0() == token;
            bytes32 outer = _expect(lender, IFlashCallbacks.uniswapV3FlashCallback.selector, data);
            IUniswapV3Pool(lender).flash(address(this), isToken0 ? amount : 0, isToken0 ? 0 : amount, data);
            _requireAnswered(lender, outer);
        } else {
            _requireLender(kind, lender, V4_POOL_MANAGER);
            _unlock(data);
        }
        premium = _reservedAmount - amount;
        _reserve(address(0), 0);
    }

    /// @dev The first step's pool pays out before it is paid; the other steps run in between.
    function _borrowFromFirstSwap(Call calldata call)
        private
        returns (address lender, address token, uint256 amount, uint256 premium)
    {
        if (call.steps.length == 0) revert FirstSwapInvalid();
        Step calldata step = call.steps[0];
        if (step.amountKind != AmountKind.EXACT) revert FirstSwapInvalid();
        (lender, token, amount) = (step.pool, step.tokenIn, step.amount);
        if (amount == 0) revert AmountZero(token);
        _note(token);
        _note(step.tokenOut);

        bytes memory data = msg.data[4:];
        if (step.kind == StepKind.SWAP_V2) {
            _swapPair(lender, token > step.tokenOut, _quotePair(step, amount), data);
        } else if (step.kind == StepKind.SWAP_V3) {
            _swapV3(step, amount, data);
        } else if (step.kind == StepKind.SWAP_V4) {
            lender = V4_POOL_MANAGER;
            _unlock(data);
        } else {
            revert FirstSwapInvalid();
        }
        premium = 0;
        _reserve(address(0), 0);
    }

    function _borrowFromBalancer(address token, uint256 amount, bytes memory data) private {
        address[] memory tokens = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        (tokens[0], amounts[0]) = (token, amount);
        bytes32 outer = _expect(BALANCER_VAULT, IFlashCallbacks.receiveFlashLoan.selector, data);
        IBalancerVault(BALANCER_VAULT).flashLoan(address(this), tokens, amounts, data);
        _requireAnswered(BALANCER_VAULT, outer);
    }

    function _requireLender(LenderKind kind, address source, address configured) private pure {
        if (source != configured || source == address(0)) revert LenderUnknown(kind, source);
    }

    // ───────────────────────────── callbacks ─────────────────────────────

    /// @inheritdoc IFlashCallbacks
    function executeOperation(address asset, uint256 amount, uint256 premium, address initiator, bytes calldata params)
        external
        returns (bool)
    {
        _consume(params);
        if (initiator != address(this)) revert InitiatorUnexpected(initiator);
        Call calldata call = _callOf(params);
        if (asset != call.loan.token || amount != call.loan.amount) revert LoanUnexpected(asset, amount);
        uint256 owed = amount + premium;
        _runWithLoan(call, asset, owed);
        asset.safeApprove(AAVE_POOL, owed);
        return true;
    }

    /// @inheritdoc IFlashCallbacks
    function receiveFlashLoan(
        address[] calldata tokens,
        uint256[] calldata amounts,
        uint256[] calldata feeAmounts,
        bytes calldata userData
    ) external {
        _consume(userData);
        Call calldata call = _callOf(userData);
        (address token, uint256 amount) = (tokens[0], amounts[0]);
        if (token != call.loan.token || amount != call.loan.amount) revert LoanUnexpected(token, amount);
        uint256 owed = amount + feeAmounts[0];
        _runWithLoan(call, token, owed);
        token.safeTransfer(BALANCER_VAULT, owed);
    }

    /// @inheritdoc IFlashCallbacks
    function uniswapV2Call(address sender, uint256, uint256, bytes calldata data) external {
        _consume(data);
        if (sender != address(this)) revert InitiatorUnexpected(sender);
        Call calldata call = _callOf(data);
        (address token, uint256 owed) = (call.loan.token, call.loan.repayAmount);
        if (call.loan.kind == LenderKind.FIRST_SWAP) {
            (token, owed) = (call.steps[0].tokenIn, call.steps[0].amount);
        }
        _runWithLoan(call, token, owed);
        token.safeTransfer(msg.sender, owed);
    }

    /// @inheritdoc IFlashCallbacks
    function uniswapV3FlashCallback(uint256 fee0, uint256 fee1, bytes calldata data) external {
        _consume(data);
        Call calldata call = _callOf(data);
        address token = call.loan.token;
        // The pool charges a fee only on the token that it lent.
        uint256 owed = call.loan.amount + fee0 + fee1;
        _runWithLoan(call, token, owed);
        token.safeTransfer(msg.sender, owed);
    }

    /// @inheritdoc IFlashCallbacks
    function uniswapV3SwapCallback(int256 amount0Delta, int256 amount1Delta, bytes calldata data) external {
        _consume(data);
        uint256 owed = uint256(amount0Delta > 0 ? amount0Delta : amount1Delta);
        address token;
        uint256 maximum;
        if (data.length == PAYMENT_BYTES) {
            (token, maximum) = abi.decode(data, (address, uint256));
            if (owed > maximum) revert PaymentAboveMaximum(token, owed, maximum);
        } else {
            Call calldata call = _callOf(data);
            (token, maximum) = (call.steps[0].tokenIn, call.steps[0].amount);
            if (owed > maximum) revert PaymentAboveMaximum(token, owed, maximum);
            _runWithLoan(call, token, owed);
        }
        token.safeTransfer(msg.sender, owed);
    }

    /// @inheritdoc IFlashCallbacks
    function unlockCallback(bytes calldata data) external returns (bytes memory) {
        _consume(data);
        _v4Unlocked = true;
        if (data.length == HOP_BYTES) {
            Step calldata step;
            assembly ("memory-safe") {
                step := data.offset
            }
            _hopV4(step, uint256(bytes32(data[HOP_BYTES - 32:])));
        } else {
            _runUnlocked(_callOf(data));
        }
        _v4Unlocked = false;
        return "";
    }

    /// @dev The loan or first swap of a call inside its own unlock.
    function _runUnlocked(Call calldata call) private {
        if (call.loan.kind == LenderKind.FIRST_SWAP) {
            Step calldata step = call.steps[0];
            (uint256 owed, uint256 received) = _swapV4(step, step.amount);
            _take(step.tokenOut, received);
            _runWithLoan(call, step.tokenIn, owed);
            _settle(step.tokenIn, owed);
        } else {
            (address token, uint256 amount) = (call.loan.token, call.loan.amount);
            _take(token, amount);
            _runWithLoan(call, token, amount);
            _settle(token, amount);
        }
    }

    /// @dev Runs the steps while `owed` of `token` is reserved for repayment, and makes sure that it is there.
    function _runWithLoan(Call calldata call, address token, uint256 owed) private {
        _reserve(token, owed);
        _runSteps(call.steps, call.loan.kind == LenderKind.FIRST_SWAP ? 1 : 0);
        uint256 held = EntryBalances.held(token);
        if (held < owed) revert HeldTooLittle(token, held, owed);
    }

    /// @dev The call that a callback's data carries: the data is what {execute} received, in the same encoding.
    function _callOf(bytes calldata data) private pure returns (Call calldata carried) {
        assembly ("memory-safe") {
            carried := add(data.offset, calldataload(data.offset))
        }
    }

    // ───────────────────────────── expectation of callbacks ─────────────────────────────

    /// @dev Announces the one callback that may come next. Returns what was announced before, for nesting.
    function _expect(address sender, bytes4 selector, bytes memory data) private returns (bytes32 outer) {
        outer = _expected;
        _expected = keccak256(abi.encode(sender, selector, keccak256(data)));
    }

    /// @dev First statement of every callback: it must be the announced one, which it uses up.
    function _consume(bytes calldata data) private {
        if (_expected != keccak256(abi.encode(msg.sender, msg.sig, keccak256(data)))) {
            revert CallbackUnexpected(msg.sender, msg.sig);
        }
        _expected = 0;
    }

    /// @dev After the outer call: the callback must have come, and what was announced before it is valid again.
    function _requireAnswered(address source, bytes32 outer) private {
        if (_expected != 0) revert CallbackMissing(source);
        _expected = outer;
    }

    // ───────────────────────────── steps ─────────────────────────────

    function _runSteps(Step[] calldata steps, uint256 first) private {
        for (uint256 i = first; i < steps.length; ++i) {
            _runStep(steps[i]);
        }
    }

    function _runStep(Step calldata step) private {
        StepKind kind = step.kind;
        if (kind == StepKind.WRAP) {
            _note(address(0));
            IWETH(WETH).deposit{ value: _amountOf(step, address(0)) }();
            return;
        }
        if (kind == StepKind.UNWRAP) {
            _note(address(0));
            IWETH(WETH).withdraw(_amountOf(step, WETH));
            return;
        }
        _note(step.tokenIn);
        _note(step.tokenOut);
        uint256 amountIn = _amountOf(step, step.tokenIn);
        if (kind == StepKind.SWAP_V2) {
            uint256 amountOut = _quotePair(step, amountIn);
            step.tokenIn.safeTransfer(step.pool, amountIn);
            _swapPair(step.pool, step.tokenIn > step.tokenOut, amountOut, "");
        } else if (kind == StepKind.SWAP_V3) {
            _swapV3(step, amountIn, abi.encode(step.tokenIn, amountIn));
        } else if (kind == StepKind.SWAP_V4) {
            if (_v4Unlocked) _hopV4(step, amountIn);
            else _unlock(abi.encode(step, amountIn));
        } else {
            _swapBalancer(step, amountIn);
        }
    }

    /// @dev The input of a step in base units: never zero, never more than was gained since entry.
    function _amountOf(Step calldata step, address token) private view returns (uint256 amount) {
        uint256 held = EntryBalances.held(token);
        if (step.amountKind == AmountKind.EXACT) {
            amount = step.amount;
            if (amount > held) revert HeldTooLittle(token, held, amount);
        } else {
            uint256 reserved = token == _reservedToken ? _reservedAmount : 0;
            amount = held > reserved ? held - reserved : 0;
            if (step.amountKind == AmountKind.FREE_BPS) {
                if (step.amount > BPS) revert BpsAboveMaximum(step.amount);
                amount = amount * step.amount / BPS;
            }
        }
        if (amount == 0) revert AmountZero(token);
    }

    // ───────────────────────────── pools ─────────────────────────────

    /// @dev What the pair pays for `amountIn` at its reserves of this moment, so that a moved pool gives its real
    /// output instead of a revert.
    function _quotePair(Step calldata step, uint256 amountIn) private view returns (uint256) {
        (uint256 reserveIn, uint256 reserveOut,) = IUniswapV2Pair(step.pool).getReserves();
        if (step.tokenIn > step.tokenOut) (reserveIn, reserveOut) = (reserveOut, reserveIn);
        return PairMath.amountOut(amountIn, reserveIn, reserveOut, step.fee);
    }

    /// @dev Takes `amountOut` out of a pair, which calls back if there is data.
    function _swapPair(address pair, bool zeroOut, uint256 amountOut, bytes memory data) private {
        bool callsBack = data.length != 0;
        bytes32 outer = callsBack ? _expect(pair, IFlashCallbacks.uniswapV2Call.selector, data) : bytes32(0);
        IUniswapV2Pair(pair).swap(zeroOut ? amountOut : 0, zeroOut ? 0 : amountOut, address(this), data);
        if (callsBack) _requireAnswered(pair, outer);
    }

    function _swapV3(Step calldata step, uint256 amountIn, bytes memory data) private {
        bool zeroForOne = step.tokenIn < step.tokenOut;
        bytes32 outer = _expect(step.pool, IFlashCallbacks.uniswapV3SwapCallback.selector, data);
        IUniswapV3Pool(step.pool).swap(address(this), zeroForOne, _signed(amountIn), _priceLimit(zeroForOne), data);
        _requireAnswered(step.pool, outer);
    }

    function _swapBalancer(Step calldata step, uint256 amountIn) private {
        step.tokenIn.safeApprove(BALANCER_VAULT, amountIn);
        IBalancerVault(BALANCER_VAULT)
            .swap(
                IBalancerVault.SingleSwap(
                    step.poolId, IBalancerVault.SwapKind.GIVEN_IN, step.tokenIn, step.tokenOut, amountIn, ""
                ),
                IBalancerVault.FundManagement(address(this), false, payable(address(this)), false),
                0,
                block.timestamp
            );
        step.tokenIn.safeApprove(BALANCER_VAULT, 0);
    }

    /// @dev Opens the pool manager for a whole call or a single hop.
    function _unlock(bytes memory data) private {
        if (V4_POOL_MANAGER == address(0)) revert LenderUnknown(LenderKind.UNISWAP_V4, address(0));
        bytes32 outer = _expect(V4_POOL_MANAGER, IFlashCallbacks.unlockCallback.selector, data);
        IUniswapV4PoolManager(V4_POOL_MANAGER).unlock(data);
        _requireAnswered(V4_POOL_MANAGER, outer);
    }

    /// @dev A hop in the open unlock, settled at once, so that the next step finds its input as a balance.
    function _hopV4(Step calldata step, uint256 amountIn) private {
        (uint256 owed, uint256 received) = _swapV4(step, amountIn);
        _settle(step.tokenIn, owed);
        _take(step.tokenOut, received);
    }

    /// @dev Swaps in the open unlock; both sides are still to be settled.
    function _swapV4(Step calldata step, uint256 amountIn) private returns (uint256 owed, uint256 received) {
        if (step.pool != address(0) && !isHooksAllowed[step.pool]) revert HooksRefused(step.pool);
        bool zeroForOne = step.tokenIn < step.tokenOut;
        int256 delta = IUniswapV4PoolManager(V4_POOL_MANAGER)
            .swap(
                IUniswapV4PoolManager.PoolKey(
                    zeroForOne ? step.tokenIn : step.tokenOut,
                    zeroForOne ? step.tokenOut : step.tokenIn,
                    step.fee,
                    step.tickSpacing,
                    step.pool
                ),
                IUniswapV4PoolManager.SwapParams(zeroForOne, -_signed(amountIn), _priceLimit(zeroForOne)),
                ""
            );
        (int256 deltaIn, int256 deltaOut) = (delta >> 128, int256(int128(delta)));
        if (!zeroForOne) (deltaIn, deltaOut) = (deltaOut, deltaIn);
        if (deltaIn > 0 || deltaOut < 0) revert DeltaUnexpected(deltaIn, deltaOut);
        (owed, received) = (uint256(-deltaIn), uint256(deltaOut));
        if (owed > amountIn) revert PaymentAboveMaximum(step.tokenIn, owed, amountIn);
    }

    function _take(address currency, uint256 amount) private {
        IUniswapV4PoolManager(V4_POOL_MANAGER).take(currency, address(this), amount);
    }

    /// @dev Pays the pool manager. Syncing native currency too: anybody may have left another one synced.
    function _settle(address currency, uint256 amount) private {
        IUniswapV4PoolManager(V4_POOL_MANAGER).sync(currency);
        if (currency == address(0)) {
            IUniswapV4PoolManager(V4_POOL_MANAGER).settle{ value: amount }();
        } else {
            currency.safeTransfer(V4_POOL_MANAGER, amount);
            IUniswapV4PoolManager(V4_POOL_MANAGER).settle();
        }
    }

    function _priceLimit(bool zeroForOne) private pure returns (uint160) {
        return zeroForOne ? SQRT_PRICE_LOWEST : SQRT_PRICE_HIGHEST;
    }

    /// @dev A negative amount would mean "exact output" to V3.
    function _signed(uint256 amount) private pure returns (int256) {
        if (amount > uint256(type(int256).max)) revert AmountTooLarge(amount);
        return int256(amount);
    }

    // ───────────────────────────── accounting ─────────────────────────────

    function _note(address token) private {
        _noted = EntryBalances.note(token, _noted);
    }

    function _reserve(address token, uint256 amount) private {
        (_reservedToken, _reservedAmount) = (token, amount);
    }

    // ───────────────────────────── owner ─────────────────────────────

    /// @inheritdoc IFlashLoanExecutor
    function transferOwnership(address newOwner) external onlyOwner {
        if (isOperator[newOwner]) revert RolesOverlap(newOwner);
        pendingOwner = newOwner;
        emit OwnershipOffered(msg.sender, newOwner);
    }

    /// @inheritdoc IFlashLoanExecutor
    function acceptOwnership() external {
        if (msg.sender != pendingOwner) revert NotPendingOwner(msg.sender);
        if (isOperator[msg.sender]) revert RolesOverlap(msg.sender);
        emit OwnershipTransferred(owner, msg.sender);
        (owner, pendingOwner) = (msg.sender, address(0));
    }

    /// @inheritdoc IFlashLoanExecutor
    function setOperator(address operator, bool allowed) external onlyOwner {
        _setOperator(operator, allowed);
    }

    /// @inheritdoc IFlashLoanExecutor
    function setPaused(bool paused_) external onlyOwner {
        paused = paused_;
        emit PausedSet(paused_);
    }

    /// @inheritdoc IFlashLoanExecutor
    function setTreasury(address treasury_) external onlyOwner {
        _setTreasury(treasury_);
    }

    /// @inheritdoc IFlashLoanExecutor
    function setCoinbaseCap(uint256 capBps) external onlyOwner {
        if (capBps > BPS) revert BpsAboveMaximum(capBps);
        // forge-lint: disable-next-line(unsafe-typecast) at most 10,000
        coinbaseCapBps = uint16(capBps);
        emit CoinbaseCapSet(capBps);
    }

    /// @inheritdoc IFlashLoanExecutor
    function setHooksAllowed(address hooks, bool allowed) external onlyOwner {
        isHooksAllowed[hooks] = allowed;
        emit HooksAllowedSet(hooks, allowed);
    }

    /// @inheritdoc IFlashLoanExecutor
    function sweep(address[] calldata tokens) external onlyOwner locked {
        for (uint256 i; i < tokens.length; ++i) {
            _withdraw(tokens[i], treasury, EntryBalances.current(tokens[i]));
        }
    }

    /// @inheritdoc IFlashLoanExecutor
    function rescue(address token, address to, uint256 amount) external onlyOwner locked {
        if (to == address(0)) revert AddressZero();
        _withdraw(token, to, amount);
    }

    function _withdraw(address token, address to, uint256 amount) private {
        if (token == address(0)) to.safeTransferETH(amount);
        else token.safeTransfer(to, amount);
        emit Withdrawn(token, to, amount);
    }

    function _setOperator(address operator, bool allowed) private {
        if (operator == address(0)) revert AddressZero();
        if (allowed && (operator == owner || operator == treasury)) revert RolesOverlap(operator);
        isOperator[operator] = allowed;
        emit OperatorSet(operator, allowed);
    }

    function _setTreasury(address treasury_) private {
        if (treasury_ == address(0)) revert AddressZero();
        if (treasury_ == address(this) || isOperator[treasury_]) revert RolesOverlap(treasury_);
        treasury = treasury_;
        emit TreasurySet(treasury_);
    }
}
