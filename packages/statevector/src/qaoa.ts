import { FlashloanError } from "@flashloan/shared/errors";
import { encodeCost, type Cost, type CostCode } from "./cost.ts";
import { Distribution } from "./distribution.ts";
import { Engine, type Precision } from "./engine.ts";
import { MEMORY_BYTES_MAX } from "./kernel.ts";
import { createLayout, type Layout } from "./layout.ts";
import { backwardPasses, createMixers, forwardPasses, passFields, type Layer } from "./plan.ts";

/** What is simulated, and how. */
export interface QaoaOptions {
  /** 1 to QAOA_QUBITS_MAX; memory bounds it further. */
  readonly qubits: number;
  readonly cost: Cost;
  /** How amplitudes are stored; sums are always f64. Default f64. */
  readonly precision?: Precision;
  /** Threads, this one included; one is used while several are slower. Results don't depend on it. Default 1. */
  readonly threads?: number;
  /** The most layers that will be asked for. Default 32. */
  readonly layersMax?: number;
  /** Whether gradients will be asked for, which take a second state. Default true. */
  readonly gradients?: boolean;
}

/** An energy and its derivatives. */
export interface QaoaGradient {
  readonly energy: number;
  readonly gammas: Float64Array;
  readonly betas: Float64Array;
}

/** Beyond that no memory is enough. */
export const QAOA_QUBITS_MAX = 40;
const LAYERS_MAX = 32;
/** More than anyone uses; each takes a phase table. */
const LAYERS_MAX_MAX = 1_000;
const THREADS_MAX = 64;

/**
 * The quantum approximate optimization algorithm (Farhi, Goldstone and Gutmann 2014) on a statevector: p layers of phases
 * e^{−iγC} and mixers e^{−iβΣX} on the uniform superposition, for any diagonal C. Calls block until they are done: use it
 * in a worker thread where an event loop must go on.
 *
 * @example
 * // The cut count of a triangle.
 * const quadratic = [[0, 1, -2], [1, 2, -2], [2, 0, -2]] as const;
 * await using simulator = await QaoaSimulator.create({ qubits: 3, cost: { linear: [2, 2, 2], quadratic } });
 * simulator.energy([0.6], [0.4]);
 */
export class QaoaSimulator {
  readonly qubits: number;
  readonly #engine: Engine;
  readonly #code: CostCode;
  readonly #layersMax: number;
  readonly #gradients: boolean;

  private constructor(options: QaoaOptions, code: CostCode, engine: Engine) {
    this.qubits = options.qubits;
    this.#code = code;
    this.#engine = engine;
    this.#layersMax = options.layersMax ?? LAYERS_MAX;
    this.#gradients = options.gradients ?? true;
  }

  /** Errors: argument_invalid for costs that are not finite numbers or miss their place, or more than the memory holds. */
  static async create(options: QaoaOptions): Promise<QaoaSimulator> {
    requireWhole("qubits", options.qubits, QAOA_QUBITS_MAX);
    requireWhole("threads", options.threads ?? 1, THREADS_MAX);
    requireWhole("layersMax", options.layersMax ?? LAYERS_MAX, LAYERS_MAX_MAX);
    // Before the costs are looked at: there may be too many for that too.
    layoutFor(options, { bytes: 1, top: 0 });
    const code = encodeCost(options.cost, options.qubits);
    const layout = layoutFor(options, code);
    const engine = await Engine.start(layout, code, options.precision ?? "f64", options.threads ?? 1);
    return new QaoaSimulator(options, code, engine);
  }

  /** ⟨C⟩ after the layers (γ₁, β₁), (γ₂, β₂), … Errors: argument_invalid for angles that are not finite or not paired. */
  energy(gammas: ArrayLike<number>, betas: ArrayLike<number>): number {
    const { end, scale } = this.#forward(this.#readLayers(gammas, betas), "energy");
    return this.#code.offset + this.#code.quantum * end.energy * scale;
  }

