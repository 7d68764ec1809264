import { connect } from "node:net";
import type { Dial } from "./rpc-session.ts";
import { MessageSplitter } from "./message-splitter.ts";

const CONNECT_DEADLINE_MS = 5_000;
const CLOSE_DEADLINE_MS = 500;

/** Channels to a node's Unix socket: the fastest way to a node on the same machine. */
export function dialIpc(path: string): Dial {
  return (events) =>
    new Promise((resolve, reject) => {
      const socket = connect({ path });
      const timer = setTimeout(
        () => socket.destroy(new Error(`no connection within ${CONNECT_DEADLINE_MS} ms`)),
        CONNECT_DEADLINE_MS,
      );
      const splitter = new MessageSplitter((text) => events.text(text));
      let isOpen = false;
      socket.on("error", reject);
      socket.on("data", (chunk) => {
        if (!splitter.push(chunk)) socket.destroy();
      });
      socket.on("close", () => {
        clearTimeout(timer);
        reject(new Error("closed before it was open"));
        if (isOpen) events.closed();
      });
      socket.on("connect", () => {
        clearTimeout(timer);
        isOpen = true;
        resolve({
          send: (text) => socket.write(`${text}\n`),
          close: () => {
            socket.end();
            setTimeout(() => socket.destroy(), CLOSE_DEADLINE_MS).unref();
          },
          terminate: () => socket.destroy(),
        });
      });
    });
}
