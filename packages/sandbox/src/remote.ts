import { request as httpRequest, type IncomingMessage } from "node:http";
import { FlashloanError } from "@flashloan/shared/errors";
import type { z } from "zod";
import { LIMITS_DEFAULT, type RunEnd, type RunRequest, type RunResult, type Sandbox } from "./port.ts";
import { checkRequest } from "./supervised-run.ts";
import {
  ANSWER_BODY_BYTES_MAX,
  languagesAnswerSchema,
  type refusalSchema,
  REQUEST_BODY_BYTES_MAX,
  runAnswerSchema,
  WALL_MS_MAX,
} from "./executor/wire.ts";

/** Beyond the run's own time: everybody who may wait before us, and what cleaning takes. */
const WAIT_MS_MAX = 10 * WALL_MS_MAX;
const LANGUAGES_DEADLINE_MS = 5_000;

interface Answer {
  readonly body: string;
  /** The connection was lost after the run had begun. */
  readonly isCut: boolean;
}

function unreachable(socketPath: string, why: string, cause?: unknown): FlashloanError {
  return new FlashloanError("service_unavailable", `the sandbox's executor on ${socketPath} ${why}`, { cause });
}

/** Without an end of its own: all that is known of a run whose executor is gone, or that nobody waits for. */
function endedBy(end: RunEnd, startedMs: number): RunResult {
  const signal = end === "signalled" ? "SIGKILL" : null;
  const nothing = { stdout: "", stderr: "", changed: {}, removed: [], memoryBytesMax: 0 };
  return { end, exitCode: null, signal, ...nothing, wallMs: performance.now() - startedMs };
}

/**
 * A sandbox in a container of its own, by the Unix socket that its executor serves.
 * @throws FlashloanError service_unavailable
 */
export async function openRemoteSandbox(socketPath: string): Promise<Sandbox> {
  const { body } = await ask(socketPath, "GET", "/languages", "", AbortSignal.timeout(LANGUAGES_DEADLINE_MS));
  const { languages } = read(languagesAnswerSchema, body, socketPath);
  return {
    languages,
    run: async (request) => {
      checkRequest(request, languages);
      return run(socketPath, request);
    },
  };
}

async function run(socketPath: string, { signal, ...request }: RunRequest): Promise<RunResult> {
  const started = performance.now();
  const asked = JSON.stringify(request);
  if (Buffer.byteLength(asked) > REQUEST_BODY_BYTES_MAX)
    throw new FlashloanError("payload_too_large", `a run of more than ${REQUEST_BODY_BYTES_MAX} bytes`);
  if (signal?.aborted) return endedBy("aborted", started);
  const deadline = AbortSignal.timeout((request.limits?.wallMs ?? LIMITS_DEFAULT.wallMs) + WAIT_MS_MAX);
  const ended = signal ? AbortSignal.any([signal, deadline]) : deadline;
  try {
    const { body, isCut } = await ask(socketPath, "POST", "/run", asked, ended);
    return isCut ? endedBy("signalled", started) : read(runAnswerSchema, body, socketPath).result;
  } catch (error) {
    if (signal?.aborted) return endedBy("aborted", started);
    throw error;
  }
}

function ask(socketPath: string, method: string, path: string, body: string, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const request = httpRequest({ socketPath, method, path, headers, agent: false, signal }, (response) => {
      readAnswer(response).then(
        (answer) => (signal.aborted ? reject(unreachable(socketPath, "did not answer in time")) : resolve(answer)),
        (error: Error) => reject(unreachable(socketPath, error.message, error)),
      );
    });
    request.once("error", (error) => reject(unreachable(socketPath, `does not answer (${error.message})`, error)));
    request.end(body);
  });
}

async function readAnswer(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > ANSWER_BODY_BYTES_MAX) break;
      chunks.push(chunk);
    }
  } catch {
    return { body: "", isCut: true };
  }
  if (bytes > ANSWER_BODY_BYTES_MAX) throw new Error(`answered more than ${ANSWER_BODY_BYTES_MAX} bytes`);
  return { body: Buffer.concat(chunks).toString("utf8"), isCut: false };
}

/** What was asked for. @throws FlashloanError what the executor refused it with */
function read<T extends object>(
  schema: z.ZodType<T | z.output<typeof refusalSchema>>,
  body: string,
  socketPath: string,
): T {
  let answer: T | z.output<typeof refusalSchema>;
  try {
    answer = schema.parse(JSON.parse(body));
  } catch (cause) {
    throw unreachable(socketPath, "answered what is no answer", cause);
  }
  if (!("error" in answer)) return answer;
  const { code, message } = answer.error;
  throw new FlashloanError(code, message);
}
