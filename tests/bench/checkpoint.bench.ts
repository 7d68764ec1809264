/** The benchmark of the checkpoint service: `node checkpoint.bench.ts --help`. */
import { parseArgs } from "node:util";
import { emptyCheckpoint, uuid6 } from "@langchain/langgraph-checkpoint";
import { PostgresSaver } from "@langchain/langgraph-checkpoint-postgres";
import pg from "pg";
import { CheckpointSaver } from "@flashloan/checkpoint-saver/checkpoint-saver";
import { LedgerWriter } from "@flashloan/ledger-client/ledger-writer";
import { CheckpointServiceService as Checkpoint } from "@flashloan/proto/checkpoint/v1/checkpoint";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { newDatabaseUrl, newLedgerUrl } from "../support/databases.ts";
import { median } from "../support/median.ts";
import { ServiceProcess } from "../support/platform-process.ts";
import { startPostgres, startRedis } from "../support/servers.ts";
import { measuredBy, writeSection } from "./document.ts";

const USAGE = `Measures durable appends beside LangGraph's PostgresSaver and the limit of the database, in one run.

  npm run bench -- checkpoint             the whole table
  npm run bench -- checkpoint --write     and write it into docs/benchmarks.md

  --seconds N      length of one measurement (default 2)
  --rounds N       measurements of each; the median counts (default 3)
  --writers N      concurrent writers (default 64)
  --json           print the figures as JSON
  --write          write the table into docs/benchmarks.md
  --help           this text
`;
const PAYLOAD = Buffer.alloc(900, "x");
const SERVICE_DEADLINE_MS = 60_000;
/** Connections of the peers. */
const POOL_MAX = 32;

type Figure = { readonly perSecond: number; readonly p50Ms: number };
type Work = (writer: number) => Promise<unknown>;

/** So many writers, each asking again as soon as it is answered. */
async function measure(writers: number, seconds: number, work: Work): Promise<Figure> {
  const tookMs: number[] = [];
  const startedMs = performance.now();
  const untilMs = startedMs + seconds * 1_000;
  const write = async (writer: number): Promise<void> => {
    while (performance.now() < untilMs) {
      const beganMs = performance.now();
      await work(writer);
      tookMs.push(performance.now() - beganMs);
    }
  };
  await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
  return { perSecond: (tookMs.length / (performance.now() - startedMs)) * 1_000, p50Ms: median(tookMs) };
}

/** What waits is written by one statement, in this very process, with nothing but the record. */
function inGroups(write: (count: number) => Promise<unknown>): Work {
  let waiting: (() => void)[] = [];
  let committing = false;
  const commitAll = async (): Promise<void> => {
    committing = true;
    for (; waiting.length > 0;) {
      const group = waiting;
      waiting = [];
      await write(group.length);
      for (const done of group) done();
    }
    committing = false;
  };
  return () =>
    new Promise<void>((resolve) => {
      waiting.push(resolve);
      if (!committing) void commitAll();
    });
}

/** Multi-row inserts as most write them: INSERT … VALUES with a parameter for each value. */
function valuesInserts(pool: pg.Pool): Work {
  return inGroups((count) => {
    const rows = Array.from(
      { length: count },
      (_, i) => `(nextval('raw_position'), 'stream', ${i}, 'SIGNED', $${i + 1}, 0)`,
    );
    const payloads = Array.from({ length: count }, () => PAYLOAD);
    return pool.query(`insert into raw_record values ${rows.join(", ")}`, payloads);
  });
}

/** The limit: the payloads travel as one binary value that the server cuts up, which is the fastest way that we know. */
function cutInserts(pool: pg.Pool): Work {
  let position = 0;
  return inGroups((count) => {
    const all = Array.from({ length: count }, (_, index) => index);
    return pool.query(
      `insert into raw_record select position, 'stream', position, 'SIGNED', substring($2::bytea from start for length), 0
       from unnest($1::bigint[], $3::integer[], $4::integer[]) as r (position, start, length)`,
      [
        all.map(() => String(++position)),
        Buffer.concat(all.map(() => PAYLOAD)),
        all.map((index) => index * PAYLOAD.length + 1),
        all.map(() => PAYLOAD.length),
      ],
    );
  });
}

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "2" },
    rounds: { type: "string", default: "3" },
    writers: { type: "string", default: "64" },
    json: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) process.stdout.write(USAGE);
else await main();

async function main(): Promise<void> {
  const [seconds, rounds, writers] = [Number(values.seconds), Number(values.rounds), Number(values.writers)];
  if (![seconds, rounds, writers].every((value) => value > 0 && value <= 1_000)) {
    process.stderr.write(`--seconds, --rounds and --writers must be numbers from 1 to 1000\n`);
    process.exitCode = 2;
    return;
  }
  const lifecycle = new Lifecycle();
  try {
    const figures = await run(lifecycle, seconds, rounds, writers);
    const text = render(figures, writers);
    process.stdout.write(values.json ? `${JSON.stringify(figures)}\n` : `${text}\n`);
    if (values.write) writeDocument(text);
  } finally {
    await lifecycle.stop();
  }
}

