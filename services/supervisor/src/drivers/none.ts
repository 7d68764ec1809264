import { FlashloanError } from "@flashloan/shared/errors";
import type { UnitDriver } from "../driver.ts";

/** For a supervisor that reaches nothing: it watches what registers, and tells. */
export function createNoDriver(): UnitDriver {
  const unreachable = (unit: string): FlashloanError =>
    new FlashloanError("not_found", `${unit} can't be reached from here: set SUPERVISOR_UNITS_URL to where it runs`);
  return {
    kind: "none",
    sightings: async () => [],
    onHint: () => undefined,
    restart: (unit) => Promise.reject(unreachable(unit)),
    logs: (unit) => Promise.reject(unreachable(unit)),
    stop: async () => undefined,
  };
}
