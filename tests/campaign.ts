import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { syntheticBlocks } from "./decisions/blocks.ts";
import { captureBlocks } from "./decisions/capture.ts";
import {
  compareAllocations,
  compareCompletions,
  comparePatches,
  compareSelections,
  type Comparison,
} from "./decisions/campaign.ts";
import { runKillCampaign } from "./checkpoint/kill-campaign.ts";
import { runRealism } from "./realism/campaign.ts";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { CONTAINER_FAULTS, inContainers } from "./supervision/container-faults.ts";
import { EMBEDDED_FAULTS, EMBEDDED_UNITS, FaultyPlatform } from "./supervision/embedded-faults.ts";
import { faultTable, runFaults, summaryAtRest } from "./supervision/faults.ts";
import { Stack } from "./support/stack.ts";
import { FAULT_POINTS, runCrashCampaign, type NamedFaultPoint } from "./crash/campaign.ts";

// Long runs that `npm test` has only a small instance of. Results go to docs/campaigns/, with commit and seed.
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: "string", default: "1" },
    kills: { type: "string", default: "30" },
    writers: { type: "string", default: "64" },
    "random-kills": { type: "string", default: "20" },
    blocks: { type: "string", default: "300" },
    problems: { type: "string", default: "300" },
    points: { type: "string" },
    write: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const whole = (name: "problems" | "seed" | "random-kills" | "blocks" | "kills" | "writers"): number => {
  if (/^\d{1,9}$/.test(values[name])) return Number(values[name]);
  process.stderr.write(`--${name} is "${values[name]}": must be a whole number, such as 20\n`);
  process.exit(2);
};
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const usage = `npm run campaign -- NAME [options]
  crash      kill -9 at every named fault point, then at random times; audit of ledger and chain after each restart
             --random-kills N (20)  --points a,b (all)
  realism    a long run in the simulated market: what share of gaps pays, races lost, reverts, and the exact total
             --blocks N (300)
  ledger-kill  kill -9 of the checkpoint service, of PostgreSQL and of Redis, in turn, under writers that never pause
             --kills N of each (30)  --writers N (64)
  supervision  kill, hang, leak and corrupt each service once in Docker Compose, and see it healed
  supervision-embedded  do each fault to each service of the embedded platform, and see it healed
  decisions  which completions, which patches, which task to whom: the engine's choices against others', problem by problem
             --problems N (300)
  --seed N   seed of the market and of the kills (1)
  --write    write the result to docs/campaigns/NAME.md`;

const campaigns: Record<string, () => Promise<{ lines: string[]; ok: boolean }>> = {
  crash,
  realism,
  "ledger-kill": ledgerKill,
  supervision,
  "supervision-embedded": supervisionEmbedded,
  decisions,
};
const campaign = campaigns[positionals[0] ?? ""];
if (values.help || !campaign) {
  say(usage);
  process.exitCode = values.help ? 0 : 2;
} else {
  const { lines, ok } = await campaign();
  say(`\n${lines.join("\n")}`);
  if (values.write) {
    mkdirSync(new URL("../docs/campaigns", import.meta.url), { recursive: true });
    writeFileSync(new URL(`../docs/campaigns/${positionals[0]}.md`, import.meta.url), `${lines.join("\n")}\n`);
  }
  process.exitCode = ok ? 0 : 1;
}

/** Which run this is: command, commit, day and length. */
function provenance(command: string, seconds: number): string {
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  return `\`npm run campaign -- ${command}\`, commit ${commit}, ${new Date().toISOString().slice(0, 10)}, ${seconds.toFixed(0)} s.`;
}

async function crash(): Promise<{ lines: string[]; ok: boolean }> {
  const points =
    values.points === undefined
      ? FAULT_POINTS
      : (values.points.split(",").filter((point) => point !== "") as NamedFaultPoint[]);
  const randomKills = whole("random-kills");
  const result = await runCrashCampaign({ points, randomKills, seed: whole("seed"), report: say });
  const empty = [...result.randomKills].filter(([, count]) => randomKills > 0 && count === 0).map(([phase]) => phase);
  const lines = [
    "# Crash campaign",
    "",
    provenance(`crash --seed ${result.seed} --random-kills ${randomKills}`, result.seconds),
    "",
    `- kill -9 at ${result.pointsHit.length} named fault points: ${result.pointsHit.join(", ")}`,
    `- random kills by the phase of the newest intent: ${[...result.randomKills].map(([phase, count]) => `${phase} ${count}`).join(", ")}`,
    `- ${result.restarts} restarts audited: ledger complete and in order, nonces without a gap, no intent executed twice, total equal to the chain's`,
    `- at the end ${result.intents} intents, ${result.transactions} transactions, ${result.settled} settled, net ${result.netWei} wei`,
    `- faults: ${result.faults.length}`,
    ...result.faults.map((fault) => `  - ${fault}`),
    ...empty.map((phase) => `- no random kill struck while "${phase}": the campaign does not count`),
  ];
  return { lines, ok: result.faults.length === 0 && empty.length === 0 };
}

