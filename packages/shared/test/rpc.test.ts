import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Client, credentials, status } from "@grpc/grpc-js";
import { loadFileDescriptorSetFromBuffer, loadSync, type ServiceDefinition } from "@grpc/proto-loader";
import { expect, test } from "vitest";
import { z } from "zod";
import { ERROR_CODES, FlashloanError } from "../src/errors.ts";
import { RpcClient, type RpcMethod } from "../src/rpc-client.ts";
import { testContext } from "./contract/context.ts";
import { serverStream, startRpcServer, unary, type RpcServer } from "../src/rpc-server.ts";

// A service of the test's own, with JSON for messages: the transport is what is tested.
interface Ask {
  count: number;
}
interface Answer {
  text: string;
}
const method = (name: string, responseStream: boolean): RpcMethod<Ask, Answer> & Record<string, unknown> => ({
  path: `/test.Echo/${name}`,
  requestStream: false,
  responseStream,
  requestSerialize: (value) => Buffer.from(JSON.stringify(value)),
  requestDeserialize: (bytes: Buffer) => JSON.parse(bytes.toString()) as Ask,
  responseSerialize: (value: Answer) => Buffer.from(JSON.stringify(value)),
  responseDeserialize: (bytes) => JSON.parse(bytes.toString()) as Answer,
});
const echo = method("Echo", false);
const count = method("Count", true);
const schema = z.object({ count: z.number().int().min(0, "must not be negative") });
const descriptorFile = new URL("../../proto/gen/descriptor.binpb", import.meta.url);

async function serve(port = 0, context = testContext("checkpoint")): Promise<RpcServer> {
  return startRpcServer({
    host: "127.0.0.1",
    port,
    descriptorFile,
    context,
    services: [
      {
        name: "test.Echo",
        definition: { echo, count } as never,
        implementation: {
          echo: unary<Ask, Answer>(schema, context, async (request, signal) => {
            if (request.count === 13) throw new FlashloanError("queue_full", "too many wait");
            if (request.count === 99) await new Promise((resolve) => signal.addEventListener("abort", resolve));
            return { text: `got ${request.count}` };
          }),
          count: serverStream<Ask, Answer>(schema, context, async function* (request) {
            for (let i = 0; i < request.count; i++) yield { text: String(i) };
          }),
        },
      },
    ],
  });
}

test("asks, validates, and carries error codes over the wire", async () => {
  const server = await serve();
  const client = new RpcClient(server.address);
  expect(await client.unary(echo, { count: 1 })).toEqual({ text: "got 1" });
  await expect(client.unary(echo, { count: -1 })).rejects.toMatchObject({
    code: "argument_invalid",
    message: 'count is "-1": must not be negative',
  });
  await expect(client.unary(echo, { count: 13 })).rejects.toMatchObject({
    code: "queue_full",
    message: "too many wait",
    retryable: true,
  });
  await expect(client.unary(echo, { count: 99 }, { deadlineMs: 50 })).rejects.toMatchObject({
    code: "deadline_exceeded",
  });
  await client.stop();
  await server.stop();
});

test("a stream ends, or is left by its caller", async () => {
  const server = await serve();
  const client = new RpcClient(server.address);
  const all: string[] = [];
  for await (const { text } of client.serverStream(count, { count: 1_000 }, new AbortController().signal))
    all.push(text);
  expect(all).toEqual(Array.from({ length: 1_000 }, (_, i) => String(i)));
  const abort = new AbortController();
  let taken = 0;
  for await (const _ of client.serverStream(count, { count: 1_000_000 }, abort.signal))
    if (++taken === 3) abort.abort();
  expect(taken).toBeLessThan(1_000_000);
  await client.stop();
  await server.stop();
});

test("a service that is down is said to be down, a port that is taken to be taken", async () => {
  const server = await serve();
  const port = Number(server.address.split(":")[1]);
  await expect(serve(port)).rejects.toMatchObject({ code: "port_taken", details: { port } });
  await server.stop();
  const client = new RpcClient(server.address);
  await expect(client.unary(echo, { count: 1 }, { deadlineMs: 2_000 })).rejects.toMatchObject({
    code: "service_unavailable",
  });
  await client.stop();
});

test("a server that is left behind lets go of its port at once, whoever it still serves", async () => {
  const leave = new AbortController();
  const server = await serve(0, testContext("checkpoint", { abandoned: leave.signal }));
  const client = new RpcClient(server.address);
  const unanswered = client.unary(echo, { count: 99 }, { deadlineMs: 60_000 }).catch((error: unknown) => error);
  // Connected, or there would be nobody to be cut off.
  await client.unary(echo, { count: 1 });
  leave.abort();
  expect(await unanswered).toBeInstanceOf(FlashloanError);
  await client.stop();
  await (await serve(Number(server.address.split(":")[1]))).stop();
});

test("retries reach a service that comes up late", async () => {
  const first = await serve();
  const port = Number(first.address.split(":")[1]);
  await first.stop();
  const client = new RpcClient(first.address);
  const answer = client.unary(echo, { count: 5 }, { deadlineMs: 20_000, retries: 20 });
  const late = await serve(port);
  expect(await answer).toEqual({ text: "got 5" });
  await client.stop();
  await late.stop();
});

test("every error code is explained in docs/errors.md and maps to a gRPC status", () => {
  const docs = readFileSync(new URL("../../../docs/errors.md", import.meta.url), "utf8");
  for (const [code, { grpc }] of Object.entries(ERROR_CODES)) {
    expect(docs).toContain(`## ${code.replaceAll("_", "-")}`);
    expect(status[grpc]).toBeDefined();
  }
});

test("reflection knows each type of the descriptor set, and of health", async () => {
  const server = await serve();
  const module = fileURLToPath(import.meta.resolve("@grpc/reflection"));
  const proto = fileURLToPath(new URL("../proto/grpc/reflection/v1/reflection.proto", `file://${module}`));
  const reflection = loadSync(proto)["grpc.reflection.v1.ServerReflection"] as ServiceDefinition;
  const { path, requestSerialize, responseDeserialize } = reflection["ServerReflectionInfo"]!;
  const client = new Client(server.address, credentials.createInsecure());
  const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  const types = Object.keys(loadFileDescriptorSetFromBuffer(readFileSync(descriptorFile)));
  const asked = [...types, "grpc.health.v1.Health", "grpc.health.v1.HealthCheckRequest", "no.Type"];
  for (const fileContainingSymbol of asked) call.write({ fileContainingSymbol });
  call.end();
  const unknown: string[] = [];
  let answers = 0;
  for await (const answer of call) {
    const { errorResponse } = answer as { errorResponse: unknown };
    if (errorResponse) unknown.push(asked[answers] ?? "");
    answers += 1;
  }
  expect([types.length > 50, answers, unknown]).toEqual([true, asked.length, ["no.Type"]]);
  client.close();
  await server.stop();
});
