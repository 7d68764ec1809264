import { z } from "zod";

// What the proxy passes on of the engine's answers, field by field: what is not named here (environment, mounts, command
// lines, networks, secrets) does not leave it. The driver reads answers by the same schemas.

/** Labels of ours, and those of Compose and Swarm that tell units apart. */
const SHOWN_LABEL =
  /^(flashloan\.[a-z-]+|com\.docker\.compose\.(service|container-number)|com\.docker\.stack\.namespace)$/;

/** Labels as far as a driver has business with them. */
export const labelsSchema = z
  .record(z.string(), z.string())
  .nullish()
  .transform((labels) => Object.fromEntries(Object.entries(labels ?? {}).filter(([name]) => SHOWN_LABEL.test(name))));

/** One container of `GET /containers/json`. */
const containerSummarySchema = z.object({
  Id: z.string(),
  /** Seconds since the epoch. */
  Created: z.number(),
  State: z.string(),
  Labels: labelsSchema,
});
/** @see containerSummarySchema */
export type ContainerSummary = z.infer<typeof containerSummarySchema>;
/** `GET /containers/json` */
export const containersSchema = z.array(containerSummarySchema);

/** `GET /containers/{id}/json` */
export const containerSchema = z.object({
  Id: z.string(),
  RestartCount: z.number(),
  State: z.object({
    Status: z.string(),
    Paused: z.boolean(),
    OOMKilled: z.boolean(),
    ExitCode: z.number(),
    StartedAt: z.string(),
    FinishedAt: z.string(),
    Health: z
      .object({ Status: z.string() })
      .nullish()
      .transform((health) => health ?? undefined),
  }),
  Config: z.object({ Labels: labelsSchema }),
});
/** @see containerSchema */
export type Container = z.infer<typeof containerSchema>;

/** One event of `GET /events`, a line each: always of a container. */
export const eventSchema = z.object({
  Action: z.string(),
  Actor: z.object({
    ID: z.string(),
    Attributes: z.object({ exitCode: z.string().optional() }).catch({}),
  }),
  timeNano: z.number(),
});
/** @see eventSchema */
export type EngineEvent = z.infer<typeof eventSchema>;

/** `GET /services` */
export const servicesSchema = z.array(
  z.object({
    ID: z.string(),
    CreatedAt: z.string(),
    Spec: z.object({
      Labels: labelsSchema,
      Mode: z.object({ Replicated: z.object({ Replicas: z.number().optional() }).optional() }),
      TaskTemplate: z.object({
        ContainerSpec: z
          .object({ Healthcheck: z.object({ Test: z.array(z.string()).nullish() }).optional() })
          .optional()
          // Whether there is one; not how it asks.
          .transform((spec) => {
            const test = spec?.Healthcheck?.Test?.[0];
            return { Healthcheck: { Test: test === undefined ? [] : [test] } };
          }),
      }),
    }),
  }),
);

/** @see servicesSchema */
export type Service = z.infer<typeof servicesSchema>[number];

/** `GET /tasks` */
export const tasksSchema = z.array(
  z.object({
    ID: z.string(),
    ServiceID: z.string(),
    NodeID: z.string().optional(),
    CreatedAt: z.string(),
    DesiredState: z.string(),
    Status: z.object({
      State: z.string(),
      Timestamp: z.string(),
      Err: z.string().optional(),
      ContainerStatus: z.object({ ExitCode: z.number().optional() }).nullish(),
    }),
  }),
);
/** @see tasksSchema */
export type Task = z.infer<typeof tasksSchema>[number];

/** `GET /nodes` */
export const nodesSchema = z.array(
  z.object({
    ID: z.string(),
    Spec: z.object({ Availability: z.string() }),
    Status: z.object({ State: z.string() }),
  }),
);

/** An answer that is not what was asked for. */
export const refusalSchema = z.object({ code: z.string(), message: z.string() });
