import { spawn } from "node:child_process";
import { constants } from "node:os";
import { EXIT_FAILED, LAST_END_VARIABLE } from "@flashloan/embedded/process-guard";
import { systemClock } from "@flashloan/shared/clock";
import { PERIOD_MS, RESTARTS_MAX, RestartLimit } from "./restart-limit.ts";

interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * Runs the platform as a child and starts it again when it fails: killed, out of memory, blocked, or by an error that belongs
 * to none of its services. It goes on where it was, since all that counts is in its data folder and the chain is a process of
 * its own. A child that ends by itself, in success or not, is not started again. It loads nothing of the platform, so it stays
 * small and has little to fail by. Resolves to the process's exit code.
 */
export async function keepPlatform(): Promise<number> {
  const stopping = new AbortController();
  const limit = new RestartLimit();
  const [, script = "", ...given] = process.argv;
  let args = given;
  let lastEnd: string | undefined;
  for (;;) {
    const end = await runOnce([script, ...args], lastEnd, stopping);
    const isFailure = end.code === null || end.code === EXIT_FAILED;
    if (!isFailure || stopping.signal.aborted) return exitCode(end);
    const why = end.signal ?? `exit code ${end.code}`;
    const waitMs = limit.failed(systemClock.monotonic());
    if (waitMs === undefined) return giveUp(why);
    tell({ event: "restarting", why, waitMs }, `! The platform ended (${why}): it is started again, where it was.`);
    await systemClock.sleep(waitMs, stopping.signal).catch(() => undefined);
    if (stopping.signal.aborted) return exitCode(end);
    lastEnd = `${Date.now()} ${why}`;
    // Once is enough: what was begun anew goes on.
    args = args.filter((argument) => argument !== "--fresh");
  }
}

/** Runs the platform once; a signal is handed on and aborts `stopping`. */
async function runOnce(args: readonly string[], lastEnd: string | undefined, stopping: AbortController): Promise<End> {
  const env = lastEnd === undefined ? process.env : { ...process.env, [LAST_END_VARIABLE]: lastEnd };
  // By the channel it knows that it is kept, and notices when its keeper is gone.
  const child = spawn(process.execPath, [...process.execArgv, ...args], {
    stdio: ["inherit", "inherit", "inherit", "ipc"],
    env,
  });
  const onSignal = (signal: NodeJS.Signals): void => {
    stopping.abort();
    // A terminal's Ctrl-C reaches it by itself.
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal).on("SIGHUP", onSignal);
  try {
    return await new Promise<End>((resolve, reject) => {
      child.once("error", reject).once("exit", (code, signal) => resolve({ code, signal }));
    });
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal).off("SIGHUP", onSignal);
  }
}

function exitCode({ code, signal }: End): number {
  return code ?? 128 + (constants.signals[signal ?? "SIGKILL"] ?? 0);
}

async function giveUp(why: string): Promise<number> {
  const { errorFields, FlashloanError } = await import("@flashloan/shared/errors");
  const often = `the platform failed ${RESTARTS_MAX + 1} times within ${PERIOD_MS / 60_000} minutes, the last time by ${why}`;
  const message = `${often}: it is not started again; platform.log in its data folder says why`;
  tell({ event: "error", ...errorFields(new FlashloanError("restarts_exhausted", message)) }, message);
  return EXIT_FAILED;
}

function tell(event: Readonly<Record<string, unknown>>, text: string): void {
  const isForPeople = process.stdout.isTTY && !process.argv.includes("--json");
  if (isForPeople) process.stderr.write(`${text}\n`);
  else process.stdout.write(`${JSON.stringify({ ...event, time: new Date().toISOString() })}\n`);
}
