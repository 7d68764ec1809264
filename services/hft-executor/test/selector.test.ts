import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { z } from "zod";
import { descriptorFile } from "@flashloan/proto/descriptor";
import {
  QuantumEngineServiceService,
  type SelectOpportunitiesRequest,
  type SelectOpportunitiesResponse,
} from "@flashloan/proto/quantum/v1/quantum";
import type { RecoveryEvent } from "@flashloan/recovery/pattern";
import { testContext } from "@flashloan/shared/contract/context";
import { FlashloanError } from "@flashloan/shared/errors";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { startRpcServer, unary, type RpcServer } from "@flashloan/shared/rpc-server";
import { EngineSelector, greedySelector, type Selection } from "../src/selector.ts";
import { offer, sequel } from "./opportunities.ts";

// An engine on a real port that answers as each test says.
type Answer = (question: SelectOpportunitiesRequest, signal: AbortSignal) => Promise<readonly string[]>;

const ROOM = { transactionsMax: 3, gasMax: 1_000n };
/** The best excludes two that are worth more together. */
const [BEST, LEFT, RIGHT] = [offer("best", 10, ["p", "q"]), offer("left", 8, ["p"]), offer("right", 7, ["q", "r"])];
const OFFER = { opportunities: [BEST, LEFT, RIGHT], sequels: [sequel(BEST, RIGHT, 6, ["q", "r"])] };
const LEFT_AND_RIGHT = async (): Promise<string[]> => ["left", "right"];
/** Long enough for an engine that answers; what is late is waited for. */
const DEADLINE_MS = 2_000;

/** Any service will do: its counters count what the engine here is asked. */
const ENGINE = "hft-executor";

let lifecycle = new Lifecycle();
afterEach(async () => {
  await lifecycle.stop();
  lifecycle = new Lifecycle();
});

function serve(answer: Answer, port = 0): Promise<RpcServer> {
  const context = testContext(ENGINE);
  const selectOpportunities = unary<SelectOpportunitiesRequest, SelectOpportunitiesResponse>(
    z.object({}).loose(),
    context,
    async (question, signal) => ({ chosen: [...(await answer(question, signal))], netWei: "0" }),
  );
  const services = [
    {
      name: "flashloan.quantum.v1.QuantumEngineService",
      definition: QuantumEngineServiceService,
      implementation: { selectOpportunities },
    },
  ];
  return startRpcServer({ host: "127.0.0.1", port, services, descriptorFile, context });
}

async function selectorAt(address: string, deadlineMs = DEADLINE_MS) {
  const client = lifecycle.add("client", new RpcClient(address));
  const events: RecoveryEvent[] = [];
  const { log } = testContext("hft-executor");
  const selector = new EngineSelector({ client, deadlineMs, log, observe: (event) => events.push(event) });
  const connected = (): Promise<void> => expect.poll(() => client.isConnected, { timeout: 10_000 }).toBe(true);
  const select = async (): Promise<string> => said(await selector.select(OFFER, ROOM));
  return { selector, events, connected, select };
}

/** The outcome and what is chosen. */
function said({ outcome, chosen }: Selection): string {
  return `${outcome}: ${chosen.map(({ id }) => id).join(" ")}`;
}

test("the engine is asked with all that it must know, and its choice is taken in its order", async () => {
  const questions: SelectOpportunitiesRequest[] = [];
  const server = await serve(async (question) => {
    questions.push(question);
    return ["right", "left"];
  });
  lifecycle.onStop("engine", () => server.stop());
  const { selector, connected } = await selectorAt(server.address);
  await connected();
  const selection = await selector.select(OFFER, ROOM);
  expect([said(selection), selection.gainWei]).toEqual(["engine: right left", 5n]);
  expect(questions).toHaveLength(1);
  expect(questions[0]).toMatchObject({
    opportunities: [
      { id: "best", netWei: "10", pools: ["p", "q"], gas: 100n, loanSource: "0xvault:0xweth", loanAmount: "7" },
      { id: "left", pools: ["p"] },
      { id: "right", pools: ["q", "r"] },
    ],
    sequels: [{ first: "best", second: "right", netWei: "6" }],
    room: { transactionsMax: 3, gasMax: 1_000n },
    budget: { deadlineMs: 1_200 },
  });
});

test("what is worth more after another one is traded after it, at its size then", async () => {
  const server = await serve(async () => ["best", "right"]);
  lifecycle.onStop("engine", () => server.stop());
  const { selector, connected } = await selectorAt(server.address);
  await connected();
  const selection = await selector.select(OFFER, ROOM);
  expect([selection.outcome, selection.gainWei]).toEqual(["engine", 6n]);
  expect(selection.chosen).toEqual([
    { id: "best", opportunity: BEST },
    { id: "right", opportunity: OFFER.sequels[0]?.opportunity, after: "best" },
  ]);
});

test("it is not asked where there is nothing to choose", async () => {
  const server = await serve(() => Promise.reject(new Error("asked")));
  lifecycle.onStop("engine", () => server.stop());
  const { selector, connected } = await selectorAt(server.address);
  await connected();
  expect(said(await selector.select({ opportunities: [BEST], sequels: [] }, ROOM))).toBe("greedy: best");
  expect(said(await selector.select(OFFER, { ...ROOM, transactionsMax: 0 }))).toBe("greedy: ");
  expect(said(await greedySelector.select(OFFER, ROOM))).toBe("greedy: best");
});

