import type { Deployment } from "./deployment.ts";

/** The private key of anvil's second account, the devnet's operator; public knowledge, refused on every other chain. */
export const DEVNET_OPERATOR_KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

/** The venues of a devnet, as the market predictor's configuration wants them. */
export function venuesOf(deployment: Deployment): object {
  const dollar = deployment.tokens.find((token) => token.symbol === "USDC");
  return {
    weth: deployment.weth,
    uniswapV2: deployment.uniswapV2.map((venue) => ({ factory: venue.factory, feePpm: 3000 })),
    uniswapV3: [{ factory: deployment.uniswapV3.factory }],
    uniswapV4: { poolManager: deployment.uniswapV4.poolManager },
    balancerV2: { vault: deployment.balancer.vault },
    aaveV3: { pool: deployment.aave.pool },
    fromBlock: 0,
    ...(dollar ? { dollarToken: { address: dollar.address, decimals: dollar.decimals } } : {}),
  };
}
