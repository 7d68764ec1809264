// Arguments are grouped by what they are for.
/* oxlint-disable unicorn/no-useless-spread */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync, statfsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { FlashloanError } from "@flashloan/shared/errors";
import { LIMITS_DEFAULT, type Limits, type RunRequest, type RunResult, type Sandbox } from "../port.ts";
import {
  checkRequest,
  languagesHere,
  resourceLimits,
  RUNNER_SOURCE,
  superviseRun,
  type Usage,
} from "../supervised-run.ts";

const [CHOOM, SETPRIV, FIND, CHMOD, IPCRM] = [
  "/usr/bin/choom",
  "/usr/bin/setpriv",
  "/usr/bin/find",
  "/usr/bin/chmod",
  "/usr/bin/ipcrm",
];
const PAGE_BYTES = 4096;
const TMPFS_MAGIC = 0x01021994;
/** The machine's own namespace of processes has always this name (Linux, PROC_PID_INIT_INO). */
const MACHINE_PID_NAMESPACE = "pid:[4026531836]";
const SWEEP_DEADLINE_MS = 5_000;
const SWEEP_INTERVAL_MS = 5;
/** Everything that changes files; reading and running stay free. What Landlock of kernel 5.19 knows. */
const LANDLOCK_WRITES = [
  "write-file",
  ...["remove-dir", "remove-file"],
  ...["make-char", "make-dir", "make-reg", "make-sock", "make-fifo", "make-block", "make-sym", "refer"],
].join(",");

function unfit(why: string): FlashloanError {
  return new FlashloanError(
    "sandbox_unavailable",
    `${why}: the executor runs in a container of its own, or not at all`,
  );
}

interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  readonly state: string;
  readonly threads: number;
}

/** Every process that is here but for the first and ourselves, those included that ended and aren't buried yet. */
function* allOthers(): Generator<ProcessEntry> {
  for (const pid of readdirSync("/proc").map(Number)) {
    if (!(pid > 1) || pid === process.pid) continue;
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      // The name, in parentheses, may have spaces of its own.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      yield { pid, state: fields[0] ?? "", parent: Number(fields[1]), threads: Number(fields[17]) };
    } catch {
      // It ended while we looked.
    }
  }
}

/** Every process that lives here but for the first and ourselves. */
function otherProcesses(): ProcessEntry[] {
  return [...allOthers()].filter(({ state }) => state !== "Z" && state !== "X");
}

/** Whether anybody of a run is here, alive or not yet buried. A probe of the engine's is nobody's child here. */
function isAnyoneLeft(): boolean {
  for (const { parent } of allOthers()) if (parent !== 0) return true;
  return false;
}

/**
 * Whether everything else here may be killed after a run.
 * @throws FlashloanError sandbox_unavailable when it may not
 */
function assertOwnContainer(workspace: string): void {
  if (readlinkSync("/proc/self/ns/pid") === MACHINE_PID_NAMESPACE) throw unfit("these are the machine's processes");
  if (process.ppid !== 1) throw unfit(`started by process ${process.ppid} instead of the first`);
  const others = otherProcesses();
  const parents = new Map(others.map(({ pid, parent }) => [pid, parent]));
  const rootOf = (pid: number): number => {
    const parent = parents.get(pid);
    return parent === undefined ? pid : rootOf(parent);
  };
  // A probe of the engine's is nobody's child here.
  const strangers = others.filter(({ pid }) => rootOf(pid) === 1);
  if (strangers.length > 0) throw unfit(`${strangers.length} other processes are here`);
  if (statfsSync(workspace).type !== TMPFS_MAGIC) throw unfit(`${workspace} is not tmpfs`);
}

/** Kills all but the first process and ourselves, at once: the kernel lets nobody be born meanwhile. */
function sweep(): void {
  try {
    process.kill(-1, "SIGKILL");
  } catch (error) {
    // ESRCH: nobody else is here.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function usage(workspace: string): Usage {
  let [memoryBytes, pids] = [0, 0];
  for (const { pid, threads } of otherProcesses()) {
    pids += threads;
    try {
      memoryBytes += Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]) * PAGE_BYTES;
    } catch {
      // It ended while we looked.
    }
  }
  const { blocks, bfree, bsize } = statfsSync(workspace);
  return { memoryBytes, pids, workspaceBytes: (blocks - bfree) * bsize };
}

