// The calldata of FlashLoanExecutor.execute, to and from typed values.
// Hand-written rather than through an ABI library: it is on the path between an opportunity and its transaction, and
// the layout is fixed. The tests hold it to ethers' encoder, word for word.

/** 0x-prefixed lower-case hex. */
export type Hex = `0x${string}`;

/** Kinds of lender, in the order of the contract's enum. FIRST_SWAP: the first step's pool pays out first, no loan. */
export const LENDER_KINDS = ["FIRST_SWAP", "AAVE_V3", "BALANCER_V2", "UNISWAP_V2", "UNISWAP_V3", "UNISWAP_V4"] as const;

/** A kind of lender. */
export type LenderKind = (typeof LENDER_KINDS)[number];

/** Kinds of steps, in the order of the contract's enum. */
export const STEP_KINDS = ["SWAP_V2", "SWAP_V3", "SWAP_V4", "SWAP_BALANCER_V2", "WRAP", "UNWRAP"] as const;

/** A kind of step. */
export type StepKind = (typeof STEP_KINDS)[number];

const AMOUNT_KINDS = ["EXACT", "FREE", "FREE_BPS"] as const;

/** The address that stands for native ETH, in V4 swaps and V4 loans. */
export const NATIVE: Hex = "0x0000000000000000000000000000000000000000";

/**
 * How much a step spends. EXACT: base units. FREE: all that was gained of the token since entry, less what the open
 * loan will be repaid with. FREE_BPS: basis points of that.
 */
export type StepAmount =
  | { readonly kind: "EXACT"; readonly amount: bigint }
  | { readonly kind: "FREE" }
  | { readonly kind: "FREE_BPS"; readonly bps: number };

type Swap = {
  readonly amount: StepAmount;
  /** Token given (NATIVE on V4 only). */
  readonly tokenIn: Hex;
  /** Token wanted (NATIVE on V4 only). */
  readonly tokenOut: Hex;
};

/** One swap, wrap or unwrap. Fees are in hundredths of a basis point (3000 is 0.30 %). */
export type Step =
  | (Swap & { readonly kind: "SWAP_V2"; readonly pair: Hex; readonly fee: number })
  | (Swap & { readonly kind: "SWAP_V3"; readonly pool: Hex })
  | (Swap & {
      readonly kind: "SWAP_V4";
      readonly fee: number;
      readonly tickSpacing: number;
      /** The pool's hooks; any but NATIVE (none) must have been allowed by the owner. */
      readonly hooks: Hex;
    })
  | (Swap & { readonly kind: "SWAP_BALANCER_V2"; readonly poolId: Hex })
  | { readonly kind: "WRAP"; readonly amount: StepAmount }
  | { readonly kind: "UNWRAP"; readonly amount: StepAmount };

/** Where the capital comes from. */
export type Loan =
  | { readonly kind: "FIRST_SWAP" }
  | {
      readonly kind: "AAVE_V3" | "BALANCER_V2" | "UNISWAP_V3" | "UNISWAP_V4";
      /** The Aave pool, Balancer vault or V4 pool manager of the deployment, or any V3 pool. */
      readonly source: Hex;
      /** Borrowed token (NATIVE from UNISWAP_V4 only). */
      readonly token: Hex;
      /** Base units. */
      readonly amount: bigint;
    }
  | {
      readonly kind: "UNISWAP_V2";
      /** The pair. */
      readonly source: Hex;
      readonly token: Hex;
      /** Base units. */
      readonly amount: bigint;
      /** Base units that the pair wants back, in the same token: ceil(amount × 1e6 / (1e6 − fee)). */
      readonly repayAmount: bigint;
    };

/** The argument of FlashLoanExecutor.execute. */
export type ExecuteCall = {
  /** 32 bytes, chosen by the caller; comes back in the event. */
  readonly intentId: Hex;
  /** Last block in which the call may run. */
  readonly lastBlock: bigint;
  /** Least WETH in wei that must reach the treasury. */
  readonly minProfitWei: bigint;
  /** The builder's share of the realized profit, at most the owner's cap. */
  readonly coinbaseBps: number;
  readonly loan: Loan;
  /** Run while the loan is open; with FIRST_SWAP the first is an EXACT swap on V2, V3 or V4. */
  readonly steps: readonly Step[];
  /** Run after repayment, to turn a surplus of another token into WETH. */
  readonly afterSteps: readonly Step[];
};

