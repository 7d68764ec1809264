import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import closeWithGrace from "close-with-grace";
import { z } from "zod";
import { getHead } from "@flashloan/evm/chain";
import { connectWebSocket } from "@flashloan/evm/json-rpc";
import { readConfig } from "@flashloan/shared/config";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { createLogger, type Logger } from "@flashloan/shared/log";
import { touchWhile } from "@flashloan/shared/telemetry/ready-file";
import { startAnvil } from "./anvil.ts";
import { devnetConfigSchema, type DevnetConfig } from "./config.ts";
import { deploymentSchema, type Deployment } from "./deployment.ts";
import { startForwarder } from "./forwarder.ts";
import { recordJournal, replayJournal } from "./journal.ts";
import { startMarket } from "./market.ts";
import { ensureDeployedState } from "./state-cache.ts";
import { DEVNET_OPERATOR_KEY, venuesOf } from "./venues.ts";

// The bundled chain as a process of its own, for containers: anvil with the real protocols and the simulated market. It
// keeps its base state and a journal of its blocks, so that it is there again after kill -9, with the same history.

/** Blocks that may be missed before the chain no longer counts as ready. */
const STALE_BLOCKS = 10;

async function startDevnet(config: DevnetConfig, log: Logger): Promise<Lifecycle> {
  const lifecycle = new Lifecycle();
  let stopping = false;
  const base = join(config.DEVNET_DATA_DIR, "base-state.json");
  const journal = join(config.DEVNET_DATA_DIR, "journal.jsonl");
  try {
    const deployment = await ensureBase(config.DEVNET_DATA_DIR, base, log);
    // On a port of its own until its history is whole: whoever saw it half replayed would take it for reorganised.
    const anvil = await startAnvil({
      loadState: base,
      blockTimeS: 0,
      logFile: join(config.DEVNET_DATA_DIR, "chain.log"),
    });
    lifecycle.add("chain", anvil);
    void anvil.ended.then((how) => {
      if (stopping) return;
      log.fatal({ how }, "chain_ended");
      process.exit(1);
    });
    const rpc = lifecycle.add("rpc", await connectWebSocket(`ws://127.0.0.1:${anvil.port}`));
    const startedMs = performance.now();
    const blocks = await replayJournal(rpc, journal);
    log.info({ blocks, ms: Math.round(performance.now() - startedMs) }, "journal_replayed");
    const onJournalError = (error: unknown): void => log.error({ error }, "block_not_recorded");
    lifecycle.add("journal", await recordJournal(rpc, journal, onJournalError));
    await rpc.request("evm_setIntervalMining", [config.DEVNET_BLOCK_TIME_S], z.unknown());
    const market = {
      seed: config.DEVNET_SEED,
      whaleActivity: config.DEVNET_WHALE_ACTIVITY,
      rivalActivity: config.DEVNET_RIVAL_ACTIVITY,
      onError: (error: unknown) => log.warn({ error }, "market_step_failed"),
    };
    lifecycle.add("market", await startMarket(rpc, deployment, market));
    share(config, deployment);
    lifecycle.add("forwarder", await startForwarder(config.DEVNET_HOST, config.DEVNET_PORT, anvil.port));

    let seenAtMs = Date.now();
    const heads = await rpc.subscribe("newHeads", {
      message: () => (seenAtMs = Date.now()),
      reconnected: () => undefined,
    });
    lifecycle.add("heads", heads);
    if (config.READY_FILE !== undefined) {
      const staleMs = STALE_BLOCKS * config.DEVNET_BLOCK_TIME_S * 1_000;
      const stop = touchWhile(config.READY_FILE, () => Date.now() - seenAtMs < staleMs);
      lifecycle.onStop("ready file", stop);
    }
    lifecycle.onStop("watch over the chain", () => void (stopping = true));
    log.info(
      { port: config.DEVNET_PORT, genesisHash: deployment.genesisHash, ...(await getHead(rpc)) },
      "devnet_started",
    );
    return lifecycle;
  } catch (error) {
    stopping = true;
    await lifecycle.stop().catch(() => undefined);
    throw error;
  }
}

/** The state from which the journal starts: made once, and kept as it is even when a newer version would deploy another. */
async function ensureBase(folder: string, base: string, log: Logger): Promise<Deployment> {
  const description = join(folder, "deployment.json");
  mkdirSync(folder, { recursive: true });
  if (!existsSync(description)) {
    const progress = (what: string): void => log.info({ what }, "deploying");
    const { stateFile, deployment } = await ensureDeployedState(progress, join(folder, "cache"));
    copyFileSync(stateFile, base);
    writeWhole(description, JSON.stringify(deployment));
  }
  return deploymentSchema.parse(JSON.parse(readFileSync(description, "utf8")));
}

/** Puts what the services need to know where they look for it; the key alone where only the executor looks. */
function share(config: DevnetConfig, deployment: Deployment): void {
  const { DEVNET_SHARE_DIR: shareDir, DEVNET_KEY_DIR: keyDir } = config;
  for (const folder of [shareDir, keyDir]) mkdirSync(folder, { recursive: true });
  writeWhole(join(shareDir, "venues.json"), JSON.stringify(venuesOf(deployment)));
  writeWhole(join(shareDir, "contract"), deployment.executor.contract);
  writeWhole(join(shareDir, "genesis-hash"), deployment.genesisHash);
  writeWhole(join(keyDir, "private-key"), DEVNET_OPERATOR_KEY);
}

/** Written beside and renamed: a reader sees the old file or the new one, never half of one. */
function writeWhole(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

let log = createLogger("devnet");
let running: Lifecycle | undefined;
closeWithGrace({ delay: 15_000, logger: false }, async ({ err, signal }) => {
  if (err) log.fatal({ error: err }, "process_failed");
  else log.info({ signal }, "stopping");
  await running?.stop();
});
try {
  const config = readConfig(devnetConfigSchema, process.env);
  log = createLogger("devnet", config.LOG_LEVEL);
  running = await startDevnet(config, log);
} catch (error) {
  log.fatal({ error }, "start_failed");
  process.exit(1);
}
