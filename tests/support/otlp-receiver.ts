import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { z } from "zod";
import type { Running } from "@flashloan/shared/lifecycle";

const attributesSchema = z
  .array(z.object({ key: z.string(), value: z.record(z.string(), z.union([z.string(), z.number()])) }))
  .transform((list) => Object.fromEntries(list.map(({ key, value }) => [key, Object.values(value)[0]])));
const spanSchema = z.object({
  traceId: z.string().regex(/^[0-9a-f]{32}$/),
  spanId: z.string().regex(/^[0-9a-f]{16}$/),
  parentSpanId: z.string().optional(),
  name: z.string(),
  startTimeUnixNano: z.string().transform(BigInt),
  endTimeUnixNano: z.string().transform(BigInt),
  attributes: attributesSchema.default({}),
  status: z.object({ code: z.number().default(0) }).default({ code: 0 }),
});
const requestSchema = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes: attributesSchema }),
      scopeSpans: z.array(z.object({ spans: z.array(spanSchema) })),
    }),
  ),
});

/** One span, with the service that sent it. */
export type ReceivedSpan = z.infer<typeof spanSchema> & { readonly service: unknown };

/** Takes spans by OTLP over HTTP in JSON, as a collector does; what is malformed is refused and kept as a fault. */
export interface OtlpReceiver extends Running {
  readonly endpoint: string;
  readonly spans: readonly ReceivedSpan[];
  readonly faults: readonly string[];
  /** Resolves when the condition holds; looked at whenever spans came. */
  until(condition: (spans: readonly ReceivedSpan[]) => boolean, what: string): Promise<void>;
}

const DEADLINE_MS = 60_000;

/** Starts a receiver on a free loopback port. */
export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const faults: string[] = [];
  const waiting = new Set<() => void>();
  const take = (url: string | undefined, type: string | undefined, body: string): number => {
    if (url !== "/v1/traces" || type !== "application/json") {
      faults.push(`${url} as ${type}`);
      return 404;
    }
    const parsed = requestSchema.safeParse(JSON.parse(body));
    if (!parsed.success) {
      faults.push(parsed.error.message);
      return 400;
    }
    for (const { resource, scopeSpans } of parsed.data.resourceSpans)
      for (const scope of scopeSpans)
        spans.push(...scope.spans.map((span) => ({ ...span, service: resource.attributes["service.name"] })));
    for (const look of waiting) look();
    return 200;
  };
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (chunk: string) => (body += chunk));
    request.on("end", () => {
      const status = take(request.url, request.headers["content-type"], body);
      response.writeHead(status, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    faults,
    until: (condition, what) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(look);
          const names = spans.map(({ service, name }) => `${String(service)} ${name}`).join(", ");
          reject(new Error(`not within ${DEADLINE_MS} ms: ${what}; spans: ${names}; faults: ${faults.join("; ")}`));
        }, DEADLINE_MS);
        const look = (): void => {
          if (!condition(spans)) return;
          clearTimeout(timer);
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