/** Selector of execute((…)); the tests compare it with the artifact's ABI. */
export const EXECUTE_SELECTOR: Hex = "0xfa6f4f9f";

const CALL_HEAD_WORDS = 11;
const STEP_WORDS = 9;
const WORD_HEX = 64;
const ZERO_WORD = "0".repeat(WORD_HEX);
const MAX_UINT256 = (1n << 256n) - 1n;

function uintWord(value: bigint | number): string {
  const amount = BigInt(value);
  if (amount < 0n || amount > MAX_UINT256) throw new RangeError(`not a uint256: ${amount}`);
  return amount.toString(16).padStart(WORD_HEX, "0");
}

function boundedWord(name: string, value: number, minimum: number, maximum: number): string {
  if (!Number.isInteger(value) || value < minimum || value > maximum) {
    throw new RangeError(`${name} must be an integer of ${minimum} to ${maximum}, not ${value}`);
  }
  return uintWord(BigInt.asUintN(256, BigInt(value)));
}

function hexWord(name: string, value: Hex, bytes: number): string {
  if (value.length !== 2 + 2 * bytes || !/^0x[0-9a-f]*$/.test(value)) {
    throw new RangeError(`${name} must be ${bytes} bytes of lower-case hex, not ${value}`);
  }
  return value.slice(2).padStart(WORD_HEX, "0");
}

function addressWord(name: string, value: Hex): string {
  return hexWord(name, value, 20);
}

function amountWords(amount: StepAmount): string {
  if (amount.kind === "EXACT") return ZERO_WORD + uintWord(amount.amount);
  if (amount.kind === "FREE") return uintWord(1) + ZERO_WORD;
  return uintWord(2) + boundedWord("bps", amount.bps, 1, 10_000);
}

function stepWords(step: Step): string {
  const start = uintWord(STEP_KINDS.indexOf(step.kind)) + amountWords(step.amount);
  if (step.kind === "WRAP" || step.kind === "UNWRAP") return start + ZERO_WORD.repeat(6);
  const tokens = addressWord("tokenIn", step.tokenIn) + addressWord("tokenOut", step.tokenOut);
  return start + tokens + poolWords(step);
}

function poolWords(step: Exclude<Step, { kind: "WRAP" | "UNWRAP" }>): string {
  switch (step.kind) {
    case "SWAP_V2":
      return addressWord("pair", step.pair) + ZERO_WORD + feeWord(step.fee, 1e6) + ZERO_WORD;
    case "SWAP_V3":
      return addressWord("pool", step.pool) + ZERO_WORD.repeat(3);
    case "SWAP_V4":
      return (
        addressWord("hooks", step.hooks) +
        ZERO_WORD +
        feeWord(step.fee, 0xffffff) +
        boundedWord("tickSpacing", step.tickSpacing, -0x800000, 0x7fffff)
      );
    case "SWAP_BALANCER_V2":
      return ZERO_WORD + hexWord("poolId", step.poolId, 32) + ZERO_WORD.repeat(2);
  }
}

function feeWord(fee: number, maximum: number): string {
  return boundedWord("fee", fee, 0, maximum);
}

function loanWords(loan: Loan): string {
  if (loan.kind === "FIRST_SWAP") return ZERO_WORD.repeat(5);
  return (
    uintWord(LENDER_KINDS.indexOf(loan.kind)) +
    addressWord("source", loan.source) +
    addressWord("token", loan.token) +
    uintWord(loan.amount) +
    (loan.kind === "UNISWAP_V2" ? uintWord(loan.repayAmount) : ZERO_WORD)
  );
}

function stepsWords(steps: readonly Step[]): string {
  return uintWord(steps.length) + steps.map(stepWords).join("");
}

