import { z } from "zod";
import { choiceVariable, integerVariable, textVariable, type ConfigOf } from "@flashloan/shared/config";

/** What the units are: containers of a Compose project, or services of a Swarm's stack. */
export const SCOPES = ["compose", "swarm"] as const;

/** The environment of the engine's proxy. */
export const engineProxyConfigSchema = {
  ENGINE_PROXY_HOST: textVariable("address that the proxy listens on", "127.0.0.1"),
  ENGINE_PROXY_PORT: integerVariable(0, 65_535, 2375, "port of the proxy; 0 picks a free one"),
  ENGINE_PROXY_SOCKET: textVariable("the Docker Engine's socket", "/var/run/docker.sock"),
  ENGINE_PROXY_SCOPE: choiceVariable(SCOPES, "compose", "what may be seen: containers of a compose project, or swarm"),
  ENGINE_PROXY_PROJECT: z
    .string({ error: "must be set" })
    .regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, "must be the name of a Compose project or of a Swarm's stack")
    .describe("the one Compose project or Swarm stack whose labelled units may be seen and restarted"),
  READY_FILE: z
    .string()
    .optional()
    .transform((text) => text || undefined)
    .describe(
      "file that is touched each second while the proxy listens, for a container's health check; best on tmpfs",
    ),
  LOG_LEVEL: choiceVariable(
    ["trace", "debug", "info", "warn", "error", "silent"],
    "info",
    "least severe log level that is written",
  ),
};
/** @see engineProxyConfigSchema */
export type EngineProxyConfig = ConfigOf<typeof engineProxyConfigSchema>;
