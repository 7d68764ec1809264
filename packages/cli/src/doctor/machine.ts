import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, statfsSync, statSync } from "node:fs";
import { freemem } from "node:os";
import { resolve } from "node:path";
import { anvilBinary } from "@flashloan/devnet/anvil";
import { bwrapFault } from "@flashloan/sandbox/bwrap";
import { fail, ok, warn, type Check } from "./check.ts";

const MEMORY_BYTES_MIN = 600 * 2 ** 20;
const DISK_BYTES_MIN = 2 ** 30;
const COMMAND_DEADLINE_MS = 5_000;

/** What the embedded platform needs of this machine. */
export function checkMachine(dataDir: string): Check[] {
  return [
    checkNode(),
    checkAnvil(),
    checkMemory(),
    checkSandbox(),
    ...checkFolder(resolve(dataDir)),
    checkSynchronization(),
  ];
}

function checkNode(): Check {
  const major = Number(process.versions.node.split(".")[0]);
  if (major >= 24) return ok("node", process.version);
  return fail(
    "node",
    `${process.version}: the platform needs Node 24, which "npm start" installs by itself; run it through npm or npx flashloan`,
  );
}

function checkAnvil(): Check {
  try {
    accessSync(anvilBinary(), constants.X_OK);
    return ok("devnet", "anvil is installed");
  } catch (error) {
    return fail(
      "devnet",
      `anvil can't be run (${(error as Error).message}): remove node_modules and run "npm start" again`,
    );
  }
}

function checkMemory(): Check {
  const free = freemem();
  const text = `${Math.round(free / 2 ** 20)} MiB free`;
  if (free >= MEMORY_BYTES_MIN) return ok("memory", text);
  return warn("memory", `${text}: the platform needs about ${MEMORY_BYTES_MIN / 2 ** 20} MiB; close something`);
}

function checkSandbox(): Check {
  const fault = bwrapFault();
  if (fault === undefined) return ok("sandbox", "bubblewrap confines generated code");
  return warn(
    "sandbox",
    `${fault}: nothing generated is run; as root, apt-get install bubblewrap, and allow user namespaces`,
  );
}

function checkFolder(path: string): Check[] {
  if (existsSync(path) && !statSync(path).isDirectory())
    return [fail("data folder", `${path} is not a folder: choose another with --data-dir`)];
  const at = existsSync(path) ? path : resolve(path, "..");
  try {
    accessSync(at, constants.R_OK | constants.W_OK);
  } catch {
    return [fail("data folder", `${at} can't be read and written: change its owner or choose another with --data-dir`)];
  }
  const { bavail, bsize } = statfsSync(at);
  const free = bavail * bsize;
  const disk =
    free >= DISK_BYTES_MIN
      ? ok("disk", `${Math.round(free / 2 ** 30)} GiB free`)
      : fail("disk", `${Math.round(free / 2 ** 20)} MiB free at ${at}: make room for at least 1 GiB`);
  return [ok("data folder", path), disk];
}

/** Whether something keeps the clock right; where nothing can be asked, the chain's head is what it is compared with. */
function checkSynchronization(): Check {
  const { status, stdout } = spawnSync("timedatectl", ["show", "-p", "NTPSynchronized", "--value"], {
    encoding: "utf8",
    timeout: COMMAND_DEADLINE_MS,
  });
  const answer = stdout?.trim();
  if (status !== 0 || (answer !== "yes" && answer !== "no"))
    return ok("clock", "this machine does not say whether its clock is synchronized");
  if (answer === "yes") return ok("clock", "synchronized");
  return warn(
    "clock",
    "not synchronized: deadlines, leases and the age of blocks rest on it; switch NTP on (timedatectl set-ntp true)",
  );
}