/** Calldata of execute(call). Throws RangeError on a value that does not fit its field. */
export function encodeExecute(call: ExecuteCall): Hex {
  const stepsOffset = CALL_HEAD_WORDS * 32;
  const afterStepsOffset = stepsOffset + (1 + STEP_WORDS * call.steps.length) * 32;
  return `${EXECUTE_SELECTOR}${uintWord(32)}${hexWord("intentId", call.intentId, 32)}${uintWord(
    call.lastBlock,
  )}${uintWord(call.minProfitWei)}${boundedWord("coinbaseBps", call.coinbaseBps, 0, 10_000)}${loanWords(
    call.loan,
  )}${uintWord(stepsOffset)}${uintWord(afterStepsOffset)}${stepsWords(call.steps)}${stepsWords(call.afterSteps)}`;
}

/** Reads words of calldata by index. */
type Words = {
  uint(index: number): bigint;
  small(index: number): number;
  address(index: number): Hex;
  bytes32(index: number): Hex;
};

function wordsOf(body: string): Words {
  const word = (index: number): string => {
    const text = body.slice(index * WORD_HEX, (index + 1) * WORD_HEX);
    if (text.length !== WORD_HEX) throw new RangeError("execute calldata is truncated");
    return text;
  };
  return {
    uint: (index) => BigInt(`0x${word(index)}`),
    small: (index) => Number(BigInt.asIntN(256, BigInt(`0x${word(index)}`))),
    address: (index) => `0x${word(index).slice(24)}`,
    bytes32: (index) => `0x${word(index)}`,
  };
}

function member<T>(kinds: readonly T[], index: number): T {
  const kind = kinds[index];
  if (kind === undefined) throw new RangeError(`execute calldata has an unknown kind: ${index}`);
  return kind;
}

function decodeLoan(words: Words, at: number): Loan {
  const kind = member(LENDER_KINDS, words.small(at));
  if (kind === "FIRST_SWAP") return { kind };
  const [source, token, amount] = [words.address(at + 1), words.address(at + 2), words.uint(at + 3)];
  if (kind !== "UNISWAP_V2") return { kind, source, token, amount };
  return { kind, source, token, amount, repayAmount: words.uint(at + 4) };
}

function decodeAmount(words: Words, at: number): StepAmount {
  const kind = member(AMOUNT_KINDS, words.small(at));
  if (kind === "EXACT") return { kind, amount: words.uint(at + 1) };
  if (kind === "FREE") return { kind };
  return { kind, bps: words.small(at + 1) };
}

function decodeStep(words: Words, at: number): Step {
  const kind = member(STEP_KINDS, words.small(at));
  const amount = decodeAmount(words, at + 1);
  if (kind === "WRAP" || kind === "UNWRAP") return { kind, amount };
  const swap = { amount, tokenIn: words.address(at + 3), tokenOut: words.address(at + 4) };
  const pool = words.address(at + 5);
  const fee = words.small(at + 7);
  switch (kind) {
    case "SWAP_V2":
      return { kind, ...swap, pair: pool, fee };
    case "SWAP_V3":
      return { kind, ...swap, pool };
    case "SWAP_V4":
      return { kind, ...swap, fee, tickSpacing: words.small(at + 8), hooks: pool };
    case "SWAP_BALANCER_V2":
      return { kind, ...swap, poolId: words.bytes32(at + 6) };
  }
}

function decodeSteps(words: Words, at: number): Step[] {
  const count = words.small(at);
  return Array.from({ length: count }, (_, index) => decodeStep(words, at + 1 + index * STEP_WORDS));
}

/** The call in calldata that {@link encodeExecute} wrote. Throws RangeError on anything else. */
export function decodeExecute(data: Hex): ExecuteCall {
  if (!data.startsWith(EXECUTE_SELECTOR)) throw new RangeError("not a call of execute");
  const words = wordsOf(data.slice(EXECUTE_SELECTOR.length));
  const call: ExecuteCall = {
    intentId: words.bytes32(1),
    lastBlock: words.uint(2),
    minProfitWei: words.uint(3),
    coinbaseBps: words.small(4),
    loan: decodeLoan(words, 5),
    steps: decodeSteps(words, 1 + words.small(10) / 32),
    afterSteps: decodeSteps(words, 1 + words.small(11) / 32),
  };
  // Only the canonical encoding is accepted: what was decoded is then all that the calldata says.
  if (encodeExecute(call) !== data) throw new RangeError("execute calldata is not canonical");
  return call;
}
