import { Readable } from "node:stream";
import swagger from "@fastify/swagger";
import { status } from "@grpc/grpc-js";
import { fastify, type FastifyReply } from "fastify";
import {
  hasZodFastifySchemaValidationErrors,
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from "fastify-type-provider-zod";
import { z } from "zod";
import { ERROR_CODES, errorFields, FlashloanError, toFlashloanError } from "@flashloan/shared/errors";
import type { Running } from "@flashloan/shared/lifecycle";
import { MESSAGE_BYTES_MAX } from "@flashloan/shared/rpc-server";
import type { ServiceContext } from "@flashloan/shared/service";
import { VERSION } from "@flashloan/shared/telemetry/declarations";
import { inTrace } from "@flashloan/shared/telemetry/tracing";
import { ANSWERS, timingSchema } from "./answers.ts";
import type { Engine } from "./engine.ts";
import { QUESTIONS, type Kind } from "./questions.ts";

const CONNECTIONS_MAX = 256;
const REQUEST_DEADLINE_MS = 30_000;
const RETRY_AFTER_S = 1;

const STATUSES: Partial<Record<status, number>> = {
  [status.INVALID_ARGUMENT]: 400,
  [status.NOT_FOUND]: 404,
  [status.ALREADY_EXISTS]: 409,
  [status.ABORTED]: 409,
  [status.FAILED_PRECONDITION]: 412,
  [status.RESOURCE_EXHAUSTED]: 429,
  [status.UNAVAILABLE]: 503,
  [status.DEADLINE_EXCEEDED]: 504,
};

const SUMMARIES: Readonly<Record<Kind, string>> = {
  solve: "Minimizes or maximizes a quadratic function of binary variables",
  "select-opportunities": "Which opportunities of a block to execute together",
  "allocate-tasks": "Which agent gets which task",
  "rank-completions": "Which code completions, or which repair patches, to try",
  "minimize-energy": "The least energy of a Hamiltonian that a family of circuits reaches (VQE)",
  landscape: "QAOA's energies of one layer over a grid of angles",
  "export-circuit": "QAOA's circuit for a problem, in OpenQASM",
  "plot-landscape": "The energy landscape, as SVG",
  "plot-convergence": "How the best objective got better over time, as SVG",
  "plot-distribution": "Measured objectives against the optimum, as SVG",
  "plot-time-to-solution": "How long each solver takes to the best known value, as SVG",
};

const problemDetails = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  retryable: z.boolean(),
});
const refusals = { "4xx": problemDetails, "5xx": problemDetails };

/** The engine's questions over REST; their OpenAPI description is at /openapi.json. */
export interface RestServer extends Running {
  /** `host:port`. */
  readonly address: string;
}

