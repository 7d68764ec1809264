import { z } from "zod";
import { addressSchema, hashSchema } from "@flashloan/evm/hex";

/** A token of the devnet. */
const tokenSchema = z.object({
  symbol: z.string(),
  address: addressSchema,
  decimals: z.number().int().min(0).max(36),
  usd: z.number().positive(),
});
/** @see tokenSchema */
export type DevnetToken = z.infer<typeof tokenSchema>;

const uniswapV2Schema = z.object({
  name: z.string(),
  factory: addressSchema,
  router: addressSchema,
  pairs: z.array(z.object({ address: addressSchema, tokens: z.tuple([addressSchema, addressSchema]) })),
});
const uniswapV3PoolSchema = z.object({
  address: addressSchema,
  tokens: z.tuple([addressSchema, addressSchema]),
  fee: z.number(),
  tickSpacing: z.number(),
});
const uniswapV4PoolSchema = z.object({
  id: hashSchema,
  tokens: z.tuple([addressSchema, addressSchema]),
  fee: z.number(),
  tickSpacing: z.number(),
  hooks: addressSchema,
});
const balancerPoolSchema = z.object({
  id: hashSchema,
  address: addressSchema,
  tokens: z.array(addressSchema),
  kind: z.enum(["balancer-weighted", "balancer-stable"]),
});

/** Everything that was deployed on a devnet; written beside its chain, validated when it is read again. */
export const deploymentSchema = z.object({
  genesisHash: hashSchema,
  /** Timestamp of block 0, in seconds. */
  genesisTimestampS: z.number(),
  deployedBlock: z.number(),
  weth: addressSchema,
  tokens: z.array(tokenSchema),
  uniswapV2: z.array(uniswapV2Schema),
  uniswapV3: z.object({
    factory: addressSchema,
    router: addressSchema,
    quoter: addressSchema,
    tickLens: addressSchema,
    positionManager: addressSchema,
    pools: z.array(uniswapV3PoolSchema),
  }),
  uniswapV4: z.object({
    poolManager: addressSchema,
    swapRouter: addressSchema,
    liquidityRouter: addressSchema,
    pools: z.array(uniswapV4PoolSchema),
  }),
  balancer: z.object({
    vault: addressSchema,
    weightedFactory: addressSchema,
    stableFactory: addressSchema,
    pools: z.array(balancerPoolSchema),
  }),
  aave: z.object({ pool: addressSchema, reserves: z.array(addressSchema), premiumBps: z.number() }),
  /** Burns gas for the background load. */
  gasBurner: addressSchema,
  /** Our contract, its operator (the signer) and its treasury. */
  executor: z.object({
    contract: addressSchema,
    owner: addressSchema,
    operator: addressSchema,
    treasury: addressSchema,
  }),
  /** The rival's own contract. */
  rival: z.object({ contract: addressSchema, operator: addressSchema, treasury: addressSchema }),
});
/** @see deploymentSchema */
export type Deployment = z.infer<typeof deploymentSchema>;