async function ledgerKill(): Promise<{ lines: string[]; ok: boolean }> {
  const [seed, kills, writers] = [whole("seed"), whole("kills"), whole("writers")];
  const result = await runKillCampaign({ kills, writers, seed, report: say });
  const lines = [
    "# Ledger under kills",
    "",
    provenance(`ledger-kill --seed ${seed} --kills ${kills} --writers ${writers}`, result.seconds),
    "",
    `- kill -9 under ${writers} writers: ${[...result.kills].map(([victim, count]) => `${victim} ${count}`).join(", ")}`,
    `- ${result.acknowledged} appends acknowledged; ${result.repeatedAsks} asked for again after a failure, ${result.recognized} of which had been committed and were recognized`,
    `- ${result.records} records read back: each acknowledged append once, at the place that was acknowledged, streams and ledger in order without a gap`,
    `- faults: ${result.faults.length}`,
    ...result.faults.slice(0, 50).map((fault) => `  - ${fault}`),
  ];
  return { lines, ok: result.faults.length === 0 && result.records === result.acknowledged };
}

async function supervision(): Promise<{ lines: string[]; ok: boolean }> {
  const startedMs = performance.now();
  const stack = await Stack.create("flashloan-test", {
    FLASHLOAN_IMAGE: "flashloan/platform:test",
    DEVNET_WHALE_ACTIVITY: "0.7",
    // It trades without a pause: the default budget is spent after a quarter of an hour of that.
    RISK_GAS_BUDGET_HOUR_WEI: String(10n * 10n ** 18n),
  });
  await stack.remove();
  await stack.compose("build");
  await stack.compose("up", "--wait", "--wait-timeout", "600");
  const [supervisor, executor] = ["SUPERVISOR_PORT", "EXECUTOR_PORT"].map(
    (variable) => new RpcClient(`127.0.0.1:${stack.port(variable)}`),
  ) as [RpcClient, RpcClient];
  try {
    const units = ["checkpoint", "market-predictor", "risk-manager", "quantum-engine", "hft-executor"];
    const healed = await runFaults(inContainers(stack, supervisor), units, CONTAINER_FAULTS, say);
    const summary = await summaryAtRest(executor);
    const lines = [
      "# Supervision under faults",
      "",
      provenance("supervision", (performance.now() - startedMs) / 1_000),
      "",
      `Each fault to each of ${units.join(", ")} in Docker Compose; the back-off is reset between faults by an order that is kept. Seconds from the deed; a leak has to fill the memory first.`,
      "",
      ...faultTable(CONTAINER_FAULTS, healed),
      "",
      `- no other unit was restarted; ${summary.trades} trades settled, net ${summary.netWei} wei by the ledger, ${summary.chainDeltaWei} wei by the chain`,
    ];
    return { lines, ok: summary.netWei === summary.chainDeltaWei && summary.trades > 0n };
  } finally {
    await Promise.all([supervisor.stop(), executor.stop()]);
    await stack.remove();
  }
}

