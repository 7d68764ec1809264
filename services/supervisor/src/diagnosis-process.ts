import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { ChatModelConfig } from "@flashloan/chat-model/config";
import { FlashloanError, type ErrorCode } from "@flashloan/shared/errors";
import { Rejected, type AgentTask, type DiagnosisAgent, type FailureKind } from "./diagnosis-agent.ts";
import type { IncidentBrief, Source } from "./findings.ts";

/** Heap of a process with LangChain in it, some times what it takes. */
const HEAP_MB_MAX = 256;

/** Which model is asked. */
export interface ModelSettings {
  readonly config: ChatModelConfig;
  /** Where the provider's key is; the whole environment of the process. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** What a process is told first: its task, or none to see only whether the model can be opened. */
export interface ChildStart extends ModelSettings {
  readonly type: "start";
  readonly task: { readonly incident: IncidentBrief; readonly stepsMax: number } | undefined;
}

/** Lines of a source that was asked for, or that there are none to be had. */
export interface ChildReply {
  readonly type: "lines";
  readonly id: number;
  readonly lines: readonly string[] | undefined;
}

/** What a process tells. */
export type ChildMessage =
  | { readonly type: "ready" }
  | { readonly type: "read"; readonly id: number; readonly source: Source }
  | { readonly type: "spent"; readonly tokens: { readonly input: number; readonly output: number } }
  | { readonly type: "answer"; readonly answer: unknown; readonly model: string }
  | {
      readonly type: "failed";
      readonly kind: FailureKind;
      readonly message: string;
      readonly code: ErrorCode | undefined;
    };

/** An agent in a process of its own. */
export interface DiagnosisProcess extends DiagnosisAgent {
  /** Whether the model can be opened. @throws FlashloanError config_invalid */
  check(): Promise<void>;
}

/**
 * A chat model as an agent in a process of its own, which lasts as long as one diagnosis: loading and running LangChain
 * hold no event loop that trading needs, a model that never yields is ended all the same, and the memory is given back
 * (a thread's is not). One at a time; others wait.
 */
export function createDiagnosisProcess({ config, environment }: ModelSettings): DiagnosisProcess {
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = last.then(work);
    last = turn.catch(() => {});
    return turn;
  };
  // A copy: `process.env` itself can't be sent.
  const start = { type: "start", config, environment: { ...environment } } as const;
  return {
    ask: (asked) =>
      inTurn(() => run({ ...start, task: { incident: asked.incident, stepsMax: asked.stepsMax } }, asked)),
    async check() {
      // Nothing of it can be missing.
      if (config.CHAT_MODEL_URL === "rules:") return;
      await inTurn(() => run({ ...start, task: undefined }, undefined));
    },
  };
}

async function run(start: ChildStart, asked: AgentTask | undefined): Promise<{ answer: unknown; model: string }> {
  asked?.signal.throwIfAborted();
  const child = forkChild(start.environment);
  const gone = Promise.withResolvers<void>();
  const { promise, resolve, reject } = Promise.withResolvers<{ answer: unknown; model: string }>();
  const abort = (): void => reject(asked?.signal.reason);
  asked?.signal.addEventListener("abort", abort, { once: true });
  child.once("error", (error) => {
    reject(error);
    gone.resolve();
  });
  child.once("exit", (code, signal) => {
    reject(new Rejected("errored", `its process ended with ${signal ?? `code ${code}`}`));
    gone.resolve();
  });
  child.on("message", (message: ChildMessage) => {
    if (message.type === "ready") tell(child, start);
    else if (message.type === "answer") resolve(message);
    else if (message.type === "failed") reject(failureOf(message));
    else if (message.type === "spent") asked?.spent(message.tokens);
    else void answerTo(message, asked).then((reply) => tell(child, reply));
  });
  try {
    return await promise;
  } finally {
    asked?.signal.removeEventListener("abort", abort);
    // It has nothing to lose, and may be past listening.
    child.kill("SIGKILL");
    await gone.promise;
  }
}

function forkChild(environment: ModelSettings["environment"]): ChildProcess {
  const fromSource = import.meta.url.endsWith(".ts");
  const entry = fileURLToPath(new URL(fromSource ? "./diagnosis-child.ts" : "./diagnosis-child.js", import.meta.url));
  return fork(entry, [], {
    execArgv: [`--max-old-space-size=${HEAP_MB_MAX}`, ...(fromSource ? ["--conditions=@flashloan/source"] : [])],
    env: { ...environment },
    serialization: "advanced",
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
}

function tell(child: ChildProcess, message: ChildStart | ChildReply): void {
  // A process that is gone by now has said so.
  if (child.connected) child.send(message, () => {});
}

async function answerTo(
  { id, source }: { readonly id: number; readonly source: Source },
  asked: AgentTask | undefined,
): Promise<ChildReply> {
  const lines = await asked?.read(source).catch(() => undefined);
  return { type: "lines", id, lines };
}

function failureOf({ kind, message, code }: Extract<ChildMessage, { type: "failed" }>): Error {
  return code === undefined ? new Rejected(kind, message) : new FlashloanError(code, message);
}
