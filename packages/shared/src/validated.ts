import type { z } from "zod";
import { FlashloanError } from "./errors.ts";

/**
 * A request that passes its schema, as it came.
 * @throws FlashloanError argument_invalid, naming field, value and cure
 */
export function validated<I>(schema: z.ZodType, request: I): I {
  const parsed = schema.safeParse(request);
  if (parsed.success) return request;
  const faults = parsed.error.issues.map((issue) => {
    const value = issue.path.reduce<unknown>(
      (at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key],
      request,
    );
    const shown =
      typeof value === "string" || typeof value === "number" || typeof value === "bigint" || typeof value === "boolean"
        ? ` is "${String(value).slice(0, 80)}"`
        : "";
    return `${issue.path.join(".") || "request"}${shown}: ${issue.message}`;
  });
  throw new FlashloanError("argument_invalid", faults.join("; "));
}
