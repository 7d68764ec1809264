import { enableCompileCache } from "node:module";

// What was compiled once need not be again: half of the time that loading takes, and a platform that failed is back sooner.
enableCompileCache();
// A platform that is started here is kept: see keeper.ts. Everything else, and what is kept, is the program.
const [command] = process.argv.slice(2);
const isKept = process.send !== undefined;
if (command === "start" && !isKept && !process.argv.includes("--no-restart")) {
  const { keepPlatform } = await import("./keeper.ts");
  process.exitCode = await keepPlatform();
} else await import("./program.ts");
