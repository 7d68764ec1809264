// Arguments are grouped by what they are for.
/* oxlint-disable unicorn/no-useless-spread */
import { spawn, spawnSync } from "node:child_process";
import { accessSync, closeSync, constants, existsSync, openSync, readFileSync } from "node:fs";
import { constants as os } from "node:os";
import { posix } from "node:path";
import type { Readable, Writable } from "node:stream";
import { FlashloanError } from "@flashloan/shared/errors";
import { z } from "zod";
import {
  LIMITS_DEFAULT,
  type Language,
  type Limits,
  type RunEnd,
  type RunRequest,
  type RunResult,
  type Sandbox,
} from "./port.ts";
import { residentBytes } from "./process-tree.ts";

const BWRAP = "/usr/bin/bwrap";
const SETPRIV = "/usr/bin/setpriv";
const PRLIMIT = "/usr/bin/prlimit";
const PYTHON = "/usr/bin/python3";
/** V8 reserves so much writable address space before a program begins; RLIMIT_DATA counts it. */
const RUNTIME_RESERVE_BYTES = 640 * 1024 * 1024;
const MEMORY_INTERVAL_MS = 20;
const REQUEST_BYTES_MAX = 8 * 1024 * 1024;
const REPORT_BYTES_MAX = 8 * 1024 * 1024;
/** One run, one user: runs can't signal each other, and each has its own count of processes. */
const RUN_USERS = { first: 61_000, count: 1_000 };
const WORKSPACE = "/workspace";
const OWN_SOURCE = import.meta.url.endsWith(".ts") ? "ts" : "js";
const RUNNER = `/sandbox/runner.${OWN_SOURCE === "ts" ? "mts" : "mjs"}`;

const reportSchema = z.object({ changed: z.record(z.string(), z.string()), removed: z.array(z.string()) });

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

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
    ...[
      "--unshare-all",
      "--unshare-user",
      "--disable-userns",
      "--cap-drop",
      "ALL",
      "--die-with-parent",
      "--new-session",
      "--clearenv",
    ],
    ...(network === "granted" ? ["--share-net", "--ro-bind-try", "/etc/resolv.conf", "/etc/resolv.conf"] : []),
    ...["--hostname", "sandbox", "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", WORKSPACE],
    ...["--setenv", "LANG", "C.UTF-8", "--setenv", "TMPDIR", WORKSPACE],
    ...["--ro-bind", "/usr", "/usr", ...links.flatMap((name) => ["--symlink", `usr/${name}`, `/${name}`])],
    ...["--tmpfs", "/usr/local", "--remount-ro", "/usr/local"],
    ...["--proc", "/proc", "--dev", "/dev", "--size", "65536", "--tmpfs", "/dev/shm", "--remount-ro", "/dev"],
    ...["--perms", "0700", "--size", size, "--tmpfs", WORKSPACE, "--symlink", WORKSPACE, "/tmp"],
  ];
}

function resourceLimits(limits: Limits): string[] {
  return [
    PRLIMIT,
    `--nproc=${limits.pids}`,
    `--data=${limits.memoryBytes + RUNTIME_RESERVE_BYTES}`,
    `--cpu=${limits.cpuS}`,
    `--fsize=${limits.workspaceBytes}`,
    ...["--core=0", "--nofile=256", "--memlock=0", "--msgqueue=0", "--"],
  ];
}

const COMMANDS: Readonly<Record<Language, readonly [string, ...string[]]>> = {
  javascript: ["/sandbox/node"],
  typescript: ["/sandbox/node", "--disable-warning=ExperimentalWarning"],
  shell: ["/usr/bin/sh"],
  python: [PYTHON, "-I", "-B"],
};

function check(request: RunRequest, languages: readonly Language[]): void {
  const invalid = (message: string): FlashloanError => new FlashloanError("argument_invalid", message);
  if (!languages.includes(request.language)) throw invalid(`language: ${request.language} is not here`);
  if (!Object.hasOwn(request.files, request.entry)) throw invalid(`entry: ${request.entry} is not among the files`);
  let bytes = (request.stdin ?? "").length;
  for (const [path, content] of Object.entries(request.files)) {
    bytes += content.length;
    const isInside = path !== "" && path === posix.normalize(path) && !path.startsWith("/") && !path.startsWith("..");
    if (!isInside || path.includes("\0"))
      throw invalid(`files: ${JSON.stringify(path)} is not a path in the workspace`);
  }
  if (bytes > REQUEST_BYTES_MAX) throw invalid(`files: ${bytes} bytes; at most ${REQUEST_BYTES_MAX}`);
}

/** Everything that a stream says up to a bound; `onExceeded` once when it says more. */
function collect(stream: Readable, bytesMax: number, onExceeded: () => void): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => {
    const room = bytesMax - bytes;
    bytes += chunk.length;
    if (room > 0) chunks.push(chunk.subarray(0, room));
    if (room < chunk.length) onExceeded();
  });
  return () => Buffer.concat(chunks).toString("utf8");
}

