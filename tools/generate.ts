import { runStages, ROOT } from "./stages.ts";

/** Everything that is generated: code and the descriptor set from proto/, references from declarations, dashboards, artifacts. */
const code = await runStages([
  { name: "protos to TypeScript", command: "buf", args: ["generate"], cwd: `${ROOT}proto` },
  {
    name: "descriptor set",
    command: "buf",
    args: ["build", "-o", "../packages/proto/gen/descriptor.binpb"],
    cwd: `${ROOT}proto`,
  },
  {
    name: "configuration reference",
    command: "node",
    args: ["--conditions=@flashloan/source", "packages/embedded/tools/config-reference.ts"],
  },
  {
    name: "dashboards",
    command: "node",
    args: ["--conditions=@flashloan/source", "tools/build.ts"],
    cwd: `${ROOT}grafana`,
  },
  {
    name: "telemetry reference",
    command: "node",
    args: ["--conditions=@flashloan/source", "packages/embedded/tools/telemetry-reference.ts"],
  },
  { name: "devnet's hostile contracts", command: "node", args: ["tools/build.ts"], cwd: `${ROOT}packages/devnet` },
  {
    name: "statevector's kernel",
    command: "node",
    args: ["tools/build.ts"],
    cwd: `${ROOT}packages/statevector`,
  },
  { name: "contract artifact", command: "node", args: ["tools/build.ts"], cwd: `${ROOT}packages/contracts` },
]);
process.exitCode = code;
