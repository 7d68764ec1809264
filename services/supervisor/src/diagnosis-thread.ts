import { Worker } from "node:worker_threads";
import type { ChatModelConfig } from "@flashloan/chat-model/config";
import { FlashloanError, type ErrorCode } from "@flashloan/shared/errors";
import { Rejected, type AgentTask, type DiagnosisAgent, type FailureKind } from "./diagnosis-agent.ts";
import type { IncidentBrief, Source } from "./findings.ts";

/** Heap of a thread with LangChain in it, twice what it takes. */
const HEAP_MB_MAX = 256;

/** Which model a thread asks. */
export interface ThreadSettings {
  readonly config: ChatModelConfig;
  /** Where the provider's key is. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** What a thread is started with: a task, or none to see only whether the model can be opened. */
export interface ThreadStart extends ThreadSettings {
  readonly task: { readonly incident: IncidentBrief; readonly stepsMax: number } | undefined;
}

/** What a thread tells. */
export type ThreadMessage =
  | { readonly type: "read"; readonly id: number; readonly source: Source }
  | { readonly type: "spent"; readonly tokens: { readonly input: number; readonly output: number } }
  | { readonly type: "answer"; readonly answer: unknown; readonly model: string }
  | {
      readonly type: "failed";
      readonly kind: FailureKind;
      readonly message: string;
      readonly code: ErrorCode | undefined;
    };

/** What a thread is told: lines of a source that it asked for, or that there are none to be had. */
export interface ThreadReply {
  readonly id: number;
  readonly lines: readonly string[] | undefined;
}

/** An agent in a thread of its own. */
export interface DiagnosisThread extends DiagnosisAgent {
  /** Whether the model can be opened. @throws FlashloanError config_invalid */
  check(): Promise<void>;
}

/**
 * A chat model as an agent in a thread of its own: loading and running LangChain hold no event loop that trading needs, a
 * model that never yields is ended with its thread, and the memory is there only while a diagnosis lasts. One at a time;
 * others wait.
 */
export function createDiagnosisThread({ config, environment }: ThreadSettings): DiagnosisThread {
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = last.then(work);
    last = turn.catch(() => {});
    return turn;
  };
  const settings = { config, environment };
  return {
    ask: (asked) =>
      inTurn(() => run({ ...settings, task: { incident: asked.incident, stepsMax: asked.stepsMax } }, asked)),
    async check() {
      // Nothing of it can be missing.
      if (config.CHAT_MODEL_URL === "rules:") return;
      await inTurn(() => run({ ...settings, task: undefined }, undefined));
    },
  };
}

async function run(start: ThreadStart, asked: AgentTask | undefined): Promise<{ answer: unknown; model: string }> {
  asked?.signal.throwIfAborted();
  const fromSource = import.meta.url.endsWith(".ts");
  const worker = new Worker(new URL(fromSource ? "./diagnosis-worker.ts" : "./diagnosis-worker.js", import.meta.url), {
    workerData: start,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB_MAX },
    ...(fromSource ? { execArgv: ["--conditions=@flashloan/source"] } : {}),
  });
  const { promise, resolve, reject } = Promise.withResolvers<{ answer: unknown; model: string }>();
  const abort = (): void => reject(asked?.signal.reason);
  asked?.signal.addEventListener("abort", abort, { once: true });
  worker.on("error", reject);
  worker.on("exit", (code) => reject(new Rejected("errored", `its thread ended with code ${code}`)));
  worker.on("message", (message: ThreadMessage) => {
    if (message.type === "answer") resolve(message);
    else if (message.type === "failed") reject(failureOf(message));
    else if (message.type === "spent") asked?.spent(message.tokens);
    else void answerTo(message, asked).then((reply) => worker.postMessage(reply));
  });
  try {
    return await promise;
  } finally {
    asked?.signal.removeEventListener("abort", abort);
    await worker.terminate();
  }
}

async function answerTo(
  { id, source }: { id: number; source: Source },
  asked: AgentTask | undefined,
): Promise<ThreadReply> {
  const lines = await asked?.read(source).catch(() => undefined);
  return { id, lines };
}

function failureOf({ kind, message, code }: Extract<ThreadMessage, { type: "failed" }>): Error {
  return code === undefined ? new Rejected(kind, message) : new FlashloanError(code, message);
}
