import { integerVariable } from "@flashloan/shared/config";

/** What the embedded platform reads for itself. */
export const embeddedConfigSchema = {
  WATCHDOG_BLOCKED_MS_MAX: integerVariable(
    0,
    600_000,
    3_000,
    "milliseconds for which the event loop may be blocked before the process is killed and started again, ten times as many while it starts; 0: not watched",
  ),
};
