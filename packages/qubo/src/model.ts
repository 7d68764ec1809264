import { z } from "zod";
import { FlashloanError } from "@flashloan/shared/errors";
import { COUPLINGS_MAX, Quadratic, VARIABLES_MAX, type Coupling } from "./quadratic.ts";

const name = z
  .string()
  .regex(
    /^[A-Za-z_][A-Za-z0-9_.:-]{0,63}$/,
    "must be a name of 1 to 64 letters, digits or _.:-, beginning with a letter",
  );
const finite = z.number({ error: "must be a finite number" });
const term = z.string().max(130, "must be the name of a variable, or variable=choice of a one-hot variable");
const weights = z.record(term, finite);
/** Products of bits that a model may multiply out to, of which many may be of the same pair. */
const PRODUCTS_MAX = 2 * COUPLINGS_MAX;
/** Bits that an integer variable or a slack may take. */
const BITS_MAX = 30;

/** A model as people write it; see {@link compile}. */
export const modelSchema = z.strictObject({
  variables: z.record(
    name,
    z.union(
      [
        z.enum(["binary", "spin"]),
        z.strictObject({ oneHot: z.array(name).min(2, "must offer at least 2 choices").max(1_000) }),
        z.strictObject({ integer: z.tuple([z.int(), z.int()]) }),
      ],
      { error: 'must be "binary", "spin", {"oneHot": [two choices or more]} or {"integer": [least, most]}' },
    ),
  ),
  objective: z.strictObject({
    sense: z.enum(["minimize", "maximize"]),
    constant: finite.default(0),
    linear: weights.default({}),
    quadratic: z.array(z.tuple([term, term, finite])).default([]),
  }),
  constraints: z
    .array(
      z.union(
        [
          z.strictObject({ sum: weights, equals: finite }),
          z.strictObject({ sum: weights, atMost: finite }),
          z.strictObject({ sum: weights, atLeast: finite }),
          z.strictObject({ atMost: z.int().min(0), of: z.array(term).min(1) }),
          z.strictObject({ conflict: z.array(term).min(2) }),
          z.strictObject({ implies: z.tuple([term, term]) }),
        ],
        { error: "must be {sum} with equals, atMost or atLeast, {atMost, of}, {conflict} or {implies}" },
      ),
    )
    .max(10_000)
    .default([]),
  /** How inequalities become penalties: `slack` adds variables and is exact, `unbalanced` adds none and is a heuristic. */
  inequalities: z.enum(["slack", "unbalanced"]).default("slack"),
});
/** @see modelSchema */
export type Model = z.input<typeof modelSchema>;
type Parsed = z.output<typeof modelSchema>;
type Constraint = Parsed["constraints"][number];

/** What an assignment of the quadratic form means in the model's words. */
export interface Reading {
  /** By variable: 0 or 1, −1 or 1, the choice, or the number. */
  readonly values: Readonly<Record<string, number | string>>;
  /** The objective as the model states it, without penalties. */
  readonly objective: number;
  /** True when every constraint holds. */
  readonly feasible: boolean;
  /** What does not hold, in words. */
  readonly violations: readonly string[];
}

/** A model in its quadratic form, and the way back. */
export interface Compiled {
  /** Its minimum is the model's optimum. */
  readonly problem: Quadratic;
  /** What breaking one constraint by one costs. */
  readonly penalty: number;
  /** −1 when the model maximizes: the objective is that times the value, for what breaks no constraint. */
  readonly sign: 1 | -1;
  readonly read: (x: ArrayLike<number>) => Reading;
}

/** constant + Σ coefficient × bit. */
interface Affine {
  readonly constant: number;
  readonly bits: ReadonlyMap<number, number>;
}

/**
 * Turns a model into a quadratic function without constraints: bits for each variable, and for each constraint a penalty
 * that no gain in the objective outweighs.
 * @throws FlashloanError argument_invalid, naming what can't be used or what can never hold
 */
export function compile(input: unknown): Compiled {
  const parsed = modelSchema.safeParse(input);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw invalid(`${issue?.path.join(".") || "the model"}: ${issue?.message ?? "not a model"}`);
  }
  return new Compiler(parsed.data).compile();
}

/** A matrix as people write it: x'Qx over binary x. */
export const matrixSchema = z.strictObject({
  sense: z.enum(["minimize", "maximize"]),
  matrix: z.array(z.array(finite)).min(1),
});

/**
 * The quadratic function of a symmetric matrix.
 * @throws FlashloanError argument_invalid when it is not square or not symmetric, naming the entry
 */
