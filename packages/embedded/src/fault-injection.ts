import { FlashloanError } from "@flashloan/shared/errors";

/**
 * For crash campaigns: FLASHLOAN_FAULT_POINT=name or name:n kills this process with SIGKILL when the named point is
 * reached for the n-th time. Nothing else can do that, and without the variable there is no such point.
 * @throws FlashloanError config_invalid
 */
export function faultPointFromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): ((point: string) => void) | undefined {
  const value = environment["FLASHLOAN_FAULT_POINT"];
  if (value === undefined || value === "") return undefined;
  const match = /^([A-Za-z_]+)(?::(\d+))?$/.exec(value);
  if (!match)
    throw new FlashloanError(
      "config_invalid",
      `FLASHLOAN_FAULT_POINT is "${value}": must be a point's name, or name:n for the n-th time`,
    );
  let remaining = Number(match[2] ?? 1);
  return (point) => {
    if (point !== match[1]) return;
    remaining -= 1;
    if (remaining === 0) process.kill(process.pid, "SIGKILL");
  };
}
