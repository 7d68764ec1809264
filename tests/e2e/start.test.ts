import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";
import { isAlive, stopAnvil } from "@flashloan/devnet/anvil";
import { PlatformProcess, type PlatformEvent } from "../support/platform-process.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const NODE = `${ROOT}node_modules/node/bin/node`;
const CLI = ["--conditions=@flashloan/source", `${ROOT}packages/cli/src/main.ts`];
const DEADLINE_MS = 120_000;
const folders: string[] = [];

const newFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), "flashloan-e2e-"));
  folders.push(folder);
  return folder;
};
const is =
  (name: string) =>
  (event: PlatformEvent): boolean =>
    event.event === name;
const chainPid = (folder: string): number =>
  (JSON.parse(readFileSync(join(folder, "chain.json"), "utf8")) as { pid: number }).pid;
const flashloan = (...args: string[]): { code: number | null; out: string; err: string } => {
  const result = spawnSync(NODE, [...CLI, ...args], { encoding: "utf8", cwd: ROOT, timeout: DEADLINE_MS });
  return { code: result.status, out: result.stdout, err: result.stderr };
};

afterEach(async () => {
  for (const folder of folders.splice(0)) {
    if (existsSync(join(folder, "chain.json"))) {
      const pid = chainPid(folder);
      if (isAlive(pid)) await stopAnvil(pid);
    }
    rmSync(folder, { recursive: true, force: true });
  }
});

test("until three trades: exit 0, the summary last, equal to the chain, and the independent script agrees", async () => {
  const folder = newFolder();
  const platform = new PlatformProcess(["--data-dir", folder, "--until-trades", "3", "--keep-chain", "--seed", "2"]);
  const exit = await platform.exit;
  expect(exit, JSON.stringify(platform.events.slice(-3))).toEqual({ code: 0, signal: null });
  const summary = platform.events.at(-1) as PlatformEvent;
  expect(summary.event).toBe("summary");
  expect(Number(summary["trades"])).toBeGreaterThanOrEqual(3);
  expect(summary["netWei"]).toBe(summary["chainDeltaWei"]);
  expect(BigInt(summary["netWei"] as string)).toBeGreaterThan(0n);
  expect(BigInt(summary["netWei"] as string)).toBe(
    BigInt(summary["grossWei"] as string) -
      BigInt(summary["premiumWei"] as string) -
      BigInt(summary["gasWei"] as string),
  );

  const file = join(folder, "summary.json");
  writeFileSync(file, JSON.stringify(summary));
  const verified = execFileSync("node", [`${ROOT}tools/verify-summary.mjs`, file], { encoding: "utf8" });
  expect(verified.match(/^agrees/gm)).toHaveLength(7);
  // The script does find a figure that is off by one wei.
  writeFileSync(file, JSON.stringify({ ...summary, gasWei: String(BigInt(summary["gasWei"] as string) + 1n) }));
  const wrong = spawnSync("node", [`${ROOT}tools/verify-summary.mjs`, file], { encoding: "utf8" });
  expect([wrong.status, wrong.stdout.match(/^DIFFERS {2}gasWei/gm)?.length]).toEqual([1, 1]);
  expect(isAlive(chainPid(folder))).toBe(true);
});

test("too short a time: exit 1, the reason, and a true summary all the same", async () => {
  const platform = new PlatformProcess(["--data-dir", newFolder(), "--until-trades", "500", "--timeout-s", "4"]);
  expect((await platform.exit).code).toBe(1);
  expect(platform.events.find(is("error"))).toMatchObject({
    code: "trades_not_settled",
    message: expect.stringContaining("of 500 profitable trades settled within 4 s"),
  });
  const summary = platform.events.at(-1);
  expect(summary).toMatchObject({ event: "summary" });
  expect(summary?.["netWei"]).toBe(summary?.["chainDeltaWei"]);
});