  /** ⟨C⟩ and its derivatives by every angle, at the price of about four energies (adjoint differentiation). */
  gradient(gammas: ArrayLike<number>, betas: ArrayLike<number>): QaoaGradient {
    if (!this.#gradients) throw new FlashloanError("argument_invalid", "this simulator was created without gradients");
    const layers = this.#readLayers(gammas, betas);
    const { end: turn, scale, mixers, direction } = this.#forward(layers, "turn");
    const { offset, quantum } = this.#code;
    const last = mixers.length - 1;
    // By how much both states are too large once a layer's mixer is taken back; its phases' table mends it.
    const swollen = mixers.map(({ shrink }, layer) => shrink ** (layer === last ? -2 : -1));
    const tables = layers.map(({ gamma }, layer) => ({ angle: gamma * quantum, scale: 1 / swollen[layer]! }));
    const { qubits, lowBits } = this.#engine.layout;
    const passes = backwardPasses(mixers.length, qubits > lowBits);
    const sums = this.#engine.run(
      "back",
      passes.map((pass) => passFields(pass, { mixers, direction }, (layer) => this.#engine.table(layer))),
      tables,
    );
    const gradient = { gammas: new Float64Array(mixers.length), betas: new Float64Array(mixers.length) };
    gradient.betas[last] = turn.flipA * scale;
    for (const [index, { a, b }] of passes.entries()) {
      const { flipA, flipB, phase } = sums[index]!;
      const layer = b!.layer;
      if (a) gradient.betas[layer]! += flipA / swollen[layer]! ** 2;
      gradient.gammas[layer] = phase / swollen[layer]! ** 2;
      if (layer > 0) gradient.betas[layer - 1]! += flipB;
    }
    return {
      energy: offset + quantum * turn.energy * scale,
      gammas: gradient.gammas.map((value) => 2 * quantum ** 2 * value).subarray(0, gammas.length),
      betas: gradient.betas.map((value) => 2 * quantum * value).subarray(0, gammas.length),
    };
  }

  /** The probabilities of all basis states after the layers. */
  distribution(gammas: ArrayLike<number>, betas: ArrayLike<number>): Distribution {
    const { scale, direction } = this.#forward(this.#readLayers(gammas, betas), "state");
    const { state } = this.#engine;
    const last = state.length / 2 - 1;
    const mask = 2 ** this.qubits - 1;
    const probabilities = new Float64Array(2 ** this.qubits);
    for (let k = 0; k <= last; k++) {
      // Idle qubits, which pad a small register, are summed over.
      const index = (direction > 0 ? k : last - k) & mask;
      probabilities[index]! += (state[2 * k]! ** 2 + state[2 * k + 1]! ** 2) * scale;
    }
    return new Distribution(probabilities);
  }

  /** A basis state's cost, as it is simulated. */
  costOf(index: number): number {
    const code = this.#engine.codes[index];
    if (code === undefined || index >= 2 ** this.qubits) {
      throw new FlashloanError("argument_invalid", `there is no basis state ${index} of ${this.qubits} qubits`);
    }
    return this.#code.offset + this.#code.quantum * code;
  }

  /** Ends the simulator's threads; it still works, with one. */
  async close(): Promise<void> {
    await this.#engine.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #forward(layers: readonly Layer[], end: "energy" | "turn" | "state") {
    const { qubits, lowBits } = this.#engine.layout;
    const { mixers, direction } = createMixers(layers, qubits);
    const tables = layers.map(({ gamma }, layer) => ({
      angle: -gamma * this.#code.quantum,
      scale: layer === 0 ? 1 : mixers[layer - 1]!.shrink,
    }));
    const passes = forwardPasses(layers.length, qubits > lowBits, end);
    const sums = this.#engine.run(
      end,
      passes.map((pass) => passFields(pass, { mixers, direction }, (layer) => this.#engine.table(layer))),
      tables,
    );
    // What the amplitudes' squares have to be multiplied by.
    const scale = mixers[layers.length - 1]!.shrink ** 2;
    return { end: sums[passes.length - 1]!, scale, mixers, direction };
  }

  /** The angles as layers; for none, one layer that does nothing. */
  #readLayers(gammas: ArrayLike<number>, betas: ArrayLike<number>): Layer[] {
    if (gammas.length !== betas.length || gammas.length > this.#layersMax) {
      throw new FlashloanError(
        "argument_invalid",
        `${gammas.length} γ and ${betas.length} β: there must be as many of each, and at most ${this.#layersMax}`,
      );
    }
    if (gammas.length === 0) return [{ gamma: 0, beta: 0 }];
    return Array.from(gammas, (gamma, k) => {
      const beta = betas[k]!;
      if (!Number.isFinite(gamma) || !Number.isFinite(beta)) {
        throw new FlashloanError(
          "argument_invalid",
          `layer ${k + 1} has γ ${gamma} and β ${beta}: angles must be finite`,
        );
      }
      return { gamma, beta };
    });
  }
}

/**
 * The memory that a simulator takes, in bytes, for admission. `levels` is how many steps there are between the least and
 * the greatest cost, for costs that are multiples of one number (of a quarter at least); by default it is taken that
 * they are not.
 */
export function memoryBytes(options: Omit<QaoaOptions, "cost"> & { readonly levels?: number }): number {
  const top = options.levels ?? Infinity;
  const bytes = top <= 0xff ? 1 : top <= 0xffff ? 2 : 4;
  return createLayout(layoutOptions(options, { bytes, top })).bytes;
}

type Encoding = Pick<CostCode, "bytes" | "top">;

function layoutOptions(options: Omit<QaoaOptions, "cost">, code: Encoding) {
  return {
    qubits: options.qubits,
    storageBytes: options.precision === "f32" ? 4 : 8,
    codeBytes: code.bytes,
    // 32-bit codes have three tables, of some of their bits each.
    tableEntries: code.bytes === 4 ? 5120 : code.top + 1,
    layersMax: options.layersMax ?? LAYERS_MAX,
    gradients: options.gradients ?? true,
    threads: options.threads ?? 1,
  } as const;
}

/** Errors: argument_invalid where 32-bit addresses don't reach everything. */
function layoutFor(options: QaoaOptions, code: Encoding): Layout {
  const layout = createLayout(layoutOptions(options, code));
  if (layout.bytes <= MEMORY_BYTES_MAX) return layout;
  throw new FlashloanError(
    "argument_invalid",
    `${options.qubits} qubits need ${layout.bytes} bytes of at most ${MEMORY_BYTES_MAX}: use fewer, f32, or no gradients`,
  );
}

function requireWhole(what: string, value: number, max: number): void {
  if (Number.isInteger(value) && value >= 1 && value <= max) return;
  throw new FlashloanError("argument_invalid", `${what} must be a whole number from 1 to ${max}, not ${value}`);
}
