import { z } from "zod";
import { FlashloanError } from "@flashloan/shared/errors";
import { compile, compileMatrix, type Reading } from "./model.ts";
import { Quadratic, VARIABLES_MAX } from "./quadratic.ts";
import { READINGS, readSparseText } from "./sparse-text.ts";

const finite = z.number({ error: "must be a finite number" });
const variable = z.int().min(0);

/** A problem as people state it: a model, a matrix, sparse text, or a quadratic function to be minimized. */
export const problemSchema = z.union(
  [
    // What stands in a model, and in a matrix, is looked at when it is compiled.
    z.strictObject({ model: z.unknown() }),
    z.strictObject({ sense: z.unknown(), matrix: z.unknown() }),
    z.strictObject({
      text: z.string(),
      as: z.enum(READINGS),
      offdiagonal: z.enum(["twice", "once"]).default("twice"),
    }),
    z.strictObject({
      quadratic: z.strictObject({
        size: z.int().min(1).max(VARIABLES_MAX),
        offset: finite.default(0),
        linear: z.array(finite).default([]),
        couplings: z.array(z.tuple([variable, variable, finite])).default([]),
      }),
    }),
  ],
  { error: "must be one of {model}, {sense, matrix}, {text, as} and {quadratic}, and nothing beside it" },
);
/** @see problemSchema */
export type ProblemStatement = z.output<typeof problemSchema>;

/** A problem as a minimum, the sign that turns its values into the statement's objective, and the way back. */
export interface Stated {
  readonly problem: Quadratic;
  readonly sign: 1 | -1;
  /** What an assignment means in the words of a model. */
  readonly read?: (x: ArrayLike<number>) => Reading;
}

/** @throws FlashloanError argument_invalid, naming what can't be used */
export function stateProblem(statement: ProblemStatement): Stated {
  if ("model" in statement) return compile(statement.model);
  if ("matrix" in statement) return compileMatrix(statement);
  if ("text" in statement) return readSparseText(statement.text, statement.as, statement.offdiagonal);
  const { size, offset, linear, couplings } = statement.quadratic;
  if (linear.length > 0 && linear.length !== size)
    throw new FlashloanError(
      "argument_invalid",
      `quadratic.linear has ${linear.length} entries: must be empty or have one for each of the ${size} variables`,
    );
  return { problem: Quadratic.of({ size, offset, linear, couplings }), sign: 1 };
}

/** An assignment's objective in the statement's own terms, given its value. */
export function objectiveOf({ sign, read }: Stated, x: ArrayLike<number>, value: number): number {
  return read?.(x).objective ?? (sign * value || 0);
}
