// How FlashLoanExecutor.sol is compiled: one standard-JSON input, whose hash says whether the artifact is current.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { keccak256, toUtf8Bytes } from "ethers";
import type { ExecutorArtifact } from "../src/artifact.ts";

const require = createRequire(import.meta.url);

/** The package's folder. */
export const packageDir: string = join(import.meta.dirname, "..");

const entrySource = "solidity/FlashLoanExecutor.sol";

/** What foundry.toml repeats: the tests must run on the code that is deployed. */
const settings = {
  evmVersion: "cancun",
  viaIR: true,
  optimizer: { enabled: true, runs: 1_000_000 },
  // The metadata hash would change with every comment; the source hash below already says what was compiled.
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: {
    "*": { FlashLoanExecutor: ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] },
  },
};

/** solc's reminder, at every TSTORE, to clear transient storage: EntryBalances does, and its tests prove it. */
const transientStorageWarning = "2394";

/** The parts of solcjs that are used. */
type Solc = { version(): string; compile(input: string): string };

type SolcOutput = {
  errors?: {
    severity: string;
    errorCode?: string;
    formattedMessage: string;
    sourceLocation?: { file: string };
  }[];
  contracts?: Record<
    string,
    Record<
      string,
      {
        abi: unknown[];
        evm: { bytecode: { object: string }; deployedBytecode: { object: string } };
      }
    >
  >;
};

/** Where the source named in an import is, relative to the package. */
function resolveImport(importer: string, specifier: string): string {
  return specifier.startsWith(".") ? join(dirname(importer), specifier) : specifier;
}

/** Libraries compile with warnings of their own, which are not ours to fix. */
function isOurs(source = ""): boolean {
  return source.startsWith("solidity/");
}

function fileOf(source: string): string {
  return isOurs(source) ? join(packageDir, source) : join(packageDir, "node_modules", source);
}

/** The entry source and all it imports, by source name. */
function collectSources(): Record<string, { content: string }> {
  const sources: Record<string, { content: string }> = {};
  const open = [entrySource];
  for (let source = open.pop(); source !== undefined; source = open.pop()) {
    if (sources[source] !== undefined) continue;
    const content = readFileSync(fileOf(source), "utf8");
    sources[source] = { content };
    for (const match of content.matchAll(/^import\s[^;]*?"([^"]+)";/gms)) {
      open.push(resolveImport(source, match[1] ?? ""));
    }
  }
  return Object.fromEntries(Object.entries(sources).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** solc's standard-JSON input. */
function compilerInput(): string {
  return JSON.stringify({ language: "Solidity", sources: collectSources(), settings });
}

/** keccak256 of everything that determines the bytecode but the compiler: sources and settings. */
export function sourceHash(): string {
  return keccak256(toUtf8Bytes(compilerInput()));
}

/** Compiles with solcjs; throws with the compiler's messages on any error, or any warning in our own sources. */
export function compileExecutor(): ExecutorArtifact {
  const solc = require("solc") as Solc;
  const output = JSON.parse(solc.compile(compilerInput())) as SolcOutput;
  const messages = (output.errors ?? [])
    .filter((error) => error.severity === "error" || isOurs(error.sourceLocation?.file))
    .filter((error) => error.errorCode !== transientStorageWarning)
    .map((error) => error.formattedMessage);
  const compiled = output.contracts?.[entrySource]?.["FlashLoanExecutor"];
  if (messages.length > 0 || compiled === undefined) {
    throw new Error(`solc: ${messages.join("\n") || "no output"}`);
  }
  return {
    contractName: "FlashLoanExecutor",
    compiler: solc.version(),
    sourceHash: sourceHash(),
    abi: compiled.abi as ExecutorArtifact["abi"],
    bytecode: `0x${compiled.evm.bytecode.object}`,
    deployedBytecode: `0x${compiled.evm.deployedBytecode.object}`,
  };
}
