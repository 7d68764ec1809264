// A double, not the real product: enough surface of Grafana and Jaeger for health checks, and to prove that spans arrive.
import { createServer } from "node:http";
import { gunzipSync } from "node:zlib";

const kind = process.env.STANDIN;
const TRACES_MAX = 5_000;
const BODY_BYTES_MAX = 16 * 2 ** 20;
/** Spans by trace id, oldest trace first. */
const traces = new Map();
let batches = 0;
let spansTaken = 0;

const valueOf = (value) =>
  value?.stringValue ?? value?.boolValue ?? value?.intValue ?? value?.doubleValue ?? JSON.stringify(value);
const microseconds = (nanoseconds) => Number(BigInt(nanoseconds ?? 0) / 1000n);
/** OTLP's JSON has ids in hex; an encoder that follows protobuf's JSON rules instead has base64. */
const hex = (id) =>
  !id || /^[0-9a-f]{16,32}$/i.test(id) ? (id ?? "").toLowerCase() : Buffer.from(id, "base64").toString("hex");

function takeSpan(service, span) {
  const traceId = hex(span.traceId);
  const spans = traces.get(traceId) ?? [];
  traces.set(traceId, spans);
  if (traces.size > TRACES_MAX) traces.delete(traces.keys().next().value);
  spansTaken += 1;
  spans.push({ ...span, service, spanId: hex(span.spanId), parentSpanId: hex(span.parentSpanId) });
}

function takeBatch({ resourceSpans = [] }) {
  for (const { resource, scopeSpans = [] } of resourceSpans) {
    const name = resource?.attributes?.find(({ key }) => key === "service.name");
    for (const { spans = [] } of scopeSpans) for (const span of spans) takeSpan(valueOf(name?.value), span);
  }
}

/** A trace in the shape of Jaeger's own HTTP API. */
function toJaeger([traceId, spans]) {
  const services = [...new Set(spans.map(({ service }) => service))];
  return {
    traceID: traceId,
    spans: spans.map((span) => ({
      traceID: traceId,
      spanID: span.spanId,
      operationName: span.name,
      references: span.parentSpanId ? [{ refType: "CHILD_OF", traceID: traceId, spanID: span.parentSpanId }] : [],
      startTime: microseconds(span.startTimeUnixNano),
      duration: microseconds(BigInt(span.endTimeUnixNano ?? 0) - BigInt(span.startTimeUnixNano ?? 0)),
      processID: `p${services.indexOf(span.service) + 1}`,
      tags: (span.attributes ?? []).map(({ key, value }) => ({ key, type: "string", value: String(valueOf(value)) })),
      logs: [],
    })),
    processes: Object.fromEntries(services.map((serviceName, index) => [`p${index + 1}`, { serviceName, tags: [] }])),
  };
}

function send(response, status, body, type = "application/json") {
  response.writeHead(status, { "content-type": type, "x-stand-in": kind });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}

async function readBody(request) {
  const chunks = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new RangeError("the body is too large");
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  return request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body;
}

/** OTLP over HTTP: JSON is decoded, protobuf only counted. */
async function collect(request, response) {
  const body = await readBody(request);
  batches += 1;
  if (request.url === "/v1/traces" && /json/.test(request.headers["content-type"] ?? "")) takeBatch(JSON.parse(body));
  send(response, 200, {});
}

async function show(request, response) {
  const { pathname, searchParams } = new URL(request.url, "http://stand-in");
  if (pathname === "/api/health") return send(response, 200, { database: "ok", version: "stand-in", commit: kind });
  if (pathname === "/metrics")
    return send(response, 200, `standin_batches_total ${batches}\nstandin_spans_total ${spansTaken}\n`, "text/plain");
  if (pathname === "/api/services")
    return send(response, 200, { data: [...new Set([...traces.values()].flat().map(({ service }) => service))] });
  if (pathname === "/api/traces") {
    const service = searchParams.get("service");
    const found = [...traces].filter(([, spans]) => !service || spans.some((span) => span.service === service));
    const limit = Number(searchParams.get("limit") ?? 20);
    return send(response, 200, { data: found.slice(-limit).map((trace) => toJaeger(trace)) });
  }
  if (pathname.startsWith("/api/traces/")) {
    const id = pathname.slice("/api/traces/".length);
    const spans = traces.get(id);
    if (!spans) return send(response, 404, { errors: [{ code: 404, msg: "trace not found" }] });
    return send(response, 200, { data: [toJaeger([id, spans])] });
  }
  send(response, 200, `<h1>Stand-in for ${kind}</h1><p>The real image could not be pulled here.</p>`, "text/html");
}

function listen(port, handle) {
  const server = createServer((request, response) => {
    handle(request, response).catch((error) => send(response, 400, { error: error.message }));
  });
  server.listen(port, "0.0.0.0");
}

if (kind === "grafana") listen(3000, show);
else {
  listen(4318, collect);
  for (const port of [16686, 8888, 13133]) listen(port, show);
}
process.stdout.write(`stand-in for ${kind} listens\n`);
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
