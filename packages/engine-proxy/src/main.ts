import closeWithGrace from "close-with-grace";
import { readConfig } from "@flashloan/shared/config";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { createLogger } from "@flashloan/shared/log";
import { touchWhile } from "@flashloan/shared/telemetry/ready-file";
import { engineProxyConfigSchema } from "./config.ts";
import { startEngineProxy } from "./proxy.ts";

// The only process with the Docker Engine's socket. Whoever holds that is root on the machine: so this one is small, has
// no client but the supervisor, and says no to nearly everything.

let log = createLogger("engine-proxy");
const running = new Lifecycle();
closeWithGrace({ delay: 15_000, logger: false }, async ({ err, signal }) => {
  if (err) log.fatal({ error: err }, "process_failed");
  else log.info({ signal }, "stopping");
  await running.stop();
});
try {
  const config = readConfig(engineProxyConfigSchema, process.env);
  log = createLogger("engine-proxy", config.LOG_LEVEL);
  running.add("proxy", await startEngineProxy({ config, log }));
  if (config.READY_FILE !== undefined)
    running.onStop(
      "ready file",
      touchWhile(config.READY_FILE, () => true),
    );
} catch (error) {
  log.fatal({ error }, "start_failed");
  process.exit(1);
}
