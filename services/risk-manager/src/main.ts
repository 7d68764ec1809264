import { runService } from "@flashloan/shared/run-service";
import { riskConfigSchema } from "./config.ts";
import { createRiskManagerService } from "./service.ts";

await runService("risk-manager", riskConfigSchema, createRiskManagerService);
