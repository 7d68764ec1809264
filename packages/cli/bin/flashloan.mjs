#!/usr/bin/env node
// The workspace's own command: hands over to the bootstrap, which brings Node 24 and what else is missing.
process.argv.splice(2, 0, "flashloan");
await import("../../../tools/bootstrap.mjs");
