import type { Check } from "./check.ts";
import { checkChain } from "./chain.ts";
import { checkContainers } from "./containers.ts";
import { checkKey } from "./keys.ts";
import { checkMachine } from "./machine.ts";
import { checkPlatform, type PlatformTarget } from "./platform.ts";

/** Looks at everything that the platform needs: machine, key, engine, the running platform, chain and clock. */
export async function runDoctor(target: PlatformTarget): Promise<Check[]> {
  const platform = await checkPlatform(target);
  const chainUrl = process.env["CHAIN_URL"] || process.env["EXECUTOR_CHAIN_URL"] || platform.chainUrl;
  const [containers, chain] = await Promise.all([checkContainers(), checkChain(chainUrl)]);
  return [...checkMachine(target.dataDir), checkKey(), ...containers, ...platform.checks, ...chain];
}