/**
 * Landlock's walls around a run within the container: it changes no file but the workspace's, and can't look into the
 * server, which has the same user. Empty where the kernel or setpriv has none.
 */
function landlockWalls(workspace: string): string[] {
  const walls = [
    ...[SETPRIV, "--no-new-privs", "--landlock-access", `fs:${LANDLOCK_WRITES}`],
    ...["--landlock-rule", `path-beneath:${LANDLOCK_WRITES}:${workspace}`],
    ...["--landlock-rule", "path-beneath:write-file:/dev/null", "--"],
  ];
  const [program, ...args] = [...walls, "/usr/bin/true"];
  return spawnSync(program, args, { env: {}, timeout: 10_000 }).status === 0 ? walls : [];
}

/** The sandbox that is this container: one run at a time. */
interface ContainerSandbox extends Sandbox {
  /** Whether runs are kept from the server by Landlock too. */
  readonly hasLandlock: boolean;
}

/** What a sandbox asks of those around it. */
interface Keeper {
  readonly wake: () => void;
  readonly onUnclean: (error: Error) => never;
}

/**
 * Runs code in this container, which nobody else may be in: after each run everything but the first process and
 * ourselves is killed and buried, and the workspace is emptied.
 * @param keeper.wake has the first process bury who ended
 * @param keeper.onUnclean what can't be cleaned can't be used again: must end the process
 * @throws FlashloanError sandbox_unavailable outside of a container of its own
 */
export function openContainerSandbox(workspace: string, keeper: Keeper): ContainerSandbox {
  assertOwnContainer(workspace);
  const languages = languagesHere();
  const landlock = landlockWalls(workspace);
  return {
    languages,
    hasLandlock: landlock.length > 0,
    run: async (request) => {
      checkRequest(request, languages);
      try {
        return await runOnce(workspace, landlock, request);
      } finally {
        await clean(workspace, keeper.wake).catch(keeper.onUnclean);
      }
    },
  };
}

function runOnce(workspace: string, landlock: readonly string[], request: RunRequest): Promise<RunResult> {
  const limits: Limits = { ...LIMITS_DEFAULT, ...request.limits };
  const child = spawn(
    CHOOM,
    // When memory runs out, the kernel takes the run first.
    ["-n", "1000", "--", ...resourceLimits(limits), "--", ...landlock].concat(
      process.execPath,
      "--disable-warning=ExperimentalWarning",
      fileURLToPath(RUNNER_SOURCE),
    ),
    {
      cwd: workspace,
      env: { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: workspace, TMPDIR: workspace, LANG: "C.UTF-8" },
      stdio: ["pipe", "pipe", "pipe", "pipe", "pipe"],
      detached: true,
    },
  );
  // Who is left has the pipes open.
  child.once("exit", sweep);
  return superviseRun({
    child,
    request,
    limits,
    node: process.execPath,
    workspace,
    kill: sweep,
    look: () => usage(workspace),
  });
}

async function clean(workspace: string, wakeKeeper: () => void): Promise<void> {
  const deadline = performance.now() + SWEEP_DEADLINE_MS;
  // Who ended counts among the container's processes until it is buried: the next run would lack its place.
  for (sweep(); isAnyoneLeft(); sweep()) {
    if (performance.now() > deadline) throw new Error("processes of a run don't end");
    // The keeper, a shell, may bury only when it wakes.
    wakeKeeper();
    // Nothing tells when somebody else's child is gone.
    await new Promise((resolve) => setTimeout(resolve, SWEEP_INTERVAL_MS));
  }
  // Folders may be shut, and deeper than a path is long.
  const folders = [workspace, "-mindepth", "1", "-maxdepth", "1", "-type", "d"];
  await call(FIND, ...folders, "-exec", CHMOD, "-R", "u+rwX", "{}", "+");
  await call(FIND, workspace, "-mindepth", "1", "-delete");
  await call(IPCRM, "--all");
  const left = readdirSync(workspace).length;
  if (left > 0) throw new Error(`${left} files of a run can't be removed`);
}

async function call(program: string, ...args: string[]): Promise<void> {
  const child = spawn(program, args, { env: {}, stdio: "ignore" });
  const [code] = (await once(child, "exit")) as [number | null];
  if (code !== 0) throw new Error(`${program} ended with ${code}`);
}
