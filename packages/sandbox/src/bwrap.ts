// Arguments are grouped by what they are for.
/* oxlint-disable unicorn/no-useless-spread */
import { spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { FlashloanError } from "@flashloan/shared/errors";
import { LIMITS_DEFAULT, type Limits, type RunRequest, type RunResult, type Sandbox } from "./port.ts";
import { residentBytes } from "./process-tree.ts";
import {
  checkRequest,
  isExecutable,
  languagesHere,
  OWN_SOURCE,
  PRLIMIT,
  resourceLimits,
  RUNNER_SOURCE,
  sendTo,
  superviseRun,
} from "./supervised-run.ts";

const BWRAP = "/usr/bin/bwrap";
const SETPRIV = "/usr/bin/setpriv";
/** One run, one user: runs can't signal each other, and each has its own count of processes. */
const RUN_USERS = { first: 61_000, count: 1_000 };
const WORKSPACE = "/workspace";
const RUNNER = `/sandbox/runner.${OWN_SOURCE === "ts" ? "mts" : "mjs"}`;

function unavailable(why: string): FlashloanError {
  return new FlashloanError(
    "sandbox_unavailable",
    `${why}: install bubblewrap and util-linux (as root: apt-get install bubblewrap) and allow user namespaces`,
  );
}

/** Why generated code can't be confined on this machine; undefined when it can. Tries it for real. */
export function bwrapFault(bwrap = BWRAP): string | undefined {
  for (const program of [bwrap, PRLIMIT, ...(process.getuid?.() === 0 ? [SETPRIV] : [])])
    if (!isExecutable(program)) return `${program} is missing`;
  const [program, ...args] = [...asUser(RUN_USERS.first), bwrap, ...walls("none", 4096), "/usr/bin/true"];
  const { status, stderr } = spawnSync(program, args, { encoding: "utf8", timeout: 10_000 });
  return status === 0 ? undefined : `bubblewrap can't make a sandbox (${stderr.trim().slice(0, 200)})`;
}

function asUser(uid: number): string[] {
  if (process.getuid?.() !== 0) return [];
  return [SETPRIV, `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "--no-new-privs", "--"];
}

/** Namespaces of its own, no capability, no variable, and of this machine's files the system's programs only. */
function walls(network: "none" | "granted", workspaceBytes: number): string[] {
  const size = String(workspaceBytes);
  const links = ["bin", "sbin", "lib", "lib64"].filter((name) => existsSync(`/usr/${name}`));
  return [
    ...["--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL", "--die-with-parent", "--clearenv"],
    ...(network === "granted" ? ["--share-net", "--ro-bind-try", "/etc/resolv.conf", "/etc/resolv.conf"] : []),
    ...["--hostname", "sandbox", "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", WORKSPACE],
    ...["--setenv", "LANG", "C.UTF-8", "--setenv", "TMPDIR", WORKSPACE],
    ...["--ro-bind", "/usr", "/usr", ...links.flatMap((name) => ["--symlink", `usr/${name}`, `/${name}`])],
    ...["--tmpfs", "/usr/local", "--remount-ro", "/usr/local"],
    ...["--proc", "/proc", "--dev", "/dev", "--size", "65536", "--tmpfs", "/dev/shm", "--remount-ro", "/dev"],
    ...["--perms", "0700", "--size", size, "--tmpfs", WORKSPACE, "--symlink", WORKSPACE, "/tmp"],
  ];
}

/** What can be other than on every machine. */
export interface BwrapOptions {
  readonly bwrap?: string;
  /** Ids that runs have as users, when root runs them. */
  readonly users?: { readonly first: number; readonly count: number };
}

/** A sandbox by bubblewrap, for bare machines. @throws FlashloanError sandbox_unavailable */
export function openBwrapSandbox({ bwrap = BWRAP, users = RUN_USERS }: BwrapOptions = {}): Sandbox {
  const fault = bwrapFault(bwrap);
  if (fault !== undefined) throw unavailable(fault);
  const runner = readFileSync(RUNNER_SOURCE, "utf8");
  const languages = languagesHere();
  let runs = 0;
  return {
    languages,
    run: async (request) => {
      checkRequest(request, languages);
      runs += 1;
      return runOnce(bwrap, runner, request, users.first + (runs % users.count));
    },
  };
}

/**
 * Ends bubblewrap and the namespace's first process at once, and with that one everything in there. Bubblewrap alone would not
 * do: its child is bound to its end (PR_SET_PDEATHSIG) only when the walls stand, and would live on when it ends before.
 */
function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

async function runOnce(bwrap: string, runner: string, request: RunRequest, uid: number): Promise<RunResult> {
  const limits: Limits = { ...LIMITS_DEFAULT, ...request.limits };
  const [program = bwrap, ...args] = [
    ...asUser(uid),
    ...[bwrap, ...walls(request.network ?? "none", limits.workspaceBytes)],
    ...["--ro-bind-fd", "5", "/sandbox/node", "--ro-bind-data", "6", RUNNER],
    ...["--chdir", WORKSPACE, "--remount-ro", "/", "--"],
    ...[...resourceLimits(limits), `--nproc=${limits.pids}`, "--"],
    ...["/sandbox/node", "--disable-warning=ExperimentalWarning", RUNNER],
  ];
  const node = openSync(process.execPath, "r");
  // The caller's environment stays outside of bubblewrap too: its process could be read.
  const child = spawn(program, args, {
    env: {},
    cwd: "/",
    stdio: ["pipe", "pipe", "pipe", "pipe", "pipe", node, "pipe"],
    // A session of its own, without a terminal: bubblewrap needn't make one, and all that it starts is one group.
    detached: true,
  });
  closeSync(node);
  sendTo(child, 6, runner);
  return superviseRun({
    child,
    request,
    limits,
    node: "/sandbox/node",
    workspace: WORKSPACE,
    kill: () => killGroup(child.pid),
    look: () => ({ memoryBytes: child.pid === undefined ? 0 : residentBytes(child.pid) }),
  }).catch((error: Error) => {
    throw unavailable(error.message);
  });
}
