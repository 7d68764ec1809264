// The process of one diagnosis: started by diagnosis-process.ts, which ends it.
import { openChatModel } from "@flashloan/chat-model/open";
import { FlashloanError } from "@flashloan/shared/errors";
import { createModelAgent, Rejected } from "./diagnosis-agent.ts";
import type { ChildMessage, ChildReply, ChildStart } from "./diagnosis-process.ts";
import { diagnosisRules } from "./rules.ts";

// It is killed when its time is over.
const never = new AbortController().signal;
const reads = new Map<number, PromiseWithResolvers<readonly string[]>>();

process.on("message", (message: ChildStart | ChildReply) => {
  if (message.type === "start") void run(message);
  else if (message.lines === undefined) reads.get(message.id)?.reject(new Error("not available"));
  else reads.get(message.id)?.resolve(message.lines);
});
// Its supervisor is gone: nobody wants the answer.
process.once("disconnect", () => process.exit(1));
tell({ type: "ready" });

async function run({ config, environment, task }: ChildStart): Promise<void> {
  const open = () =>
    openChatModel(config.CHAT_MODEL_URL, {
      rules: diagnosisRules,
      timeoutMs: config.CHAT_MODEL_TIMEOUT_MS,
      retriesMax: config.CHAT_MODEL_RETRIES_MAX,
      tokensMax: config.CHAT_MODEL_TOKENS_MAX,
      environment,
      ...(config.CHAT_MODEL_BASE_URL === undefined ? {} : { baseUrl: config.CHAT_MODEL_BASE_URL }),
    });
  try {
    if (task === undefined) tell({ type: "answer", answer: undefined, model: (await open()).getName() });
    else tell({ type: "answer", ...(await createModelAgent(open).ask({ ...task, read, spent, signal: never })) });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const code = error instanceof FlashloanError ? error.code : undefined;
    tell({ type: "failed", kind: error instanceof Rejected ? error.kind : "errored", message, code });
  }
}

function read(source: Extract<ChildMessage, { type: "read" }>["source"]): Promise<readonly string[]> {
  const id = reads.size;
  const reading = Promise.withResolvers<readonly string[]>();
  reads.set(id, reading);
  tell({ type: "read", id, source });
  return reading.promise;
}

function spent(tokens: { readonly input: number; readonly output: number }): void {
  tell({ type: "spent", tokens });
}

function tell(message: ChildMessage): void {
  process.send?.(message);
}
