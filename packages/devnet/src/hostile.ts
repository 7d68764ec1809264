import { readFileSync } from "node:fs";
import { Interface } from "ethers";
import type { Hex } from "@flashloan/evm/hex";
import type { Artifact } from "./artifacts.ts";

/** The contracts of solidity/Hostile.sol. */
export type HostileContract = "HostileToken" | "HostilePair" | "HostileFactory";

/** How `balanceOf` of a HostileToken answers. */
export const HOSTILE_ANSWER = { honest: 0, revert: 1, garbage: 2, burnAllGas: 3 } as const;

/** Reads a contract that lies, for tests of whatever has to cope with it. */
export function readHostileArtifact(name: HostileContract): Artifact {
  // Beside src when run from source, beside dist/src when built.
  const folder = import.meta.url.includes("/dist/") ? "../../artifacts" : "../artifacts";
  const file = readFileSync(new URL(`${folder}/Hostile.json`, import.meta.url), "utf8");
  const { abi, bytecode } = (JSON.parse(file) as Record<HostileContract, { abi: never; bytecode: Hex }>)[name];
  return { abi: new Interface(abi), bytecode, links: [] };
}
