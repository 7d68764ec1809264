import { FlashloanError } from "@flashloan/shared/errors";
import { dialIpc } from "./ipc-channel.ts";
import { RpcSession, type ConnectionOptions, type Dial, type JsonRpc } from "./rpc-session.ts";
import { dialWebSocket } from "./websocket-channel.ts";

export type { JsonRpc } from "./rpc-session.ts";

/**
 * Connects to a node and keeps the connection up (back-off with full jitter). The URL's scheme chooses the way:
 * `ws://` and `wss://` a WebSocket, `ipc:/path/of/socket` a Unix socket on the same machine.
 * @throws FlashloanError config_invalid for another scheme; chain_unreachable when the first connection fails
 */
export async function connect(url: string, options: ConnectionOptions = {}): Promise<JsonRpc> {
  const session = new RpcSession(displayUrl(url), dialerOf(url, options), options);
  await session.open();
  return session;
}

/** @see connect */
export function connectWebSocket(url: string): Promise<JsonRpc> {
  return connect(url);
}

function dialerOf(url: string, options: ConnectionOptions): Dial {
  if (/^wss?:\/\/[^/]/.test(url) && URL.canParse(url)) return dialWebSocket(url, options);
  if (/^ipc:./.test(url)) return dialIpc(url.replace(/^ipc:(\/\/(?=\/))?/, ""));
  throw new FlashloanError(
    "config_invalid",
    `${displayUrl(url)} is no endpoint of a node: it must be ws://host:port, wss://host or ipc:/path/of/socket`,
  );
}

/** A provider's key often stands in the path, or user and password before the host: none of it may reach a log. */
function displayUrl(url: string): string {
  if (url.startsWith("ipc:")) return url;
  if (!URL.canParse(url)) return `"${url.slice(0, 12)}${url.length > 12 ? "…" : ""}"`;
  const { protocol, host, pathname, search } = new URL(url);
  return `${protocol}//${host}${pathname.length > 1 || search ? "/…" : ""}`;
}
