import { z } from "zod";
import { choiceVariable, integerVariable, textVariable, type ConfigOf } from "@flashloan/shared/config";
import { chatModelConfigSchema } from "@flashloan/chat-model/config";
import { groupSpecSchema, type GroupSpec } from "./tree.ts";

const url = (description: string): z.ZodType<string | undefined, string | undefined> =>
  z
    .string()
    .optional()
    .transform((text) => (text === "" ? undefined : text))
    .refine((text) => text === undefined || /^https?:\/\/[^\s]+$/.test(text), "must be an http:// or https:// address")
    .describe(description);

/** What the tree is when nothing else is said: each unit for itself, and what keeps failing is left to an operator. */
const TREE_DEFAULT = '{"name":"platform"}';

const treeVariable: z.ZodType<GroupSpec, string | undefined> = z
  .string()
  .optional()
  .transform((text, context): unknown => {
    try {
      return JSON.parse(text || TREE_DEFAULT);
    } catch (error) {
      context.addIssue({ code: "custom", message: `must be JSON (${(error as Error).message})` });
      return z.NEVER;
    }
  })
  .pipe(groupSpecSchema)
  .describe(
    'the supervision tree as JSON: {"name","strategy","intensity","periodMs","beyond","groups":[…]} with Erlang/OTP\'s words; groups that it does not name hang under its root',
  );

/** The environment of the supervisor. */
export const supervisorConfigSchema = {
  SUPERVISOR_HOST: textVariable("address that the gRPC server binds to", "127.0.0.1"),
  SUPERVISOR_PORT: integerVariable(0, 65_535, 7012, "port of the gRPC server; 0 picks a free one"),
  SUPERVISOR_DATABASE_URL: textVariable(
    "where incidents and orders are kept: pglite:FOLDER or postgres://user:password@host/database",
    "pglite:.data/supervisor",
  ),
  SUPERVISOR_TREE: treeVariable,
  SUPERVISOR_RESTARTS: choiceVariable(
    ["on", "off"],
    "on",
    "whether failed units are restarted; off: they are only watched and told of",
  ),
  SUPERVISOR_ALERTMANAGER_URL: url("Alertmanager that is told of failures, such as http://alertmanager:9093"),
  SUPERVISOR_WEBHOOK_URL: url("where failures are posted to as JSON"),
  SUPERVISOR_PROMETHEUS_URL: url("where figures of a failed unit are asked for, such as http://prometheus:9090"),
  SUPERVISOR_JAEGER_URL: url("where traces of a failed unit are asked for, such as http://jaeger:16686"),
  ...chatModelConfigSchema,
};
/** @see supervisorConfigSchema */
export type SupervisorConfig = ConfigOf<typeof supervisorConfigSchema>;

const UNITS_FORM = "must be docker:http://host:port, swarm:http://host:port or none:";

/** Where the units of a supervisor of its own process run; embedded they are in this process. */
export const unitsConfigSchema = {
  SUPERVISOR_UNITS_URL: z
    .string()
    .default("none:")
    .refine((text) => text === "none:" || /^(docker|swarm):http:\/\/[^\s]+$/.test(text), UNITS_FORM)
    .describe(
      "where the units run: docker: or swarm: and the engine proxy's address; none: only what registers is watched, and nothing is restarted",
    ),
};
