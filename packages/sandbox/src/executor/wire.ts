import { z } from "zod";
import { LANGUAGES, LIMITS_DEFAULT, RUN_ENDS } from "../port.ts";
import { REQUEST_BYTES_MAX } from "../supervised-run.ts";

// What goes over the executor's socket. Each side checks what comes from the other.
/** JSON takes at most twice the bytes of a text of usual characters. */
export const REQUEST_BODY_BYTES_MAX = 2 * REQUEST_BYTES_MAX;
/** Two outputs and a report, as JSON. */
export const ANSWER_BODY_BYTES_MAX = 64 * 1024 * 1024;
const FILES_MAX = 4096;
const PATH_CHARACTERS_MAX = 4096;
const ARGUMENTS_MAX = 256;
/** Linux takes no longer one. */
const ARGUMENT_CHARACTERS_MAX = 128 * 1024;
/** Time that a run may take of those who wait. */
export const WALL_MS_MAX = 60_000;
const OUTPUT_BYTES_MAX = 4 * 1024 * 1024;

const upTo = (max: number): z.ZodExactOptional<z.ZodNumber> => z.number().positive().max(max).exactOptional();
const text = (max: number): z.ZodString => z.string().max(max);

/** A run that is asked for. What the container itself bounds can only be asked for less. */
export const runRequestSchema = z.strictObject({
  language: z.enum(LANGUAGES),
  files: z
    .record(text(PATH_CHARACTERS_MAX), z.string())
    .refine((files) => Object.keys(files).length <= FILES_MAX, `at most ${FILES_MAX} files`),
  entry: text(PATH_CHARACTERS_MAX),
  args: z.array(text(ARGUMENT_CHARACTERS_MAX)).max(ARGUMENTS_MAX).exactOptional(),
  stdin: z.string().exactOptional(),
  limits: z
    .strictObject({
      wallMs: upTo(WALL_MS_MAX),
      cpuS: upTo(WALL_MS_MAX / 1000),
      memoryBytes: upTo(LIMITS_DEFAULT.memoryBytes),
      pids: upTo(LIMITS_DEFAULT.pids),
      outputBytes: upTo(OUTPUT_BYTES_MAX),
      workspaceBytes: upTo(LIMITS_DEFAULT.workspaceBytes),
    })
    .exactOptional(),
  network: z.literal("none", { error: "this sandbox has no network to grant" }).exactOptional(),
});

const runResultSchema = z.strictObject({
  end: z.enum(RUN_ENDS),
  exitCode: z.number().nullable(),
  signal: z.string().nullable(),
  stdout: z.string(),
  stderr: z.string(),
  changed: z.record(z.string(), z.string()),
  removed: z.array(z.string()),
  wallMs: z.number(),
  memoryBytesMax: z.number(),
});

/** Codes that an executor answers with. */
export const REFUSALS = [
  "argument_invalid",
  "payload_too_large",
  "queue_full",
  "service_stopping",
  "not_found",
  "internal",
] as const;
/** The answer to what is not done. */
export const refusalSchema = z.strictObject({ error: z.strictObject({ code: z.enum(REFUSALS), message: z.string() }) });

/** The answer to a run. */
export const runAnswerSchema = z.union([z.strictObject({ result: runResultSchema }), refusalSchema]);
/** The answer to the question of what is here. */
export const languagesAnswerSchema = z.union([
  z.strictObject({ languages: z.array(z.enum(LANGUAGES)) }),
  refusalSchema,
]);
