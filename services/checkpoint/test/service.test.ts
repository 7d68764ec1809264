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

const newRecord = { state: "STEP", terminal: false };

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

test("a stream of batches is answered in order, each append for itself", async () => {
  const stream = client.bidiStream(Checkpoint.appendStream);
  const answers: AppendStreamResponse[] = [];
  const ended = new Promise<void>((resolve, reject) =>
    stream
      .on("data", (answer: AppendStreamResponse) => answers.push(answer))
      .on("end", resolve)
      .on("error", reject),
  );
  for (let i = 0n; i < 100n; i += 2n) stream.write({ appends: [request("stream", i), request("stream", i + 1n)] });
  stream.write({ appends: [request("stream", 7n, "REPLACED"), request("stream", 100n), request("a b", 0n)] });
  stream.end();
  await ended;
  expect(answers.map(({ results }) => results.length)).toEqual([...Array.from({ length: 50 }, () => 2), 3]);
  const outcomes = answers.flatMap(({ results }) =>
    results.map(({ result }) => (result?.$case === "appended" ? result.value.sequence : result?.value.code)),
  );
  expect(outcomes).toEqual([
    ...Array.from({ length: 100 }, (_, i) => BigInt(i + 1)),
    "idempotency_conflict",
    101n,
    "argument_invalid",
  ]);
});

test("a batch that is none ends the stream", async () => {
  const stream = client.bidiStream(Checkpoint.appendStream);
  stream.resume();
  const failed = new Promise<unknown>((resolve) => stream.once("error", resolve));
  stream.write({ appends: [] });
  expect(await failed).toMatchObject({ details: expect.stringContaining("must hold 1 to 512 appends") });
});

test("a leader that lost its lead is told so over gRPC", async () => {
  const fenced = (streamId: string, token: bigint) => ({
    ...request(streamId, 0n),
    fence: { scope: "executor", token },
  });
  await client.unary(Checkpoint.append, fenced("led", 2n));
  await expect(client.unary(Checkpoint.append, fenced("lost", 1n))).rejects.toMatchObject({ code: "fenced" });
  await expect(client.unary(Checkpoint.append, fenced("none", 0n))).rejects.toMatchObject({ code: "argument_invalid" });
});

test("a rollback over gRPC: the restored payload, which record it was and why; only it appends ROLLED_BACK", async () => {
  await client.unary(Checkpoint.append, {
    ...request("back", 0n),
    records: [{ ...newRecord, payload: Buffer.from("1") }],
  });
  await client.unary(Checkpoint.append, {
    ...request("back", 1n),
    records: [{ ...newRecord, payload: Buffer.from("2") }],
  });
  const rollback = { streamId: "back", toSequence: 1n, reason: "bad input", idempotencyKey: "back" };
  expect(await client.unary(Checkpoint.rollback, rollback)).toMatchObject({ sequence: 3n, repeated: false });
  const { record } = await client.unary(Checkpoint.latest, { streamId: "back" });
  expect(record).toMatchObject({
    sequence: 3n,
    state: "ROLLED_BACK",
    payload: Buffer.from("1"),
    restoresSequence: 1n,
    reason: "bad input",
  });
  expect((await client.unary(Checkpoint.latest, { streamId: "a" })).record).toMatchObject({
    restoresSequence: 0n,
    reason: "",
  });
  for (const bad of [
    client.unary(Checkpoint.rollback, { ...rollback, reason: "" }),
    client.unary(Checkpoint.rollback, { ...rollback, toSequence: 0n }),
    client.unary(Checkpoint.append, request("back", 3n, "ROLLED_BACK")),
  ])
    await expect(bad).rejects.toMatchObject({ code: "argument_invalid" });
});

test("a compaction over gRPC wants a retention where none is configured, and says what it did", async () => {
  await expect(client.unary(Checkpoint.compact, { retentionDays: 0 })).rejects.toMatchObject({
    code: "argument_invalid",
    message: expect.stringContaining("CHECKPOINT_RETENTION_DAYS"),
  });
  await client.unary(Checkpoint.append, {
    ...request("ended", 0n),
    records: [newRecord, { ...newRecord, terminal: true }].map((record) => ({ ...record, payload: Buffer.alloc(0) })),
  });
  // Nothing here ended a day ago.
  expect(await client.unary(Checkpoint.compact, { retentionDays: 1 })).toEqual({
    streams: 0n,
    records: 0n,
    compactedThrough: 0n,
  });
  const page = await client.unary(Checkpoint.history, { streamId: "ended", pageSize: 10, pageToken: "" });
  expect(page.compactedThrough).toBe(0n);
  expect(page.records.map(({ compactedRecords }) => compactedRecords)).toEqual([0n, 0n]);
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
