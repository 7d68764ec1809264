import { noop } from "cockatiel";
import { Etcd3 } from "etcd3";
import { backoffMs, systemClock } from "../clock.ts";
import { FlashloanError } from "../errors.ts";
import type { Running } from "../lifecycle.ts";
import type { Coordination, Leadership, Registration } from "../ports/coordination.ts";
import { EtcdLease, LEASE_TTL_S } from "./etcd-lease.ts";
import { followKey, untilKeyChanges } from "./etcd-watch.ts";

const PREFIX = "flashloan/";
const REQUEST_DEADLINE_MS = 2_000;
const RETRY_BASE_MS = 100;
const RETRY_CAP_MS = 1_000;
const KEEPALIVE_EVERY_MS = 10_000;
const KEEPALIVE_DEADLINE_MS = 3_000;

/**
 * An etcd cluster (`etcd:` followed by host:port, several separated by commas). While it is down reads and writes fail
 * within their deadline, registrations are made again when it is back, candidates go on waiting, and a leader that can't
 * renew its lease loses its leadership by itself before another can win it. The fencing token is the revision at which
 * the leader's key was made. Of etcd3 only its calls are used: its leases tell late, its elections crash the process.
 * @throws FlashloanError service_unavailable when it can't be reached at first
 */
export async function openEtcdCoordination(hosts: readonly string[]): Promise<Coordination> {
  const client = new Etcd3({
    hosts: hosts.map((host) => `http://${host.replace(/^https?:\/\//, "")}`),
    grpcOptions: { "grpc.keepalive_time_ms": KEEPALIVE_EVERY_MS, "grpc.keepalive_timeout_ms": KEEPALIVE_DEADLINE_MS },
    defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: Date.now() + REQUEST_DEADLINE_MS }),
    // A failed call must be known at once, and the circuit breaker would keep etcd away after it is back.
    // (etcd3 is typed against an older cockatiel; of a policy it calls only `execute`.)
    faultHandling: { host: () => noop as never, global: noop as never },
  });
  const coordination = new EtcdCoordination(client, hosts);
  if (await coordination.isReachable()) return coordination;
  client.close();
  throw new FlashloanError(
    "service_unavailable",
    `etcd can't be reached at ${hosts.join(", ")}: is it running, and is the address right?`,
  );
}

class EtcdCoordination implements Coordination {
  readonly #client: Etcd3;
  readonly #hosts: readonly string[];
  readonly #stopping = new AbortController();
  readonly #leases = new Set<EtcdLease>();

  constructor(client: Etcd3, hosts: readonly string[]) {
    this.#client = client;
    this.#hosts = hosts;
  }