test("a second start goes on after a clean stop; adopts a chain that outlived a crash; begins anew when it was lost; --fresh", async () => {
  const folder = newFolder();
  const run = async (...args: string[]): Promise<PlatformProcess> => {
    const platform = new PlatformProcess(["--data-dir", folder, "--seed", "3", ...args]);
    await platform.waitFor(is("started"), DEADLINE_MS);
    return platform;
  };
  const settled = (event: PlatformEvent): boolean => event.event === "trade" && event["state"] === "SETTLED";
  const notes = (platform: PlatformProcess): string[] =>
    platform.events.filter(is("note")).map((event) => String(event["note"]));
  const count = (): number =>
    (JSON.parse(flashloan("trades", "--json", "--limit", "500", "--data-dir", folder).out) as unknown[]).length;

  const first = await run();
  await first.waitFor(settled, DEADLINE_MS);
  expect((await first.stop()).code).toBe(0);
  expect(first.events.at(-1)?.event).toBe("summary");
  expect(isAlive(chainPid(folder))).toBe(false);

  const second = await run();
  expect(notes(second)).toEqual([]);
  const before = count();
  expect(before).toBeGreaterThan(0);
  await second.waitFor(settled, DEADLINE_MS);
  second.kill("SIGKILL");
  await second.exit;
  expect(isAlive(chainPid(folder))).toBe(true);

  const third = await run();
  expect(notes(third)).toEqual([expect.stringContaining("adopted")]);
  expect(count()).toBeGreaterThan(before);
  third.kill("SIGKILL");
  await third.exit;
  // The chain is lost: kill -9, and no state was written.
  process.kill(chainPid(folder), "SIGKILL");
  rmSync(join(folder, "chain-state.json"), { force: true });

  const fourth = await run();
  expect(notes(fourth)).toEqual([
    expect.stringMatching(/the chain of the last run was lost; the old ledger is in .*archive.*a new one begins/),
  ]);
  expect(readdirSync(join(folder, "archive"))).toHaveLength(1);
  fourth.kill("SIGKILL");
  await fourth.exit;

  const fifth = await run("--fresh");
  expect(notes(fifth)).toEqual([expect.stringContaining("--fresh: the old ledger is in")]);
  expect(readdirSync(join(folder, "archive"))).toHaveLength(2);
  expect((await fifth.stop()).code).toBe(0);
});

test("a chain that went back to an older state is said so, and a new ledger begins", async () => {
  const folder = newFolder();
  const first = new PlatformProcess(["--data-dir", folder, "--seed", "4"]);
  await first.waitFor((event) => event.event === "trade" && event["state"] === "SETTLED", DEADLINE_MS);
  const state = join(folder, "chain-state.json");
  const old = readFileSync(state);
  await first.stop();
  // The state from before the run: as after a restored back-up.
  writeFileSync(state, old);
  const second = new PlatformProcess(["--data-dir", folder, "--seed", "4"]);
  await second.waitFor(is("started"), DEADLINE_MS);
  expect(second.events.filter(is("note")).map((event) => String(event["note"]))).toEqual([
    expect.stringMatching(/(the chain went back|of another chain).*the old ledger is in .*archive/),
  ]);
  expect((await second.stop()).code).toBe(0);
});

