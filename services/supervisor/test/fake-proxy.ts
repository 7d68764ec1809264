import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Running } from "@flashloan/shared/lifecycle";

/** A stand-in for the engine's proxy that answers from a table and remembers what it was asked. */
export interface FakeProxy extends Running {
  readonly url: string;
  readonly asked: string[];
  /** By `METHOD target`: a status with a refusal's body, or JSON. What is not here is refused as not found. */
  readonly answers: Record<string, unknown>;
  /** Readers of events, in the order in which they came. */
  readonly readers: ServerResponse[];
}

export async function startFakeProxy(answers: Record<string, unknown>): Promise<FakeProxy> {
  const asked: string[] = [];
  const readers: ServerResponse[] = [];
  const server = createServer((request, response) => {
    const key = `${request.method} ${request.url}`;
    if (key === "GET /events") {
      response.flushHeaders();
      readers.push(response);
      return;
    }
    asked.push(key);
    const answer = Object.hasOwn(answers, key) ? answers[key] : 404;
    if (typeof answer !== "number") response.end(JSON.stringify(answer));
    else if (answer === 204) response.writeHead(204).end();
    else response.writeHead(answer).end(JSON.stringify({ code: "some_code", message: "no" }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    answers,
    readers,
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}
