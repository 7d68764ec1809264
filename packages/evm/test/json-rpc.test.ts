import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { afterEach, describe, expect, test } from "vitest";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { getChainId, getHead, getReceipt } from "../src/chain.ts";
import { connect, type JsonRpc } from "../src/json-rpc.ts";
import { NodeError, startScriptedNode, type Script, type ScriptedNode } from "./scripted-node.ts";

let lifecycle = new Lifecycle();
afterEach(async () => {
  await lifecycle.stop();
  lifecycle = new Lifecycle();
});

const FAST = { reconnectMs: 5, heartbeatMs: 60, connectDeadlineMs: 500 };

async function connected(script: Script): Promise<{ node: ScriptedNode; rpc: JsonRpc }> {
  const node = lifecycle.add("node", await startScriptedNode(script));
  const rpc = lifecycle.add("rpc", await connect(node.url, FAST));
  return { node, rpc };
}

/** Messages of a subscription, awaited one by one. */
function recorder() {
  const messages: unknown[] = [];
  let reconnections = 0;
  let wake = (): void => undefined;
  const until = async (isReached: () => boolean): Promise<void> => {
    while (!isReached()) await new Promise<void>((resolve) => (wake = resolve));
  };
  return {
    messages,
    message: (value: unknown) => {
      messages.push(value);
      wake();
    },
    reconnected: () => {
      reconnections += 1;
      wake();
    },
    received: (count: number) => until(() => messages.length >= count),
    reconnections: (count: number) => until(() => reconnections >= count),
  };
}

