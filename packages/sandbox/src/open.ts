import { FlashloanError } from "@flashloan/shared/errors";
import { openBwrapSandbox } from "./bwrap.ts";
import type { Sandbox } from "./port.ts";

/**
 * The sandbox that a URL names: `bwrap:` on a bare machine.
 * @throws FlashloanError config_invalid, sandbox_unavailable
 */
export async function openSandbox(url: string): Promise<Sandbox> {
  if (url === "bwrap:") return openBwrapSandbox();
  throw new FlashloanError("config_invalid", `no sandbox for "${url}"; known: bwrap:`);
}
