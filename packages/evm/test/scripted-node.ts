import type { Socket } from "node:net";
import { WebSocketServer, type WebSocket } from "ws";

/** A request as a node receives it. */
export interface ScriptedRequest {
  readonly id: number;
  readonly method: string;
  readonly params: readonly unknown[];
}

/** Answers a request: a result, or an error to throw; undefined says nothing at all. `tcp` is what carries `socket`. */
export type Script = (request: ScriptedRequest, socket: WebSocket, tcp: Socket) => unknown;

/** Thrown by a script: the node's own error. */
export class NodeError extends Error {
  readonly body: unknown;
  constructor(body: unknown) {
    super("node error");
    this.body = body;
  }
}

/** A WebSocket server on loopback that plays an Ethereum node. */
export interface ScriptedNode {
  readonly url: string;
  readonly requests: ScriptedRequest[];
  script: Script;
  /** Sends the same text to every client. */
  broadcast(text: string): void;
  /** Sends a new head to every subscriber. */
  announce(head: unknown): void;
  /** Cuts every connection without a word. */
  cut(): void;
  /** Resolves when `count` connections have been made in all. */
  connections(count: number): Promise<void>;
  stop(): Promise<void>;
}

/** Starts one; every client that subscribes gets the id "0xabc". */
export async function startScriptedNode(script: Script, port = 0): Promise<ScriptedNode> {
  const server = new WebSocketServer({ host: "127.0.0.1", port });
  await new Promise<void>((resolve) => server.once("listening", resolve));
  let made = 0;
  let waiting: { count: number; resolve: () => void }[] = [];
  const node: ScriptedNode = {
    url: `ws://127.0.0.1:${(server.address() as { port: number }).port}`,
    requests: [],
    script,
    broadcast: (text) => {
      for (const client of server.clients) client.send(text);
    },
    announce: (result) =>
      node.broadcast(
        JSON.stringify({ jsonrpc: "2.0", method: "eth_subscription", params: { subscription: "0xabc", result } }),
      ),
    cut: () => {
      for (const client of server.clients) client.terminate();
    },
    connections: (count) =>
      new Promise((resolve) => {
        if (made >= count) resolve();
        else waiting.push({ count, resolve });
      }),
    stop: () => {
      node.cut();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  server.on("connection", (socket, { socket: tcp }) => {
    made += 1;
    for (const { count, resolve } of waiting) if (made >= count) resolve();
    waiting = waiting.filter(({ count }) => made < count);
    socket.on("message", (data) => {
      const request = JSON.parse((data as Buffer).toString("utf8")) as ScriptedRequest;
      node.requests.push(request);
      answer(node, request, socket, tcp);
    });
  });
  return node;
}

function answer(node: ScriptedNode, request: ScriptedRequest, socket: WebSocket, tcp: Socket): void {
  try {
    const result = node.script(request, socket, tcp);
    if (result !== undefined) socket.send(JSON.stringify({ jsonrpc: "2.0", id: request.id, result }));
  } catch (error) {
    if (!(error instanceof NodeError)) throw error;
    socket.send(JSON.stringify({ jsonrpc: "2.0", id: request.id, error: error.body }));
  }
}
