import { FlashloanError } from "@flashloan/shared/errors";
import { encodeCost, type Codes, type Cost, type CostCode } from "./cost.ts";
import { createKernel, MEMORY_BYTES_MAX, type Kernel } from "./kernel.ts";
import {
  BEFORE,
  CHUNKS,
  createLayout,
  JOB,
  PASS,
  PASS_BYTES,
  PASS_TANGENTS,
  SUMS_BYTES,
  type Layout,
} from "./layout.ts";

/** What is simulated, and how. */
export interface QaoaOptions {
  /** 1 to QAOA_QUBITS_MAX; memory bounds it further. */
  readonly qubits: number;
  readonly cost: Cost;
  /** How amplitudes are stored; sums are always f64. Default f64. */
  readonly precision?: Precision;
  /** The most layers that will be asked for. Default 32. */
  readonly layersMax?: number;
}

/** How an amplitude's components are stored. */
export type Precision = "f64" | "f32";

/** Beyond that no memory is enough. */
export const QAOA_QUBITS_MAX = 40;
const LAYERS_MAX = 32;

/**
 * The quantum approximate optimization algorithm (Farhi, Goldstone and Gutmann 2014) on a statevector: p layers of phases
 * e^{−iγC} and mixers e^{−iβΣX} on the uniform superposition, for any diagonal C.
 *
 * @example
 * const ring = QaoaSimulator.create({ qubits: 4, cost: { linear: [2, 2, 2, 2], quadratic: [[0, 1, -2], …] } });
 * ring.energy([gamma], [beta]);
 */
export class QaoaSimulator {
  readonly qubits: number;
  readonly #layout: Layout;
  readonly #code: CostCode;
  readonly #kernel: Kernel;
  readonly #buffer: SharedArrayBuffer;
  readonly #precision: Precision;
  readonly #layersMax: number;

  private constructor(options: QaoaOptions, code: CostCode, layout: Layout) {
    const { kernel, memory } = createKernel(layout.bytes);
    this.qubits = options.qubits;
    this.#code = code;
    this.#layout = layout;
    this.#kernel = kernel;
    this.#buffer = memory.buffer;
    this.#precision = options.precision ?? "f64";
    this.#layersMax = options.layersMax ?? LAYERS_MAX;
    this.#writeProblem();
  }

  /** Errors: argument_invalid for costs that are not finite numbers or miss their place, or more than the memory holds. */
  static create(options: QaoaOptions): QaoaSimulator {
    requireQubits(options.qubits);
    // Before the costs are looked at: there may be too many for that too.
    layoutFor(options, { bytes: 1, top: 0 });
    const code = encodeCost(options.cost, options.qubits);
    const layout = layoutFor(options, code);
    return new QaoaSimulator(options, code, layout);
  }

