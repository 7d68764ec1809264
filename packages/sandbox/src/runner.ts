import { spawn } from "node:child_process";
import { constants } from "node:os";
import { lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join, relative } from "node:path";

// Runs inside the sandbox, beside the untrusted program and trusted no more than that: unpacks the workspace from
// descriptor 3, runs the program, and says on descriptor 4 which files it changed. Erasable TypeScript and Node alone.
interface Job {
  readonly workspace: string;
  readonly files: Readonly<Record<string, string>>;
  readonly command: readonly [string, ...string[]];
  readonly reportBytesMax: number;
}

const job = JSON.parse(readFileSync(3, "utf8")) as Job;
for (const [path, content] of Object.entries(job.files)) {
  const target = join(job.workspace, path);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, content);
}

function* regularFiles(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* regularFiles(path);
    // Links are not followed: what they point to is not the workspace's.
    else if (entry.isFile() && lstatSync(path).nlink === 1) yield path;
  }
}

function report(): void {
  const changed: Record<string, string> = {};
  const left = new Set<string>();
  let bytes = 0;
  for (const path of regularFiles(job.workspace)) {
    const name = relative(job.workspace, path);
    const content = readFileSync(path, "utf8");
    left.add(name);
    if (job.files[name] === content) continue;
    bytes += content.length + name.length;
    if (bytes > job.reportBytesMax) break;
    changed[name] = content;
  }
  const removed = Object.keys(job.files).filter((name) => !left.has(name));
  const text = Buffer.from(JSON.stringify({ changed, removed }));
  for (let at = 0; at < text.length;) at += writeSync(4, text, at);
}

const [program, ...args] = job.command;
const child = spawn(program, args, { cwd: job.workspace, stdio: "inherit" });
child.once("error", () => {
  process.exitCode = 127;
});
child.once("exit", (code, signal) => {
  // As shells say it: 128 and the number of the signal.
  process.exitCode = code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
  try {
    report();
  } catch {
    // A folder that is shut, or too deep: then nothing is known of the files. How the program ended still is.
  }
});
