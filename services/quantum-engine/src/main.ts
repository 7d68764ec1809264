import { runService } from "@flashloan/shared/run-service";
import { quantumConfigSchema } from "./config.ts";
import { createQuantumEngineService } from "./service.ts";

await runService("quantum-engine", quantumConfigSchema, createQuantumEngineService);