function readReport(text: string): { changed: Record<string, string>; removed: string[] } {
  try {
    return reportSchema.parse(JSON.parse(text));
  } catch {
    // The program is as strong as the runner, so a report may be missing or nonsense: then nothing is known.
    return { changed: {}, removed: [] };
  }
}

const signalNames = new Map<number, string>(Object.entries(os.signals).map(([name, number]) => [number, name]));

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
  const runner = readFileSync(new URL(`./runner.${OWN_SOURCE}`, import.meta.url), "utf8");
  const languages: Language[] = ["javascript", "typescript", "shell"];
  if (isExecutable(PYTHON)) languages.push("python");
  let runs = 0;
  return {
    languages,
    run: async (request) => {
      check(request, languages);
      runs += 1;
      return runOnce(bwrap, runner, request, users.first + (runs % users.count));
    },
  };
}

async function runOnce(bwrap: string, runner: string, request: RunRequest, uid: number): Promise<RunResult> {
  const limits: Limits = { ...LIMITS_DEFAULT, ...request.limits };
  const [program = bwrap, ...args] = [
    ...asUser(uid),
    ...[bwrap, ...walls(request.network ?? "none", limits.workspaceBytes)],
    ...["--ro-bind-fd", "5", "/sandbox/node", "--ro-bind-data", "6", RUNNER],
    ...["--chdir", WORKSPACE, "--remount-ro", "/", "--"],
    ...resourceLimits(limits),
    ...["/sandbox/node", "--disable-warning=ExperimentalWarning", RUNNER],
  ];
  const node = openSync(process.execPath, "r");
  const started = performance.now();
  // The caller's environment stays outside of bubblewrap too: its process could be read.
  const child = spawn(program, args, {
    env: {},
    cwd: "/",
    stdio: ["pipe", "pipe", "pipe", "pipe", "pipe", node, "pipe"],
  });
  closeSync(node);
  const pipe = (index: number): Readable & Writable => child.stdio[index] as Readable & Writable;
  let stopped: RunEnd | undefined;
  const stop = (end: RunEnd): void => {
    stopped ??= end;
    // The namespace's first process dies with bubblewrap, and with it everything in there.
    child.kill("SIGKILL");
  };
  const closed = new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once("error", (error) => reject(unavailable(error.message)));
    child.once("close", (code, signal) => resolve([code, signal]));
  });
  const exceeded = (): void => stop("output_exceeded");
  const stdout = collect(pipe(1), limits.outputBytes, exceeded);
  const stderr = collect(pipe(2), limits.outputBytes, exceeded);
  const report = collect(pipe(4), REPORT_BYTES_MAX, exceeded);
  for (const [index, content] of [
    [0, request.stdin ?? ""],
    [
      3,
      JSON.stringify({
        workspace: WORKSPACE,
        files: request.files,
        command: commandOf(request),
        reportBytesMax: REPORT_BYTES_MAX / 4,
      }),
    ],
    [6, runner],
  ] as const) {
    // A program that ends before it has read everything is no fault of ours.
    pipe(index).on("error", () => undefined);
    pipe(index).end(content);
  }
  let memoryBytesMax = 0;
  const lookAtMemory = (): void => {
    if (child.pid === undefined) return;
    memoryBytesMax = Math.max(memoryBytesMax, residentBytes(child.pid));
    if (memoryBytesMax > limits.memoryBytes) stop("out_of_memory");
  };
  const memory = setInterval(lookAtMemory, MEMORY_INTERVAL_MS);
  const deadline = setTimeout(() => stop("timed_out"), limits.wallMs);
  const onAbort = (): void => stop("aborted");
  request.signal?.addEventListener("abort", onAbort, { once: true });
  if (request.signal?.aborted) onAbort();
  try {
    const [code] = await closed;
    const signal = code !== null && code > 128 ? (signalNames.get(code - 128) ?? null) : null;
    const end = stopped ?? (signal === null && code !== null ? "exited" : "signalled");
    return {
      end,
      exitCode: end === "exited" ? code : null,
      signal: end === "signalled" ? (signal ?? "SIGKILL") : null,
      stdout: stdout(),
      stderr: stderr(),
      ...(stopped === undefined ? readReport(report()) : { changed: {}, removed: [] }),
      wallMs: performance.now() - started,
      memoryBytesMax,
    };
  } finally {
    clearInterval(memory);
    clearTimeout(deadline);
    request.signal?.removeEventListener("abort", onAbort);
  }
}

function commandOf({ language, entry, args = [] }: RunRequest): string[] {
  // Not a flag, whatever its name is.
  return [...COMMANDS[language], `./${entry}`, ...args];
}
