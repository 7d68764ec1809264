import { chmodSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { FlashloanError, toFlashloanError } from "@flashloan/shared/errors";
import type { Running } from "@flashloan/shared/lifecycle";
import type { Logger } from "@flashloan/shared/log";
import type { z } from "zod";
import type { Sandbox } from "../port.ts";
import { Turns } from "./turns.ts";
import { REFUSALS, REQUEST_BODY_BYTES_MAX, runRequestSchema } from "./wire.ts";

/** Runs that may wait for the one that runs. */
const WAITING_MAX = 8;
const CONNECTIONS_MAX = 32;
const HEADERS_DEADLINE_MS = 5_000;
const REQUEST_DEADLINE_MS = 30_000;

/** What a server needs. */
export interface ExecutorOptions {
  readonly sandbox: Sandbox;
  readonly log: Logger;
  /** Path of the Unix socket; one that is left from before is replaced. */
  readonly socket: string;
}

/**
 * Serves a sandbox on a Unix socket: GET /languages, POST /run. The headers of a run's answer are sent when it begins:
 * whoever loses the connection after that knows that the run took the executor with it.
 */
export async function startExecutor({ sandbox, log, socket }: ExecutorOptions): Promise<Running> {
  const turns = new Turns(WAITING_MAX);
  const stopping = new AbortController();

  const run = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const signal = AbortSignal.any([gone.signal, stopping.signal]);
    const asked = readRun(await readBody(request));
    const endTurn = await turns.take(signal);
    try {
      response.writeHead(200, { "content-type": "application/json" }).flushHeaders();
      const result = await sandbox.run({ ...asked, signal });
      log.info({ language: asked.language, end: result.end, wallMs: Math.round(result.wallMs) }, "run_ended");
      response.end(JSON.stringify({ result }));
    } finally {
      endTurn();
    }
  };
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (stopping.signal.aborted) throw new FlashloanError("service_stopping", "the executor is stopping");
    const route = `${request.method} ${request.url}`;
    if (route === "POST /run") return run(request, response);
    if (route !== "GET /languages") throw new FlashloanError("not_found", "GET /languages or POST /run");
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ languages: sandbox.languages }));
  };

  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => {
      const { code, message } = toFlashloanError(error);
      const known = REFUSALS.find((refusal) => refusal === code) ?? "internal";
      log.warn({ error }, "run_refused");
      if (!response.headersSent) response.writeHead(400, { "content-type": "application/json", connection: "close" });
      response.end(JSON.stringify({ error: { code: known, message } }));
    });
  });
  server.maxConnections = CONNECTIONS_MAX;
  server.headersTimeout = HEADERS_DEADLINE_MS;
  server.requestTimeout = REQUEST_DEADLINE_MS;
  rmSync(socket, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new FlashloanError("port_taken", `can't listen on ${socket} (${cause.message})`, { cause })),
    );
    server.listen(socket, resolve);
  });
  // Who may open the folder may ask.
  chmodSync(socket, 0o660);
  return {
    stop: async () => {
      stopping.abort(new FlashloanError("service_stopping", "the executor is stopping"));
      await turns.idle();
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeIdleConnections();
      });
    },
  };
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > REQUEST_BODY_BYTES_MAX)
      throw new FlashloanError("payload_too_large", `a run of more than ${REQUEST_BODY_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function readRun(body: string): z.output<typeof runRequestSchema> {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch (cause) {
    throw new FlashloanError("argument_invalid", "the run is not JSON", { cause });
  }
  const { success, data, error } = runRequestSchema.safeParse(json);
  if (success) return data;
  const [issue] = error.issues;
  throw new FlashloanError("argument_invalid", `${issue?.path.map(String).join(".")}: ${issue?.message}`);
}
