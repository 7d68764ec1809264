import { afterAll, beforeAll, expect, test } from "vitest";
import { emptyCheckpoint, uuid6 } from "@langchain/langgraph-checkpoint";
import { CheckpointSaver } from "@flashloan/checkpoint-saver/checkpoint-saver";
import { createCheckpointService } from "@flashloan/checkpoint/service";
import { LedgerWriter } from "@flashloan/ledger-client/ledger-writer";
import { CheckpointServiceService as Checkpoint, type AppendRequest } from "@flashloan/proto/checkpoint/v1/checkpoint";
import { openDatabase } from "@flashloan/shared/adapters/open";
import { testContext } from "@flashloan/shared/contract/context";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import type { Database } from "@flashloan/shared/ports/database";
import { RpcClient } from "@flashloan/shared/rpc-client";
import type { Service } from "@flashloan/shared/service";

// The two clients of the checkpoint service that batch: the writer, and LangGraph's checkpointer beyond its own suite.
const lifecycle = new Lifecycle();
let database: Database;
let service: Service;
let client: RpcClient;

const startService = (port: number): Promise<Service> =>
  createCheckpointService({ host: "127.0.0.1", port, database, context: testContext("checkpoint") });

beforeAll(async () => {
  database = lifecycle.add("database", await openDatabase("pglite:"));
  service = await startService(0);
  lifecycle.onStop("service", () => service.stop());
  client = lifecycle.add("client", new RpcClient(service.address));
});
afterAll(() => lifecycle.stop());

const request = (streamId: string, sequence: bigint, payload = Buffer.from("x")): AppendRequest => ({
  streamId,
  expectedSequence: sequence,
  idempotencyKey: String(sequence),
  records: [{ state: "SIGNED", terminal: false, payload }],
  fence: undefined,
});

test("what waits travels together and is answered one by one, refusals by their codes", async () => {
  const writer = new LedgerWriter(client);
  const many = Array.from({ length: 1_200 }, (_, index) => writer.append(request(`w:${index}`, 0n)));
  const refused = writer.append({ ...request("w:0", 5n), idempotencyKey: "other" });
  const malformed = writer.append(request("not allowed", 0n));
  expect((await Promise.all(many)).every(({ sequence, repeated }) => sequence === 1n && !repeated)).toBe(true);
  await expect(refused).rejects.toMatchObject({ code: "sequence_conflict" });
  await expect(malformed).rejects.toMatchObject({ code: "argument_invalid" });
  const stopping = [writer.append(request("w:0", 1n)), writer.stop()] as const;
  expect(await stopping[0]).toMatchObject({ sequence: 2n });
  await stopping[1];
  await expect(writer.append(request("w:0", 2n))).rejects.toMatchObject({ code: "service_stopping" });
});

test("a writer whose service goes away says so, and goes on when it is back", async () => {
  const writer = new LedgerWriter(client);
  await writer.append(request("back", 0n));
  const port = Number(service.address.split(":")[1]);
  await service.stop();
  await expect(writer.append(request("back", 1n))).rejects.toMatchObject({
    code: "service_unavailable",
    retryable: true,
  });
  service = await startService(port);
  await expect
    .poll(
      () =>
        client.isServing().then(() =>
          client.unary(Checkpoint.getStatus, {}).then(
            () => true,
            () => false,
          ),
        ),
      { timeout: 30_000 },
    )
    .toBe(true);
  expect(await writer.append(request("back", 1n))).toMatchObject({ sequence: 2n });
  await writer.stop();
});

const config = (thread: string, id?: string) => ({
  configurable: { thread_id: thread, checkpoint_ns: "", ...(id !== undefined && { checkpoint_id: id }) },
});
const put = (saver: CheckpointSaver, thread: string, text: string) =>
  saver.put(
    config(thread),
    { ...emptyCheckpoint(), id: uuid6(-1), channel_values: { text }, channel_versions: { text: 1 } },
    { source: "loop", step: 1, parents: {} },
    { text: 1 },
  );

test("two savers on one thread: nothing is lost, and each sees what the other wrote", async () => {
  const savers = [new CheckpointSaver(client, "shared"), new CheckpointSaver(client, "shared")] as const;
  await Promise.all(Array.from({ length: 20 }, (_, index) => put(savers[index % 2 === 0 ? 0 : 1], "one", `${index}`)));
  for (const saver of savers) {
    let found = 0;
    for await (const { metadata } of saver.list(config("one"))) found += metadata?.source === "loop" ? 1 : 0;
    expect(found).toBe(20);
    await saver.stop();
  }
});

test("a checkpoint larger than a record comes back whole; one larger than a message is refused", async () => {
  const saver = new CheckpointSaver(client, "large");
  const text = "é".repeat(500_000);
  const { configurable } = await put(saver, "t", text);
  // Another saver has nothing in memory.
  const other = new CheckpointSaver(client, "large");
  expect((await other.getTuple({ configurable: configurable ?? {} }))?.checkpoint.channel_values["text"]).toBe(text);
  await expect(put(saver, "t", "x".repeat(4_000_000))).rejects.toMatchObject({ code: "payload_too_large" });
  await Promise.all([saver.stop(), other.stop()]);
});

test("a deleted thread is gone for every saver, can begin anew, and its history is still in the ledger", async () => {
  const [saver, other] = [new CheckpointSaver(client, "deleted"), new CheckpointSaver(client, "deleted")];
  await put(saver, "t", "before");
  expect(await other.getTuple(config("t"))).toBeDefined();
  await saver.deleteThread("t");
  expect([await saver.getTuple(config("t")), await other.getTuple(config("t"))]).toEqual([undefined, undefined]);
  await put(other, "t", "after");
  expect((await saver.getTuple(config("t")))?.checkpoint.channel_values).toEqual({ text: "after" });
  const { records } = await client.unary(Checkpoint.listOpen, {
    prefix: "thread:deleted:",
    pageSize: 10,
    pageToken: "",
  });
  const history = await client.unary(Checkpoint.history, {
    streamId: records[0]?.streamId ?? "",
    pageSize: 10,
    pageToken: "",
  });
  expect(history.records.map(({ state }) => state)).toEqual(["CHECKPOINT", "DELETED", "CHECKPOINT"]);
  await Promise.all([saver.stop(), other.stop()]);
});
