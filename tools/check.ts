import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runStages, ROOT, type Stage } from "./stages.ts";

// The gate: everything that needs no chain, in under a minute.
const TSC = "node_modules/@typescript/native/bin/tsc";
const scratch = mkdtempSync(join(tmpdir(), "flashloan-check-"));
const protoTemplate = join(scratch, "buf.gen.yaml");
writeFileSync(
  protoTemplate,
  readFileSync(`${ROOT}proto/buf.gen.yaml`, "utf8").replace("../packages/proto/gen", join(scratch, "gen")),
);

const stages: Stage[] = [
  { name: "protos: lint", command: "buf", args: ["lint"], cwd: `${ROOT}proto` },
  {
    name: "protos: no breaking change against the baseline",
    command: "buf",
    args: ["breaking", "--against", "baseline.binpb"],
    cwd: `${ROOT}proto`,
  },
  {
    name: "protos: generate beside",
    command: "buf",
    args: ["generate", "--template", protoTemplate],
    cwd: `${ROOT}proto`,
  },
  {
    name: "protos: generated code is current",
    command: "diff",
    args: ["-r", "-x", "descriptor.binpb", `${scratch}/gen`, "packages/proto/gen"],
  },
  {
    name: "devnet's hostile contracts are current",
    command: "node",
    args: ["tools/build.ts", "--check"],
    cwd: `${ROOT}packages/devnet`,
  },
  {
    name: "statevector's kernel is current",
    command: "node",
    args: ["tools/build.ts", "--check"],
    cwd: `${ROOT}packages/statevector`,
  },
  {
    name: "contract artifact is current",
    command: "node",
    args: ["tools/build.ts", "--check"],
    cwd: `${ROOT}packages/contracts`,
  },
  {
    name: "configuration reference is current",
    command: "node",
    args: ["--conditions=@flashloan/source", "packages/embedded/tools/config-reference.ts", "--check"],
  },
  {
    name: "dashboards are current",
    command: "node",
    args: ["--conditions=@flashloan/source", "tools/build.ts", "--check"],
    cwd: `${ROOT}grafana`,
  },
  {
    name: "telemetry reference is current",
    command: "node",
    args: ["--conditions=@flashloan/source", "packages/embedded/tools/telemetry-reference.ts", "--check"],
  },
  { name: "types", command: "node", args: [TSC, "-b"] },
  { name: "lint", command: "oxlint", args: ["--type-aware", "--deny-warnings"] },
  { name: "format", command: "oxfmt", args: ["--check", "."] },
  {
    name: "import boundaries and cycles",
    command: "depcruise",
    args: ["--config", ".dependency-cruiser.cjs", "packages", "services", "grafana", "tests"],
  },
  { name: "unused code", command: "knip", args: ["--no-progress"] },
];
const code = await runStages(stages);
rmSync(scratch, { recursive: true, force: true });
process.exitCode = code;
