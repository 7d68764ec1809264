import { CheckpointServiceService as Checkpoint } from "@flashloan/proto/checkpoint/v1/checkpoint";
import { LedgerWriter } from "@flashloan/ledger-client/ledger-writer";
import { freePort } from "@flashloan/devnet/anvil";
import { backoffMs, systemClock } from "@flashloan/shared/clock";
import { FlashloanError } from "@flashloan/shared/errors";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { createRandom } from "@flashloan/shared/random";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { newLedgerUrl } from "../support/databases.ts";
import { ServiceProcess } from "../support/platform-process.ts";
import { startPostgres, startRedis } from "../support/servers.ts";

/** What is killed, in turn. */
export const VICTIMS = ["checkpoint service", "PostgreSQL", "Redis"] as const;
/** @see VICTIMS */
export type Victim = (typeof VICTIMS)[number];

/** What a campaign is made of. */
export interface KillOptions {
  readonly kills: number;
  readonly writers: number;
  readonly seed: number;
  readonly report: (line: string) => void;
}

/** What a campaign did and found. */
export interface KillResult {
  readonly kills: ReadonlyMap<Victim, number>;
  readonly acknowledged: number;
  /** Appends that failed and were asked for again. */
  readonly repeatedAsks: number;
  /** Of these, how many had been committed before. */
  readonly recognized: number;
  readonly records: number;
  readonly faults: readonly string[];
  readonly seconds: number;
}

const SERVICE_DEADLINE_MS = 60_000;
const PROGRESS_DEADLINE_MS = 60_000;
const RETRY_BASE_MS = 10;
const RETRY_CAP_MS = 500;
/** The longest that the writers run before the next kill. */
const RUN_MS_MAX = 400;
const PAGE = 1_000;

/**
 * Kills the checkpoint service, PostgreSQL and Redis with SIGKILL, in turn, under writers that never pause, and reads the
 * whole ledger afterwards: every acknowledged append must be there, once, in order.
 */
export async function runKillCampaign(options: KillOptions): Promise<KillResult> {
  const startedMs = performance.now();
  const random = createRandom(options.seed);
  const lifecycle = new Lifecycle();
  const kills = new Map<Victim, number>(VICTIMS.map((victim) => [victim, 0]));
  try {
    const postgres = await startPostgres();
    lifecycle.onStop("PostgreSQL", () => postgres.remove());
    const redis = await startRedis();
    lifecycle.onStop("Redis", () => redis.remove());
    const databaseUrl = await newLedgerUrl(postgres.url);
    const port = await freePort();
    const startService = async (): Promise<ServiceProcess> => {
      const started = new ServiceProcess("checkpoint", {
        PATH: process.env["PATH"] ?? "",
        CHECKPOINT_PORT: String(port),
        CHECKPOINT_DATABASE_URL: databaseUrl,
        CACHE_URL: redis.url,
        CHECKPOINT_CACHE_URL: redis.url,
      });
      await started.waitFor(({ event }) => event === "ready", SERVICE_DEADLINE_MS);
      return started;
    };
    let service = await startService();
    lifecycle.onStop("service", async () => void (await service.stop()));
    const client = lifecycle.add("client", new RpcClient(`127.0.0.1:${port}`));
    const load = new WriterLoad(client, options.writers);
    lifecycle.onStop("load", () => load.abandon());

    for (let kill = 0; kill < options.kills; kill++)
      for (const victim of VICTIMS) {
        await load.progress(options.writers);
        await systemClock.sleep(random.next() * RUN_MS_MAX);
        if (victim === "checkpoint service") {
          service.kill("SIGKILL");
          await service.exit;
          service = await startService();
        } else {
          const server = victim === "PostgreSQL" ? postgres : redis;
          await server.kill();
          await server.start();
        }
        kills.set(victim, (kills.get(victim) ?? 0) + 1);
        options.report(`${victim} killed (${kill + 1} of ${options.kills}); ${load.acknowledged} appends acknowledged`);
      }
    await load.progress(options.writers);
    await load.stop();
    const { faults, records } = await audit(client, load);
    return {
      kills,
      acknowledged: load.acknowledged,
      repeatedAsks: load.failures,
      recognized: load.recognized,
      records,
      faults: [...load.faults, ...faults],
      seconds: (performance.now() - startedMs) / 1_000,
    };
  } finally {
    await lifecycle.stop();
  }
}