/** @throws FlashloanError port_taken */
export async function startRestServer(
  engine: Engine,
  host: string,
  port: number,
  { log, abandoned }: ServiceContext,
): Promise<RestServer> {
  const app = fastify({
    bodyLimit: MESSAGE_BYTES_MAX,
    requestTimeout: REQUEST_DEADLINE_MS,
    forceCloseConnections: "idle",
  }).withTypeProvider<ZodTypeProvider>();
  app.server.maxConnections = CONNECTIONS_MAX;
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.setErrorHandler((error, _request, reply) =>
    refuse(reply, asKnown(error), (cause) => log.error({ error: cause }, "rest_failed")),
  );
  app.setNotFoundHandler((request, reply) =>
    refuse(
      reply,
      new FlashloanError("not_found", `there is no ${request.method} ${request.url}; see GET /openapi.json`),
    ),
  );
  await app.register(swagger, {
    openapi: {
      info: {
        title: "Flashloan's quantum engine",
        version: VERSION,
        description:
          "Binary optimization, QAOA and VQE within a deadline. Every answer says who found it, whether it is proven, its bound and the greedy baseline. " +
          "A question that would wait too long is refused with 429: nothing is queued beyond half of its deadline.",
      },
    },
    transform: jsonSchemaTransform,
  });
  await app.register(async (scope) => {
    const routes = scope.withTypeProvider<ZodTypeProvider>();
    for (const kind of Object.keys(QUESTIONS) as Kind[]) {
      const isPlot = kind.startsWith("plot-");
      const answered = isPlot ? z.string().describe("image/svg+xml") : ANSWERS[kind].extend({ timing: timingSchema });
      routes.route({
        method: "POST",
        url: isPlot ? `/v1/plots/${kind.slice("plot-".length)}` : `/v1/${kind}`,
        schema: { summary: SUMMARIES[kind], body: QUESTIONS[kind], response: { 200: answered, ...refusals } },
        // The engine's threads look into it: a large one would hold everybody else up here.
        validatorCompiler: () => (value) => ({ value }),
        handler: async (request, reply) => {
          const { traceparent } = request.headers;
          const answer = await inTrace(typeof traceparent === "string" ? traceparent : undefined, () =>
            engine.ask(kind, request.body, { signal: goneOf(reply) }),
          );
          return "svg" in answer ? reply.type("image/svg+xml").send(answer.svg) : reply.send(answer);
        },
      });
    }
    routes.route({
      method: "POST",
      url: "/v1/solve/stream",
      schema: {
        summary: "The same as /v1/solve, with each better answer as it is found, as server-sent events",
        description: "Events: improvement {solver, objective, elapsedMs}, then result, as of /v1/solve, or error.",
        body: QUESTIONS.solve,
        response: { 200: z.any().describe("text/event-stream"), ...refusals },
      },
      validatorCompiler: () => (value) => ({ value }),
      handler: (request, reply) =>
        reply
          .type("text/event-stream")
          .header("cache-control", "no-store")
          .send(Readable.from(events(engine, request.body, goneOf(reply)))),
    });
    routes.get("/openapi.json", { schema: { hide: true } }, async () => app.swagger());
    routes.get(
      "/health",
      { schema: { summary: "200 while the server answers", response: { 200: z.object({ status: z.literal("up") }) } } },
      async () => ({
        status: "up" as const,
      }),
    );
  });
  try {
    await app.listen({ host, port });
  } catch (cause) {
    await app.close();
    throw new FlashloanError(
      "port_taken",
      `can't listen on ${host}:${port} (${(cause as Error).message}): stop what uses the port, or set QUANTUM_REST_PORT`,
      { details: { host, port }, cause },
    );
  }
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopping ??= app.close());
  const leave = (): void => {
    // Whoever comes next has to find the port free, even if nobody stops this one.
    stop().catch((error: unknown) => log.warn({ error }, "rest_not_closed"));
    app.server.closeAllConnections();
  };
  abandoned.addEventListener("abort", leave, { once: true });
  const address = app.server.address();
  return {
    address: `${host}:${typeof address === "object" && address ? address.port : port}`,
    stop,
  };
}

/** Aborts when the caller is gone before it was answered. */
function goneOf(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once("close", () => {
    if (!reply.raw.writableFinished) gone.abort(new FlashloanError("deadline_exceeded", "the caller gave up"));
  });
  return gone.signal;
}

/** Server-sent events of a solution, step by step. */
async function* events(engine: Engine, body: unknown, signal: AbortSignal): AsyncGenerator<string> {
  try {
    for await (const step of engine.follow(body, signal))
      yield "result" in step ? event("result", step.result) : event("improvement", step.improvement);
  } catch (error) {
    yield event("error", detailsOf(toFlashloanError(error)));
  }
}

function event(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

function asKnown(error: unknown): FlashloanError {
  if (error instanceof FlashloanError) return error;
  if (hasZodFastifySchemaValidationErrors(error)) {
    const faults = error.validation.map(({ instancePath, message }) => {
      const field = instancePath.slice(1).replaceAll("/", ".");
      return `${field || "the body"}: ${message}`;
    });
    return new FlashloanError("argument_invalid", faults.join("; "));
  }
  const { statusCode, message = "", code } = error as { statusCode?: number; message?: string; code?: string };
  if (statusCode === 413)
    return new FlashloanError("payload_too_large", `the body must be at most ${MESSAGE_BYTES_MAX} bytes`);
  if (statusCode !== undefined && statusCode < 500)
    return new FlashloanError("argument_invalid", `${message} (${code})`);
  return toFlashloanError(error);
}

function detailsOf(error: FlashloanError): z.output<typeof problemDetails> {
  const http = error.code === "payload_too_large" ? 413 : (STATUSES[ERROR_CODES[error.code].grpc] ?? 500);
  const { docs } = errorFields(error);
  return {
    type: String(docs),
    title: error.code,
    status: http,
    // What is our own fault is told to the log.
    detail: error.code === "internal" ? "the engine failed; its log says how" : error.message,
    retryable: error.retryable,
  };
}

function refuse(reply: FastifyReply, error: FlashloanError, onInternal?: (error: FlashloanError) => void): void {
  if (error.code === "internal") onInternal?.(error);
  const details = detailsOf(error);
  if (error.retryable) void reply.header("retry-after", RETRY_AFTER_S);
  void reply.status(details.status).type("application/problem+json").send(details);
}
