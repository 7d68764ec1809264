import type { Candidate } from "@flashloan/decisions/completions";
import type { Random } from "@flashloan/shared/random";

// Small programs with known faults, in place of what a model would sample: no model made any of them.

const OPERATORS = {
  "+": (a: number, b: number) => a + b,
  "-": (a: number, b: number) => a - b,
  "*": (a: number, b: number) => a * b,
  max: Math.max,
  min: Math.min,
} as const;
type Operator = keyof typeof OPERATORS;
const NAMES = Object.keys(OPERATORS) as readonly Operator[];
const INPUTS = 3;
const DEPTH = 3;

/** An expression over three whole numbers. */
export type Program =
  | { readonly input: number }
  | { readonly constant: number }
  | { readonly operator: Operator; readonly left: Program; readonly right: Program };

/** One problem: candidates as a chooser sees them, and which of them are right. */
export interface Problem {
  readonly candidates: readonly Candidate[];
  readonly right: ReadonlySet<string>;
}

/** How problems are made. */
export interface Making {
  readonly candidates: number;
  /** Share of candidates that are right. */
  readonly rightShare: number;
  /** Inputs that all are run on, and tests, of which some demand what a faulty program answers. */
  readonly inputs: number;
  readonly tests: number;
  readonly wrongTestShare: number;
}

/** What a program answers. */
function run(program: Program, inputs: readonly number[]): number {
  if ("input" in program) return inputs[program.input] ?? 0;
  if ("constant" in program) return program.constant;
  return OPERATORS[program.operator](run(program.left, inputs), run(program.right, inputs));
}

/** Makes a problem: right programs in several spellings, nearly right ones with one fault, popular faults many times over. */
export function makeProblem(random: Random, making: Making): Problem {
  const truth = grow(random, DEPTH);
  const drawInputs = (): number[] => Array.from({ length: INPUTS }, () => random.below(13) - 6);
  const many = Array.from({ length: 200 }, drawInputs);
  const isRight = (program: Program): boolean => many.every((inputs) => run(program, inputs) === run(truth, inputs));
  // A few faults that are made again and again, as models do.
  const popular = Array.from({ length: 3 }, () => mutate(truth, random));
  const inputs = Array.from({ length: making.inputs }, drawInputs);
  const tests = Array.from({ length: making.tests }, () => {
    const given = drawInputs();
    return { given, wanted: run(random.next() < making.wrongTestShare ? random.pick(popular) : truth, given) };
  });
  const right = new Set<string>();
  const candidates = Array.from({ length: making.candidates }, (_, index): Candidate => {
    const drawn = random.next();
    const faulty = random.next() < 0.5 ? random.pick(popular) : mutate(truth, random);
    const program = respell(drawn < making.rightShare ? truth : faulty, random);
    const id = `${index}`;
    if (isRight(program)) right.add(id);
    // What a model thinks of itself says little.
    const quality = Math.min(1, Math.max(0, 0.5 + (right.has(id) ? 0.08 : 0) + 0.2 * random.normal()));
    const outputs = inputs.map((given) => String(run(program, given)));
    return { id, quality, outputs, passed: tests.map(({ given, wanted }) => run(program, given) === wanted) };
  });
  return { candidates, right };
}

function grow(random: Random, depth: number): Program {
  if (depth === 0) return random.next() < 0.7 ? { input: random.below(INPUTS) } : { constant: random.below(9) - 4 };
  return { operator: random.pick(NAMES), left: grow(random, depth - 1), right: grow(random, depth - 1) };
}

/** The same program with one fault. */
function mutate(program: Program, random: Random): Program {
  if ("operator" in program && random.next() < 0.75) {
    const side = random.next() < 0.5 ? "left" : "right";
    return { ...program, [side]: mutate(program[side], random) };
  }
  if ("operator" in program) return { ...program, operator: random.pick(NAMES) };
  if ("constant" in program) return { constant: program.constant + random.pick([-1, 1]) };
  return { input: random.below(INPUTS) };
}

/** The same program in another spelling. */
function respell(program: Program, random: Random): Program {
  if (!("operator" in program)) return program;
  const [left, right] = [respell(program.left, random), respell(program.right, random)];
  const isSwapped = program.operator !== "-" && random.next() < 0.5;
  return { operator: program.operator, left: isSwapped ? right : left, right: isSwapped ? left : right };
}