async function supervisionEmbedded(): Promise<{ lines: string[]; ok: boolean }> {
  const startedMs = performance.now();
  const folder = mkdtempSync(join(tmpdir(), "flashloan-faults-"));
  let platform = new FaultyPlatform(folder, whole("seed"));
  const begin = async (): Promise<void> => {
    await platform.stop();
    platform = new FaultyPlatform(folder, whole("seed"));
    await platform.started();
  };
  try {
    await platform.started();
    const place = platform.place();
    const pairs = EMBEDDED_UNITS.flatMap((unit) => EMBEDDED_FAULTS.map((fault) => ({ unit, fault })));
    const healed = [];
    for (const { unit, fault } of pairs) {
      // A keeper's back-off begins anew with the keeper.
      if (place.endsAll(unit, fault)) await begin();
      healed.push(...(await runFaults(platform.place(), [unit], [fault], say)));
    }
    await platform.tradesOn();
    const summary = await summaryAtRest(platform.client("hftExecutor"));
    const lines = [
      "# Supervision under faults, embedded",
      "",
      provenance(`supervision-embedded --seed ${values.seed}`, (performance.now() - startedMs) / 1_000),
      "",
      `Each fault to each of ${EMBEDDED_UNITS.join(", ")} in the one process of \`npm start\`; the back-off is reset between faults by an order that is kept, the keeper's by a new start. Seconds from the deed. A blocked event loop ends the process and with it every unit, as does a checkpoint service that never stops; they are healed when the unit is up in the next process.`,
      "",
      ...faultTable(EMBEDDED_FAULTS, healed),
      "",
      `- no other unit was restarted where the process lived on; ${summary.trades} trades settled, net ${summary.netWei} wei by the ledger, ${summary.chainDeltaWei} wei by the chain`,
    ];
    return { lines, ok: summary.netWei === summary.chainDeltaWei && summary.trades > 0n };
  } finally {
    await platform.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function decisions(): Promise<{ lines: string[]; ok: boolean }> {
  const startedMs = performance.now();
  const [problems, seed] = [whole("problems"), whole("seed")];
  const budget = { deadlineMs: 100, seed, now: () => performance.now() };
  const parts: [title: string, measure: string, compared: Comparison][] = [
    [
      `Which opportunities to execute together, in ${problems} blocks of the devnet`,
      "ether a block",
      compareSelections(await captureBlocks(problems, seed, say), { ...budget, deadlineMs: 5 }),
    ],
    [
      `Which opportunities to execute together, in ${5 * problems} blocks of a larger synthetic market`,
      "ether a block",
      compareSelections(syntheticBlocks(5 * problems, seed), { ...budget, deadlineMs: 5 }),
    ],
    ...[1, 3, 5].map((count): [string, string, Comparison] => [
      `Which ${count} of 30 completions to try`,
      "share of problems in which one of them is right",
      compareCompletions(problems, count, seed, budget),
    ]),
    [
      "Which of 14 patches to apply together",
      "share of 16 failing tests that pass",
      comparePatches(problems, seed, budget),
    ],
    ["Which of 9 tasks to which of 4 agents", "what is gained", compareAllocations(problems, seed, budget)],
  ];
  const lines = [
    "# Decisions against other ways of deciding",
    "",
    provenance(`decisions --problems ${problems} --seed ${seed}`, (performance.now() - startedMs) / 1_000),
    "",
    "Problems come from the committed generator (`tests/decisions`): programs with one fault, popular faults many times over, right ones in several spellings; a quarter of the tests may demand what a faulty program answers. No model sampled any of them. Each of these choices has 100 ms.",
    "",
    "Blocks of the devnet are captured while the platform trades in them, with a rival, in a busy market: what is left over by both, at the end of each block. The synthetic market has 120 pools of every kind and nobody who trades its gaps away. What is selected within 5 ms is carried out on exact pool states, each trade resized on what those before left; only blocks in which something pays count. Greedy is what the executor does by itself (the best first, then what touches none of its pools); resized, it takes what still pays, whatever it touches. Without sequels, two that share a pool are never both taken.",
    "",
    ...parts.flatMap(([title, measure, { means, against, provenShare, problems: count }]) => [
      `## ${title}`,
      "",
      `Of ${count} problems; proven optimal by its own measure: ${(provenShare * 100).toFixed(0)} %.`,
      "",
      `| | ${measure} | the engine is better | as good | worse |`,
      "| --- | ---: | ---: | ---: | ---: |",
      ...Object.entries(means).map(([name, mean]) => {
        const score = against[name];
        return `| ${name} | ${mean.toFixed(3)} | ${score ? `${score.wins} | ${score.ties} | ${score.losses}` : "| |"} |`;
      }),
      "",
    ]),
  ];
  return { lines, ok: parts.every(([, , { problems: count }]) => count === problems) };
}

async function realism(): Promise<{ lines: string[]; ok: boolean }> {
  const result = await runRealism({ blocks: whole("blocks"), seed: whole("seed") });
  const unprofitable = (result.grossPositive - result.netPositive) / result.grossPositive;
  const lines = [
    "# Realism of the simulated market",
    "",
    provenance(`realism --seed ${result.seed} --blocks ${values.blocks}`, result.seconds),
    "",
    `- ${result.blocks} blocks, base fee at least ${(Number(result.leastBaseFeeWei) / 1e9).toFixed(2)} gwei`,
    `- cycles that gain before costs: ${result.grossPositive}; after costs: ${result.netPositive} (${(unprofitable * 100).toFixed(1)} % do not pay)`,
    `- settled ${result.settled}, reverted on chain ${result.reverted} (${result.gasOfFailuresWei} wei of gas), races lost to the rival ${result.racesLost}, rival's trades ${result.rivalTrades}`,
    `- settled trades whose result differs from the prediction: ${result.movedInBetween}`,
    `- net ${result.netWei} wei by the ledger, ${result.chainDeltaWei} wei by the chain`,
    `- pools compared with the chain: ${result.selfChecks}, differences ${result.selfCheckDifferences}`,
  ];
  const ok =
    unprofitable >= 0.8 &&
    result.racesLost >= 1 &&
    result.reverted >= 1 &&
    result.netWei === result.chainDeltaWei &&
    result.selfCheckDifferences === 0 &&
    result.leastBaseFeeWei >= 5n * 10n ** 9n;
  return { lines, ok };
}
