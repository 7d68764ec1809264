import { connect, createServer, type Socket } from "node:net";
import { FlashloanError } from "@flashloan/shared/errors";
import type { Running } from "@flashloan/shared/lifecycle";

/** Connections that are forwarded at once; more are turned away. */
const CONNECTIONS_MAX = 1_000;

/**
 * Hands TCP connections on to a port of loopback: a server that must not be seen before it is ready listens there, and
 * is opened to the world by this. @throws FlashloanError port_taken
 */
export async function startForwarder(host: string, port: number, targetPort: number): Promise<Running> {
  const sockets = new Set<Socket>();
  const track = (socket: Socket): void => {
    sockets.add(socket.setNoDelay(true));
    socket.once("close", () => sockets.delete(socket));
  };
  const server = createServer((socket) => {
    const target = connect({ host: "127.0.0.1", port: targetPort });
    track(socket);
    track(target);
    // Either side's failure is the other's end.
    socket.once("error", () => target.destroy()).once("close", () => target.destroy());
    target.once("error", () => socket.destroy()).once("close", () => socket.destroy());
    socket.pipe(target);
    target.pipe(socket);
  });
  server.maxConnections = CONNECTIONS_MAX;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(
        new FlashloanError("port_taken", `can't listen on ${host}:${port} (${cause.message}): set DEVNET_PORT`, {
          cause,
        }),
      ),
    );
    server.listen(port, host, resolve);
  });
  return {
    stop: () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      return closed;
    },
  };
}
