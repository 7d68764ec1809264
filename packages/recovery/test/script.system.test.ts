import { expect, test } from "vitest";
import { openSandbox } from "@flashloan/sandbox/open";
import { memoryCheckpointLog } from "../src/checkpoint-log.ts";
import { runScript, type Patcher, type ScriptOptions, type ScriptVersion } from "../src/script.ts";

// Scripts that really fail, in the real sandbox.
const sandbox = await openSandbox("bwrap:");
const version = (id: string, main: string): ScriptVersion => ({ id, files: { "main.mjs": main } });
/** Sums two amounts; its fault: a name that is misspelt. */
const faulty = version("v2", "const amounts = [40, 2];\nconsole.log(amonts[0] + amounts[1]);\n");
const good = version("v1", "console.log(42);\n");
const broken = version("v0", "throw new Error('never worked');\n");

/** A rule: the name that is not defined becomes the most alike that is. */
const respell: Patcher = async (failing, { stderr }) => {
  const unknown = /ReferenceError: (\w+) is not defined/.exec(stderr)?.[1];
  const source = failing.files["main.mjs"] ?? "";
  const known = [...source.matchAll(/const (\w+)/g)].map((match) => match[1] ?? "");
  const alike = known.find((name) => unknown?.split("").every((letter) => name.includes(letter)));
  return alike && unknown ? version(`${failing.id}+respell`, source.replaceAll(unknown, alike)) : undefined;
};

async function run(more: Partial<ScriptOptions>): Promise<{ by: string; stdout: string; states: string[] }> {
  const log = memoryCheckpointLog();
  const outcome = await runScript({
    operation: "script",
    id: "sum",
    log,
    sandbox,
    how: { language: "javascript", entry: "main.mjs" },
    current: faulty,
    accept: ({ stdout }) => stdout === "42\n",
    clock: { now: () => 0, monotonic: () => 0, sleep: async () => undefined },
    ...more,
  }).catch((error: { code: string }) => ({ by: error.code, result: { stdout: "" } }));
  const states = (await log.history("sum")).map(({ state, payload }) => {
    const { version: of, fault, to } = payload as { version?: string; fault?: string; to?: string };
    return [state, of ?? to, fault].filter((word) => word !== undefined).join(" ");
  });
  return { by: outcome.by, stdout: outcome.result.stdout, states };
}

test("a fault of the code is patched in the sandbox, and the patch is accepted once it has worked", async () => {
  expect(await run({ patch: respell, previous: good })).toEqual({
    by: "patch",
    stdout: "42\n",
    states: [
      "RUN v2",
      "DETECTED v2",
      "CLASSIFIED v2 code",
      "PATCH_PROPOSED v2+respell",
      "RUN v2+respell",
      "SUCCEEDED v2+respell",
      "PATCH_ACCEPTED v2+respell",
    ],
  });
});

test("a patch that does not work is refused, and the change is rolled back", async () => {
  const useless: Patcher = async (failing) => version(`${failing.id}+`, "console.log(41);\n");
  expect(await run({ patch: useless, patchesMax: 1, previous: good })).toEqual({
    by: "rollback",
    stdout: "42\n",
    states: [
      "RUN v2",
      "DETECTED v2",
      "CLASSIFIED v2 code",
      "PATCH_PROPOSED v2+",
      "RUN v2+",
      "DETECTED v2+",
      "PATCH_REFUSED v2+",
      "RUN v1",
      "SUCCEEDED v1",
      "ROLLED_BACK v1",
    ],
  });
});

test("when the version before fails too, the last good one serves; when there is none, it says so", async () => {
  expect(await run({ previous: broken, lastGood: good })).toMatchObject({
    by: "fallback",
    states: [
      "RUN v2",
      "DETECTED v2",
      "CLASSIFIED v2 code",
      "RUN v0",
      "DETECTED v0",
      "RUN v1",
      "SUCCEEDED v1",
      "FELL_BACK v1",
    ],
  });
  const none = await run({ previous: broken });
  expect([none.by, none.states.at(-1)]).toEqual(["alternatives_exhausted", "EXHAUSTED"]);
});

test("a transient failure is tried again", async () => {
  let runs = 0;
  const flaky = {
    languages: sandbox.languages,
    run: (request: Parameters<typeof sandbox.run>[0]) => {
      runs += 1;
      return sandbox.run(runs === 1 ? { ...request, files: { "main.mjs": "process.exit(75)" } } : request);
    },
  };
  expect(await run({ sandbox: flaky, current: good })).toMatchObject({
    by: "retry",
    stdout: "42\n",
    states: ["RUN v1", "DETECTED v1", "CLASSIFIED v1 transient", "RUN v1", "SUCCEEDED v1"],
  });
});

test("a script that never ends is detected", async () => {
  const endless = version("v3", "for (;;);\n");
  // Little time for the endless one alone: how long the good one takes to start is the machine's matter.
  const impatient = {
    languages: sandbox.languages,
    run: (request: Parameters<typeof sandbox.run>[0]) =>
      sandbox.run(request.files === endless.files ? { ...request, limits: { wallMs: 500 } } : request),
  };
  expect(await run({ sandbox: impatient, current: endless, lastGood: good })).toMatchObject({
    by: "fallback",
    states: ["RUN v3", "DETECTED v3", "CLASSIFIED v3 resources", "RUN v1", "SUCCEEDED v1", "FELL_BACK v1"],
  });
});