describe("requests", () => {
  test("carry method and parameters, and bring back the validated result", async () => {
    const { node, rpc } = await connected(({ params }) => params);
    expect(await rpc.request("echo", [1, "two"], z.tuple([z.number(), z.string()]))).toEqual([1, "two"]);
    expect(node.requests).toMatchObject([{ method: "echo", params: [1, "two"] }]);
  });

  test("are matched with their answers by id, in whatever order these come", async () => {
    const late: (() => void)[] = [];
    const { rpc } = await connected(({ id, params: [value] }, socket) => {
      late.push(() => socket.send(JSON.stringify({ jsonrpc: "2.0", id, result: value })));
      if (late.length === 50) for (const send of late.reverse()) send();
    });
    const values = Array.from({ length: 50 }, (_, index) => index);
    expect(await Promise.all(values.map((value) => rpc.request("echo", [value], z.number())))).toEqual(values);
  });

  test("that the node refuses fail with the node's own words, code and data", async () => {
    const { rpc } = await connected(() => {
      throw new NodeError({ code: 3, message: "execution reverted", data: "0x08c379a0" });
    });
    await expect(rpc.request("eth_call", [], z.string())).rejects.toMatchObject({
      code: "chain_rejected",
      message: "eth_call: execution reverted",
      details: { rpcCode: 3, data: "0x08c379a0", method: "eth_call" },
    });
  });

  test.each([["a string"], [{ code: "three", message: 5, data: {} }], [[]], [7], [true]])(
    "survive the error %j, which no node should send",
    async (body) => {
      const { rpc } = await connected(() => {
        throw new NodeError(body);
      });
      await expect(rpc.request("x", [], z.string())).rejects.toMatchObject({ code: "chain_rejected" });
    },
  );

  test("that are not answered end at their deadline, and the connection goes on", async () => {
    const { rpc } = await connected(({ method }) => (method === "slow" ? undefined : "0x1"));
    await expect(rpc.request("slow", [], z.string(), 30)).rejects.toMatchObject({
      code: "deadline_exceeded",
      message: expect.stringContaining("slow was not answered by ws://127.0.0.1:"),
    });
    expect(await getChainId(rpc)).toBe(1);
  });

  test("whose answer has the wrong shape name the field", async () => {
    const header = { number: "0x1", hash: "0x12", parentHash: `0x${"00".repeat(32)}`, timestamp: 5 };
    const { rpc } = await connected(({ method }) => (method === "eth_chainId" ? 31337 : header));
    await expect(getChainId(rpc)).rejects.toMatchObject({
      code: "chain_response_invalid",
      message: expect.stringMatching(/^eth_chainId answered something else than expected \(result: .*Ethereum node\?$/),
    });
    await expect(getHead(rpc)).rejects.toMatchObject({
      code: "chain_response_invalid",
      message: expect.stringMatching(/hash: must be a 32-byte hex hash; timestamp: .*; gasUsed: /),
    });
  });

  test("for something that the node has not got are null, or an error where there must be one", async () => {
    const { rpc } = await connected(() => null);
    expect(await getReceipt(rpc, `0x${"11".repeat(32)}`)).toBeNull();
    await expect(getHead(rpc)).rejects.toMatchObject({ message: expect.stringContaining("knows no latest block") });
  });

  test("under way when the connection breaks fail at once", async () => {
    const { rpc } = await connected((_, socket) => {
      socket.terminate();
    });
    await expect(rpc.request("x", [], z.string(), 60_000)).rejects.toMatchObject({ code: "chain_unreachable" });
  });

  test("after our own stop fail as such, and stop may be called twice", async () => {
    const { rpc } = await connected(() => undefined);
    const open = rpc.request("x", [], z.string());
    const failure = open.catch((error: unknown) => error);
    await rpc.stop();
    await rpc.stop();
    expect(await failure).toMatchObject({ code: "service_stopping" });
    await expect(rpc.request("x", [], z.string())).rejects.toMatchObject({ code: "service_stopping" });
  });
});

describe("rubbish", () => {
  test.each(["<html>502 Bad Gateway</html>", "", "null", "5", '"text"', "{"])(
    "instead of JSON-RPC (%j) fails what waits and drops the connection",
    async (text) => {
      let isBroken = true;
      const { node, rpc } = await connected((_, socket) => {
        if (!isBroken) return "0x1";
        socket.send(text);
        return undefined;
      });
      await expect(rpc.request("x", [], z.string(), 60_000)).rejects.toMatchObject({
        code: "chain_response_invalid",
        message: expect.stringContaining("no JSON-RPC message"),
      });
      isBroken = false;
      await node.connections(2);
      await expect.poll(() => getChainId(rpc).catch(() => "not yet")).toBe(1);
    },
  );

  test.each([
    "{}",
    "[]",
    '{"id":999,"result":1}',
    '{"id":"1"}',
    '{"id":null,"error":{"code":-32700}}',
    '{"method":"eth_subscription"}',
    '{"method":"eth_subscription","params":null}',
    '{"method":"eth_subscription","params":{"subscription":"0xother","result":1}}',
  ])("that belongs to no request (%s) is passed over", async (text) => {
    const { node, rpc } = await connected(({ method }) => (method === "eth_subscribe" ? "0xabc" : "0x1"));
    const heads = recorder();
    await rpc.subscribe("newHeads", heads);
    node.broadcast(text);
    expect(await getChainId(rpc)).toBe(1);
    expect(heads.messages).toEqual([]);
  });
});

describe("subscriptions", () => {
  const subscribing: Script = ({ method }) => (method === "eth_subscribe" ? "0xabc" : true);

  test("deliver until they are stopped", async () => {
    const { node, rpc } = await connected(subscribing);
    const heads = recorder();
    const subscription = await rpc.subscribe("newHeads", heads);
    node.announce(1);
    node.announce(2);
    await heads.received(2);
    await subscription.stop();
    expect(node.requests.at(-1)).toMatchObject({ method: "eth_unsubscribe", params: ["0xabc"] });
    node.announce(3);
    await rpc.request("x", [], z.boolean());
    expect(heads.messages).toEqual([1, 2]);
  });

  test("miss nothing that comes in the same packet as their confirmation", async () => {
    const { rpc } = await connected(({ id, method }, socket, tcp) => {
      if (method !== "eth_subscribe") return true;
      const [answer, head] = [
        { id, result: "0xabc" },
        { method: "eth_subscription", params: { subscription: "0xabc", result: 7 } },
      ];
      // One write to the TCP socket, two WebSocket frames.
      tcp.cork();
      socket.send(JSON.stringify(answer));
      socket.send(JSON.stringify(head));
      tcp.uncork();
      return undefined;
    });
    const heads = recorder();
    await rpc.subscribe("newHeads", heads);
    await heads.received(1);
    expect(heads.messages).toEqual([7]);
  });

  test("come back after every disconnection, and say so", async () => {
    const { node, rpc } = await connected(subscribing);
    const heads = recorder();
    await rpc.subscribe("newHeads", heads);
    for (let round = 1; round <= 5; round++) {
      node.cut();
      await heads.reconnections(round);
      node.announce(round);
      await heads.received(round);
    }
    expect(heads.messages).toEqual([1, 2, 3, 4, 5]);
    expect(node.requests.filter(({ method }) => method === "eth_subscribe")).toHaveLength(6);
  });

  test("come back even when the node at first refuses them after a reconnection", async () => {
    let refusals = 0;
    const { node, rpc } = await connected(subscribing);
    const heads = recorder();
    await rpc.subscribe("newHeads", heads);
    node.script = (request, socket, tcp) => {
      if (request.method === "eth_subscribe" && refusals++ < 3)
        throw new NodeError({ code: -32000, message: "syncing" });
      return subscribing(request, socket, tcp);
    };
    node.cut();
    await heads.reconnections(1);
    expect(refusals).toBe(4);
    node.announce(1);
    await heads.received(1);
  });

  test("whose confirmation is rubbish fail, and are not asked for again", async () => {
    const { node, rpc } = await connected(({ method }) => (method === "eth_subscribe" ? { id: 5 } : true));
    await expect(rpc.subscribe("newHeads", recorder())).rejects.toMatchObject({
      code: "chain_response_invalid",
      message: expect.stringContaining('eth_subscribe answered {"id":5}'),
    });
    node.cut();
    await node.connections(2);
    await expect.poll(() => rpc.request("x", [], z.boolean()).catch(() => false)).toBe(true);
    expect(node.requests.filter(({ method }) => method === "eth_subscribe")).toHaveLength(1);
  });
});

describe("connections", () => {
  test("to nothing fail with the cause and what to look at", async () => {
    const node = await startScriptedNode(() => undefined);
    await node.stop();
    await expect(connect(node.url)).rejects.toMatchObject({
      code: "chain_unreachable",
      message: expect.stringMatching(/^can't connect to the chain at ws:.*ECONNREFUSED.*is the node running/),
    });
  });

  test("to what is no WebSocket server fail", async () => {
    const server = createServer((socket) => socket.end("SSH-2.0-OpenSSH_9.2\r\n")).listen(0, "127.0.0.1");
    await once(server, "listening");
    lifecycle.onStop("server", () => void server.close());
    const { port } = server.address() as { port: number };
    await expect(connect(`ws://127.0.0.1:${port}`)).rejects.toMatchObject({ code: "chain_unreachable" });
  });

  test("to a server that accepts and says nothing fail within the deadline", async () => {
    const server = createServer((socket) => lifecycle.onStop("socket", () => void socket.destroy())).listen(
      0,
      "127.0.0.1",
    );
    await once(server, "listening");
    lifecycle.onStop("server", () => void server.close());
    const { port } = server.address() as { port: number };
    const attempt = connect(`ws://127.0.0.1:${port}`, { connectDeadlineMs: 50 });
    await expect(attempt).rejects.toMatchObject({
      code: "chain_unreachable",
      message: expect.stringContaining("timed out"),
    });
  });

  test.each(["", "nonsense", "http://127.0.0.1:8545", "ws://", "ftp://x", "ipc:"])("to %j are refused", async (url) => {
    await expect(connect(url)).rejects.toMatchObject({
      code: "config_invalid",
      message: expect.stringContaining("ws://host:port"),
    });
  });

  test("never show what may be secret in a URL", async () => {
    const node = await startScriptedNode(() => undefined);
    await node.stop();
    const url = node.url.replace("ws://", "ws://user:hunter2@");
    const failure: unknown = await connect(`${url}/v3/topsecret?key=alsosecret`).catch((error: unknown) => error);
    expect(failure).toMatchObject({ details: { url: `${node.url}/…` } });
    expect(String(failure)).not.toMatch(/hunter2|secret/);
  });

  test("that fall silent are found dead by their missing heartbeat, and made anew", async () => {
    const { node, rpc } = await connected(({ method }) => (method === "eth_subscribe" ? "0xabc" : true));
    const heads = recorder();
    await rpc.subscribe("newHeads", heads);
    // The first connection's pongs stop: as when the node hangs.
    node.script = (request, socket) => {
      if (request.method === "hang") {
        socket.pause();
        return undefined;
      }
      return request.method === "eth_subscribe" ? "0xabc" : true;
    };
    await expect(rpc.request("hang", [], z.boolean(), 60_000)).rejects.toMatchObject({ code: "chain_unreachable" });
    await heads.reconnections(1);
    node.announce(1);
    await heads.received(1);
  });

  test("over a Unix socket work alike, whatever stands between two messages", async () => {
    const path = join(tmpdir(), `flashloan-evm-test-${process.pid}.ipc`);
    rmSync(path, { force: true });
    const server = createServer((socket) => {
      socket.on("data", (chunk) => {
        for (const line of chunk.toString("utf8").split("\n").filter(Boolean)) {
          const { id, method, params } = JSON.parse(line) as { id: number; method: string; params: unknown[] };
          if (method === "rubbish") return void socket.write("HTTP/1.1 400 Bad Request\r\n");
          const text = JSON.stringify({ id, result: method === "eth_subscribe" ? "0xabc" : params[0] });
          // Byte by byte and run together: the splitter has to find the ends.
          for (const byte of Buffer.from(id % 2 === 0 ? `${text}\n` : text)) socket.write(Buffer.of(byte));
        }
      });
    }).listen(path);
    await once(server, "listening");
    lifecycle.onStop("server", () => void server.close());
    const rpc = lifecycle.add("rpc", await connect(`ipc:${path}`, FAST));
    const texts = ['quote " and brace }', "back\\slash", "{[", "ünï", ""];
    expect(await Promise.all(texts.map((text) => rpc.request("echo", [text], z.string())))).toEqual(texts);
    await expect(rpc.request("rubbish", [], z.string())).rejects.toMatchObject({ code: "chain_response_invalid" });
    const heads = recorder();
    await expect
      .poll(() =>
        rpc.subscribe("newHeads", heads).then(
          () => true,
          () => false,
        ),
      )
      .toBe(true);
  });
});
