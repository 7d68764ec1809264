import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Running } from "@flashloan/shared/lifecycle";

/** What the fake engine answers to `METHOD path`, whatever the query. */
export type Answers = Record<string, unknown>;

/** A stand-in for the engine, on a socket of its own, that remembers what it was asked. */
export interface FakeEngine extends Running {
  readonly socketPath: string;
  /** `METHOD target`, as it came in. */
  readonly asked: string[];
  readonly bodies: unknown[];
  readonly answers: Answers;
  /** Where events go; there once a client follows them. */
  readonly eventReaders: ServerResponse[];
}

/** Answers: a Buffer as it is, a number as a status, `undefined` never, anything else as JSON; what is not known with 404. */
export async function startFakeEngine(answers: Answers): Promise<FakeEngine> {
  const folder = mkdtempSync(join(tmpdir(), "engine-"));
  const socketPath = join(folder, "engine.sock");
  const asked: string[] = [];
  const bodies: unknown[] = [];
  const eventReaders: ServerResponse[] = [];
  const server = createServer((request, response) => {
    const target = request.url ?? "";
    asked.push(`${request.method} ${target}`);
    request.on("data", (chunk: Buffer) => bodies.push(JSON.parse(chunk.toString("utf8"))));
    const path = target.split("?")[0] ?? "";
    if (path === "/events") {
      response.flushHeaders();
      eventReaders.push(response);
      return;
    }
    const key = `${request.method} ${path}`;
    const answer = answers[key];
    if (!Object.hasOwn(answers, key))
      response.writeHead(404).end(JSON.stringify({ message: "secret words of the engine" }));
    else if (typeof answer === "number") response.writeHead(answer).end(answer === 500 ? '{"message":"secret"}' : "");
    else if (answer instanceof Buffer) response.end(answer);
    else if (answer !== undefined) response.end(JSON.stringify(answer));
  });
  server.listen(socketPath);
  await once(server, "listening");
  return {
    socketPath,
    asked,
    bodies,
    answers,
    eventReaders,
    stop: async () => {
      server.close();
      server.closeAllConnections();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
