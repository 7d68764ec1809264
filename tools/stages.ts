import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The repository's folder. */
export const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** A command that is one stage of a longer run. */
export interface Stage {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Where it fails, what follows is left out, and that is said, instead of failing the run. */
  readonly optional?: boolean;
}

/** What became of a stage. */
export interface StageResult {
  readonly code: number;
  readonly seconds: number;
  readonly output: string;
}

/** Runs one stage, its output passed through and kept. */
export function runStage(stage: Stage): Promise<StageResult> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(stage.command, stage.args, {
      cwd: stage.cwd ?? ROOT,
      env: { ...process.env, FORCE_COLOR: "0", ...stage.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    const take = (target: NodeJS.WriteStream) => (chunk: Buffer) => {
      output += chunk.toString("utf8");
      target.write(chunk);
    };
    child.stdout.on("data", take(process.stdout));
    child.stderr.on("data", take(process.stderr));
    child.on("error", reject);
    child.on("close", (code, signal) =>
      resolve({ code: code ?? (signal ? 1 : 0), seconds: (performance.now() - started) / 1000, output }),
    );
  });
}

/** Runs stages one after the other and prints their seconds; stops at the first failure. Returns its exit code, or 0. */
export async function runStages(
  stages: readonly Stage[],
  onResult: (stage: Stage, result: StageResult) => void = () => undefined,
): Promise<number> {
  for (const stage of stages) {
    console.log(`\n=== ${stage.name}`);
    const result = await runStage(stage);
    onResult(stage, result);
    console.log(
      `--- ${stage.name}: ${result.code === 0 ? "ok" : `FAILED (exit ${result.code})`} in ${result.seconds.toFixed(1)} s`,
    );
    if (result.code !== 0 && stage.optional) {
      console.log(`NOT TESTED: what needs "${stage.name}"`);
      return 0;
    }
    if (result.code !== 0) return result.code;
  }
  return 0;
}
