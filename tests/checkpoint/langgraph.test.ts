import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { CheckpointSaver } from "@flashloan/checkpoint-saver/checkpoint-saver";
import { createCheckpointService } from "@flashloan/checkpoint/service";
import { testContext } from "@flashloan/shared/contract/context";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { RpcClient } from "@flashloan/shared/rpc-client";
import { openLedgerDatabase } from "../support/databases.ts";
import { startPostgres } from "../support/servers.ts";

// LangGraph's own validation of checkpointers, against the real service on the real PostgreSQL. It was written for
// vitest with globals; these are they.
Object.assign(globalThis, { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it });
const { validate } = await import("@langchain/langgraph-checkpoint-validation");

const lifecycle = new Lifecycle();
let client: RpcClient;
let spaces = 0;

validate({
  checkpointerName: "CheckpointSaver",
  beforeAllTimeout: 120_000,
  beforeAll: async () => {
    const server = await startPostgres();
    lifecycle.onStop("PostgreSQL", () => server.remove());
    const database = lifecycle.add("database", await openLedgerDatabase(server.url));
    const options = { host: "127.0.0.1", port: 0, database, context: testContext("checkpoint") };
    const service = lifecycle.add("service", await createCheckpointService(options));
    client = lifecycle.add("client", new RpcClient(service.address));
  },
  afterAll: () => lifecycle.stop(),
  // Each part of the suite expects to find no thread of another one.
  createCheckpointer: () => new CheckpointSaver(client, `validation-${++spaces}`),
  destroyCheckpointer: (saver) => saver.stop(),
});
