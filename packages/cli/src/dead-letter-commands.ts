import { type Command, InvalidArgumentError } from "commander";
import { openEventBus } from "@flashloan/shared/adapters/open";
import { readConfig, textVariable } from "@flashloan/shared/config";
import type { EventBus } from "@flashloan/shared/ports/event-bus";
import { table, toJsonLine } from "./format.ts";

const busSchema = { BUS_URL: textVariable("the event bus, such as amqp://user:password@127.0.0.1:5672") };

/** Adds the commands for events that no handler would take: `dead-letters list` and `dead-letters replay`. */
export function addDeadLetterCommands(program: Command): void {
  const deadLetters = program
    .command("dead-letters")
    .description("look at the events that no handler would take, and give them to their handlers once more")
    .addHelpText(
      "after",
      `
The bus is named by BUS_URL, or BUS_URL_FILE for a file that holds it, as the services have it. In Docker Compose:
  docker compose -f docker-compose.advanced-langchain.yml exec hft-executor flashloan dead-letters list`,
    );
  deadLetters
    .command("list")
    .description("list them, oldest first, with group and reason")
    .option("--json", "one JSON object a line, with the whole event", false)
    .action(({ json }: { json: boolean }) =>
      withBus(async (bus) => {
        const letters = await bus.deadLetters();
        if (json) for (const letter of letters) print(toJsonLine(letter));
        else if (letters.length === 0) print("no dead letters");
        else
          print(
            table([
              ["group", "type", "subject", "time", "id", "reason"],
              ...letters.map(({ group, event, reason }) => [
                group,
                event.type,
                event.subject ?? "",
                event.time,
                event.id,
                reason,
              ]),
            ]),
          );
      }),
    );
  deadLetters
    .command("replay")
    .description("give the dead letters of a group to its handlers once more")
    .argument("<group>", "the group, as `list` shows it", (text: string) => {
      if (!/^[a-z0-9-]{1,64}$/.test(text))
        throw new InvalidArgumentError("must be 1 to 64 lower-case letters, digits and dashes.");
      return text;
    })
    .option("--json", "machine-readable output", false)
    .action((group: string, { json }: { json: boolean }) =>
      withBus(async (bus) => {
        const replayed = await bus.replayDeadLetters(group);
        print(json ? toJsonLine({ group, replayed }) : `${replayed} given to ${group} once more`);
      }),
    );
}

async function withBus(use: (bus: EventBus) => Promise<void>): Promise<void> {
  const bus = await openEventBus(readConfig(busSchema, process.env).BUS_URL);
  try {
    await use(bus);
  } finally {
    await bus.stop();
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
