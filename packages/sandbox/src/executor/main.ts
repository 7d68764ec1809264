import { readConfig } from "@flashloan/shared/config";
import { Lifecycle } from "@flashloan/shared/lifecycle";
import { createLogger } from "@flashloan/shared/log";
import { touchWhile } from "@flashloan/shared/telemetry/ready-file";
import { executorConfigSchema } from "./config.ts";
import { openContainerSandbox } from "./container.ts";
import { startExecutor } from "./server.ts";

// The executor of the sandbox's container. Says each second on standard output that it lives: infra/docker/keeper.sh,
// the container's first process, ends the container when it no longer does.
const HEARTBEAT_MS = 1_000;
const log = createLogger("sandbox-executor");
const fail = (error: unknown): never => {
  log.fatal({ error }, "process_failed");
  process.exit(1);
};
const lifecycle = new Lifecycle();
try {
  const config = readConfig(executorConfigSchema, process.env);
  const beat = (): void => void process.stdout.write("\n");
  beat();
  const heart = setInterval(beat, HEARTBEAT_MS);
  lifecycle.onStop("heart", () => clearInterval(heart));
  const sandbox = openContainerSandbox(config.SANDBOX_WORKSPACE, { wake: beat, onUnclean: fail });
  if (!sandbox.hasLandlock) log.warn("landlock_missing");
  lifecycle.onStop(
    "ready file",
    touchWhile(config.READY_FILE, () => true),
  );
  lifecycle.add("executor", await startExecutor({ sandbox, log, socket: config.SANDBOX_SOCKET }));
  log.info({ socket: config.SANDBOX_SOCKET, languages: sandbox.languages }, "service_started");
} catch (error) {
  fail(error);
}
for (const signal of ["SIGTERM", "SIGINT"] as const)
  process.once(signal, () => {
    log.info({ signal }, "stopping");
    lifecycle.stop().then(() => process.exit(0), fail);
  });
