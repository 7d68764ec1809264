// Arguments are grouped by what they are for.
/* oxlint-disable unicorn/no-useless-spread */
import type { ChildProcess } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { constants as os } from "node:os";
import { posix } from "node:path";
import type { Readable, Writable } from "node:stream";
import { FlashloanError } from "@flashloan/shared/errors";
import { z } from "zod";
import type { Language, Limits, RunEnd, RunRequest, RunResult } from "./port.ts";

// What every wall has in common: the runner is within it, and is watched from outside.
/** Sets a process's limits and becomes another program (util-linux). */
export const PRLIMIT = "/usr/bin/prlimit";
const PYTHON = "/usr/bin/python3";
/** V8 reserves so much writable address space before a program begins; RLIMIT_DATA counts it. */
const RUNTIME_RESERVE_BYTES = 640 * 1024 * 1024;
const LOOK_INTERVAL_MS = 20;
/** Of all files and the input. */
export const REQUEST_BYTES_MAX = 8 * 1024 * 1024;
const REPORT_BYTES_MAX = 8 * 1024 * 1024;
/** Whether this is the source or what was built of it. */
export const OWN_SOURCE = import.meta.url.endsWith(".ts") ? "ts" : "js";
/** The program that runs within the walls. */
export const RUNNER_SOURCE = new URL(`./runner.${OWN_SOURCE}`, import.meta.url);

const reportSchema = z.object({ changed: z.record(z.string(), z.string()), removed: z.array(z.string()) });

/** Whether a program is here. */
export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Languages whose programs are here. */
export function languagesHere(): Language[] {
  return ["javascript", "typescript", "shell", ...(isExecutable(PYTHON) ? ["python" as const] : [])];
}

/** The command line of prlimit(1), without the number of processes and the final `--`. */
export function resourceLimits(limits: Limits): string[] {
  return [
    PRLIMIT,
    `--data=${limits.memoryBytes + RUNTIME_RESERVE_BYTES}`,
    `--cpu=${limits.cpuS}`,
    `--fsize=${limits.workspaceBytes}`,
    ...["--core=0", "--nofile=256", "--memlock=0", "--msgqueue=0"],
  ];
}

/** @throws FlashloanError argument_invalid */
export function checkRequest(request: RunRequest, languages: readonly Language[]): void {
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

/** What a run takes just now. */
export interface Usage {
  readonly memoryBytes: number;
  /** Where the wall itself bounds these, they are not looked at. */
  readonly pids?: number;
  readonly workspaceBytes?: number;
}

/** A run that has begun: the runner with its pipes, and how it is watched and ended. */
export interface SupervisedRun {
  /** Descriptors 0 to 4 are pipes; 3 takes the job and 4 gives the report. */
  readonly child: ChildProcess;
  readonly request: RunRequest;
  readonly limits: Limits;
  /** Paths as seen from within. */
  readonly node: string;
  readonly workspace: string;
  /** Ends every process of the run. */
  readonly kill: () => void;
  readonly look: () => Usage;
}

/** Writes one of a child's pipes; a child that ends before it has read everything is no fault of ours. */
export function sendTo(child: ChildProcess, index: number, content: string): void {
  const pipe = child.stdio[index] as Writable;
  pipe.on("error", () => undefined);
  pipe.end(content);
}

/** Watches a run to its end and says what became of it. @throws what spawning failed with */
export async function superviseRun(run: SupervisedRun): Promise<RunResult> {
  const { child, request, limits } = run;
  const started = performance.now();
  let stopped: RunEnd | undefined;
  const stop = (end: RunEnd): void => {
    stopped ??= end;
    run.kill();
  };
  const closed = new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve([code, signal]));
  });
  const exceeded = (): void => stop("output_exceeded");
  const pipe = (index: number): Readable => child.stdio[index] as Readable;
  const stdout = collect(pipe(1), limits.outputBytes, exceeded);
  const stderr = collect(pipe(2), limits.outputBytes, exceeded);
  const report = collect(pipe(4), REPORT_BYTES_MAX, exceeded);
  sendTo(child, 0, request.stdin ?? "");
  const { node, workspace } = run;
  const job = { workspace, files: request.files, command: commandOf(node, request) };
  sendTo(child, 3, JSON.stringify({ ...job, reportBytesMax: REPORT_BYTES_MAX / 4 }));
  let memoryBytesMax = 0;
  const look = (): void => {
    const { memoryBytes, pids = 0, workspaceBytes = 0 } = run.look();
    memoryBytesMax = Math.max(memoryBytesMax, memoryBytes);
    if (memoryBytesMax > limits.memoryBytes || workspaceBytes > limits.workspaceBytes) stop("out_of_memory");
    if (pids > limits.pids) stop("pids_exceeded");
  };
  const looking = setInterval(look, LOOK_INTERVAL_MS);
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
    clearInterval(looking);
    clearTimeout(deadline);
    request.signal?.removeEventListener("abort", onAbort);
  }
}

function commandOf(node: string, { language, entry, args = [] }: RunRequest): string[] {
  const programs: Readonly<Record<Language, readonly string[]>> = {
    javascript: [node],
    typescript: [node, "--disable-warning=ExperimentalWarning"],
    shell: ["/usr/bin/sh"],
    python: [PYTHON, "-I", "-B"],
  };
  // Not a flag, whatever its name is.
  return [...programs[language], `./${entry}`, ...args];
}
