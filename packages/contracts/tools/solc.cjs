#!/usr/bin/env node
// The compiler that forge runs: solcjs from npm, behind the two flags of solc that forge uses.
// CommonJS, because forge starts it by its shebang with whatever node is on the PATH.
const { readFileSync, writeSync } = require("node:fs");
const solc = require("solc");

if (process.argv.includes("--version")) {
  const version = solc.version().replace("Emscripten.clang", "Linux.g++");
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${version}`);
} else {
  // --standard-json: forge sends every source inline, so no import callback is needed.
  const output = Buffer.from(solc.compile(readFileSync(0, "utf8")));
  for (let sent = 0; sent < output.length;) sent += writeSync(1, output, sent);
}
