// Imports point one way: services → packages → nothing of ours. Only the composition roots know services.
/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true } },
    {
      name: "services-never-import-each-other",
      severity: "error",
      from: { path: "^services/([^/]+)/" },
      to: { path: "^services/", pathNot: "^services/$1/" },
    },
    {
      name: "packages-never-import-services",
      severity: "error",
      from: { path: "^packages/", pathNot: "^packages/(embedded|cli)/" },
      to: { path: "^services/" },
    },
    {
      name: "shared-imports-nothing-of-ours",
      severity: "error",
      from: { path: "^packages/shared/" },
      to: { path: "^(packages|services)/", pathNot: "^packages/shared/" },
    },
    {
      name: "pure-packages",
      comment: "amm and arbitrage do no I/O",
      severity: "error",
      from: { path: "^packages/(amm|arbitrage)/src" },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "product-never-imports-tests",
      severity: "error",
      from: { path: "^(packages|services)/[^/]+/src" },
      to: { path: "(^tests/|/test/)" },
    },
    {
      name: "devnet-only-in-roots",
      comment: "services must not know the devnet",
      severity: "error",
      from: { path: "^services/[^/]+/src" },
      to: { path: "^packages/devnet/" },
    },
    { name: "resolvable", severity: "error", from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "(^|/)(dist|gen|assembly)/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.base.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["@flashloan/source", "import", "node", "default", "types"],
      extensions: [".ts", ".js", ".mjs", ".json"],
    },
  },
};