async function run(
  lifecycle: Lifecycle,
  seconds: number,
  rounds: number,
  writers: number,
): Promise<Record<string, Figure>> {
  const server = await startPostgres();
  lifecycle.onStop("PostgreSQL", () => server.remove());
  const redis = await startRedis();
  lifecycle.onStop("Redis", () => redis.remove());
  const pool = new pg.Pool({ connectionString: await newDatabaseUrl(server.url), max: POOL_MAX });
  lifecycle.onStop("pool", () => pool.end());
  await pool.query(
    "create table raw_record (position bigint primary key, stream_id text not null, sequence bigint not null, state text not null, payload bytea not null, committed_at_ms bigint not null)",
  );
  await pool.query("create sequence raw_position start 1000000000");
  const saver = new PostgresSaver(pool);
  await saver.setup();

  const ledgerUrl = await newLedgerUrl(server.url);
  const service = new ServiceProcess("checkpoint", {
    PATH: process.env["PATH"] ?? "",
    CHECKPOINT_DATABASE_URL: ledgerUrl,
    CHECKPOINT_CACHE_URL: redis.url,
    CHECKPOINT_PORT: "0",
  });
  lifecycle.onStop("service", async () => void (await service.stop()));
  const started = await service.waitFor(({ event }) => event === "service_started", SERVICE_DEADLINE_MS);
  const client = lifecycle.add("client", new RpcClient(String(started["address"])));
  const writer = lifecycle.add("writer", new LedgerWriter(client));
  const ledgerSaver = lifecycle.add("saver", new CheckpointSaver(client));

  let streams = 0;
  const append = (): Work => {
    const run = ++streams;
    const sequences = Array.from({ length: writers }, () => 0n);
    return async (index) => {
      const expectedSequence = sequences[index] ?? 0n;
      sequences[index] = expectedSequence + 1n;
      await writer.append({
        streamId: `bench:${run}:${index}`,
        expectedSequence,
        idempotencyKey: String(expectedSequence),
        records: [{ state: "SIGNED", terminal: false, payload: PAYLOAD }],
        fence: undefined,
      });
    };
  };
  const put =
    (target: PostgresSaver | CheckpointSaver): Work =>
    async (index) => {
      const config = { configurable: { thread_id: `thread-${index}`, checkpoint_ns: "" } };
      const checkpoint = {
        ...emptyCheckpoint(),
        id: uuid6(-1),
        channel_values: { state: PAYLOAD.toString() },
        channel_versions: { state: 1 },
      };
      await target.put(config, checkpoint, { source: "loop", step: 1, parents: {} }, { state: 1 });
    };
  const insert: Work = () =>
    pool.query("insert into raw_record select p, 'stream', p, 'SIGNED', $1, 0 from nextval('raw_position') as p", [
      PAYLOAD,
    ]);
  const latest: Work = (index) => client.unary(Checkpoint.latest, { streamId: `bench:1:${index}` });
  const [valueInserts, limit] = [valuesInserts(pool), cutInserts(pool)];

  const measured: Record<string, { writers: number; work: () => Work }> = {
    insert: { writers, work: () => insert },
    multiRow: { writers, work: () => valueInserts },
    limit: { writers, work: () => limit },
    postgresSaver: { writers, work: () => put(saver) },
    ledger: { writers, work: append },
    ledgerSaver: { writers, work: () => put(ledgerSaver) },
    insertAlone: { writers: 1, work: () => insert },
    ledgerAlone: { writers: 1, work: append },
    latest: { writers: 1, work: () => latest },
  };
  const all: Record<string, Figure[]> = {};
  // Round by round, so that other work on the machine meets all of them alike; the first one warms up.
  for (let round = 0; round <= rounds; round++)
    for (const [name, { writers: count, work }] of Object.entries(measured)) {
      const figure = await measure(count, round === 0 ? Math.min(1, seconds) : seconds, work());
      if (round > 0) (all[name] ??= []).push(figure);
    }
  return Object.fromEntries(
    Object.entries(all).map(([name, rows]) => [
      name,
      { perSecond: median(rows.map((row) => row.perSecond)), p50Ms: median(rows.map((row) => row.p50Ms)) },
    ]),
  );
}

function render(figures: Record<string, Figure>, writers: number): string {
  const of = (name: string): Figure => figures[name] ?? { perSecond: Number.NaN, p50Ms: Number.NaN };
  const times = (name: string, to: string): string => `${(of(name).perSecond / of(to).perSecond).toFixed(2)} ×`;
  const row = (what: string, name: string): string =>
    `| ${what} | ${Math.round(of(name).perSecond).toLocaleString("en-US")} | ${of(name).p50Ms.toFixed(2)} | ${times(name, "postgresSaver")} | ${times(name, "limit")} |`;
  return [
    "| durable appends of 0.9 KB | per second | p50 ms | to PostgresSaver.put | to the limit |",
    "| --- | ---: | ---: | ---: | ---: |",
    row(`raw INSERT, ${writers} writers`, "insert"),
    row(`raw multi-row INSERT … VALUES in one process, ${writers} writers`, "multiRow"),
    row(`the limit: the same with payloads cut from one binary value, ${writers} writers`, "limit"),
    row(`LangGraph's PostgresSaver.put, ${writers} writers`, "postgresSaver"),
    row(`checkpoint service through gRPC, ${writers} writers`, "ledger"),
    row(`CheckpointSaver.put through gRPC, ${writers} writers`, "ledgerSaver"),
    row("raw INSERT, one writer", "insertAlone"),
    row("checkpoint service through gRPC, one writer", "ledgerAlone"),
    "",
    `One writer: p50 ${(of("ledgerAlone").p50Ms / of("insertAlone").p50Ms).toFixed(2)} × a raw insert's. Newest checkpoint read through gRPC: p50 ${of("latest").p50Ms.toFixed(2)} ms. ${writers} writers: the service makes ${((of("ledger").perSecond / of("multiRow").perSecond) * 100).toFixed(0)} % of INSERT … VALUES.`,
  ].join("\n");
}

function writeDocument(text: string): void {
  writeSection(
    "checkpoint",
    `## Checkpoint service

${measuredBy("npm run bench -- checkpoint --write")}, PostgreSQL with fsync on the same machine.

The service is a process of its own, as in a container; its clients are in this one. All rows come from one run, round by
round; each is the median of its rounds.

${text}`,
  );
}