test("pause, resume and kill reach the services; a kill survives a restart", async () => {
  const folder = newFolder();
  const platform = new PlatformProcess(["--data-dir", folder, "--seed", "5"], { DEVNET_WHALE_ACTIVITY: "0.9" });
  await platform.waitFor((event) => event.event === "trade", DEADLINE_MS);
  const killed = JSON.parse(flashloan("kill", "--json", "--data-dir", folder, "--reason", "drill").out) as {
    outcomes: { ok: boolean }[];
  };
  expect(killed.outcomes.map((outcome) => outcome.ok)).toEqual([true, true]);
  // What was printed before the kill may be read after it: from the first refusal on nothing is signed.
  const refusal = (from: number): Promise<unknown> =>
    platform.waitFor(
      (event) => event.event === "rejected" && event["reason"] === "execution_killed",
      DEADLINE_MS,
      from,
    );
  await refusal(0);
  const mark = platform.events.findIndex((event) => event["reason"] === "execution_killed") + 1;
  await refusal(platform.events.length);
  expect(platform.events.slice(mark).filter((event) => event.event === "trade" && event["state"] === "SIGNED")).toEqual(
    [],
  );
  const status = JSON.parse(flashloan("status", "--json", "--data-dir", folder).out) as {
    executor: { state: string; reason: string };
    risk: { state: string };
  };
  expect([status.executor.state, status.executor.reason, status.risk.state]).toEqual(["KILLED", "drill", "KILLED"]);
  platform.kill("SIGKILL");
  await platform.exit;

  const again = new PlatformProcess(["--data-dir", folder, "--seed", "5"], { DEVNET_WHALE_ACTIVITY: "0.9" });
  await again.waitFor((event) => event.event === "rejected" && event["reason"] === "execution_killed", DEADLINE_MS);
  expect(flashloan("resume", "--data-dir", folder).code).toBe(0);
  await again.waitFor((event) => event.event === "trade" && event["state"] === "SIGNED", DEADLINE_MS);
  const human = flashloan("status", "--data-dir", folder);
  expect(human.out).toMatch(/mode\s+LIVE\nexecution\s+ACTIVE/);
  expect(flashloan("trades", "--data-dir", folder).out).toMatch(/gross ETH\s+premium\s+gas\s+net ETH/);
  expect(flashloan("opportunities", "--blocks", "1", "--data-dir", folder).out).toMatch(
    /^block \d+: \d+ cycles gain before costs/,
  );
  expect(flashloan("doctor", "--data-dir", folder).out).toMatch(
    /warn\s+ledger\s+\d+ records; pglite: survives kill -9/,
  );
  expect(flashloan("disarm", "--data-dir", folder).out).toContain("mode PAPER");
  const wrong = flashloan("arm", "--genesis-hash", "0x00", "--data-dir", folder);
  const genesis = /genesis hash \((0x[0-9a-f]{64})\)/.exec(wrong.err)?.[1] ?? "";
  expect(wrong.code).toBe(1);
  expect(flashloan("arm", "--genesis-hash", genesis, "--data-dir", folder).out).toContain("mode LIVE");
  expect((await again.stop()).code).toBe(0);
});

