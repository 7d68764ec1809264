import type { ServiceContext } from "@flashloan/shared/service";
import type { UnitDriver } from "../driver.ts";
import { createNoDriver } from "./none.ts";

/** The driver that a URL names: `docker:` or `swarm:` and the engine proxy's address, or `none:`. */
export async function openDriver(url: string, _context: ServiceContext): Promise<UnitDriver> {
  if (url === "none:") return createNoDriver();
  throw new Error(url);
}
