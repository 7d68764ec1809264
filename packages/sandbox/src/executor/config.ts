import { textVariable } from "@flashloan/shared/config";

/** All that the executor's environment has. */
export const executorConfigSchema = {
  SANDBOX_SOCKET: textVariable("Unix socket that runs are asked for on", "/run/sandbox/executor.sock"),
  SANDBOX_WORKSPACE: textVariable("where runs have their files: a tmpfs, whose size bounds them", "/workspace"),
  READY_FILE: textVariable("file that is touched each second while the executor serves", "/run/flashloan/ready"),
};
