import { Command, Option } from "commander";
import { errorFields, toFlashloanError } from "@flashloan/shared/errors";
import { addDeadLetterCommands } from "./dead-letter-commands.ts";
import { addMigrateCommand } from "./migrate-command.ts";
import { addOperatorCommands } from "./operator-commands.ts";
import { toJsonLine } from "./format.ts";
import { whole } from "./arguments.ts";
import { addQuantumCommands } from "./quantum-commands.ts";
import { addSupervisorCommands } from "./supervisor-commands.ts";
import type { StartOptions } from "./start.ts";

const DATA_DIR = ".data";

const program = new Command("flashloan")
  .description("Finds arbitrage, borrows in a flash loan, trades and repays in one transaction, and keeps the profit.")
  .showHelpAfterError("(add --help for the options)")
  .configureHelp({ sortSubcommands: false });

program
  .command("start")
  .description(
    "run the whole platform here: a local chain with the real protocols, the services and a simulated market",
  )
  .option(
    "--until-trades <n>",
    "stop with a summary after n settled profitable trades; 0 runs on",
    whole(0, 1_000_000),
    0,
  )
  .option("--timeout-s <n>", "how long --until-trades may take, in seconds", whole(1, 86_400), 120)
  .option("--data-dir <path>", "where the ledger and the chain's state are kept", DATA_DIR)
  .option("--fresh", "archive what is in the data folder and begin anew", false)
  .option("--seed <n>", "seed of the simulated market; the same seed makes the same market", whole(0, 2 ** 31 - 1), 1)
  .option("--keep-chain", "leave the chain running at the end", false)
  .option("--chain-port <n>", "port of the chain; 0 picks a free one", whole(0, 65_535), 0)
  .addOption(new Option("--block-time-s <n>", "seconds between blocks").argParser(whole(1, 60)).default(1))
  .option("--no-restart", "end when the platform fails, instead of starting it again where it was")
  .option("--json", "one JSON line an event, on a terminal too", false)
  .addHelpText(
    "after",
    `
Examples:
  npm start                                  run until Ctrl-C, with a live view
  npm start -- --until-trades 3              stop after three settled trades; exit 0 if they reconcile with the chain
  npm start -- --until-trades 3 --json       the same, as JSON lines; the last one is the summary
  npm start -- --fresh --seed 7              begin anew with another market

Settings of the services (RISK_…, EXECUTOR_…, PREDICTOR_…) are read from the environment. The chain is a devnet:
trading is live on it and on paper everywhere else, until an operator arms it.`,
  )
  .action(async (options: StartOptions) => {
    const { runStart } = await import("./start.ts");
    process.exitCode = await runStart(options);
  });

program
  .command("certificates")
  .description("make certificates for mutual TLS between the services: an authority, and a folder for each host")
  .requiredOption("--out <folder>", "where to; GRPC_TLS_FOLDER is then FOLDER/HOST")
  .requiredOption(
    "--hosts <names>",
    "names under which services reach each other, and one for you, separated by commas",
  )
  .option("--json", "machine-readable output", false)
  .action(async ({ out, hosts, json }: { out: string; hosts: string; json: boolean }) => {
    const { makeCertificates } = await import("./certificates.ts");
    const names = hosts.split(",").map((name) => name.trim());
    const result = await makeCertificates(out, names);
    const what = result.made ? "made" : "kept, since they are good for another month,";
    const text = `${what} ${result.folders.length} certificates, valid until ${result.validUntil}: ${result.folders.join(", ")}`;
    process.stdout.write(`${json ? toJsonLine({ event: "certificates", ...result }) : text}\n`);
  });

addOperatorCommands(program, DATA_DIR);
addDeadLetterCommands(program);
addMigrateCommand(program);
addSupervisorCommands(program, DATA_DIR);
addQuantumCommands(program);

try {
  await program.parseAsync();
} catch (error) {
  const fields = errorFields(toFlashloanError(error));
  if (process.argv.includes("--json")) process.stdout.write(`${toJsonLine({ event: "error", ...fields })}\n`);
  else process.stderr.write(`flashloan: ${String(fields["message"])}\n  (${String(fields["docs"])})\n`);
  process.exitCode = 1;
}
