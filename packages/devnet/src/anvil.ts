import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { closeSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { systemClock } from "@flashloan/shared/clock";
import { FlashloanError } from "@flashloan/shared/errors";
import type { Running } from "@flashloan/shared/lifecycle";
import { getHead } from "@flashloan/evm/chain";
import { connectWebSocket, type JsonRpc } from "@flashloan/evm/json-rpc";

/** Anvil's own default chain id. */
export const DEVNET_CHAIN_ID = 31337;
/** Gas limit of every block of the devnet. */
export const BLOCK_GAS_LIMIT = 30_000_000n;
/** Development accounts that anvil unlocks. */
export const ACCOUNTS = 12;
const BOOT_DEADLINE_MS = 20_000;
const EXIT_DEADLINE_MS = 15_000;

/** How an anvil is started. */
export interface AnvilOptions {
  /** 0 or absent picks a free port. */
  readonly port?: number;
  /** A state to start from (made by a clean exit of anvil with `dumpState`). */
  readonly loadState?: string;
  /** Where the state is written on a clean exit. */
  readonly dumpState?: string;
  /** Seconds between blocks; 0: only when told to; absent: a block for each transaction. */
  readonly blockTimeS?: number;
  /** Where its output goes; dropped by default. */
  readonly logFile?: string;
}

/** A chain that is running in a process of its own. */
export interface Anvil extends Running {
  readonly pid: number;
  /** Resolves with how it ended, whenever it ends. */
  readonly ended: Promise<string>;
  readonly port: number;
  /** `ws://…` for connectWebSocket. */
  readonly url: string;
}

/** A port that is free on loopback now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        address && typeof address === "object" ? resolve(address.port) : reject(new Error("no port")),
      );
    });
  });
}

function portTaken(port: number, before = ""): FlashloanError {
  return new FlashloanError("port_taken", `${before}is port ${port} taken? Stop what uses it, or choose another`, {
    details: { port },
  });
}

/** Whether a port of loopback can be listened on now. */
function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** The anvil binary that npm installed for this platform. */
export function anvilBinary(): string {
  const platform = `${process.platform === "win32" ? "win32" : process.platform}-${process.arch === "x64" ? "amd64" : process.arch}`;
  const wrapper = createRequire(import.meta.url).resolve("@foundry-rs/anvil/package.json");
  try {
    return join(createRequire(wrapper).resolve(`@foundry-rs/anvil-${platform}/package.json`), "..", "bin", "anvil");
  } catch (cause) {
    throw new FlashloanError(
      "devnet_failed",
      `there is no anvil for ${platform} among the installed packages: run the install again on a supported platform`,
      { cause },
    );
  }
}

/**
 * Starts anvil in a process group of its own: it outlives us unless `stop` is called.
 * @throws FlashloanError devnet_failed, port_taken
 */
export async function startAnvil(options: AnvilOptions = {}): Promise<Anvil> {
  const port = options.port || (await freePort());
  // Asked before the start: another chain on this port would answer in our anvil's stead.
  if (!(await isFree(port))) throw portTaken(port);
  const args = ["--host", "127.0.0.1", "--port", String(port), "--silent", "--hardfork", "cancun"];
  args.push(
    "--gas-limit",
    String(BLOCK_GAS_LIMIT),
    "--accounts",
    String(ACCOUNTS),
    "--balance",
    "1000000",
    "--order",
    "fees",
  );
  if (options.loadState) args.push("--load-state", options.loadState);
  if (options.dumpState) args.push("--dump-state", options.dumpState);
  if (options.blockTimeS === 0) args.push("--no-mining");
  else if (options.blockTimeS !== undefined) args.push("--block-time", String(options.blockTimeS));
  const output = options.logFile ? openSync(options.logFile, "a") : "ignore";
  const child = spawn(anvilBinary(), args, { stdio: ["ignore", output, output], detached: true });
  if (typeof output === "number") closeSync(output);
  child.unref();
  let exited: string | undefined;
  const ended = new Promise<string>((resolve) => {
    child.once("exit", (code, signal) => resolve((exited = `exit code ${code ?? signal}`)));
    child.once("error", (error) => resolve((exited = error.message)));
  });
  const url = `ws://127.0.0.1:${port}`;
  const deadline = systemClock.monotonic() + BOOT_DEADLINE_MS;
  for (;;) {
    if (exited !== undefined)
      throw portTaken(port, `anvil ended at once (${exited})${options.logFile ? `, see ${options.logFile}` : ""}: `);
    if (await answers(url)) break;
    if (systemClock.monotonic() > deadline) {
      child.kill("SIGKILL");
      throw new FlashloanError("devnet_failed", `anvil did not answer on port ${port} within ${BOOT_DEADLINE_MS} ms`, {
        details: { port },
      });
    }
    await Promise.race([systemClock.sleep(20), ended]);
  }
  const pid = child.pid as number;
  return { pid, port, url, ended, stop: () => stopAnvil(pid) };
}

/**
 * Brings a state that anvil wrote into the form in which anvil reads it back whole; false when it can't be used. Each
 * run that starts from a state adds a block 0 of its own to what it writes, and which of several a later run takes is
 * chance: only the first stays.
 */
export function repairState(path: string, genesisTimestampS: number): boolean {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return false;
  }
  const blockSchema = z.looseObject({ header: z.looseObject({ number: z.string(), timestamp: z.string() }) });
  const parsed = z.looseObject({ blocks: z.array(blockSchema).min(1) }).safeParse(json);
  if (!parsed.success) return false;
  const isOther = (number: string, timestamp: string): boolean =>
    Number(number) === 0 && Number(timestamp) !== genesisTimestampS;
  const blocks = parsed.data.blocks.filter(({ header }) => !isOther(header.number, header.timestamp));
  if (blocks.length < parsed.data.blocks.length) {
    writeFileSync(`${path}.new`, JSON.stringify({ ...parsed.data, blocks }));
    renameSync(`${path}.new`, path);
  }
  return true;
}

/** Asks a chain's process to end (it writes its state first), by force after a deadline. */
export async function stopAnvil(pid: number): Promise<void> {
  const deadline = systemClock.monotonic() + EXIT_DEADLINE_MS;
  let signal: NodeJS.Signals = "SIGTERM";
  while (isAlive(pid)) {
    process.kill(pid, signal);
    if (systemClock.monotonic() > deadline) signal = "SIGKILL";
    for (let i = 0; i < 20 && isAlive(pid); i++) await systemClock.sleep(25);
    if (signal === "SIGTERM") while (isAlive(pid) && systemClock.monotonic() < deadline) await systemClock.sleep(25);
  }
}

/** True while a process of this id exists and is not a zombie of another parent. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

async function answers(url: string): Promise<boolean> {
  let rpc: JsonRpc | undefined;
  try {
    rpc = await connectWebSocket(url);
    await getHead(rpc);
    return true;
  } catch {
    return false;
  } finally {
    await rpc?.stop();
  }
}
