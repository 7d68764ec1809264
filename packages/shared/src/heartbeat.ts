import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { Running } from "./lifecycle.ts";
import type { ServiceContext } from "./service.ts";

/** The topic of heartbeats: not among the platform's facts, which are kept. */
export const HEARTBEAT_TYPE = "unit.heartbeat";
/** How often a unit says that it is there. */
export const HEARTBEAT_EVERY_MS = 2_000;

/** What a unit says of itself. */
export const heartbeatSchema = z.object({
  /** The unit: a service's name. */
  unit: z.string().min(1).max(63),
  instance: z.string().max(128),
  /** What it can't do its work without and misses now. */
  unmet: z.array(z.string().max(64)).max(64),
});

/**
 * Says again and again on the bus that this unit is there and what it misses, until it is stopped. While the broker is away
 * nothing is said: heartbeats must not take the place of facts that wait.
 */
export function startHeartbeats(
  { bus, clock, service }: ServiceContext,
  instance: string,
  unmet: () => readonly string[],
): Running {
  const beat = (): void => {
    if (!bus.health().connected) return;
    bus
      .publish({
        specversion: "1.0",
        id: randomUUID(),
        source: `/${service}`,
        type: HEARTBEAT_TYPE,
        time: new Date(clock.now()).toISOString(),
        datacontenttype: "application/json",
        data: { unit: service, instance, unmet: [...unmet()] },
      })
      // The next one comes in any case.
      .catch(() => undefined);
  };
  beat();
  const timer = setInterval(beat, HEARTBEAT_EVERY_MS);
  return { stop: async () => clearInterval(timer) };
}