export function compileMatrix(input: unknown): { problem: Quadratic; sign: 1 | -1 } {
  const parsed = matrixSchema.safeParse(input);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw invalid(`${issue?.path.join(".") || "the matrix"}: ${issue?.message ?? "not a matrix"}`);
  }
  const { sense, matrix } = parsed.data;
  const sign = sense === "maximize" ? -1 : 1;
  const couplings: Coupling[] = [];
  for (const [i, row] of matrix.entries()) {
    if (row.length !== matrix.length)
      throw invalid(`row ${i + 1} has ${row.length} entries: the matrix must have ${matrix.length}, as it has rows`);
    for (const [j, value] of row.entries()) {
      if (value !== matrix[j]?.[i])
        throw invalid(
          `the matrix is not symmetric: row ${i + 1}, column ${j + 1} is ${value}, row ${j + 1}, column ${i + 1} is ${matrix[j]?.[i]}; use (Q + Q')/2, which means the same`,
        );
      if (j >= i && value !== 0) couplings.push([i, j, sign * value * (i === j ? 1 : 2)]);
    }
  }
  return { problem: Quadratic.of({ size: matrix.length, couplings }), sign };
}

class Compiler {
  readonly #model: Parsed;
  readonly #terms = new Map<string, Affine>();
  readonly #linear: number[] = [];
  readonly #couplings: Coupling[] = [];
  #offset = 0;
  #bits = 0;

  constructor(model: Parsed) {
    this.#model = model;
  }