/** Writers that append as fast as they are answered, each to a stream of its own, and repeat what was not answered. */
class WriterLoad {
  acknowledged = 0;
  failures = 0;
  recognized = 0;
  readonly faults: string[] = [];
  /** By stream: the positions that were acknowledged, in order. */
  readonly positions = new Map<string, bigint[]>();
  readonly #writer: LedgerWriter;
  readonly #abort = new AbortController();
  readonly #running: Promise<unknown>;
  #abandoned = false;
  readonly #waiting = new Set<() => void>();

  constructor(client: RpcClient, writers: number) {
    this.#writer = new LedgerWriter(client);
    const streams = Array.from({ length: writers }, (_, index) => `kill:${index}`);
    this.#running = Promise.all(streams.map((stream) => this.#write(stream)));
  }

  /** Resolves when so many appends more were acknowledged. */
  async progress(appends: number): Promise<void> {
    const wanted = this.acknowledged + appends;
    const timer = setTimeout(() => this.#failed?.(), PROGRESS_DEADLINE_MS);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#failed = () => reject(new Error(`no ${appends} appends within ${PROGRESS_DEADLINE_MS} ms`));
        const look = (): void => {
          if (this.acknowledged < wanted) return;
          this.#waiting.delete(look);
          resolve();
        };
        this.#waiting.add(look);
      });
    } finally {
      clearTimeout(timer);
    }
  }
  #failed: (() => void) | undefined;

  /** Ends without waiting for answers: what was under way stays unknown. */
  async abandon(): Promise<void> {
    this.#abandoned = true;
    await this.stop();
  }

  /** Ends each writer once its append is answered. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
    await this.#writer.stop();
  }

  async #write(streamId: string): Promise<void> {
    const positions: bigint[] = [];
    this.positions.set(streamId, positions);
    for (let number = 0; !this.#abort.signal.aborted; number++) {
      const request = {
        streamId,
        expectedSequence: BigInt(number),
        idempotencyKey: String(number),
        records: [{ state: "STEP", terminal: false, payload: Buffer.from(`${streamId}/${number}`) }],
        fence: undefined,
      };
      for (let attempt = 0; ; attempt++) {
        try {
          const { sequence, position, repeated } = await this.#writer.append(request);
          if (sequence !== BigInt(number + 1)) this.faults.push(`${streamId}: append ${number} became ${sequence}`);
          if (repeated) this.recognized += 1;
          positions.push(position);
          this.acknowledged += 1;
          for (const look of this.#waiting) look();
          break;
        } catch (error) {
          if (!(error instanceof FlashloanError) || !error.retryable) {
            this.faults.push(`${streamId}: append ${number} was refused: ${String(error)}`);
            return;
          }
          if (this.#abandoned) return;
          this.failures += 1;
          await systemClock.sleep(backoffMs(attempt, RETRY_BASE_MS, RETRY_CAP_MS));
        }
      }
    }
  }
}

/** Reads the whole ledger and compares it with what was acknowledged. */
async function audit(client: RpcClient, load: WriterLoad): Promise<{ faults: string[]; records: number }> {
  const faults: string[] = [];
  const found = new Map<string, bigint[]>();
  let [newest, records] = [0n, 0];
  let pageToken = "";
  do {
    const page = await client.unary(Checkpoint.history, { streamId: "", pageSize: PAGE, pageToken }, { retries: 5 });
    for (const { streamId, position, sequence, payload } of page.records) {
      const positions = found.get(streamId) ?? [];
      found.set(streamId, positions);
      if (position !== newest + 1n) faults.push(`place ${position} follows ${newest}`);
      if (sequence !== BigInt(positions.length + 1)) faults.push(`${streamId} has sequence ${sequence} out of order`);
      if (payload.toString() !== `${streamId}/${positions.length}`)
        faults.push(`${streamId} holds ${payload.toString()}`);
      newest = position;
      records += 1;
      positions.push(position);
    }
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  for (const [stream, acknowledged] of load.positions) {
    const kept = found.get(stream) ?? [];
    // Every writer was answered before it stopped: neither fewer nor more.
    if (kept.length !== acknowledged.length) faults.push(`${stream}: ${kept.length} for ${acknowledged.length}`);
    if (acknowledged.some((position, index) => kept[index] !== position)) faults.push(`${stream}: places differ`);
    for (const source of ["tables or cache", "cache or tables"]) {
      const { record } = await client.unary(Checkpoint.latest, { streamId: stream }, { retries: 5 });
      if (record?.position !== acknowledged.at(-1))
        faults.push(`${stream}: ${source} say ${record?.position} is newest`);
    }
  }
  return { faults, records };
}
