// The thread of a diagnosis: started by diagnosis-thread.ts, which ends it.
import { parentPort, workerData } from "node:worker_threads";
import { openChatModel } from "@flashloan/chat-model/open";
import { FlashloanError } from "@flashloan/shared/errors";
import { createModelAgent, Rejected } from "./diagnosis-agent.ts";
import type { ThreadMessage, ThreadReply, ThreadStart } from "./diagnosis-thread.ts";
import { diagnosisRules } from "./rules.ts";

const { config, environment, task } = workerData as ThreadStart;
const reads = new Map<number, PromiseWithResolvers<readonly string[]>>();
const tell = (message: ThreadMessage): void => parentPort?.postMessage(message);

parentPort?.on("message", ({ id, lines }: ThreadReply) => {
  const read = reads.get(id);
  if (lines === undefined) read?.reject(new Error("not available"));
  else read?.resolve(lines);
});

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
  else {
    const signal = new AbortController().signal;
    const answered = await createModelAgent(open).ask({
      ...task,
      signal,
      spent: (tokens) => tell({ type: "spent", tokens }),
      read: (source) => {
        const id = reads.size;
        const read = Promise.withResolvers<readonly string[]>();
        reads.set(id, read);
        tell({ type: "read", id, source });
        return read.promise;
      },
    });
    tell({ type: "answer", ...answered });
  }
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof FlashloanError ? error.code : undefined;
  tell({ type: "failed", kind: error instanceof Rejected ? error.kind : "errored", message, code });
}
