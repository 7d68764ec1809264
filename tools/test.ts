import { readFileSync, rmSync, mkdirSync } from "node:fs";
import { runStages, ROOT, type Stage } from "./stages.ts";

// Every test. Stages run one after the other: those that measure or start chains never run beside others.
const reports = `${ROOT}.cache/test-reports`;
rmSync(reports, { recursive: true, force: true });
mkdirSync(reports, { recursive: true });
const only = process.argv.slice(2);
// `1` leaves the container tests out; `if-absent` does so only where no engine or image can be had.
const skip = process.env["FLASHLOAN_SKIP_CONTAINERS"];

const vitest = (project: string): Stage => ({
  name: `tests: ${project}`,
  command: "vitest",
  args: [
    "run",
    "--project",
    project,
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${reports}/${project}.json`,
  ],
});
const stages: Stage[] = [
  { name: "check", command: "node", args: ["tools/check.ts"] },
  vitest("unit"),
  { name: "tests: contracts (forge)", command: "node", args: ["tools/test.ts"], cwd: `${ROOT}packages/contracts` },
  { name: "servers for the adapter tests", command: "node", args: ["tools/install-servers.ts"] },
  vitest("system"),
  {
    name: "containers: engine and base images",
    command: "node",
    args: ["tools/prepare-containers.ts"],
    optional: skip === "if-absent",
  },
  vitest("containers"),
];
const skipsContainers = skip === "1";
if (skipsContainers) console.log("FLASHLOAN_SKIP_CONTAINERS=1: Docker Compose and Swarm are not tested");
const chosen = stages
  .filter((stage) => !(skipsContainers && stage.name.includes("containers")))
  .filter((stage) => only.length === 0 || only.some((word) => stage.name.includes(word)));

let [passed, failed] = [0, 0];
const code = await runStages(chosen, (stage, result) => {
  if (stage.command === "vitest") {
    const report = JSON.parse(readFileSync(`${reports}/${stage.args[2]}.json`, "utf8")) as {
      numPassedTests: number;
      numFailedTests: number;
    };
    passed += report.numPassedTests;
    failed += report.numFailedTests;
  } else if (stage.name.includes("forge")) {
    const summary = /(\d+) tests passed, (\d+) failed/.exec(result.output);
    passed += Number(summary?.[1] ?? 0);
    failed += Number(summary?.[2] ?? 0);
  }
  if (result.code !== 0 && !stage.optional && failed === 0) failed = 1;
});
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = code;
