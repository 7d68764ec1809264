import { createRandom } from "@flashloan/shared/random";
import type { ServiceContext } from "@flashloan/shared/service";
import type { UnitDriver } from "../driver.ts";
import { createDockerDriver } from "./docker.ts";
import { createNoDriver } from "./none.ts";
import { createSwarmDriver } from "./swarm.ts";

/** The driver that SUPERVISOR_UNITS_URL names: `docker:` or `swarm:` and the engine proxy's address, or `none:`. */
export function openDriver(unitsUrl: string, { clock, log }: ServiceContext): UnitDriver {
  const [, kind, url = ""] = /^(docker|swarm):(.+)$/.exec(unitsUrl) ?? [];
  if (kind === undefined) return createNoDriver();
  const deps = { url, clock, log, random: createRandom(clock.now()) };
  return kind === "docker" ? createDockerDriver(deps) : createSwarmDriver(deps);
}
