import type { ServerDuplexStream } from "@grpc/grpc-js";
import { z } from "zod";
import {
  CheckpointServiceService,
  Durability,
  type AppendRequest,
  type AppendResult,
  type AppendStreamRequest,
  type AppendStreamResponse,
  type CheckpointServiceServer,
  type CompactRequest,
  type RollbackRequest,
  type Record as WireRecord,
} from "@flashloan/proto/checkpoint/v1/checkpoint";
import { descriptorFile } from "@flashloan/proto/descriptor";
import { openCache, openDatabase } from "@flashloan/shared/adapters/open";
import { FlashloanError, toFlashloanError } from "@flashloan/shared/errors";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import type { Cache } from "@flashloan/shared/ports/cache";
import type { Database } from "@flashloan/shared/ports/database";
import { serverStream, startRpcServer, toStatus, unary } from "@flashloan/shared/rpc-server";
import type { Service, ServiceContext } from "@flashloan/shared/service";
import { validated } from "@flashloan/shared/validated";
import type { CheckpointConfig } from "./config.ts";
import type { AppendCommand } from "./append.ts";
import { DAY_MS, startCompaction } from "./compaction.ts";
import { openLedger, ROLLED_BACK, type LedgerPage } from "./ledger.ts";
import type { LedgerRecord } from "./record.ts";

const RECORDS_MAX = 64;
/** Appends of one message of a stream. */
const BATCH_MAX = 512;
const DURABILITIES = { process: Durability.DURABILITY_PROCESS, power: Durability.DURABILITY_POWER } as const;
const STREAM_ID = /^[A-Za-z0-9:._-]{1,128}$/;

const streamId = z.string().regex(STREAM_ID, "must be 1 to 128 letters, digits or :._-");
const pageToken = z.string().regex(/^\d{0,19}$/, "must be a next_page_token of an earlier answer");
const pageSize = z.number().int().min(0, "must not be negative");
const idempotencyKey = z.string().min(1, "must be 1 to 128 characters").max(128, "must be 1 to 128 characters");
const fence = z
  .object({
    scope: z.string().min(1, "must be 1 to 128 characters").max(128, "must be 1 to 128 characters"),
    token: z.bigint().min(1n, "must be at least 1"),
  })
  .optional();
const appendSchema = z.object({
  streamId,
  expectedSequence: z.bigint().min(0n),
  idempotencyKey,
  records: z
    .array(
      z.object({
        state: z
          .string()
          .regex(/^[A-Z][A-Z_]{0,31}$/, "must be an upper-case word")
          .refine((state) => state !== ROLLED_BACK, "only a rollback appends it"),
        terminal: z.boolean(),
        payload: z.instanceof(Uint8Array),
      }),
    )
    .min(1, `must hold 1 to ${RECORDS_MAX} records`)
    .max(RECORDS_MAX, `must hold 1 to ${RECORDS_MAX} records`)
    .refine(
      (records) => records.slice(0, -1).every((record) => !record.terminal),
      "only the last record may be terminal",
    ),
  fence,
});
const rollbackSchema = z.object({
  streamId,
  toSequence: z.bigint().min(1n, "must be at least 1"),
  reason: z.string().min(1, "must be 1 to 500 characters").max(500, "must be 1 to 500 characters"),
  idempotencyKey,
  fence,
});
const compactSchema = z.object({ retentionDays: z.number().int().min(0).max(36_500, "must be at most 36500") });
const batchSchema = z.object({
  appends: z
    .array(z.unknown())
    .min(1, `must hold 1 to ${BATCH_MAX} appends`)
    .max(BATCH_MAX, `must hold 1 to ${BATCH_MAX} appends`),
});

/** What the checkpoint service needs. */
export interface CheckpointDependencies {
  readonly host: string;
  readonly port: number;
  readonly database: Database;
  /** Of newest records; without one they are read from the database. */
  readonly cache?: Cache;
  /** Streams that ended so many days ago are compacted; 0 (the default): never. */
  readonly retentionDays?: number;
  readonly context: ServiceContext;
}

/**
 * The ledger's service with a database of its own.
 * @throws FlashloanError port_taken, data_folder_unusable, service_unavailable
 */
export async function openCheckpointService(config: CheckpointConfig, context: ServiceContext): Promise<Service> {
  const lifecycle = new Lifecycle();
  try {
    const database = lifecycle.add("ledger database", await openDatabase(config.CHECKPOINT_DATABASE_URL));
    const cache = lifecycle.add("ledger cache", await openCache(config.CHECKPOINT_CACHE_URL));
    const { CHECKPOINT_HOST: host, CHECKPOINT_PORT: port, CHECKPOINT_RETENTION_DAYS: retentionDays } = config;
    const service = lifecycle.add(
      "checkpoint",
      await createCheckpointService({ host, port, database, cache, retentionDays, context }),
    );
    return { ...service, stop: () => lifecycle.stop() };
  } catch (error) {
    await lifecycle.stop().catch((stopError: unknown) => context.log.error({ error: stopError }, "stop_failed"));
    throw error;
  }
}

