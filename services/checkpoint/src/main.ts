import { runService } from "@flashloan/shared/run-service";
import { checkpointConfigSchema } from "./config.ts";
import { openCheckpointService } from "./service.ts";

await runService("checkpoint", checkpointConfigSchema, openCheckpointService);
