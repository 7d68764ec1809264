// Compiles FlashLoanExecutor.sol into artifacts/FlashLoanExecutor.json.
//   node tools/build.ts          writes the artifact
//   node tools/build.ts --check  fails if the committed artifact is not what the sources compile to
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { compileExecutor, packageDir } from "./compilation.ts";

const artifactFile = join(packageDir, "artifacts/FlashLoanExecutor.json");
const artifact = compileExecutor();
const sizeBytes = (artifact.deployedBytecode.length - 2) / 2;

if (process.argv.includes("--check")) {
  // Compared by value: a formatter may have changed the file's white space.
  const committed: unknown = JSON.parse(readFileSync(artifactFile, "utf8"));
  if (JSON.stringify(committed) !== JSON.stringify(artifact)) {
    process.stderr.write(
      "artifacts/FlashLoanExecutor.json is stale: run `pnpm --filter @flashloan/contracts run build`\n",
    );
    process.exit(1);
  }
  process.stdout.write(`artifact is current (${sizeBytes} bytes of code)\n`);
} else {
  writeFileSync(artifactFile, `${JSON.stringify(artifact, null, 2)}\n`);
  process.stdout.write(`wrote artifacts/FlashLoanExecutor.json (${sizeBytes} bytes of code)\n`);
}
