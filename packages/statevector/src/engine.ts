import { FlashloanError } from "@flashloan/shared/errors";
import type { Codes, CostCode } from "./cost.ts";
import { startCrew, type Crew } from "./crew.ts";
import { createKernel, type Kernel, type KernelMemory } from "./kernel.ts";
import {
  CHUNKS,
  JOB_FIELDS,
  PASS_BYTES,
  PASS_FIELDS,
  SUMS_BYTES,
  type JobFields,
  type Layout,
  type PassFields,
  type Sums,
} from "./layout.ts";
import { Pace } from "./pace.ts";

/** How an amplitude's components are stored. */
export type Precision = "f64" | "f32";

/** A table of complex numbers for all codes: e^{i·angle·code}·scale. */
export interface PhaseTable {
  readonly angle: number;
  readonly scale: number;
}

/** The kernel, its memory and its threads: writes tables and passes, runs them, and reads what they leave. */
export class Engine {
  readonly layout: Layout;
  readonly #precision: Precision;
  readonly #code: CostCode;
  readonly #threads: number;
  readonly #kernel: Kernel;
  readonly #memory: KernelMemory;
  readonly #view: DataView;
  readonly #paces = new Map<string, Pace>();
  #crew: Crew | undefined;
  #isSound = true;

  private constructor(layout: Layout, code: CostCode, precision: Precision, threads: number) {
    const { kernel, memory } = createKernel(layout.bytes);
    this.layout = layout;
    this.#precision = precision;
    this.#code = code;
    this.#threads = threads;
    this.#kernel = kernel;
    this.#memory = memory;
    this.#view = new DataView(memory.buffer);
    this.#writeJob();
    this.#writeUnits();
    code.write(this.codes);
  }

  static async start(layout: Layout, code: CostCode, precision: Precision, threads: number): Promise<Engine> {
    const engine = new Engine(layout, code, precision, threads);
    if (threads > 1) {
      const generation = layout.job + 4 * JOB_FIELDS.indexOf("generation");
      engine.#crew = await startCrew(engine.#memory, layout.job, generation, threads - 1);
    }
    return engine;
  }

  /** Each basis state's code. */
  get codes(): Codes {
    const { buffer } = this.#memory;
    const { codes, qubits } = this.layout;
    if (this.#code.bytes === 1) return new Uint8Array(buffer, codes, 2 ** qubits);
    return this.#code.bytes === 2
      ? new Uint16Array(buffer, codes, 2 ** qubits)
      : new Uint32Array(buffer, codes, 2 ** qubits);
  }

  /** The state in the kernel's frame: (re, im) after (re, im). */
  get state(): Float64Array | Float32Array {
    return this.#floats(this.layout.state, 2 ** (this.layout.qubits + 1));
  }

  /**
   * Runs passes with these tables, one a layer, and returns what each pass adds up. Runs of a `kind` take about as long
   * for each pass, and are compared. Errors: deadline_exceeded if a thread is lost, then and ever after.
   */
  run(
    kind: string,
    passes: readonly Readonly<{ fields: PassFields; tangents: readonly [number, number] }>[],
    tables: readonly PhaseTable[],
  ): Sums[] {
    const { job, passes: at, sums } = this.layout;
    for (const [layer, table] of tables.entries()) this.#writeTable(layer, table);
    for (const [index, { fields, tangents }] of passes.entries()) {
      const pass = at + index * PASS_BYTES;
      this.#writeFields(pass, PASS_FIELDS, fields);
      this.#view.setFloat64(pass + PASS_BYTES - 16, tangents[0], true);
      this.#view.setFloat64(pass + PASS_BYTES - 8, tangents[1], true);
    }
    new Uint8Array(this.#memory.buffer, sums, passes.length * CHUNKS * SUMS_BYTES).fill(0);
    const pace = this.#paceOf(kind);
    const threads = this.#crew?.isWhole ? pace.next() : 1;
    this.#view.setInt32(job + 4 * JOB_FIELDS.indexOf("passCount"), passes.length, true);
    this.#view.setInt32(job + 4 * JOB_FIELDS.indexOf("threads"), threads, true);
    const start = performance.now();
    // A thread that is late may still write: nothing of this memory can be trusted again.
    this.#isSound &&= this.#kernel.lead(job) !== 0;
    if (!this.#isSound) {
      throw new FlashloanError(
        "deadline_exceeded",
        "a thread of the simulator did not finish its pass in time: close it and create another",
      );
    }
    pace.record(threads, (performance.now() - start) / passes.length);
    return passes.map((_, index) => this.#readSums(index));
  }

  /** Where a layer's table is. */
  table(layer: number): number {
    return this.layout.tables + layer * this.layout.tableBytes;
  }

  async stop(): Promise<void> {
    const crew = this.#crew;
    this.#crew = undefined;
    await crew?.stop();
  }

  #paceOf(kind: string): Pace {
    const known = this.#paces.get(kind) ?? new Pace(this.#threads);
    this.#paces.set(kind, known);
    return known;
  }

  #readSums(pass: number): Sums {
    const numbers = new Float64Array(this.#memory.buffer, this.layout.sums + pass * CHUNKS * SUMS_BYTES, 4 * CHUNKS);
    const total: Sums = { energy: 0, flipA: 0, flipB: 0, phase: 0 };
    for (let k = 0; k < numbers.length; k += 4) {
      total.energy += numbers[k]!;
      total.flipA += numbers[k + 1]!;
      total.flipB += numbers[k + 2]!;
      total.phase += numbers[k + 3]!;
    }
    return total;
  }

  #writeFields<Name extends string>(at: number, names: readonly Name[], values: Readonly<Record<Name, number>>): void {
    for (const [index, name] of names.entries()) this.#view.setInt32(at + 4 * index, values[name], true);
  }

  #writeJob(): void {
    const { layout } = this;
    const fields: JobFields = {
      ...layout,
      passCount: 0,
      chunks: CHUNKS,
      storage: this.#precision === "f64" ? 8 : 4,
      code: this.#code.bytes,
      threads: 1,
      generation: 0,
    };
    this.#writeFields(layout.job, JOB_FIELDS, fields);
  }

