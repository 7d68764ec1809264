import type { Running } from "../lifecycle.ts";

/** One service instance as the registry knows it. */
export interface Registration {
  readonly service: string;
  readonly instance: string;
  /** `host:port` of its gRPC server. */
  readonly address: string;
}

/** Leadership, held until `lost` fires or `stop` is called. */
export interface Leadership extends Running {
  /** Grows with every change of leader; what it writes to carries it, so that a stale leader's write is refused. */
  readonly fencingToken: bigint;
  readonly lost: AbortSignal;
}

/** Who leads, who is alive, and small shared values with compare-and-swap. */
export interface Coordination extends Running {
  /** Announces an instance until it is stopped (or, in a distributed adapter, its lease expires). */
  register(registration: Registration): Promise<Running>;
  /** The instances of a service that are alive now. */
  instances(service: string): Promise<readonly Registration[]>;
  /** Waits to become the leader of `name`; rejects when the signal aborts. */
  campaign(name: string, signal: AbortSignal): Promise<Leadership>;
  read(key: string): Promise<{ value: string; version: bigint } | undefined>;
  /** Writes when the key is at `version` (undefined: absent); returns the new version, or undefined on a conflict. */
  compareAndSwap(key: string, version: bigint | undefined, value: string): Promise<bigint | undefined>;
  /** Calls back with every later value of the key. */
  watch(key: string, onChange: (value: string, version: bigint) => void): Promise<Running>;
  /** Whether the store answers now; for health, never thrown. */
  isReachable(): Promise<boolean>;
}
