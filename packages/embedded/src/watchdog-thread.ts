import { appendFileSync, writeFileSync } from "node:fs";
import { Session, type Debugger } from "node:inspector";
import { workerData } from "node:worker_threads";
import type { PastFailure } from "@flashloan/supervisor/driver";
import { BEAT_MS, SHARED, UNIT_NOW, type WatchdogData } from "./watchdog.ts";

/** How long the blocked code may take to be stopped where it is; within native code it can't be. */
const PAUSE_MS = 1_000;
const FRAMES_MAX = 20;

interface Culprit {
  readonly unit: string | undefined;
  /** Where it is, as in an error's stack. */
  readonly stack: string;
}

const { shared, logPath, failurePath } = workerData as WatchdogData;
let last = Atomics.load(shared, SHARED.beats);
let still = 0;
const timer = setInterval(() => {
  const now = Atomics.load(shared, SHARED.beats);
  still = now === last ? still + 1 : 0;
  last = now;
  if (still * BEAT_MS < Atomics.load(shared, SHARED.blockedMsMax)) return;
  clearInterval(timer);
  const force = setTimeout(() => end({ unit: undefined, stack: "" }), PAUSE_MS);
  findCulprit((culprit) => {
    clearTimeout(force);
    end(culprit);
  });
}, BEAT_MS);

/** Stops the main thread where it is, by its debugger, which interrupts even code that never yields. */
function findCulprit(found: (culprit: Culprit) => void): void {
  const session = new Session();
  session.connectToMainThread();
  const urls = new Map<string, string>();
  session.on("Debugger.scriptParsed", ({ params: { scriptId, url } }) => urls.set(scriptId, url));
  session.on("Debugger.paused", ({ params: { callFrames } }) => {
    const stack = callFrames
      .slice(0, FRAMES_MAX)
      .map((frame) => inWords(frame, urls))
      .join("\n");
    const callFrameId = callFrames[0]?.callFrameId ?? "";
    const expression = `globalThis[${JSON.stringify(UNIT_NOW)}]?.()`;
    session.post("Debugger.evaluateOnCallFrame", { callFrameId, expression, returnByValue: true }, (_error, answer) => {
      const unit: unknown = answer?.result.value;
      found({ unit: typeof unit === "string" ? unit : undefined, stack });
    });
  });
  session.post("Debugger.enable");
  session.post("Debugger.pause");
}

function inWords({ functionName, location }: Debugger.CallFrame, urls: ReadonlyMap<string, string>): string {
  return `    at ${functionName || "<anonymous>"} (${urls.get(location.scriptId) ?? ""}:${location.lineNumber + 1}:${(location.columnNumber ?? 0) + 1})`;
}

function end({ unit = "platform", stack }: Culprit): void {
  const message = `the event loop was blocked for ${still * BEAT_MS} ms`;
  const now = new Date();
  const error = { code: "internal", message, stack: stack === "" ? "" : `Error: ${message}\n${stack}` };
  const line = { level: "fatal", time: now.toISOString(), service: unit, error, event: "loop_blocked" };
  try {
    appendFileSync(logPath, `${JSON.stringify(line)}\n`);
    const failure: PastFailure = { atMs: now.getTime(), unit, fault: "loop_blocked", reason: message };
    writeFileSync(failurePath, JSON.stringify(failure));
  } finally {
    process.kill(process.pid, "SIGKILL");
  }
}
