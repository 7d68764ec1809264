// Compiles solidity/Hostile.sol into artifacts/Hostile.json.
//   node tools/build.ts          writes the artifact
//   node tools/build.ts --check  fails if the committed artifact is not what the source compiles to
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";

/** The parts of solcjs that are used. */
interface Solc {
  compile(input: string): string;
}

interface SolcOutput {
  readonly errors?: readonly { readonly formattedMessage: string }[];
  readonly contracts?: Record<
    string,
    Record<string, { readonly abi: unknown[]; readonly evm: { readonly bytecode: { readonly object: string } } }>
  >;
}

const require = createRequire(import.meta.url);
const SOURCE = "Hostile.sol";
const folder = join(import.meta.dirname, "..");
const artifactFile = join(folder, "artifacts/Hostile.json");

/** Interface and creation code of each contract of the source, by name. Any message of the compiler is a failure. */
function compile(): Record<string, { abi: unknown[]; bytecode: string }> {
  const input = {
    language: "Solidity",
    sources: { [SOURCE]: { content: readFileSync(join(folder, "solidity", SOURCE), "utf8") } },
    settings: {
      evmVersion: "cancun",
      optimizer: { enabled: true, runs: 200 },
      metadata: { bytecodeHash: "none", appendCBOR: false },
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
    },
  };
  const solc = require("solc") as Solc;
  const output = JSON.parse(solc.compile(JSON.stringify(input))) as SolcOutput;
  const messages = (output.errors ?? []).map(({ formattedMessage }) => formattedMessage);
  if (messages.length > 0 || !output.contracts) throw new Error(`solc: ${messages.join("\n") || "no output"}`);
  const deployable = Object.entries(output.contracts[SOURCE] ?? {}).filter(([, { evm }]) => evm.bytecode.object !== "");
  return Object.fromEntries(
    deployable.map(([name, { abi, evm }]) => [name, { abi, bytecode: `0x${evm.bytecode.object}` }]),
  );
}

const compiled = compile();
if (!process.argv.includes("--check")) {
  writeFileSync(artifactFile, `${JSON.stringify(compiled, null, 2)}\n`);
  process.stdout.write("wrote artifacts/Hostile.json\n");
} else if (JSON.stringify(JSON.parse(readFileSync(artifactFile, "utf8"))) === JSON.stringify(compiled)) {
  process.stdout.write("artifact is current\n");
} else {
  process.stderr.write("artifacts/Hostile.json is stale: run node tools/build.ts in packages/devnet\n");
  process.exitCode = 1;
}
