import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { getHead, getHeader } from "@flashloan/evm/chain";
import { hashSchema, toQuantity } from "@flashloan/evm/hex";
import { connectWebSocket, type JsonRpc } from "@flashloan/evm/json-rpc";
import { startAnvil, stopAnvil, type Anvil } from "../src/anvil.ts";
import { devAccounts } from "../src/deploy.ts";
import { recordJournal, replayJournal } from "../src/journal.ts";
import { ensureDeployedState } from "../src/state-cache.ts";

const folder = mkdtempSync(join(tmpdir(), "flashloan-journal-"));
const journal = join(folder, "journal.jsonl");
const chains: Anvil[] = [];
let stateFile = "";

async function open(): Promise<{ anvil: Anvil; rpc: JsonRpc }> {
  const anvil = await startAnvil({ loadState: stateFile, blockTimeS: 0 });
  chains.push(anvil);
  return { anvil, rpc: await connectWebSocket(anvil.url) };
}
async function mine(rpc: JsonRpc, transactions: number): Promise<void> {
  const accounts = await devAccounts(rpc);
  for (let index = 0; index < transactions; index++) {
    const [from, to] = [accounts[index % 12], accounts[(index + 5) % 12]];
    // Equal tips and different ones: the order within the block is the miner's choice, and must come out again.
    const tip = toQuantity(BigInt(1 + (index % 3)) * 10n ** 9n);
    const fees = { maxFeePerGas: toQuantity(10n ** 12n), maxPriorityFeePerGas: tip };
    await rpc.request("eth_sendTransaction", [{ from, to, value: "0x1", gas: "0x5208", ...fees }], hashSchema);
  }
  await rpc.request("evm_mine", [], z.unknown());
}
const kill = async (anvil: Anvil): Promise<void> => {
  process.kill(anvil.pid, "SIGKILL");
  await anvil.ended;
};

beforeAll(async () => {
  ({ stateFile } = await ensureDeployedState());
});
afterAll(async () => {
  await Promise.all(chains.map(({ pid }) => stopAnvil(pid)));
  rmSync(folder, { recursive: true });
});

test("a chain that was killed is there again with every block and balance of its history, and goes on", async () => {
  const before = await open();
  const recording = await recordJournal(before.rpc, journal, (error) => {
    throw error;
  });
  const first = (await getHead(before.rpc)).number;
  for (const transactions of [3, 0, 12, 1, 7]) await mine(before.rpc, transactions);
  const head = await getHead(before.rpc);
  await expect.poll(() => readFileSync(journal, "utf8").trim().split("\n").length, { timeout: 30_000 }).toBe(5);
  const account = (await devAccounts(before.rpc))[0];
  const balance = (rpc: JsonRpc, block: number): Promise<unknown> =>
    rpc.request("eth_getBalance", [account, toQuantity(BigInt(block))], z.string());
  const balances = await Promise.all([first, first + 3, head.number].map((block) => balance(before.rpc, block)));
  await kill(before.anvil);
  await recording.stop().catch(() => undefined);
  await before.rpc.stop();

  const after = await open();
  expect(await replayJournal(after.rpc, journal)).toBe(5);
  expect(await getHead(after.rpc)).toEqual(head);
  expect(await Promise.all([first, first + 3, head.number].map((block) => balance(after.rpc, block)))).toEqual(
    balances,
  );
  await mine(after.rpc, 2);
  const next = await getHeader(after.rpc, head.number + 1);
  expect(next?.parentHash).toBe(head.hash);
  expect(Math.abs((next?.timestamp ?? 0) - Date.now() / 1000)).toBeLessThan(60);
  await after.rpc.stop();
});

test("half a line at the end is dropped; a block that comes out differently is refused", async () => {
  const whole = readFileSync(journal, "utf8");
  appendFileSync(journal, '{"number":30');
  const torn = await open();
  expect(await replayJournal(torn.rpc, journal)).toBe(5);
  expect(readFileSync(journal, "utf8")).toBe(whole);
  await torn.rpc.stop();

  const [line = "", ...rest] = whole.split("\n");
  const entry = JSON.parse(line) as { transactions: string[] };
  writeFileSync(journal, [JSON.stringify({ ...entry, transactions: entry.transactions.slice(1) }), ...rest].join("\n"));
  const forged = await open();
  await expect(replayJournal(forged.rpc, journal)).rejects.toThrow(/came out as .*remove the devnet's data folder/);
  await forged.rpc.stop();
});
