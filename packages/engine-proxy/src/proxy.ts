import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { Running } from "@flashloan/shared/lifecycle";
import type { Logger } from "@flashloan/shared/log";
import type { EngineProxyConfig } from "./config.ts";
import { Engine } from "./engine.ts";
import { HEARTBEAT_MS } from "./limits.ts";
import { Refusal, REFUSALS } from "./refusal.ts";
import { routeOf, type Route } from "./routes.ts";
import { SupervisedUnits } from "./units.ts";

const CONNECTIONS_MAX = 64;
const REQUESTS_MAX = 32;
const STREAMS_MAX = 4;
const HEADERS_BYTES_MAX = 8_192;
const REQUEST_DEADLINE_MS = 5_000;
/** A reader of events that is so far behind is cut off: it looks at everything when it comes back. */
const STREAM_BYTES_WAITING_MAX = 256 * 1_024;
const TARGET_CHARACTERS_LOGGED = 200;

/** A proxy that listens. */
export interface EngineProxy extends Running {
  /** `host:port` */
  readonly address: string;
}

/** What the proxy is made of. */
export interface EngineProxyDeps {
  readonly config: Pick<
    EngineProxyConfig,
    "ENGINE_PROXY_HOST" | "ENGINE_PROXY_PORT" | "ENGINE_PROXY_SOCKET" | "ENGINE_PROXY_SCOPE" | "ENGINE_PROXY_PROJECT"
  >;
  readonly log: Logger;
}

/** Listens, and lets through to the engine what {@link routeOf} knows, for units that are labelled as supervised. */
export async function startEngineProxy({ config, log }: EngineProxyDeps): Promise<EngineProxy> {
  const scope = config.ENGINE_PROXY_SCOPE;
  const engine = new Engine(config.ENGINE_PROXY_SOCKET);
  const units = new SupervisedUnits(engine, scope, config.ENGINE_PROXY_PROJECT);
  const streams = new Set<AbortController>();
  let requests = 0;

  const serve = async (asked: IncomingMessage, answer: ServerResponse): Promise<void> => {
    const { method = "", url = "" } = asked;
    if (requests >= REQUESTS_MAX) return refuse(asked, answer, new Refusal("queue_full", "too many requests at once"));
    requests += 1;
    try {
      requireNoBody(asked);
      const route = routeOf(scope, method, url);
      if (route.kind === "events") return await stream(answer);
      const result = await perform(units, route);
      if (method === "POST") log.info({ ...route }, "unit_started");
      answerJson(answer, result === undefined ? 204 : 200, result);
    } catch (error) {
      refuse(asked, answer, error);
    } finally {
      requests -= 1;
    }
  };

  const stream = async (answer: ServerResponse): Promise<void> => {
    if (streams.size >= STREAMS_MAX) throw new Refusal("queue_full", "too many readers of events at once");
    const ending = new AbortController();
    streams.add(ending);
    answer.once("close", () => ending.abort());
    let heartbeat: NodeJS.Timeout | undefined;
    try {
      const events = await units.events(ending.signal);
      answer.writeHead(200, { "content-type": "application/x-ndjson" });
      answer.flushHeaders();
      heartbeat = setInterval(() => answer.write("\n"), HEARTBEAT_MS);
      for await (const event of events) {
        answer.write(`${event}\n`);
        if (answer.writableLength > STREAM_BYTES_WAITING_MAX) break;
      }
    } finally {
      clearInterval(heartbeat);
      streams.delete(ending);
      ending.abort();
      if (answer.headersSent) answer.destroy();
    }
  };

  const refuse = (asked: IncomingMessage, answer: ServerResponse, error: unknown): void => {
    const known = error instanceof Refusal ? error : new Refusal("engine_refused", "the proxy failed", error);
    if (answer.headersSent || answer.destroyed) return;
    const cause = known.cause instanceof Error ? known.cause.message : undefined;
    const request = { method: asked.method, target: asked.url?.slice(0, TARGET_CHARACTERS_LOGGED) };
    log.warn({ ...request, code: known.code, reason: known.message, cause }, "request_refused");
    // What is left of a request that was not read must not be taken for the next one.
    if (known.code === "payload_too_large") answer.setHeader("connection", "close");
    answerJson(answer, REFUSALS[known.code], { code: known.code, message: known.message });
  };

  const server = createServer(
    {
      maxHeaderSize: HEADERS_BYTES_MAX,
      headersTimeout: REQUEST_DEADLINE_MS,
      requestTimeout: REQUEST_DEADLINE_MS,
      connectionsCheckingInterval: REQUEST_DEADLINE_MS,
    },
    (asked, answer) => void serve(asked, answer),
  );
  server.maxConnections = CONNECTIONS_MAX;
  // `attach`, `exec` and tunnels begin with these.
  server.on("upgrade", (_, socket) => turnAway(socket)).on("connect", (_, socket) => turnAway(socket));
  server.on("checkContinue", (asked, answer) => void serve(asked, answer));
  const address = await listen(server, config.ENGINE_PROXY_HOST, config.ENGINE_PROXY_PORT);
  log.info({ address, scope, project: config.ENGINE_PROXY_PROJECT }, "engine_proxy_started");

  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    for (const each of streams) each.abort();
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeIdleConnections();
    });
    engine.stop();
  };
  return { address, stop: () => (stopping ??= stop()) };
}

function perform(units: SupervisedUnits, route: Exclude<Route, { kind: "events" }>): Promise<unknown> {
  switch (route.kind) {
    case "container":
      return units.container(route.id);
    case "container_logs":
      return units.containerLogs(route.id, route.tail);
    case "container_start":
      return units.startContainer(route.id);
    case "container_restart":
      return units.restartContainer(route.id, route.graceS);
    case "service_logs":
      return units.serviceLogs(route.id, route.tail);
    case "service_restart":
      return units.restartService(route.id);
    case "ping":
    case "containers":
    case "services":
    case "tasks":
    case "nodes":
      return units[route.kind]();
  }
}

/** Nothing that may be asked needs a body. */
function requireNoBody({ headers }: IncomingMessage): void {
  const { "content-length": length = "0", "transfer-encoding": encoding } = headers;
  if (encoding !== undefined || length !== "0")
    throw new Refusal("payload_too_large", "requests to the proxy have no body");
}

function answerJson(answer: ServerResponse, status: number, value: unknown): void {
  answer.writeHead(status, { "content-type": "application/json" });
  answer.end(value === undefined ? undefined : JSON.stringify(value));
}

function turnAway(socket: Duplex): void {
  const body = JSON.stringify({ code: "not_allowed", message: "the proxy opens no tunnels" });
  const head = `HTTP/1.1 ${REFUSALS.not_allowed} Forbidden\r\nconnection: close\r\ncontent-type: application/json`;
  socket.on("error", () => undefined);
  socket.end(`${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

async function listen(server: Server, host: string, port: number): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(port, host, resolve);
  });
  return `${host}:${(server.address() as AddressInfo).port}`;
}
