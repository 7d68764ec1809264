import { Agent, request, type IncomingMessage } from "node:http";
import type { z } from "zod";
import { Refusal } from "./refusal.ts";

/** The largest answer of the engine that is read; a list of some hundred containers is smaller. */
const ANSWER_BYTES_MAX = 8 * 2 ** 20;
/** Connections to the engine at once; event streams have their own. */
const CONNECTIONS_MAX = 16;

const SAID_CHARACTERS_MAX = 1_000;

/** How one question is put to the engine. */
export interface EngineRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly deadlineMs: number;
}

/** Speaks HTTP to a Docker Engine over its socket. Paths have no version: every engine then answers with its newest. */
export class Engine {
  readonly #socketPath: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS_MAX });

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** Asks for JSON. @throws Refusal not_found, engine_refused, engine_unreachable, deadline_exceeded */
  async json<T>(ask: EngineRequest, schema: z.ZodType<T>): Promise<T> {
    const bytes = await this.bytes(ask);
    try {
      return schema.parse(bytes.length === 0 ? undefined : JSON.parse(bytes.toString("utf8")));
    } catch (cause) {
      throw new Refusal("engine_refused", "the engine's answer is not what its API describes", cause);
    }
  }

  /** Asks, and reads the whole answer. @throws Refusal as {@link Engine.json} */
  async bytes(ask: EngineRequest): Promise<Buffer> {
    const signal = AbortSignal.timeout(ask.deadlineMs);
    try {
      const answer = await this.#send(ask, this.#agent, signal);
      const chunks: Buffer[] = [];
      let size = 0;
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > ANSWER_BYTES_MAX) throw new Refusal("engine_refused", "the engine's answer is too large");
        chunks.push(chunk);
      }
      return Buffer.concat(chunks);
    } catch (error) {
      if (error instanceof Refusal) throw error;
      if (signal.aborted)
        throw new Refusal("deadline_exceeded", `the engine did not answer within ${ask.deadlineMs} ms`, error);
      throw new Refusal("engine_unreachable", "the engine can't be reached at its socket", error);
    }
  }

  /** Opens an answer that does not end by itself; the signal ends it. @throws Refusal as {@link Engine.json} */
  async stream(ask: Omit<EngineRequest, "deadlineMs">, signal: AbortSignal): Promise<IncomingMessage> {
    try {
      return await this.#send(ask, new Agent(), signal);
    } catch (error) {
      if (error instanceof Refusal) throw error;
      throw new Refusal("engine_unreachable", "the engine can't be reached at its socket", error);
    }
  }

  stop(): void {
    this.#agent.destroy();
  }

  async #send(ask: Omit<EngineRequest, "deadlineMs">, agent: Agent, signal: AbortSignal): Promise<IncomingMessage> {
    const { method, path, query = {}, body } = ask;
    const payload = body === undefined ? "" : JSON.stringify(body);
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = request({
        socketPath: this.#socketPath,
        agent,
        signal,
        method,
        path: `${path}?${new URLSearchParams(query).toString()}`,
        headers: {
          host: "engine",
          ...(method === "POST" && {
            "content-type": "application/json",
            "content-length": Buffer.byteLength(payload),
          }),
        },
      });
      outgoing.once("response", resolve).on("error", reject).end(payload);
    });
    const status = answer.statusCode ?? 0;
    // 304: a container that is to be started runs already.
    if ((status >= 200 && status < 300) || status === 304) return answer;
    // Its words are for this process's own log.
    const said = new Error(await beginning(answer));
    if (status === 404) throw new Refusal("not_found", "there is no such unit", said);
    throw new Refusal("engine_refused", `the engine answered ${status}`, said);
  }
}

/** The first bytes of an answer; the rest is thrown away. */
async function beginning(answer: IncomingMessage): Promise<string> {
  for await (const chunk of answer as AsyncIterable<Buffer>)
    return chunk.toString("utf8").slice(0, SAID_CHARACTERS_MAX);
  return "nothing";
}
