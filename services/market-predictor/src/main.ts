import { runService } from "@flashloan/shared/run-service";
import { predictorConfigSchema } from "./config.ts";
import { createMarketPredictorService } from "./service.ts";

await runService("market-predictor", predictorConfigSchema, createMarketPredictorService);
