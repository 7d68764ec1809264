import { runService } from "@flashloan/shared/run-service";
import { executorConfigSchema } from "./config.ts";
import { createExecutorService } from "./service.ts";

await runService("hft-executor", executorConfigSchema, createExecutorService);
