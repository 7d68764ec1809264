import { afterAll, beforeAll, expect, test } from "vitest";
import {
  CheckpointServiceService as Checkpoint,
  Durability,
  type AppendRequest,
  type AppendStreamResponse,
} from "@flashloan/proto/checkpoint/v1/checkpoint";
import { openDatabase } from "@flashloan/shared/adapters/open";
import { testContext } from "@flashloan/shared/contract/context";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { createCheckpointService } from "../src/service.ts";

const lifecycle = new Lifecycle();
let client: RpcClient;

beforeAll(async () => {
  const database = lifecycle.add("database", await openDatabase("pglite:"));
  const service = lifecycle.add(
    "service",
    await createCheckpointService({ host: "127.0.0.1", port: 0, database, context: testContext("checkpoint") }),
  );
  client = lifecycle.add("client", new RpcClient(service.address));
});
afterAll(() => lifecycle.stop());

const request = (streamId: string, expectedSequence: bigint, state = "SIGNED"): AppendRequest => ({
  streamId,
  expectedSequence,
  idempotencyKey: `${expectedSequence}`,
  records: [{ state, terminal: false, payload: Buffer.from("x") }],
});

test("append, latest, history and open streams over gRPC", async () => {
  expect(await client.unary(Checkpoint.append, request("a", 0n))).toEqual({
    sequence: 1n,
    position: 1n,
    repeated: false,
  });
  await client.unary(Checkpoint.append, request("a", 1n, "SUBMITTED"));
  const { record } = await client.unary(Checkpoint.latest, { streamId: "a" });
  expect(record).toMatchObject({ sequence: 2n, state: "SUBMITTED", streamId: "a" });
  const page = await client.unary(Checkpoint.history, { streamId: "a", pageSize: 1, pageToken: "" });
  expect(page.records.map((r) => r.state)).toEqual(["SIGNED"]);
  const rest = await client.unary(Checkpoint.history, { streamId: "a", pageSize: 10, pageToken: page.nextPageToken });
  expect(rest.records.map((r) => r.state)).toEqual(["SUBMITTED"]);
  expect((await client.unary(Checkpoint.listOpen, { prefix: "a", pageSize: 0, pageToken: "" })).records).toHaveLength(
    1,
  );
  expect((await client.unary(Checkpoint.latest, { streamId: "none" })).record).toBeUndefined();
  expect(await client.unary(Checkpoint.getStatus, {})).toEqual({
    position: 2n,
    durability: Durability.DURABILITY_PROCESS,
  });
});

test.each([
  [{ ...request("a b", 0n) }, "streamId"],
  [{ ...request("ok", 0n), idempotencyKey: "" }, "idempotencyKey"],
  [{ ...request("ok", 0n), records: [] }, "records"],
  [{ ...request("ok", 0n, "lower") }, "records.0.state"],
  [
    {
      ...request("ok", 0n),
      records: [
        { state: "SETTLED", terminal: true, payload: Buffer.alloc(0) },
        { state: "X", terminal: false, payload: Buffer.alloc(0) },
      ],
    },
    "only the last record may be terminal",
  ],
])("refuses a malformed append and names the field (%#)", async (bad, named) => {
  await expect(client.unary(Checkpoint.append, bad)).rejects.toMatchObject({
    code: "argument_invalid",
    message: expect.stringContaining(named),
  });
});

test("a stream of appends is answered in order, failures included", async () => {
  const stream = client.bidiStream(Checkpoint.appendStream);
  const answers: AppendStreamResponse[] = [];
  const ended = new Promise<void>((resolve, reject) =>
    stream
      .on("data", (answer: AppendStreamResponse) => answers.push(answer))
      .on("end", resolve)
      .on("error", reject),
  );
  for (let i = 0n; i < 100n; i++) stream.write({ requestId: i, append: request("stream", i) });
  stream.write({ requestId: 100n, append: request("stream", 7n, "REPLACED") });
  stream.write({ requestId: 101n, append: undefined });
  stream.end();
  await ended;
  expect(answers.map((a) => a.requestId)).toEqual(Array.from({ length: 102 }, (_, i) => BigInt(i)));
  expect(answers.slice(0, 100).every((a) => a.result?.$case === "appended")).toBe(true);
  expect(answers.slice(100).map((a) => (a.result?.$case === "failure" ? a.result.value.code : "appended"))).toEqual([
    "idempotency_conflict",
    "argument_invalid",
  ]);
});

test("a watch over gRPC gives old and new records", async () => {
  const abort = new AbortController();
  const states: string[] = [];
  await client.unary(Checkpoint.append, request("watched", 0n, "FIRST"));
  const { position } = await client.unary(Checkpoint.getStatus, {});
  const watching = (async () => {
    for await (const { record } of client.serverStream(
      Checkpoint.watch,
      { afterPosition: position - 1n },
      abort.signal,
    )) {
      states.push(record?.state ?? "");
      if (states.length === 2) abort.abort();
    }
  })();
  await client.unary(Checkpoint.append, request("watched", 1n, "SECOND"));
  await watching;
  expect(states).toEqual(["FIRST", "SECOND"]);
});