test("one that is late is not waited for longer than its deadline, and is told that nobody wants the answer", async () => {
  const { promise: cancelled, resolve } = Promise.withResolvers<string>();
  const server = await serve((_, signal) => {
    signal.addEventListener("abort", () => resolve("cancelled"));
    return new Promise(() => undefined);
  });
  lifecycle.onStop("engine", () => server.stop());
  const { select, connected } = await selectorAt(server.address, 5);
  await connected();
  expect(await select()).toBe("late: best");
  expect(await cancelled).toBe("cancelled");
});

test("one that hangs is given up after three blocks, and asked again later", async () => {
  let silent = true;
  const server = await serve(() => (silent ? new Promise(() => undefined) : LEFT_AND_RIGHT()));
  lifecycle.onStop("engine", () => server.stop());
  const { select, connected, events } = await selectorAt(server.address, 200);
  await connected();
  expect([await select(), await select(), await select()]).toEqual(Array(3).fill("late: best"));
  expect(await select()).toBe("down: best");
  expect(events.map(({ outcome }) => outcome)).toEqual(["opened", "refused"]);
  silent = false;
  await expect.poll(select, { timeout: 20_000, interval: 100 }).toBe("engine: left right");
  expect(events.at(-1)?.outcome).toBe("recovered");
});

test.each([
  ["argument_invalid", "refused: best"],
  ["queue_full", "refused: best"],
  ["internal", "refused: best"],
  ["deadline_exceeded", "late: best"],
  ["service_stopping", "refused: best"],
] as const)("one that answers %s is not listened to", async (code, expected) => {
  const server = await serve(() => Promise.reject(new FlashloanError(code, "no")));
  lifecycle.onStop("engine", () => server.stop());
  const { select, connected } = await selectorAt(server.address);
  await connected();
  expect(await select()).toBe(expected);
});

test.each([
  ["what was not offered", ["left", "other"], "invalid: best"],
  ["the same twice", ["left", "left"], "invalid: best"],
  ["two of one pool", ["best", "left"], "invalid: best"],
  ["nothing", [], "worse: best"],
  ["the least", ["right"], "worse: best"],
])("one that chooses %s is not believed", async (_, chosen, expected) => {
  const server = await serve(async () => chosen);
  lifecycle.onStop("engine", () => server.stop());
  const { select, connected } = await selectorAt(server.address);
  await connected();
  expect(await select()).toBe(expected);
});

test("one whose answer is no message of ours is not believed", async () => {
  const context = testContext(ENGINE);
  const { selectOpportunities } = QuantumEngineServiceService;
  const definition = {
    selectOpportunities: {
      ...selectOpportunities,
      responseSerialize: () => Buffer.from("\xff not a message", "latin1"),
    },
  };
  const implementation = {
    selectOpportunities: unary(z.object({}).loose(), context, async () => ({})),
  };
  const services = [{ name: "flashloan.quantum.v1.QuantumEngineService", definition, implementation }];
  const server = await startRpcServer({ host: "127.0.0.1", port: 0, services, descriptorFile, context });
  lifecycle.onStop("engine", () => server.stop());
  const { select, connected } = await selectorAt(server.address);
  await connected();
  expect(await select()).toBe("invalid: best");
});

test("one that is down costs no deadline, and one that comes back is asked again", async () => {
  // Where nobody listens any more.
  const gone = await serve(LEFT_AND_RIGHT);
  await gone.stop();
  const port = Number(gone.address.split(":")[1]);
  const { select, connected, events } = await selectorAt(`127.0.0.1:${port}`, 600_000);
  expect(await select()).toBe("down: best");
  const first = await serve(LEFT_AND_RIGHT, port);
  await connected();
  expect(await select()).toBe("engine: left right");
  await first.stop();
  await expect.poll(select, { timeout: 10_000 }).toBe("down: best");
  const second = await serve(LEFT_AND_RIGHT, port);
  lifecycle.onStop("engine", () => second.stop());
  await expect.poll(select, { timeout: 10_000 }).toBe("engine: left right");
  expect(events).toEqual([]);
});

test("one that dies with the question is not waited for", async () => {
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  const server = await serve(() => {
    resolve();
    return new Promise(() => undefined);
  });
  lifecycle.onStop("engine", () => server.stop());
  const sockets = new Set<Socket>();
  const port = await listen((socket) => {
    const onward = connect(Number(server.address.split(":")[1]), "127.0.0.1");
    for (const end of [socket, onward]) {
      sockets.add(end);
      end.on("error", () => undefined);
    }
    socket.pipe(onward).pipe(socket);
  });
  const { select, connected } = await selectorAt(`127.0.0.1:${port}`, 600_000);
  await connected();
  const pending = select();
  await asked;
  // As when its process is killed.
  for (const socket of sockets) socket.resetAndDestroy();
  expect(await pending).toBe("down: best");
});

test("what takes connections and says nothing is not waited for", async () => {
  const { promise: connecting, resolve } = Promise.withResolvers<void>();
  const sockets = new Set<Socket>();
  const port = await listen((socket) => {
    sockets.add(socket.on("error", () => undefined));
    resolve();
  });
  lifecycle.onStop("sockets", async () => sockets.forEach((socket) => socket.destroy()));
  const { select } = await selectorAt(`127.0.0.1:${port}`, 600_000);
  await connecting;
  expect(await select()).toBe("down: best");
});

/** Listens on a port of its own until the test is over. */
async function listen(onSocket: (socket: Socket) => void): Promise<number> {
  const server = createServer(onSocket);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  lifecycle.onStop("listener", async () => void server.close());
  return (server.address() as AddressInfo).port;
}
