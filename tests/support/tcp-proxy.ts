import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** A wire between a client and a server that a test can make slow, silent or cut. */
export class TcpProxy {
  readonly #server: Server;
  readonly #target: number;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #silent = false;
  #cut = false;
  #deaf = false;
  #deafenAt: ((request: string) => boolean) | undefined;
  #delayMs = 0;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((client) => this.#join(client));
  }

  /** Listens on a free port and leads to another one of this machine. */
  static async open(target: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once("error", reject);
      proxy.#server.listen(0, "127.0.0.1", resolve);
    });
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** From now on nothing goes through, and no connection ends: a network that swallows packets. */
  silence(): void {
    this.#silent = true;
    for (const sockets of this.#pairs) for (const socket of sockets) socket.pause();
  }

  /** From the first request that matches on, what the server answers is lost; what the client sends still arrives. */
  deafenAfter(matches: (request: string) => boolean): void {
    this.#deafenAt = matches;
  }

  /** Ends every connection, and each new one at once, until it is healed. */
  cut(): void {
    this.#cut = true;
    for (const sockets of this.#pairs) for (const socket of sockets) socket.destroy();
  }

  /** What was held goes through again, and new connections are taken. */
  heal(): void {
    this.#silent = false;
    this.#cut = false;
    this.#deaf = false;
    this.#deafenAt = undefined;
    for (const sockets of this.#pairs) for (const socket of sockets) socket.resume();
  }

  /** Each chunk takes so long, both ways. */
  slowDown(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  async close(): Promise<void> {
    for (const sockets of this.#pairs) for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()));
  }

  #join(client: Socket): void {
    if (this.#cut) return void client.destroy();
    const server = connect(this.#target, "127.0.0.1");
    const pair = [client, server] as const;
    this.#pairs.add(pair);
    const end = (): void => {
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const [from, to] of [pair, [server, client] as const]) {
      from.setNoDelay(true);
      from.on("data", (chunk) => {
        if (this.#deaf && from === server) return;
        if (from === client && this.#deafenAt?.(chunk.toString("latin1"))) this.#deaf = true;
        if (this.#delayMs === 0) to.write(chunk);
        else setTimeout(() => to.write(chunk), this.#delayMs);
      });
      from.on("error", end);
      from.on("close", end);
      if (this.#silent) from.pause();
    }
  }
}
