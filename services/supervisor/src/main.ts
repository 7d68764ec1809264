import { runService } from "@flashloan/shared/run-service";
import { supervisorConfigSchema, unitsConfigSchema } from "./config.ts";
import { openDriver } from "./drivers/open.ts";
import { createSupervisorService } from "./service.ts";

await runService("supervisor", { ...supervisorConfigSchema, ...unitsConfigSchema }, async (config, context) =>
  createSupervisorService(config, context, openDriver(config.SUPERVISOR_UNITS_URL, context)),
);
