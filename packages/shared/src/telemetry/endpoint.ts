import { createServer } from "node:http";
import { FlashloanError } from "../errors.ts";
import type { Running } from "../lifecycle.ts";
import type { Logger } from "../log.ts";
import type { Metrics } from "./metrics.ts";
import { touchWhile } from "./ready-file.ts";

const REQUEST_DEADLINE_MS = 5_000;

/** Where a service's metrics and readiness are to be seen. */
export interface EndpointOptions {
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** A file on tmpfs, touched each second while the service is ready: `sh` compares its age, far cheaper than a Node probe. */
  readonly readyFile: string | undefined;
  /** What is missing; empty when ready. */
  readonly unmet: () => readonly string[];
}

/** Serves GET /metrics (OpenMetrics) and GET /ready. @throws FlashloanError port_taken, config_invalid */
export async function startTelemetryEndpoint(
  options: EndpointOptions,
): Promise<Running & { readonly address: string }> {
  const { metrics, host, readyFile, unmet } = options;
  const server = createServer((request, response) => {
    const answer = (status: number, text: string, type = "text/plain; charset=utf-8"): void => {
      response.writeHead(status, { "content-type": type }).end(text);
    };
    if (request.method !== "GET") return answer(405, "only GET\n");
    if (request.url === "/ready")
      return unmet().length === 0 ? answer(200, "ready\n") : answer(503, `not ready: ${unmet().join(", ")}\n`);
    if (request.url !== "/metrics") return answer(404, "GET /metrics or /ready\n");
    metrics.text().then(
      (text) => answer(200, text, metrics.contentType),
      (error: unknown) => {
        options.log.error({ error }, "metrics_failed");
        answer(500, "see the log\n");
      },
    );
  });
  server.requestTimeout = REQUEST_DEADLINE_MS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(
        new FlashloanError(
          "port_taken",
          `can't serve metrics on ${host}:${options.port} (${cause.message}): set METRICS_HOST and METRICS_PORT; port 0 picks a free one`,
          { cause },
        ),
      ),
    );
    server.listen(options.port, host, resolve);
  });
  const stopTouching = readyFile === undefined ? () => undefined : touchWhile(readyFile, () => unmet().length === 0);
  const address = server.address();
  return {
    address: `${host}:${typeof address === "object" && address ? address.port : options.port}`,
    stop: () => {
      stopTouching();
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
