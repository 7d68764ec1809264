import { appendFileSync, existsSync, readFileSync, truncateSync } from "node:fs";
import { z } from "zod";
import { getHead, headerSchema } from "@flashloan/evm/chain";
import { bytesSchema, hashSchema, toQuantity } from "@flashloan/evm/hex";
import type { JsonRpc } from "@flashloan/evm/json-rpc";
import { FlashloanError } from "@flashloan/shared/errors";
import type { Running } from "@flashloan/shared/lifecycle";

/** One block as it was mined: all that anvil needs to mine the very same block, with the same hash, again. */
const entrySchema = z.object({
  number: z.number().int(),
  hash: hashSchema,
  timestampS: z.number().int(),
  baseFeeWei: z.string().regex(/^\d+$/),
  transactions: z.array(bytesSchema),
});
type Entry = z.infer<typeof entrySchema>;

const blockSchema = headerSchema.and(z.object({ transactions: z.array(hashSchema) }));
const anything = z.unknown();

/**
 * Mines the blocks of a journal again on a chain that stands where the journal began and mines nothing by itself, and
 * checks every hash: transactions, order, time and base fee make the block, so a chain that was killed is there again,
 * history included. A last line that a crash cut in two is dropped.
 * @returns how many blocks
 * @throws FlashloanError devnet_failed when a block comes out differently
 */
export async function replayJournal(rpc: JsonRpc, path: string): Promise<number> {
  const entries = readJournal(path);
  const [first] = entries;
  // Anvil takes its own clock for the newest time there was: it goes back to before the first block.
  if (first) await rpc.request("anvil_setTime", [first.timestampS - 1], anything);
  for (const entry of entries) {
    await rpc.request("evm_setNextBlockTimestamp", [entry.timestampS], anything);
    await rpc.request("anvil_setNextBlockBaseFeePerGas", [toQuantity(BigInt(entry.baseFeeWei))], anything);
    for (const raw of entry.transactions) await rpc.request("eth_sendRawTransaction", [raw], hashSchema);
    await rpc.request("evm_mine", [], anything);
    const { hash } = await getHead(rpc);
    if (hash !== entry.hash)
      throw new FlashloanError(
        "devnet_failed",
        `block ${entry.number} came out as ${hash}, not ${entry.hash}: remove the devnet's data folder (docker compose down --volumes) to begin anew`,
      );
  }
  if (first) await rpc.request("anvil_setTime", [Math.floor(Date.now() / 1000)], anything);
  return entries.length;
}

/**
 * Writes every block from now on into a journal. A block is there some milliseconds after it is mined; what a kill -9
 * takes in between is at most the newest block, which those who saw it take for reorganised away.
 */
export async function recordJournal(rpc: JsonRpc, path: string, onError: (error: unknown) => void): Promise<Running> {
  let recorded = (await getHead(rpc)).number;
  let busy: Promise<void> | undefined;
  const record = async (): Promise<void> => {
    while (recorded < (await getHead(rpc)).number) {
      appendFileSync(path, `${JSON.stringify(await readEntry(rpc, recorded + 1))}\n`);
      recorded += 1;
    }
  };
  const onHead = (): void => {
    busy ??= record()
      .catch(onError)
      .finally(() => (busy = undefined));
  };
  const heads = await rpc.subscribe("newHeads", { message: onHead, reconnected: onHead });
  return {
    stop: async () => {
      await heads.stop();
      await busy;
      await record();
    },
  };
}

async function readEntry(rpc: JsonRpc, number: number): Promise<Entry> {
  const block = await rpc.request("eth_getBlockByNumber", [toQuantity(BigInt(number)), false], blockSchema);
  const transactions = await Promise.all(
    block.transactions.map((hash) => rpc.request("eth_getRawTransactionByHash", [hash], bytesSchema)),
  );
  return {
    number,
    hash: block.hash,
    timestampS: block.timestamp,
    baseFeeWei: block.baseFeePerGas.toString(),
    transactions,
  };
}

function readJournal(path: string): Entry[] {
  if (!existsSync(path)) return [];
  const text = readFileSync(path, "utf8");
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  if (whole.length < text.length) truncateSync(path, Buffer.byteLength(whole));
  return whole
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => entrySchema.parse(JSON.parse(line)));
}
