import { expect, test } from "vitest";
import type { RunRequest, RunResult, Sandbox } from "../src/port.ts";

/** What the port promises, asked of one sandbox. */
export function sandboxContract(open: () => Sandbox): void {
  const run = (language: RunRequest["language"], code: string, more: Partial<RunRequest> = {}): Promise<RunResult> =>
    open().run({ language, files: { main: code }, entry: "main", ...more });

  test("javascript, typescript and shell run, with their arguments, input, output and exit code", async () => {
    const js = await run(
      "javascript",
      "process.stdin.on('data',(d)=>{console.log(process.argv[2]+d);console.error('e');process.exitCode=3})",
      { args: ["a"], stdin: "b" },
    );
    expect(js).toMatchObject({ end: "exited", exitCode: 3, signal: null, stdout: "ab\n", stderr: "e\n" });
    const ts = await open().run({
      language: "typescript",
      files: { "m.ts": "const n: number = 41; console.log(n + 1);" },
      entry: "m.ts",
    });
    expect(ts).toMatchObject({ end: "exited", exitCode: 0, stdout: "42\n", stderr: "" });
    expect(await run("shell", 'echo "$((6*7))"')).toMatchObject({ end: "exited", exitCode: 0, stdout: "42\n" });
  });

  test("python runs where it is present, and is refused where it is not", async () => {
    const result = await run("python", "print(6*7)").catch((error: unknown) => error);
    expect(result).toMatchObject(
      open().languages.includes("python") ? { exitCode: 0, stdout: "42\n" } : { code: "argument_invalid" },
    );
  });

  test("files that were added, changed and removed come back; links do not", async () => {
    const result = await open().run({
      language: "shell",
      files: {
        main: "echo new > sub/b; echo more >> sub/a; rm c; ln -s /usr/bin/env link",
        "sub/a": "a\n",
        c: "c",
        d: "d",
      },
      entry: "main",
    });
    expect(result).toMatchObject({ exitCode: 0, changed: { "sub/a": "a\nmore\n", "sub/b": "new\n" }, removed: ["c"] });
    expect(Object.keys(result.changed)).toHaveLength(2);
  });

  test("each bound ends the run and says so", async () => {
    expect(await run("shell", "while :; do :; done", { limits: { wallMs: 500 } })).toMatchObject({
      end: "timed_out",
      exitCode: null,
    });
    expect(await run("shell", "while :; do :; done", { limits: { cpuS: 1 } })).toMatchObject({
      end: "signalled",
      signal: "SIGKILL",
    });
    const yes = await run("shell", "yes", { limits: { outputBytes: 1000 } });
    expect([yes.end, yes.stdout.length]).toEqual(["output_exceeded", 1000]);
    expect(await run("javascript", "const a=[];for(;;)a.push(Buffer.alloc(1e6,1))")).toMatchObject({
      end: "out_of_memory",
    });
    expect(await run("shell", "sleep 1000", { signal: AbortSignal.abort() })).toMatchObject({ end: "aborted" });
    expect(await run("shell", "kill -SEGV $$")).toMatchObject({ end: "signalled", signal: "SIGSEGV" });
  });

  test("a run that is aborted ends at once, however far it has come", async () => {
    // Each of these is at another step of building its walls.
    for (let delayMs = 0; delayMs < 40; delayMs += 1) {
      const result = await run("shell", "sleep 1000", { signal: AbortSignal.timeout(delayMs) });
      expect(result).toMatchObject({ end: "aborted", exitCode: null });
    }
  });

  test("what is not a path in the workspace is refused", async () => {
    for (const path of ["/etc/x", "../x", "a/../../x", "", "a/../b"])
      await expect(open().run({ language: "shell", files: { [path]: "" }, entry: path })).rejects.toMatchObject({
        code: "argument_invalid",
      });
  });
}
