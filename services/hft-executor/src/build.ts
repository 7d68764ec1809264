import { keccak256, toUtf8Bytes } from "ethers";
import type { ExecuteCall, Loan, Step, StepAmount } from "@flashloan/contracts/encode";
import { FlashloanError } from "@flashloan/shared/errors";
import type { Hex } from "@flashloan/evm/hex";
import type { Hop, Opportunity } from "@flashloan/proto/predictor/v1/predictor";

const NATIVE: Hex = "0x0000000000000000000000000000000000000000";

/** The intent's id: the same opportunity of the same block is the same intent, whoever asks and however often. */
export function intentIdOf(blockHash: string, opportunity: Opportunity): Hex {
  const route = [...opportunity.hops, ...opportunity.conversion]
    .map((hop) => `${hop.poolId}/${hop.tokenIn}/${hop.amountIn}`)
    .join(">");
  return keccak256(toUtf8Bytes(`${blockHash}|${opportunity.loan?.lender}|${route}`)) as Hex;
}

/** What the signed call promises besides the route. */
export interface CallTerms {
  readonly intentId: Hex;
  readonly weth: Hex;
  readonly lastBlock: bigint;
  readonly minProfitWei: bigint;
  readonly coinbaseBps: number;
}

/**
 * The contract call for an opportunity. The first hop spends the loan exactly; every later one spends what the one
 * before it brought, so that a pool that moved in between changes the result instead of stranding tokens.
 * @throws FlashloanError argument_invalid
 */
export function buildCall(opportunity: Opportunity, terms: CallTerms): ExecuteCall {
  const { loan, hops, conversion } = opportunity;
  if (!loan || hops.length === 0)
    throw new FlashloanError("argument_invalid", `opportunity ${opportunity.id} has no loan or no hops`);
  // A V4 pool that pays out first and trades native ETH is paid in ETH at the end; a lender's loan is WETH.
  const opensNative = loan.lender === "first-swap" && hops[0]?.tokenIn === NATIVE;
  const repayNative: Step[] = opensNative
    ? [{ kind: "UNWRAP", amount: { kind: "EXACT", amount: BigInt(loan.amount) } }]
    : [];
  return {
    intentId: terms.intentId,
    lastBlock: terms.lastBlock,
    minProfitWei: terms.minProfitWei,
    coinbaseBps: terms.coinbaseBps,
    loan: toLoan(opportunity),
    steps: [
      ...toSteps(
        hops,
        { kind: "EXACT", amount: BigInt(loan.amount) },
        opensNative ? NATIVE : terms.weth,
        loan.token as Hex,
        terms.weth,
      ),
      ...repayNative,
    ],
    afterSteps: toSteps(conversion, { kind: "FREE" }, terms.weth, terms.weth, terms.weth),
  };
}

function toLoan({ loan, id }: Opportunity): Loan {
  if (!loan) throw new FlashloanError("argument_invalid", `opportunity ${id} has no loan`);
  const shared = { source: loan.source as Hex, token: loan.token as Hex, amount: BigInt(loan.amount) };
  switch (loan.lender) {
    case "first-swap":
      return { kind: "FIRST_SWAP" };
    case "aave-v3":
      return { kind: "AAVE_V3", ...shared };
    case "balancer-v2":
      return { kind: "BALANCER_V2", ...shared };
    case "uniswap-v3":
      return { kind: "UNISWAP_V3", ...shared };
    case "uniswap-v4":
      return { kind: "UNISWAP_V4", ...shared };
    case "uniswap-v2":
      return { kind: "UNISWAP_V2", ...shared, repayAmount: BigInt(loan.amount) + BigInt(loan.premium) };
    default:
      throw new FlashloanError("argument_invalid", `opportunity ${id} names the unknown lender "${loan.lender}"`);
  }
}

/** Swaps in order, with a wrap or unwrap wherever one pool speaks ETH and its neighbour WETH. */
function toSteps(hops: readonly Hop[], first: StepAmount, startEther: Hex, endToken: Hex, weth: Hex): Step[] {
  const steps: Step[] = [];
  let amount = first;
  let held: Hex | undefined;
  for (const hop of hops) {
    // The graph knows ETH and WETH as one token: what we hold may be the other form of what the pool wants.
    held ??= hop.tokenIn === NATIVE || hop.tokenIn === weth ? startEther : (hop.tokenIn as Hex);
    if (held !== hop.tokenIn) {
      steps.push({ kind: held === weth ? "UNWRAP" : "WRAP", amount });
      if (amount.kind !== "EXACT") amount = { kind: "FREE" };
    }
    steps.push(toStep(hop, amount));
    held = hop.tokenOut as Hex;
    amount = { kind: "FREE" };
  }
  if (held === NATIVE && endToken === weth) steps.push({ kind: "WRAP", amount: { kind: "FREE" } });
  return steps;
}

function toStep(hop: Hop, amount: StepAmount): Step {
  const shared = { amount, tokenIn: hop.tokenIn as Hex, tokenOut: hop.tokenOut as Hex };
  switch (hop.kind) {
    case "uniswap-v2":
      return { kind: "SWAP_V2", ...shared, pair: hop.address as Hex, fee: hop.feePpm };
    case "uniswap-v3":
      return { kind: "SWAP_V3", ...shared, pool: hop.address as Hex };
    case "uniswap-v4":
      return { kind: "SWAP_V4", ...shared, fee: hop.feePpm, tickSpacing: hop.tickSpacing, hooks: NATIVE };
    case "balancer-weighted":
    case "balancer-stable":
      return { kind: "SWAP_BALANCER_V2", ...shared, poolId: hop.poolId as Hex };
    default:
      throw new FlashloanError("argument_invalid", `hop through ${hop.poolId} has the unknown kind "${hop.kind}"`);
  }
}
