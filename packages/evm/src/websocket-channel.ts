import { WebSocket } from "ws";
import type { ConnectionOptions, Dial } from "./rpc-session.ts";

/** The largest message that is taken, in bytes. */
const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;
const CONNECT_DEADLINE_MS = 5_000;
const HEARTBEAT_MS = 5_000;
/** A node that does not answer our goodbye within so long is left without one. */
const CLOSE_DEADLINE_MS = 500;

/** Channels to a node's WebSocket endpoint. */
export function dialWebSocket(url: string, options: ConnectionOptions): Dial {
  return (events) =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(url, {
        perMessageDeflate: false,
        maxPayload: MESSAGE_BYTES_MAX,
        handshakeTimeout: options.connectDeadlineMs ?? CONNECT_DEADLINE_MS,
      });
      // A node without TCP_NODELAY (anvil) holds its second answer back until the first is acknowledged, which Linux
      // puts off by 40 ms unless we send something: a pong that nobody asked for carries the acknowledgement, and is
      // not answered (RFC 6455, 5.5.3).
      let isAcknowledging = false;
      const acknowledge = (): void => {
        if (isAcknowledging) return;
        isAcknowledging = true;
        setImmediate(() => {
          isAcknowledging = false;
          if (socket.readyState === WebSocket.OPEN) socket.pong();
        });
      };
      let isOpen = false;
      // A connection can die without a word (a node that hangs, a router that forgot us): silence is put to the test.
      let isAlive = true;
      const heartbeat = setInterval(() => {
        if (!isOpen) return;
        if (!isAlive) return socket.terminate();
        isAlive = false;
        socket.ping();
      }, options.heartbeatMs ?? HEARTBEAT_MS);
      socket.on("pong", () => (isAlive = true));
      socket.on("message", (data) => {
        isAlive = true;
        if (events.text((data as Buffer).toString("utf8"))) acknowledge();
      });
      socket.on("error", reject);
      socket.on("close", () => {
        clearInterval(heartbeat);
        reject(new Error("closed before it was open"));
        if (isOpen) events.closed();
      });
      socket.on("open", () => {
        isOpen = true;
        resolve({
          send: (text) => socket.send(text),
          close: () => {
            socket.close();
            setTimeout(() => socket.terminate(), CLOSE_DEADLINE_MS).unref();
          },
          terminate: () => socket.terminate(),
        });
      });
    });
}