  /** i^k·2^(−n/2), and i^(k + 1)·2^(−n/2) beside it where a vector holds two amplitudes. */
  #writeUnits(): void {
    const units = [1, 0, 0, 1, -1, 0, 0, -1, 1, 0].map((value) => value * 2 ** (-this.layout.qubits / 2));
    const lanes = this.#precision === "f64" ? 2 : 4;
    for (let k = 0; k < 4; k++) {
      this.#floats(this.layout.units + 16 * k, lanes).set(units.slice(2 * k, 2 * k + lanes));
    }
  }

  #writeTable(layer: number, { angle, scale }: PhaseTable): void {
    const { tableBytes } = this.layout;
    const out = this.#floats(this.table(layer), tableBytes / (this.#precision === "f64" ? 8 : 4));
    if (this.#code.bytes < 4) {
      writeTurns(out, 0, this.#code.top + 1, angle, scale);
    } else {
      // Of a code's 11 high, 11 middle and 10 low bits.
      writeTurns(out, 0, 2048, angle * 2 ** 21, scale);
      writeTurns(out, 2048, 2048, angle * 2 ** 10, 1);
      writeTurns(out, 4096, 1024, angle, 1);
    }
  }

  #floats(at: number, length: number): Float64Array | Float32Array {
    const { buffer } = this.#memory;
    return this.#precision === "f64" ? new Float64Array(buffer, at, length) : new Float32Array(buffer, at, length);
  }
}

/** Entries (re, re, −im, im) of e^{i·angle·k}·scale for k = 0, 1, …: as products of two of √length each, since sines are slow. */
function writeTurns(
  out: Float64Array | Float32Array,
  first: number,
  length: number,
  angle: number,
  scale: number,
): void {
  const run = 2 ** Math.ceil(Math.log2(length) / 2);
  const fine = Float64Array.from({ length: 2 * run }, (_, k) => (k % 2 === 0 ? Math.cos : Math.sin)(angle * (k >> 1)));
  for (let start = 0; start < length; start += run) {
    const [re, im] = [Math.cos(angle * start) * scale, Math.sin(angle * start) * scale];
    for (let k = 0; k < Math.min(run, length - start); k++) {
      const at = 4 * (first + start + k);
      const [cos, sin] = [fine[2 * k]!, fine[2 * k + 1]!];
      out[at] = out[at + 1] = re * cos - im * sin;
      out[at + 3] = re * sin + im * cos;
      out[at + 2] = -out[at + 3]!;
    }
  }
}