  async register(registration: Registration): Promise<Running> {
    const key = `${PREFIX}registry/${registration.service}/${registration.instance}`;
    const ended = new AbortController();
    const announce = async (): Promise<EtcdLease> => {
      const lease = await this.#grant();
      try {
        await this.#client.put(key).value(JSON.stringify(registration)).lease(lease.id);
        return lease;
      } catch (error) {
        void this.#release(lease);
        throw error;
      }
    };
    let lease = await this.#guard(announce());
    const signal = AbortSignal.any([ended.signal, this.#stopping.signal]);
    const stay = async (): Promise<void> => {
      for (;;) {
        await aborted(lease.lost, signal);
        if (signal.aborted) return;
        this.#leases.delete(lease);
        lease = await retried(announce, signal);
      }
    };
    const staying = stay().catch(() => undefined);
    return {
      stop: async () => {
        ended.abort();
        await staying;
        await this.#release(lease);
      },
    };
  }

  async instances(service: string): Promise<readonly Registration[]> {
    const found = await this.#guard(
      this.#client.getAll().prefix(`${PREFIX}registry/${service}/`).sort("Key", "Ascend").strings(),
    );
    return Object.values(found).map((text) => JSON.parse(text) as Registration);
  }

  async campaign(name: string, signal: AbortSignal): Promise<Leadership> {
    const given = AbortSignal.any([signal, this.#stopping.signal]);
    try {
      return await retried(() => this.#stand(`${PREFIX}leader/${name}`, given), given);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw new FlashloanError("service_stopping", "the coordination has stopped", { cause: error });
    }
  }

  async read(key: string): Promise<{ value: string; version: bigint } | undefined> {
    const { kvs } = await this.#guard(this.#client.get(valuePath(key)).exec());
    const [entry] = kvs;
    return entry && { value: entry.value.toString("utf8"), version: BigInt(entry.mod_revision) };
  }

  async compareAndSwap(key: string, version: bigint | undefined, value: string): Promise<bigint | undefined> {
    const path = valuePath(key);
    const comparison =
      version === undefined
        ? this.#client.if(path, "Create", "==", 0)
        : this.#client.if(path, "Mod", "==", Number(version));
    const { succeeded, header } = await this.#guard(comparison.then(this.#client.put(path).value(value)).commit());
    return succeeded ? BigInt(header.revision) : undefined;
  }

  async watch(key: string, onChange: (value: string, version: bigint) => void): Promise<Running> {
    const { header } = await this.#guard(this.#client.get(valuePath(key)).exec());
    const ended = new AbortController();
    const signal = AbortSignal.any([ended.signal, this.#stopping.signal]);
    const following = followKey(this.#client, valuePath(key), BigInt(header.revision), onChange, signal);
    return {
      stop: async () => {
        ended.abort();
        await following;
      },
    };
  }

  async isReachable(): Promise<boolean> {
    try {
      // A read that a majority must answer: a member alone is no cluster.
      await this.#guard(this.#client.get(`${PREFIX}reachable`).exec());
      return true;
    } catch {
      return false;
    }
  }

  async stop(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    this.#stopping.abort();
    await Promise.all([...this.#leases].map((lease) => lease.end()));
    this.#client.close();
  }

  /** Stands for election once: the key with the lowest creation revision leads, the others wait for the one before. */
  async #stand(name: string, signal: AbortSignal): Promise<Leadership> {
    const lease = await this.#grant();
    try {
      const key = `${name}/${lease.id}`;
      const { header } = await this.#client
        .if(key, "Create", "==", 0)
        .then(this.#client.put(key).value("").lease(lease.id))
        .commit();
      const fencingToken = BigInt(header.revision);
      const over = AbortSignal.any([signal, lease.lost]);
      for (;;) {
        const { kvs, header: seen } = await this.#client.getAll().prefix(`${name}/`).exec();
        if (over.aborted) throw new FlashloanError("service_unavailable", "the lease was lost while waiting to lead");
        const before = kvs
          .filter((entry) => BigInt(entry.create_revision) < fencingToken)
          .toSorted((a, b) => Number(BigInt(b.create_revision) - BigInt(a.create_revision)));
        const [previous] = before;
        if (!previous) return { fencingToken, lost: lease.lost, stop: () => this.#release(lease) };
        await untilKeyChanges(this.#client, previous.key.toString(), BigInt(seen.revision), LEASE_TTL_S * 1_000, over);
      }
    } catch (error) {
      await this.#release(lease);
      throw error;
    }
  }

  async #grant(): Promise<EtcdLease> {
    const lease = await EtcdLease.grant(this.#client);
    this.#leases.add(lease);
    if (this.#stopping.signal.aborted) void this.#release(lease);
    return lease;
  }

  async #release(lease: EtcdLease): Promise<void> {
    this.#leases.delete(lease);
    await lease.end();
  }

  async #guard<T>(work: Promise<T>): Promise<T> {
    if (this.#stopping.signal.aborted) throw new FlashloanError("service_stopping", "the coordination has stopped");
    try {
      return await work;
    } catch (cause) {
      throw new FlashloanError(
        "service_unavailable",
        `etcd can't be reached at ${this.#hosts.join(", ")} (${(cause as Error).message}); a write may have taken place: read before writing again`,
        { cause },
      );
    }
  }
}

function valuePath(key: string): string {
  return `${PREFIX}value/${key}`;
}

/** Tries until it succeeds or the signal aborts. */
async function retried<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await work();
    } catch {
      // Down, or lost meanwhile: the back-off grows.
      await systemClock.sleep(RETRY_BASE_MS / 2 + backoffMs(attempt, RETRY_BASE_MS, RETRY_CAP_MS), signal);
    }
  }
}

/** Resolves when any of the signals aborts. */
async function aborted(...signals: readonly AbortSignal[]): Promise<void> {
  const any = AbortSignal.any([...signals]);
  if (!any.aborted)
    await new Promise<void>((resolve) => any.addEventListener("abort", () => resolve(), { once: true }));
}
