import { z } from "zod";
import { addressSchema } from "@flashloan/evm/hex";

/** Where pools are discovered and loans are taken, on one chain. */
export const venuesSchema = z.strictObject({
  weth: addressSchema,
  /** Uniswap V2 and its forks; the fee is not on chain: 3000 parts per million for Uniswap and SushiSwap. */
  uniswapV2: z.array(z.strictObject({ factory: addressSchema, feePpm: z.number().int().min(0).max(100_000) })).max(32),
  uniswapV3: z.array(z.strictObject({ factory: addressSchema })).max(32),
  uniswapV4: z.strictObject({ poolManager: addressSchema }).optional(),
  balancerV2: z.strictObject({ vault: addressSchema }).optional(),
  aaveV3: z.strictObject({ pool: addressSchema }).optional(),
  /** The block from which factories are searched; the first deployment's block on a live chain. */
  fromBlock: z.number().int().min(0),
  /** A token worth one dollar, to show ether in dollars; display only. */
  dollarToken: z.strictObject({ address: addressSchema, decimals: z.number().int().min(0).max(36) }).optional(),
});
/** @see venuesSchema */
export type Venues = z.infer<typeof venuesSchema>;