/** Starts the ledger's gRPC server on a database. @throws FlashloanError port_taken, data_folder_unusable */
export async function createCheckpointService(dependencies: CheckpointDependencies): Promise<Service> {
  const { database, cache, context, retentionDays = 0 } = dependencies;
  const { log } = context;
  const lifecycle = new Lifecycle();
  const ledger = lifecycle.add("ledger", await openLedger(database, context.clock, context.metrics, cache));
  if (retentionDays > 0)
    lifecycle.add("compaction", startCompaction(ledger, retentionDays, context.clock, context.log));
  if (database.durability === "process") log.warn({ durability: "process" }, "ledger_not_power_safe");

  const implementation: CheckpointServiceServer = {
    append: unary(appendSchema, context, async (request: AppendRequest) => {
      const attributes = { "flashloan.stream": request.streamId, "flashloan.records": request.records.length };
      return context.tracing.span("ledger.append", attributes, () => ledger.append(toCommand(request)));
    }),
    appendStream: (call: ServerDuplexStream<AppendStreamRequest, AppendStreamResponse>) => appendStream(call),
    rollback: unary(rollbackSchema, context, async ({ fence: led, ...request }: RollbackRequest) =>
      ledger.rollback({ ...request, ...(led && { fence: led }) }),
    ),
    latest: unary(z.object({ streamId }), context, async (request) => {
      const record = await ledger.latest(request.streamId);
      return { record: record && toWire(record) };
    }),
    history: unary(
      z.object({ streamId: streamId.or(z.literal("")), pageSize, pageToken }),
      context,
      async ({ streamId: stream, pageToken: token, pageSize: size }) => {
        const page = await ledger.history(stream || undefined, BigInt(token || 0), clampPage(size));
        return { ...toWirePage(page), compactedThrough: page.compactedThrough };
      },
    ),
    listOpen: unary(z.object({ prefix: z.string().max(128), pageSize, pageToken }), context, async (request) =>
      toWirePage(await ledger.listOpen(request.prefix, BigInt(request.pageToken || 0), clampPage(request.pageSize))),
    ),
    watch: serverStream(z.object({ afterPosition: z.bigint() }), context, async function* (request, signal) {
      for await (const { record, compactedThrough } of ledger.watch(request.afterPosition, signal))
        yield { record: toWire(record), compactedThrough };
    }),
    compact: unary(compactSchema, context, async (request: CompactRequest, signal) => {
      const days = request.retentionDays || retentionDays;
      if (days === 0)
        throw new FlashloanError(
          "argument_invalid",
          "retentionDays is 0 and CHECKPOINT_RETENTION_DAYS keeps everything: name a number of days",
        );
      const { streams, records } = await ledger.compact(context.clock.now() - days * DAY_MS, signal);
      const compactedThrough = await ledger.compactedThrough();
      return { streams: BigInt(streams), records: BigInt(records), compactedThrough };
    }),
    getStatus: unary(z.object({}), context, async () => ({
      position: ledger.position,
      durability: DURABILITIES[database.durability],
    })),
  };

  const appendBatch = async (batch: AppendStreamRequest): Promise<AppendResult[] | FlashloanError> => {
    try {
      validated(batchSchema, batch);
    } catch (error) {
      return toFlashloanError(error);
    }
    return Promise.all(batch.appends.map(appendOne));
  };
  const appendOne = async (request: AppendRequest): Promise<AppendResult> => {
    try {
      const value = await ledger.append(toCommand(validated(appendSchema, request)));
      return { result: { $case: "appended", value } };
    } catch (error) {
      const { code, message } = toFlashloanError(error);
      return { result: { $case: "failure", value: { code, message } } };
    }
  };
  const appendStream = (call: ServerDuplexStream<AppendStreamRequest, AppendStreamResponse>): void => {
    // Answers go out in the order of the batches, although their commits overlap.
    let previous: Promise<void> = Promise.resolve();
    call.on("data", (batch: AppendStreamRequest) => {
      const results = appendBatch(batch);
      previous = previous.then(async () => {
        const answer = await results;
        if (answer instanceof FlashloanError) return void call.emit("error", toStatus(answer));
        if (!call.write({ results: answer })) {
          call.pause();
          call.once("drain", () => call.resume());
        }
      });
    });
    call.on("end", () => void previous.then(() => call.end()));
    call.on("error", () => undefined);
  };

  const server = lifecycle.add(
    "rpc",
    await startRpcServer({
      host: dependencies.host,
      port: dependencies.port,
      services: [
        { name: "flashloan.checkpoint.v1.CheckpointService", definition: CheckpointServiceService, implementation },
      ],
      descriptorFile,
      context,
    }),
  );
  return {
    address: server.address,
    needs: { database: () => database.isReachable() },
    setServing: server.setServing,
    stop: () => lifecycle.stop(),
  };
}

function toCommand(request: AppendRequest): AppendCommand {
  return {
    streamId: request.streamId,
    expectedSequence: request.expectedSequence,
    idempotencyKey: request.idempotencyKey,
    records: request.records,
    ...(request.fence && { fence: request.fence }),
  };
}

function toWire(record: LedgerRecord): WireRecord {
  return {
    position: record.position,
    streamId: record.streamId,
    sequence: record.sequence,
    state: record.state,
    terminal: record.terminal,
    payload: Buffer.from(record.payload),
    committedAtMs: BigInt(record.committedAtMs),
    restoresSequence: record.restores?.sequence ?? 0n,
    reason: record.restores?.reason ?? "",
    compactedRecords: record.compactedRecords,
  };
}

function toWirePage(page: LedgerPage): { records: WireRecord[]; nextPageToken: string } {
  return { records: page.records.map(toWire), nextPageToken: page.next?.toString() ?? "" };
}

function clampPage(size: number): number {
  return size === 0 ? 100 : Math.min(size, 1_000);
}
