import { FlashloanError } from "@flashloan/shared/errors";
import { openBwrapSandbox } from "./bwrap.ts";
import type { Sandbox } from "./port.ts";
import { openRemoteSandbox } from "./remote.ts";

/**
 * The sandbox that a URL names: `bwrap:` on a bare machine, `unix:/path/of/socket` for an executor's container.
 * @throws FlashloanError config_invalid, sandbox_unavailable, service_unavailable
 */
export async function openSandbox(url: string): Promise<Sandbox> {
  if (url === "bwrap:") return openBwrapSandbox();
  if (url.startsWith("unix:/")) return openRemoteSandbox(url.slice("unix:".length));
  throw new FlashloanError("config_invalid", `no sandbox for "${url}"; known: bwrap:, unix:/path/of/socket`);
}