  /** ⟨C⟩ after the layers (γ₁, β₁), (γ₂, β₂), … Errors: argument_invalid for angles that are not finite or not paired. */
  energy(gammas: ArrayLike<number>, betas: ArrayLike<number>): number {
    const layers = readLayers(gammas, betas, this.#layersMax);
    if (layers.length === 0) return this.#run([{ gamma: 0, beta: 0 }]);
    return this.#run(layers);
  }

  #run(layers: readonly Layer[]): number {
    const { job, passes, sums, lowBits, qubits, tables, tableBytes } = this.#layout;
    const view = new DataView(this.#buffer);
    const mixers = layers.map(({ beta }) => reduceMixer(beta));
    // Complementing all bits commutes with everything but phases: those look up the complement's cost from then on.
    let direction = 1;
    const directions = mixers.map(({ odd }) => {
      const before = direction;
      if (odd) direction = -direction;
      return before;
    });
    for (const [k, { gamma }] of layers.entries()) {
      const shrink = k === 0 ? 1 : Math.cos(mixers[k - 1]!.angle) ** qubits;
      this.#writeTable(tables + k * tableBytes, gamma * this.#code.quantum, shrink);
    }
    const half = qubits > lowBits;
    const passList: PassPlan[] = [];
    const table = (k: number) => tables + k * tableBytes;
    const last = layers.length - 1;
    if (half) {
      passList.push({ high: 0, energy: 0, a: { before: BEFORE.init, layer: 0 } });
      for (const k of layers.keys()) {
        passList.push({
          high: (k + 1) % 2,
          energy: k === last ? 1 : 0,
          a: { before: BEFORE.plain, layer: k },
          ...(k < last && { b: { before: BEFORE.phase, layer: k + 1 } }),
        });
      }
    } else {
      for (const k of layers.keys()) {
        passList.push({
          high: 0,
          energy: k === last ? 1 : 0,
          a: { before: k === 0 ? BEFORE.init : BEFORE.phase, layer: k },
        });
      }
    }
    for (const [index, pass] of passList.entries()) {
      const at = passes + index * PASS_BYTES;
      const put = (name: keyof typeof PASS, value: number): void => view.setInt32(at + 4 * PASS[name], value, true);
      put("high", pass.high);
      put("energy", pass.energy);
      put("beforeA", pass.a.before);
      put("beforeB", pass.b?.before ?? BEFORE.nothing);
      put("directionA", directions[pass.a.layer]!);
      put("directionB", directions[pass.b?.layer ?? 0]!);
      put("directionEnergy", direction);
      put("tableA", table(pass.a.layer));
      put("tableB", table(pass.b?.layer ?? 0));
      put("taken", 0);
      put("done", 0);
      view.setFloat64(at + PASS_TANGENTS, Math.tan(mixers[pass.a.layer]!.angle), true);
      view.setFloat64(at + PASS_TANGENTS + 8, Math.tan(mixers[pass.b?.layer ?? 0]!.angle), true);
    }
    view.setInt32(job + 4 * JOB.passCount, passList.length, true);
    new Uint8Array(this.#buffer, sums, passList.length * CHUNKS * SUMS_BYTES).fill(0);
    if (!this.#kernel.lead(job))
      throw new FlashloanError("internal", "a thread of the simulator did not finish in time");
    let sum = 0;
    for (let chunk = 0; chunk < CHUNKS; chunk++) {
      sum += view.getFloat64(sums + ((passList.length - 1) * CHUNKS + chunk) * SUMS_BYTES, true);
    }
    return this.#code.offset + this.#code.quantum * Math.cos(mixers[last]!.angle) ** (2 * qubits) * sum;
  }

  /** e^{−i·angle·code}·scale for every code. */
  #writeTable(at: number, angle: number, scale: number): void {
    const entries = tableEntries(this.#code);
    const out =
      this.#precision === "f64"
        ? new Float64Array(this.#buffer, at, 2 * entries)
        : new Float32Array(this.#buffer, at, 2 * entries);
    const put = (k: number, phase: number, factor: number): void => {
      out[2 * k] = Math.cos(phase) * factor;
      out[2 * k + 1] = -Math.sin(phase) * factor;
    };
    if (this.#code.bytes < 4) {
      for (let k = 0; k < entries; k++) put(k, angle * k, scale);
      return;
    }
    for (let k = 0; k < 0x10000; k++) {
      put(k, angle * k * 0x10000, scale);
      put(0x10000 + k, angle * k, 1);
    }
  }

  #writeProblem(): void {
    const layout = this.#layout;
    const view = new DataView(this.#buffer);
    const put = (name: keyof typeof JOB, value: number): void =>
      view.setUint32(layout.job + 4 * JOB[name], value, true);
    put("state", layout.state);
    put("codes", layout.codes);
    put("units", layout.units);
    put("scratch", layout.scratch);
    put("scratchBytes", layout.scratchBytes);
    put("passes", layout.passes);
    put("sums", layout.sums);
    put("qubits", layout.qubits);
    put("lowBits", layout.lowBits);
    put("chunks", CHUNKS);
    put("width", layout.width);
    put("storage", this.#precision === "f64" ? 8 : 4);
    put("code", this.#code.bytes);
    put("threads", 1);
    const size = 2 ** layout.qubits;
    this.#code.write(codeArray(this.#code.bytes, this.#buffer, layout.codes, size));
    // i^k, and i^(k + 1) beside it where a vector holds two amplitudes.
    const amplitude = size ** -0.5;
    const units = [1, 0, 0, 1, -1, 0, 0, -1, 1, 0].map((value) => value * amplitude);
    for (let k = 0; k < 4; k++) {
      if (this.#precision === "f64") {
        new Float64Array(this.#buffer, layout.units + 16 * k, 2).set(units.slice(2 * k, 2 * k + 2));
      } else {
        new Float32Array(this.#buffer, layout.units + 16 * k, 4).set(units.slice(2 * k, 2 * k + 4));
      }
    }
  }
}

interface Layer {
  readonly gamma: number;
  readonly beta: number;
}

interface PassPlan {
  readonly high: number;
  readonly energy: number;
  readonly a: { readonly before: number; readonly layer: number };
  readonly b?: { readonly before: number; readonly layer: number };
}

/** Errors: argument_invalid where 32-bit addresses don't reach everything. */
function layoutFor(options: QaoaOptions, code: Pick<CostCode, "bytes" | "top">): Layout {
  const layout = createLayout({
    qubits: options.qubits,
    storageBytes: options.precision === "f32" ? 4 : 8,
    codeBytes: code.bytes,
    tableEntries: tableEntries(code),
    layersMax: options.layersMax ?? LAYERS_MAX,
    threads: 1,
  });
  if (layout.bytes > MEMORY_BYTES_MAX) {
    throw new FlashloanError(
      "argument_invalid",
      `${options.qubits} qubits need ${layout.bytes} bytes of at most ${MEMORY_BYTES_MAX}: use fewer, or f32`,
    );
  }
  return layout;
}

function tableEntries(code: Pick<CostCode, "bytes" | "top">): number {
  return code.bytes === 4 ? 0x20000 : code.top + 1;
}

function codeArray(bytes: CostCode["bytes"], buffer: SharedArrayBuffer, at: number, length: number): Codes {
  if (bytes === 1) return new Uint8Array(buffer, at, length);
  return bytes === 2 ? new Uint16Array(buffer, at, length) : new Uint32Array(buffer, at, length);
}

/** β as an angle of [−π/4, π/4] and, where `odd`, a complement of all bits: e^{−iπX/2} = −iX. */
function reduceMixer(beta: number): { angle: number; odd: boolean } {
  const quarters = Math.round(beta / (Math.PI / 2));
  return { angle: beta - quarters * (Math.PI / 2), odd: quarters % 2 !== 0 };
}

function readLayers(gammas: ArrayLike<number>, betas: ArrayLike<number>, layersMax: number): Layer[] {
  if (gammas.length !== betas.length || gammas.length > layersMax) {
    throw new FlashloanError(
      "argument_invalid",
      `${gammas.length} γ and ${betas.length} β: there must be as many of each, and at most ${layersMax}`,
    );
  }
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

function requireQubits(qubits: number): void {
  if (!Number.isInteger(qubits) || qubits < 1 || qubits > QAOA_QUBITS_MAX) {
    throw new FlashloanError(
      "argument_invalid",
      `qubits must be a whole number from 1 to ${QAOA_QUBITS_MAX}, not ${qubits}`,
    );
  }
}
