import { z } from "zod";

/** A unit's id, a group's name: what containers, labels and metrics can carry. */
export const nameSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "must be 1 to 63 lower-case letters, digits and dashes");

/** What a unit answers to, and so how its health is asked. */
export const SPEAKS = ["grpc", "mcp", "nothing"] as const;

/** What a unit says of itself when it registers: by its driver's labels, or over gRPC. */
export const unitDeclarationSchema = z.object({
  id: nameSchema,
  /** The group of the supervision tree that it belongs to; a name that the tree does not know hangs under its root. */
  group: nameSchema,
  /** Units without which it can't work: it is not restarted while one of them is down. */
  dependsOn: z.array(nameSchema).max(32),
  speaks: z.enum(SPEAKS),
  /** `host:port` (gRPC) or URL (MCP); not needed for what speaks nothing. */
  address: z.string().max(256).optional(),
  /** Place in its group's start order; smaller starts first. */
  order: z.number().int().min(0).max(10_000),
});
/** @see unitDeclarationSchema */
export type UnitDeclaration = z.infer<typeof unitDeclarationSchema>;

/** Every way in which a unit fails. */
export const FAULTS = [
  "crash",
  "out_of_memory",
  "no_answer",
  "stuck",
  "wrong_answer",
  "unhealthy",
  "start_timeout",
  "restart_failed",
  "loop_blocked",
] as const;
/** @see FAULTS */
export type Fault = (typeof FAULTS)[number];

/** What is thought of a unit now. */
export type Verdict =
  | { readonly status: "up" }
  /** Just started, and not there yet. */
  | { readonly status: "starting" }
  /** It answers and says that something it needs is missing: not its own fault. */
  | { readonly status: "degraded"; readonly reason: string }
  | { readonly status: "failed"; readonly fault: Fault; readonly reason: string };
