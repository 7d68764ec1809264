import { readFileSync } from "node:fs";
import { z } from "zod";
import { FlashloanError } from "./errors.ts";

/** What a service's configuration schema is: one variable of the environment per field. */
export type ConfigSchema = Readonly<Record<string, z.ZodType>>;

/** The value that a schema gives. */
export type ConfigOf<S extends ConfigSchema> = { readonly [K in keyof S]: z.output<S[K]> };

/**
 * Reads one schema from an environment. `NAME_FILE` names a file that holds NAME's value (secrets). All faults are
 * reported at once, each with variable, value and cure; the value of a variable that may be secret is not shown.
 * @throws FlashloanError config_invalid
 */
export function readConfig<S extends ConfigSchema>(
  schema: S,
  environment: Readonly<Record<string, string | undefined>>,
): ConfigOf<S> {
  const faults: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, type] of Object.entries(schema)) {
    const source = readVariable(name, environment, faults);
    if (source === "faulty") continue;
    const parsed = type.safeParse(source.value);
    if (parsed.success) values[name] = parsed.data;
    else {
      const shown =
        source.value === undefined ? "is not set" : isSecret(name) ? "has an unusable value" : `is "${source.value}"`;
      const reason = parsed.error.issues.map((issue) => issue.message).join("; ");
      const help = type.description === undefined ? "" : ` (${type.description})`;
      faults.push(`${name} ${shown}: ${reason}${help}`);
    }
  }
  if (faults.length > 0)
    throw new FlashloanError(
      "config_invalid",
      `The configuration has ${faults.length} fault(s):\n  ${faults.join("\n  ")}`,
      {
        details: { faults: faults.length },
      },
    );
  return values as ConfigOf<S>;
}

/**
 * Runs several readings and reports the faults of all of them at once.
 * @throws FlashloanError config_invalid
 */
export function readTogether(readings: readonly (() => unknown)[]): void {
  const messages: string[] = [];
  for (const read of readings) {
    try {
      read();
    } catch (error) {
      if (!(error instanceof FlashloanError) || error.code !== "config_invalid") throw error;
      messages.push(error.message);
    }
  }
  if (messages.length > 0) throw new FlashloanError("config_invalid", messages.join("\n"));
}

function readVariable(
  name: string,
  environment: Readonly<Record<string, string | undefined>>,
  faults: string[],
): { value: string | undefined } | "faulty" {
  const value = environment[name];
  const file = environment[`${name}_FILE`];
  if (value !== undefined && value !== "") return { value };
  if (file === undefined || file === "") return { value: undefined };
  try {
    return { value: readFileSync(file, "utf8").trim() };
  } catch (error) {
    faults.push(`${name}_FILE is "${file}", which can't be read (${(error as Error).message}): name a readable file`);
    return "faulty";
  }
}

function isSecret(name: string): boolean {
  return /KEY|SECRET|PASSWORD|TOKEN_VALUE/.test(name);
}

/** A whole number within bounds, from its decimal text. */
export function integerVariable(
  min: number,
  max: number,
  fallback: number,
  description: string,
): z.ZodType<number, string | undefined> {
  return z
    .string()
    .default(String(fallback))
    .refine(
      (text) => /^-?\d+$/.test(text) && Number(text) >= min && Number(text) <= max,
      `must be a whole number from ${min} to ${max}`,
    )
    .transform(Number)
    .describe(description);
}

/** An amount in base units (wei unless the name says otherwise), from its decimal text; never negative. */
export function amountVariable(fallback: bigint, description: string): z.ZodType<bigint, string | undefined> {
  return z
    .string()
    .default(fallback.toString())
    .refine(
      (text) => /^\d{1,78}$/.test(text),
      "must be a whole, non-negative number of base units, such as 1000000000000000",
    )
    .transform(BigInt)
    .describe(description);
}

/** A text variable, with a fallback or required when there is none. */
export function textVariable(description: string, fallback?: string): z.ZodType<string, string | undefined> {
  const base = z.string({ error: "must be set" }).min(1, "must not be empty");
  return (fallback === undefined ? base : base.default(fallback)).describe(description);
}

/** One of a few words. */
export function choiceVariable<const T extends readonly [string, ...string[]]>(
  choices: T,
  fallback: T[number],
  description: string,
): z.ZodType<T[number], string | undefined> {
  return z
    .string()
    .default(fallback)
    .refine((text) => choices.includes(text), `must be one of ${choices.join(", ")}`)
    .describe(description);
}
