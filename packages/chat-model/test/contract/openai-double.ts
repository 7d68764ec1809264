import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

/** A request that a client made of the double. */
export interface SeenRequest {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What the double answers: a message, a status, or nothing at all. */
export type DoubleAnswer =
  | { readonly content: string }
  | { readonly tool: string; readonly args: object }
  | { readonly status: number; readonly message: string }
  | "silence";

/** A server on loopback that speaks OpenAI's chat completions, plain and streamed, as far as a client sees. */
export async function openaiDouble(answer: (turn: number) => DoubleAnswer) {
  const seen: SeenRequest[] = [];
  const { promise: hungUp, resolve: hangUp } = Promise.withResolvers<void>();
  const server = createServer((request, response) => {
    void bodyOf(request).then((body) => {
      seen.push({ path: request.url ?? "", authorization: request.headers.authorization, body });
      const given = answer(seen.length);
      if (given === "silence") {
        response.once("close", hangUp);
        return;
      }
      if ("status" in given) {
        response.writeHead(given.status, { "content-type": "application/json" });
        response.end(JSON.stringify({ error: { message: given.message, type: "error", code: null } }));
        return;
      }
      const message =
        "content" in given
          ? { role: "assistant", content: given.content }
          : {
              role: "assistant",
              content: null,
              tool_calls: [
                {
                  index: 0,
                  id: `call_${seen.length}`,
                  type: "function",
                  function: { name: given.tool, arguments: JSON.stringify(given.args) },
                },
              ],
            };
      const frame = { id: "chatcmpl-1", created: 1, model: String(body["model"]) };
      const finish_reason = "content" in given ? "stop" : "tool_calls";
      const usage = { prompt_tokens: 50, completion_tokens: 7, total_tokens: 57 };
      if (body["stream"] === true) {
        response.writeHead(200, { "content-type": "text/event-stream" });
        const words = "content" in given ? given.content.split(/(?<= )/) : [];
        const deltas = words.length > 0 ? words.map((content) => ({ role: "assistant", content })) : [message];
        for (const delta of deltas)
          send({ ...frame, object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: null }] });
        send({ ...frame, object: "chat.completion.chunk", choices: [{ index: 0, delta: {}, finish_reason }], usage });
        response.end("data: [DONE]\n\n");
        return;
      }
      response.writeHead(200, { "content-type": "application/json" });
      response.end(
        JSON.stringify({ ...frame, object: "chat.completion", choices: [{ index: 0, message, finish_reason }], usage }),
      );

      function send(chunk: object): void {
        response.write(`data: ${JSON.stringify(chunk)}\n\n`);
      }
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    seen,
    /** When a client that got no answer is gone. */
    hungUp,
    async stop(): Promise<void> {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = "";
  for await (const piece of request.setEncoding("utf8")) text += String(piece);
  return JSON.parse(text) as Record<string, unknown>;
}
