// Compiles assembly/ into src/kernel-code.ts.
//   node tools/build.ts          writes it
//   node tools/build.ts --check  fails if the committed one is not what the sources compile to
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { main } from "assemblyscript/asc";

const folder = join(import.meta.dirname, "..");
const target = join(folder, "src/kernel-code.ts");

/** The module's bytes. The memory is the caller's, shared, and grows to all that 32-bit addresses reach. */
async function compile(): Promise<Uint8Array> {
  let bytes: Uint8Array | undefined;
  const { error } = await main(
    [
      `assembly/index.ts --outFile kernel.wasm -O3 --noAssert --runtime stub --use abort=`,
      `--importMemory --noExportMemory --sharedMemory --initialMemory 1 --maximumMemory 65536`,
      // AS112: v128 crosses modules of ours only. AS201: addresses are 32 bits.
      `--enable simd,threads --disableWarning 112 --disableWarning 201`,
    ]
      .flatMap((line) => line.split(" "))
      .concat("--baseDir", folder),
    {
      stderr: process.stderr,
      writeFile: (name, contents) => {
        if (name === "kernel.wasm") bytes = contents as Uint8Array;
      },
    },
  );
  if (error || !bytes) throw new Error(`asc: ${error?.message ?? "no output"}`, { cause: error });
  return bytes;
}

const bytes = await compile();
const source = `// Generated from assembly/ by tools/build.ts. Don't edit: npm run generate.

/** The module of assembly/index.ts, in base64. */
export const KERNEL_CODE =
  "${Buffer.from(bytes).toString("base64")}";
`;
if (!process.argv.includes("--check")) {
  writeFileSync(target, source);
  process.stdout.write(`wrote src/kernel-code.ts (${bytes.length} bytes of code)\n`);
} else if (existsSync(target) && readFileSync(target, "utf8") === source) {
  process.stdout.write(`kernel is current (${bytes.length} bytes of code)\n`);
} else {
  process.stderr.write("src/kernel-code.ts is stale: run node tools/build.ts in packages/statevector\n");
  process.exitCode = 1;
}
