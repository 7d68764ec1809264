import { copyFileSync } from "node:fs";
import { isAlive, repairState, startAnvil, stopAnvil } from "@flashloan/devnet/anvil";
import type { Deployment } from "@flashloan/devnet/deployment";
import { ensureDeployedState } from "@flashloan/devnet/state-cache";
import { getGenesisHash } from "@flashloan/evm/chain";
import { connectWebSocket } from "@flashloan/evm/json-rpc";
import type { ChainRecord, DataFolder } from "./data-folder.ts";

/** The devnet of a data folder, running. */
export interface DevnetChain {
  readonly pid: number;
  readonly port: number;
  readonly url: string;
  readonly deployment: Deployment;
  /** `adopted`: it outlived us. `resumed`: from the state of a clean stop. `new`: just deployed. */
  readonly origin: "adopted" | "resumed" | "new";
}

/** How the chain is brought up. */
export interface ChainOptions {
  readonly port: number;
  readonly blockTimeS: number;
  readonly progress: (what: string) => void;
}

/**
 * The chain of a data folder: adopted if it is still running, resumed from its state after a clean stop, or new.
 * @throws FlashloanError devnet_failed, port_taken
 */
export async function ensureChain(folder: DataFolder, options: ChainOptions): Promise<DevnetChain> {
  const record = folder.readChain();
  if (record && (await isOurs(record)))
    return {
      pid: record.pid,
      port: record.port,
      url: `ws://127.0.0.1:${record.port}`,
      deployment: record.deployment,
      origin: "adopted",
    };
  if (record && folder.hasChainState() && repairState(folder.chainStatePath, record.deployment.genesisTimestampS)) {
    options.progress("resuming the chain of the last run");
    return launch(folder, options, folder.chainStatePath, record.deployment, "resumed");
  }
  return newChain(folder, options);
}

/** A new chain with everything deployed. */
export async function newChain(folder: DataFolder, options: ChainOptions): Promise<DevnetChain> {
  const { stateFile, deployment } = await ensureDeployedState((what) => options.progress(`deploying ${what}`));
  copyFileSync(stateFile, folder.chainStatePath);
  return launch(folder, options, folder.chainStatePath, deployment, "new");
}

/** Ends the chain that a data folder last used, if it is still running. */
export async function endChain(folder: DataFolder): Promise<void> {
  const record = folder.readChain();
  if (record && (await isOurs(record))) await stopAnvil(record.pid);
}

async function launch(
  folder: DataFolder,
  options: ChainOptions,
  stateFile: string,
  deployment: Deployment,
  origin: DevnetChain["origin"],
): Promise<DevnetChain> {
  options.progress("starting the chain");
  const anvil = await startAnvil({
    port: options.port,
    loadState: stateFile,
    dumpState: folder.chainStatePath,
    blockTimeS: options.blockTimeS,
    logFile: folder.chainLogPath,
  });
  folder.writeChain({ pid: anvil.pid, port: anvil.port, genesisHash: deployment.genesisHash, deployment });
  return { pid: anvil.pid, port: anvil.port, url: anvil.url, deployment, origin };
}

/** True when the recorded process lives and its port serves the recorded chain: pids and ports are used again by others. */
async function isOurs(record: ChainRecord): Promise<boolean> {
  if (!isAlive(record.pid)) return false;
  try {
    const rpc = await connectWebSocket(`ws://127.0.0.1:${record.port}`);
    try {
      return (await getGenesisHash(rpc)) === record.genesisHash;
    } finally {
      await rpc.stop();
    }
  } catch {
    return false;
  }
}