  compile(): Compiled {
    const { objective, constraints } = this.#model;
    for (const [variable, kind] of Object.entries(this.#model.variables)) this.#declare(variable, kind);
    const sign = objective.sense === "maximize" ? -1 : 1;
    this.#offset = sign * objective.constant;
    for (const [key, weight] of Object.entries(objective.linear))
      this.#add(this.#term(key, "the objective"), sign * weight);
    for (const [a, b, weight] of objective.quadratic)
      this.#addProduct(this.#term(a, "the objective"), this.#term(b, "the objective"), sign * weight);
    // Nothing that the objective can gain makes up for one step over a constraint.
    const range =
      this.#linear.reduce((sum, value) => sum + Math.abs(value), 0) +
      this.#couplings.reduce((sum, [, , value]) => sum + Math.abs(value), 0);
    const penalty = Number.isInteger(range) ? range + 1 : range * 1.01 + 1e-6;
    for (const [variable, kind] of Object.entries(this.#model.variables))
      if (typeof kind === "object" && "oneHot" in kind)
        this.#square(
          this.#sum(Object.fromEntries(kind.oneHot.map((choice) => [`${variable}=${choice}`, 1])), variable),
          1,
          penalty,
        );
    for (const [index, constraint] of constraints.entries())
      this.#constrain(constraint, `constraint ${index + 1}`, penalty);
    const problem = Quadratic.of({
      size: this.#bits,
      offset: this.#offset,
      linear: this.#linear,
      couplings: this.#couplings,
    });
    return { problem, penalty, sign, read: (x) => this.#read(x) };
  }

  #declare(variable: string, kind: Parsed["variables"][string]): void {
    const set = (key: string, affine: Affine): void => {
      if (this.#terms.has(key)) throw invalid(`${key} is declared twice`);
      this.#terms.set(key, affine);
    };
    if (kind === "binary") set(variable, { constant: 0, bits: new Map([[this.#bit(), 1]]) });
    else if (kind === "spin") set(variable, { constant: 1, bits: new Map([[this.#bit(), -2]]) });
    else if ("oneHot" in kind) {
      if (new Set(kind.oneHot).size < kind.oneHot.length) throw invalid(`${variable} offers a choice twice`);
      for (const choice of kind.oneHot)
        set(`${variable}=${choice}`, { constant: 0, bits: new Map([[this.#bit(), 1]]) });
    } else {
      const [least, most] = kind.integer;
      if (most < least) throw invalid(`${variable}: integer [${least}, ${most}] holds no number`);
      set(variable, { constant: least, bits: this.#whole(most - least, variable) });
    }
  }

  /** Bits whose sums are 0 … range: powers of two, and a last one that makes it end exactly there. */
  #whole(range: number, of: string): Map<number, number> {
    if (range >= 2 ** BITS_MAX) throw invalid(`${of} takes ${range + 1} values: at most ${2 ** BITS_MAX}`);
    const bits = new Map<number, number>();
    for (let [left, power] = [range, 1]; left > 0; power *= 2) {
      const weight = Math.min(power, left);
      bits.set(this.#bit(), weight);
      left -= weight;
    }
    return bits;
  }

  #bit(): number {
    this.#linear.push(0);
    this.#bits += 1;
    if (this.#bits > VARIABLES_MAX) throw invalid(`the model takes more than ${VARIABLES_MAX} bits`);
    return this.#bits - 1;
  }

  #term(key: string, where: string): Affine {
    const known = this.#terms.get(key);
    if (known) return known;
    const choices = [...this.#terms.keys()].filter((other) => other.startsWith(`${key}=`));
    throw invalid(
      choices.length > 0
        ? `${where} names ${key}, which is one-hot: name one of its choices, such as ${choices[0]}`
        : `${where} names ${key}, which is no variable; there are: ${[...this.#terms.keys()].slice(0, 20).join(", ")}`,
    );
  }

  #sum(parts: Readonly<Record<string, number>>, where: string): Affine {
    let constant = 0;
    const bits = new Map<number, number>();
    for (const [key, weight] of Object.entries(parts)) {
      const { constant: own, bits: its } = this.#term(key, where);
      constant += weight * own;
      for (const [bit, value] of its) bits.set(bit, (bits.get(bit) ?? 0) + weight * value);
    }
    return { constant, bits };
  }

  #add({ constant, bits }: Affine, weight: number): void {
    this.#offset += weight * constant;
    for (const [bit, value] of bits) this.#linear[bit] = (this.#linear[bit] ?? 0) + weight * value;
  }

  #addProduct(a: Affine, b: Affine, weight: number): void {
    this.#offset += weight * a.constant * b.constant;
    for (const [bit, value] of a.bits) this.#linear[bit] = (this.#linear[bit] ?? 0) + weight * b.constant * value;
    for (const [bit, value] of b.bits) this.#linear[bit] = (this.#linear[bit] ?? 0) + weight * a.constant * value;
    for (const [i, mine] of a.bits)
      for (const [j, its] of b.bits)
        if (i === j) this.#linear[i] = (this.#linear[i] ?? 0) + weight * mine * its;
        else this.#couplings.push([i, j, weight * mine * its]);
    if (this.#couplings.length > PRODUCTS_MAX)
      throw invalid(
        `objective and constraints multiply out to more than ${PRODUCTS_MAX} products: say less in one model`,
      );
  }

  /** weight × (sum − target)². */
  #square(sum: Affine, target: number, weight: number): void {
    const off = { ...sum, constant: sum.constant - target };
    this.#addProduct(off, off, weight);
  }

  #constrain(constraint: Constraint, where: string, penalty: number): void {
    if ("conflict" in constraint) return this.#pairwise(constraint.conflict, where, penalty);
    if ("implies" in constraint) {
      const [a, b] = constraint.implies.map((key) => this.#bitTerm(key, where)) as [Affine, Affine];
      this.#add(a, penalty);
      return this.#addProduct(a, b, -penalty);
    }
    if ("of" in constraint) {
      for (const key of constraint.of) this.#bitTerm(key, where);
      if (constraint.atMost === 1) return this.#pairwise(constraint.of, where, penalty);
      const parts = Object.fromEntries(constraint.of.map((key) => [key, 1]));
      return this.#bounded(this.#sum(parts, where), constraint.atMost, where, penalty);
    }
    const sum = this.#sum(constraint.sum, where);
    if ("equals" in constraint) {
      const [least, most] = range(sum);
      if (constraint.equals < least || constraint.equals > most)
        throw invalid(`${where} can never hold: the sum is ${least} to ${most}, not ${constraint.equals}`);
      this.#square(sum, constraint.equals, penalty * scaleOf(sum, constraint.equals));
    } else if ("atMost" in constraint) this.#bounded(sum, constraint.atMost, where, penalty);
    else this.#bounded(negative(sum), -constraint.atLeast, where, penalty);
  }

  #bitTerm(key: string, where: string): Affine {
    const affine = this.#term(key, where);
    const [only] = affine.bits.values();
    if (affine.bits.size === 1 && affine.constant === 0 && only === 1) return affine;
    throw invalid(`${where} names ${key}, which is not binary: say what may not be with a sum instead`);
  }

  #pairwise(keys: readonly string[], where: string, penalty: number): void {
    const terms = keys.map((key) => this.#bitTerm(key, where));
    if (new Set(keys).size < keys.length) throw invalid(`${where} names a variable twice`);
    for (const [index, a] of terms.entries()) for (const b of terms.slice(index + 1)) this.#addProduct(a, b, penalty);
  }

  /** sum ≤ most. */
  #bounded(sum: Affine, most: number, where: string, penalty: number): void {
    const [least, largest] = range(sum);
    if (least > most) throw invalid(`${where} can never hold: the sum is at least ${least}, not ${most} or less`);
    if (largest <= most) return;
    const isWhole = [sum.constant, most, ...sum.bits.values()].every(Number.isInteger);
    if (this.#model.inequalities === "slack" && isWhole) {
      const slack = this.#whole(most - least, where);
      return this.#square({ constant: sum.constant, bits: new Map([...sum.bits, ...slack]) }, most, penalty);
    }
    if (this.#model.inequalities === "slack")
      throw invalid(`${where} has coefficients that are not whole: scale them, or use "inequalities": "unbalanced"`);
    // e^(−h) to second order around h = most − sum (Montañez-Barrera and others 2022): small while h ≥ 0, steep below.
    const room: Affine = {
      constant: most - sum.constant,
      bits: new Map([...sum.bits].map(([bit, value]) => [bit, -value])),
    };
    const scale = penalty / Math.max(1, (largest - least) ** 2);
    this.#add(room, -scale);
    this.#addProduct(room, room, scale / 2);
  }

  #read(x: ArrayLike<number>): Reading {
    const valueOf = ({ constant, bits }: Affine): number =>
      [...bits].reduce((sum, [bit, value]) => sum + (x[bit] ? value : 0), constant);
    const worth = (key: string): number => valueOf(this.#term(key, "the model"));
    const total = (parts: Readonly<Record<string, number>>): number =>
      Object.entries(parts).reduce((sum, [key, weight]) => sum + weight * worth(key), 0);
    const { objective, constraints } = this.#model;
    const violations: string[] = [];
    const values: Record<string, number | string> = {};
    for (const [variable, kind] of Object.entries(this.#model.variables)) {
      if (typeof kind === "string" || !("oneHot" in kind)) values[variable] = worth(variable);
      else {
        const chosen = kind.oneHot.filter((choice) => worth(`${variable}=${choice}`) === 1);
        values[variable] = chosen.join("+") || "none";
        if (chosen.length !== 1) violations.push(`${variable} takes ${chosen.length} of its choices, not one`);
      }
    }
    for (const [index, constraint] of constraints.entries()) {
      const broken = brokenBy(constraint, total, worth);
      if (broken !== undefined) violations.push(`constraint ${index + 1}: ${broken}`);
    }
    const products = objective.quadratic.reduce((sum, [a, b, weight]) => sum + weight * worth(a) * worth(b), 0);
    return {
      values,
      objective: objective.constant + total(objective.linear) + products,
      feasible: violations.length === 0,
      violations,
    };
  }
}

const TOLERANCE = 1e-9;

function brokenBy(
  constraint: Constraint,
  total: (parts: Readonly<Record<string, number>>) => number,
  worth: (key: string) => number,
): string | undefined {
  if ("conflict" in constraint) {
    const chosen = constraint.conflict.filter((key) => worth(key) === 1);
    return chosen.length > 1 ? `${chosen.join(" and ")} are in conflict` : undefined;
  }
  if ("implies" in constraint) {
    const [a, b] = constraint.implies;
    return worth(a) === 1 && worth(b) === 0 ? `${a} without ${b}` : undefined;
  }
  if ("of" in constraint) {
    const chosen = constraint.of.filter((key) => worth(key) === 1).length;
    return chosen > constraint.atMost ? `${chosen} are chosen, at most ${constraint.atMost} may be` : undefined;
  }
  const sum = total(constraint.sum);
  if ("equals" in constraint)
    return Math.abs(sum - constraint.equals) > TOLERANCE ? `the sum is ${sum}, not ${constraint.equals}` : undefined;
  if ("atMost" in constraint)
    return sum > constraint.atMost + TOLERANCE ? `the sum is ${sum}, at most ${constraint.atMost} may be` : undefined;
  return sum < constraint.atLeast - TOLERANCE ? `the sum is ${sum}, at least ${constraint.atLeast} must be` : undefined;
}

/** The least and the most that a sum can be. */
function range({ constant, bits }: Affine): [least: number, most: number] {
  let [least, most] = [constant, constant];
  for (const value of bits.values()) {
    least += Math.min(0, value);
    most += Math.max(0, value);
  }
  return [least, most];
}

function negative({ constant, bits }: Affine): Affine {
  return { constant: -constant, bits: new Map([...bits].map(([bit, value]) => [bit, -value])) };
}

/** With coefficients that are not whole, the smallest step over a constraint is less than 1 and its square less still. */
function scaleOf({ constant, bits }: Affine, target: number): number {
  const all = [constant - target, ...bits.values()].filter((value) => value !== 0);
  if (all.every(Number.isInteger)) return 1;
  return 1 / Math.min(1, ...all.map(Math.abs)) ** 2;
}

function invalid(message: string): FlashloanError {
  return new FlashloanError("argument_invalid", message);
}
