import { decodeExecuted } from "@flashloan/contracts/events";
import { FlashloanError } from "@flashloan/shared/errors";
import type { Receipt } from "@flashloan/evm/chain";
import type { Hex } from "@flashloan/evm/hex";
import type { SettledRecord } from "./intent.ts";

/** keccak256("Transfer(address,address,uint256)") */
const TRANSFER_TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";

/** Where profit is looked for. */
export interface SettlementAccounts {
  readonly contract: Hex;
  readonly treasury: Hex;
  readonly weth: Hex;
}

/**
 * What a final transaction earned and cost, from its receipt alone, never from the plan.
 * profit = WETH that reached the treasury; gross = profit + builder's payment + premium in wei;
 * net = gross − premium − builder − gas. A reverted or cancelling transaction earns nothing and costs its gas.
 * @throws FlashloanError reconciliation_failed when the contract's event and the token's own transfers disagree
 */
export function settle(receipt: Receipt, intentId: Hex, accounts: SettlementAccounts): SettledRecord {
  const gasWei = receipt.gasUsed * receipt.effectiveGasPrice;
  const executed = receipt.logs
    .filter((log) => log.address === accounts.contract)
    .map((log) => decodeExecuted(log))
    .find((event) => event?.intentId === intentId);
  if (!executed) return { grossWei: 0n, premiumWei: 0n, builderWei: 0n, gasWei, netWei: -gasWei };
  const received = receipt.logs
    .filter(
      (log) =>
        log.address === accounts.weth &&
        log.topics[0] === TRANSFER_TOPIC &&
        addressOf(log.topics[1]) === accounts.contract &&
        addressOf(log.topics[2]) === accounts.treasury,
    )
    .reduce((sum, log) => sum + BigInt(log.data), 0n);
  if (received !== executed.profitWei)
    throw new FlashloanError(
      "reconciliation_failed",
      `transaction ${receipt.transactionHash} says it earned ${executed.profitWei} wei, but ${received} reached the treasury`,
      { details: { transaction: receipt.transactionHash } },
    );
  const { premiumWei, coinbasePaidWei: builderWei, profitWei } = executed;
  return { grossWei: profitWei + builderWei + premiumWei, premiumWei, builderWei, gasWei, netWei: profitWei - gasWei };
}

function addressOf(topic: string | undefined): string {
  return `0x${(topic ?? "").slice(-40)}`;
}
