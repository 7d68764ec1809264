// Recomputes every figure of a run's summary from the chain by raw JSON-RPC. Imports nothing of the project, so it
// can't share its mistakes. Plain Node 20.
//
//   npm start -- --until-trades 3 --keep-chain --json | tail -1 > summary.json
//   node tools/verify-summary.mjs summary.json
import { readFileSync } from "node:fs";

const EXECUTED = "0xb3b79564c3910cc38d87ec4de30cf44e4ed867b2a9abcfbb9801be9b4aaa8efc"; // Executed(bytes32,address,…)
const file = process.argv[2];
if (!file || file === "--help") {
  console.error(
    "usage: node tools/verify-summary.mjs SUMMARY.json   (- reads standard input; the chain must be up: --keep-chain)",
  );
  process.exit(2);
}
const summary = readSummary();
const { rpc, addresses, fromBlock, toBlock } = summary;

function readSummary() {
  try {
    const text = readFileSync(file === "-" ? 0 : file, "utf8").trim();
    const line = JSON.parse(text.slice(text.lastIndexOf("\n") + 1));
    if (line.event === "summary" && line.addresses) return line;
    throw new Error(`its last line is "${line.event}", not a summary`);
  } catch (error) {
    console.error(
      `${file} holds no summary (${error.message}): give what npm start -- --until-trades 3 --json printed`,
    );
    process.exit(2);
  }
}

let nextId = 1;
async function ask(method, params) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: nextId++, method, params });
  const response = await fetch(rpc, { method: "POST", headers: { "content-type": "application/json" }, body });
  const { result, error } = await response.json();
  if (error) throw new Error(`${method}: ${error.message}`);
  return result;
}
const hex = (number) => `0x${number.toString(16)}`;
const word = (data, index) => BigInt(`0x${data.slice(2 + 64 * index, 66 + 64 * index)}`);

/** ETH and WETH of signer, contract and treasury, each account once. */
async function holdings(block) {
  let sum = 0n;
  for (const owner of new Set([addresses.signer, addresses.contract, addresses.treasury])) {
    sum += BigInt(await ask("eth_getBalance", [owner, hex(block)]));
    const data = `0x70a08231${owner.slice(2).padStart(64, "0")}`; // balanceOf(address)
    sum += BigInt(await ask("eth_call", [{ to: addresses.weth, data }, hex(block)]));
  }
  return sum;
}

let [trades, reverted, gross, premium, gas, builder, profit] = [0, 0, 0n, 0n, 0n, 0n, 0n];
for (let number = fromBlock + 1; number <= toBlock; number++) {
  const block = await ask("eth_getBlockByNumber", [hex(number), true]);
  for (const transaction of block.transactions) {
    if (transaction.from.toLowerCase() !== addresses.signer) continue;
    const receipt = await ask("eth_getTransactionReceipt", [transaction.hash]);
    const paid = BigInt(receipt.gasUsed) * BigInt(receipt.effectiveGasPrice);
    gas += paid;
    if (receipt.status !== "0x1") reverted += 1;
    for (const log of receipt.logs) {
      if (log.address.toLowerCase() !== addresses.contract || log.topics[0] !== EXECUTED) continue;
      const [premiumPaid, surplus, earned, toBuilder] = [
        word(log.data, 2),
        word(log.data, 3),
        word(log.data, 4),
        word(log.data, 5),
      ];
      // The premium in wei, at the rate at which the surplus of the loan's token became WETH; rounded up.
      const premiumWei = surplus === 0n ? 0n : (premiumPaid * (earned + toBuilder) + surplus - 1n) / surplus;
      profit += earned;
      builder += toBuilder;
      premium += premiumWei;
      gross += earned + toBuilder + premiumWei;
      if (earned > paid) trades += 1;
    }
  }
}
const chainDelta = (await holdings(toBlock)) - (await holdings(fromBlock));
const recomputed = {
  trades,
  reverted,
  grossWei: gross,
  premiumWei: premium,
  gasWei: gas,
  netWei: gross - premium - builder - gas,
  chainDeltaWei: chainDelta,
};
let differences = 0;
for (const [name, value] of Object.entries(recomputed)) {
  const agrees = String(summary[name]) === String(value);
  if (!agrees) differences += 1;
  console.log(`${agrees ? "agrees " : "DIFFERS"}  ${name.padEnd(14)} summary ${summary[name]}  chain ${value}`);
}
console.log(
  `blocks ${fromBlock + 1} to ${toBlock}: ${differences === 0 ? "every figure agrees with the chain" : `${differences} figure(s) differ`}`,
);
process.exit(differences === 0 ? 0 : 1);
