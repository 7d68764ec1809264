import type { Etcd3 } from "etcd3";
import { systemClock, withDeadline } from "../clock.ts";

/** How long a lease lives without its holder: what a crash leaves behind is gone after this. */
export const LEASE_TTL_S = 5;
/** A lease counts as lost so long before the server can have ended it. */
const LOST_EARLY_MS = 500;
const RENEW_EVERY_MS = 1_500;
const RENEW_AGAIN_MS = 300;
const RENEW_DEADLINE_MS = 1_000;
const REVOKE_DEADLINE_MS = 1_000;

/**
 * A lease that is renewed until it is ended or lost. etcd3's own says that it is lost up to a TTL late; this one reckons
 * from when a renewal was asked for, so that `lost` fires before the server can give its keys to another.
 */
export class EtcdLease {
  readonly id: string;
  readonly #client: Etcd3;
  readonly #lost = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  private constructor(client: Etcd3, id: string, askedAtMs: number) {
    this.#client = client;
    this.id = id;
    this.#validFrom(askedAtMs);
    void this.#keep();
  }

  static async grant(client: Etcd3): Promise<EtcdLease> {
    const askedAtMs = systemClock.monotonic();
    const { ID } = await client.leaseClient.leaseGrant({ TTL: LEASE_TTL_S });
    return new EtcdLease(client, ID, askedAtMs);
  }

  /** Fires when the lease is lost or ended, and before its keys can be gone. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Gives the lease back, and its keys with it; when etcd can't be told they go with the lease's time. */
  async end(): Promise<void> {
    this.#lose();
    try {
      const revoked = this.#client.leaseClient.leaseRevoke(
        { ID: this.id },
        { deadline: Date.now() + REVOKE_DEADLINE_MS },
      );
      await withDeadline(revoked, REVOKE_DEADLINE_MS, () => new Error("no answer"));
    } catch {
      // It expires by itself.
    }
  }

  #lose(): void {
    clearTimeout(this.#timer);
    this.#lost.abort();
  }

  #validFrom(askedAtMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => this.#lose(),
      askedAtMs + LEASE_TTL_S * 1_000 - LOST_EARLY_MS - systemClock.monotonic(),
    );
  }

  async #keep(): Promise<void> {
    let pauseMs = RENEW_EVERY_MS;
    while (!this.lost.aborted) {
      try {
        await systemClock.sleep(pauseMs, this.lost);
        const askedAtMs = systemClock.monotonic();
        const alive = await this.#renew();
        if (this.lost.aborted) return;
        if (!alive) return this.#lose();
        this.#validFrom(askedAtMs);
        pauseMs = RENEW_EVERY_MS;
      } catch {
        pauseMs = RENEW_AGAIN_MS;
      }
    }
  }

  /** False when etcd does not know the lease any more. */
  async #renew(): Promise<boolean> {
    const stream = await this.#client.leaseClient.leaseKeepAlive({ deadline: Date.now() + RENEW_DEADLINE_MS });
    try {
      return await new Promise<boolean>((resolve, reject) => {
        stream.on("data", ({ TTL }) => resolve(Number(TTL) > 0));
        stream.on("error", reject);
        stream.on("end", () => reject(new Error("the stream ended")));
        stream.write({ ID: this.id });
      });
    } finally {
      stream.end();
    }
  }
}