test("bad input: a clear error that names the cause and the cure, never a crash without one", async () => {
  expect(flashloan("start", "--until-trade", "3")).toMatchObject({
    code: 1,
    err: expect.stringMatching(/unknown option '--until-trade'[\s\S]*Did you mean --until-trades/),
  });
  expect(flashloan("start", "--seed", "-1")).toMatchObject({
    code: 1,
    err: expect.stringContaining("must be a whole number from 0 to 2147483647"),
  });
  expect(flashloan("flee")).toMatchObject({ code: 1, err: expect.stringContaining("unknown command 'flee'") });
  expect(flashloan("status", "--data-dir", newFolder())).toMatchObject({
    code: 1,
    out: expect.stringContaining('start one with "npm start"'),
  });
  expect(flashloan("kill", "--executor", "127.0.0.1:1", "--risk", "127.0.0.1:1")).toMatchObject({
    code: 1,
    out: expect.stringMatching(/executor\s+FAILED: 127\.0\.0\.1:1 can't be reached/),
  });
  for (const command of [
    "",
    "start",
    "status",
    "trades",
    "opportunities",
    "pause",
    "resume",
    "kill",
    "arm",
    "disarm",
    "doctor",
    "dead-letters",
  ]) {
    const help = flashloan(...(command === "" ? ["--help"] : [command, "--help"]));
    expect([help.code, help.out.includes("Usage: flashloan")]).toEqual([0, true]);
  }

  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  const taken = new PlatformProcess(["--data-dir", newFolder(), "--chain-port", String(port)]);
  expect((await taken.exit).code).toBe(1);
  expect(taken.events.at(-1)).toMatchObject({
    event: "error",
    code: "port_taken",
    message: expect.stringContaining(`is port ${port} taken?`),
  });
  server.close();

  // Another devnet's port: its chain has the same genesis, and must not be taken for ours.
  const first = newFolder();
  const neighbour = new PlatformProcess(["--data-dir", first]);
  await neighbour.waitFor(is("started"), DEADLINE_MS);
  const chainPort = (JSON.parse(readFileSync(join(first, "chain.json"), "utf8")) as { port: number }).port;
  const intruder = new PlatformProcess(["--data-dir", newFolder(), "--chain-port", String(chainPort)]);
  expect((await intruder.exit).code).toBe(1);
  expect(intruder.events.at(-1)).toMatchObject({ event: "error", code: "port_taken" });
  // Interrupted before its trades: not a success. The saved state that can't be read: said so, and begun anew.
  await neighbour.stop();
  writeFileSync(join(first, "chain-state.json"), "rubbish");
  const anew = new PlatformProcess(["--data-dir", first, "--until-trades", "1000"]);
  await anew.waitFor(is("started"), DEADLINE_MS);
  expect(anew.events.filter(is("note")).map((event) => String(event["note"]))).toEqual([
    expect.stringMatching(/the chain of the last run was lost; the old ledger is in/),
  ]);
  anew.kill("SIGHUP");
  expect((await anew.exit).code).toBe(1);
  expect(anew.events.find(is("error"))).toMatchObject({
    message: expect.stringMatching(/stopped by a signal after \d+ of 1000/),
  });
  expect([isAlive(chainPid(first)), existsSync(join(first, "platform.lock"))]).toEqual([false, false]);

  const file = join(newFolder(), "a-file");
  writeFileSync(file, "");
  const unusable = new PlatformProcess(["--data-dir", file]);
  expect((await unusable.exit).code).toBe(1);
  expect(unusable.events.at(-1)).toMatchObject({
    event: "error",
    code: "data_folder_unusable",
    message: expect.stringContaining("--data-dir"),
  });

  const wrong = new PlatformProcess(["--data-dir", newFolder()], {
    RISK_MAX_LOAN_WEI: "many",
    EXECUTOR_CONFIRMATIONS: "0",
  });
  expect((await wrong.exit).code).toBe(1);
  expect(wrong.events.at(-1)).toMatchObject({
    event: "error",
    code: "config_invalid",
    message: expect.stringMatching(/RISK_MAX_LOAN_WEI is "many"[\s\S]*EXECUTOR_CONFIRMATIONS is "0"/),
  });

  const folder = newFolder();
  const owner = new PlatformProcess(["--data-dir", folder]);
  await owner.waitFor(is("started"), DEADLINE_MS);
  const second = new PlatformProcess(["--data-dir", folder]);
  expect((await second.exit).code).toBe(1);
  expect(second.events.at(-1)).toMatchObject({
    code: "data_folder_locked",
    message: expect.stringContaining("choose another folder with --data-dir"),
  });
  await owner.stop();
  chmodSync(folder, 0o755);
});

test("a platform that is killed is started again where it was, without beginning anew; its keeper gone, it ends; too many failures are an error", async () => {
  const folder = newFolder();
  const platform = new PlatformProcess(["--data-dir", folder, "--fresh", "--seed", "9"]);
  await platform.waitFor(is("started"), DEADLINE_MS);
  const chain = chainPid(folder);
  const mark = platform.events.length;
  platform.signalPlatform("SIGKILL");
  await platform.waitFor(is("started"), DEADLINE_MS, mark);
  expect(platform.events.filter(is("restarting"))).toMatchObject([{ why: "SIGKILL", waitMs: 0 }]);
  expect(chainPid(folder)).toBe(chain);
  const incident = (): string => flashloan("incidents", "--unit", "platform", "--data-dir", folder).out;
  await expect
    .poll(incident, { timeout: DEADLINE_MS })
    .toMatch(/platform: crash, healed[^]*the process ended with SIGKILL/);
  platform.killKeeper();
  await platform.exit;
  expect([isAlive(chain), existsSync(join(folder, "platform.lock"))]).toEqual([false, false]);

  const doomed = new PlatformProcess(["--data-dir", folder], { FLASHLOAN_FAULT_POINT: "before_append_LEAD" });
  expect(await doomed.exit).toEqual({ code: 70, signal: null });
  expect(doomed.events.filter(is("restarting"))).toHaveLength(5);
  expect(doomed.events.at(-1)).toMatchObject({ event: "error", code: "restarts_exhausted" });
});
