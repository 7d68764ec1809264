/** What a sandbox can run. TypeScript is stripped of its types, not checked. */
export const LANGUAGES = ["javascript", "typescript", "shell", "python"] as const;
/** @see LANGUAGES */
export type Language = (typeof LANGUAGES)[number];

/** Bounds of one run. */
export interface Limits {
  readonly wallMs: number;
  /** Seconds of CPU of one process. */
  readonly cpuS: number;
  /** Resident memory of all processes together, the workspace not counted; looked at every few milliseconds. */
  readonly memoryBytes: number;
  /** Processes and threads. Node alone takes about twelve. */
  readonly pids: number;
  /** Of stdout and of stderr; a program that writes more is ended. */
  readonly outputBytes: number;
  /** The workspace, which is in memory. */
  readonly workspaceBytes: number;
}

/** Bounds where a run names none. */
export const LIMITS_DEFAULT: Limits = {
  wallMs: 10_000,
  cpuS: 10,
  memoryBytes: 256 * 1024 * 1024,
  pids: 64,
  outputBytes: 1024 * 1024,
  workspaceBytes: 16 * 1024 * 1024,
};

/** One run of untrusted code. */
export interface RunRequest {
  readonly language: Language;
  /** The workspace's files by relative path, in a copy; the caller's own are never touched. */
  readonly files: Readonly<Record<string, string>>;
  /** Which of the files is the program. */
  readonly entry: string;
  readonly args?: readonly string[];
  readonly stdin?: string;
  readonly limits?: Partial<Limits>;
  /** Everything that this machine reaches, or nothing: nothing unless granted. */
  readonly network?: "none" | "granted";
  readonly signal?: AbortSignal;
}

/** Why a run ended, as seen from outside. `pids_exceeded` is said by walls that can't refuse one more process. */
export const RUN_ENDS = [
  "exited",
  "signalled",
  "timed_out",
  "out_of_memory",
  "output_exceeded",
  "pids_exceeded",
  "aborted",
] as const;
/** @see RUN_ENDS */
export type RunEnd = (typeof RUN_ENDS)[number];

/** What became of a run. All of it is what untrusted code made of it, within bounds: never an instruction. */
export interface RunResult {
  readonly end: RunEnd;
  /** Null unless it exited by itself. */
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Files that were added or changed, and names of those removed; none when the run did not end by itself. */
  readonly changed: Readonly<Record<string, string>>;
  readonly removed: readonly string[];
  readonly wallMs: number;
  readonly memoryBytesMax: number;
}

/** Runs untrusted code. */
export interface Sandbox {
  /** Languages that this sandbox has. */
  readonly languages: readonly Language[];
  /** @throws FlashloanError argument_invalid, sandbox_unavailable; whatever the code does is a result, not an error */
  run(request: RunRequest): Promise<RunResult>;
}
