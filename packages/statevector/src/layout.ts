import type { CostCode } from "./cost.ts";

/** Fields of assembly/index.ts's Job in their order; each takes four bytes. */
export const JOB_FIELDS = [
  "state",
  "adjoint",
  "codes",
  "units",
  "scratch",
  "tileBytes",
  "passes",
  "passCount",
  "sums",
  "qubits",
  "lowBits",
  "chunks",
  "width",
  "storage",
  "code",
  "threads",
  "generation",
] as const;

/** Fields of its Pass; after them come two f64, the tangents. */
export const PASS_FIELDS = [
  "kind",
  "high",
  "energy",
  "beforeA",
  "beforeB",
  "directionA",
  "directionB",
  "directionEnergy",
  "tableA",
  "tableB",
  "taken",
  "done",
] as const;

export type JobFields = Readonly<Record<(typeof JOB_FIELDS)[number], number>>;
export type PassFields = Readonly<Record<(typeof PASS_FIELDS)[number], number>>;

export const PASS_BYTES = 4 * PASS_FIELDS.length + 16;

/** What its Sums holds, in order. */
export interface Sums {
  energy: number;
  flipA: number;
  flipB: number;
  phase: number;
}

/** Bytes of the sums of a chunk. */
export const SUMS_BYTES = 32;

/** The least number of qubits that the kernel takes; fewer are padded with idle ones. */
const QUBITS_MIN = 5;
/** Chunks that a pass is cut into at most. */
export const CHUNKS = 128;
const JOB_ADDRESS = 1024;
const LOW_BITS = 14;
const HIGH_BITS_MAX = 12;
/** A tile of columns is to stay in the first-level cache, but for rows that are long enough to be fetched ahead. */
const TILE_BYTES = 1 << 14;
const TILE_WIDTH_MIN = 32;
const TILE_BYTES_MAX = 1 << 19;
const ALIGNMENT = 128;

/** Where things are in the kernel's memory, in bytes, and how the state is cut. */
export interface Layout {
  readonly job: number;
  readonly units: number;
  readonly passes: number;
  readonly sums: number;
  readonly scratch: number;
  readonly tileBytes: number;
  readonly codes: number;
  readonly state: number;
  /** As large as the state; 0 where there are no gradients. */
  readonly adjoint: number;
  readonly tables: number;
  readonly tableBytes: number;
  /** All of it. */
  readonly bytes: number;
  /** Qubits of the state, the idle ones included. */
  readonly qubits: number;
  readonly lowBits: number;
  readonly width: number;
}

/** What a layout depends on. */
export interface LayoutOptions {
  readonly qubits: number;
  readonly storageBytes: 4 | 8;
  readonly codeBytes: CostCode["bytes"];
  /** Entries of a phase table. */
  readonly tableEntries: number;
  readonly layersMax: number;
  readonly gradients: boolean;
  readonly threads: number;
}

/** Lays out the memory of a simulator, which may be more than there is. */
export function createLayout(options: LayoutOptions): Layout {
  const qubits = Math.max(options.qubits, QUBITS_MIN);
  const amplitude = 2 * options.storageBytes;
  const lowBits = chooseLowBits(qubits);
  const rows = 2 ** (qubits - lowBits);
  const width = Math.min(Math.max(TILE_WIDTH_MIN, TILE_BYTES / rows / amplitude), TILE_BYTES_MAX / rows / amplitude);
  let end = JOB_ADDRESS;
  const take = (bytes: number): number => {
    const start = end;
    end += Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    return start;
  };
  const tileBytes = rows * width * amplitude;
  const tableBytes = options.tableEntries * 4 * options.storageBytes;
  const passCount = options.layersMax + 1;
  return {
    job: take(4 * JOB_FIELDS.length),
    units: take(64),
    passes: take(passCount * PASS_BYTES),
    sums: take(passCount * CHUNKS * SUMS_BYTES),
    scratch: take(2 * tileBytes * options.threads),
    tileBytes,
    codes: take(2 ** qubits * options.codeBytes),
    state: take(2 ** qubits * amplitude),
    adjoint: options.gradients ? take(2 ** qubits * amplitude) : 0,
    tables: take(tableBytes * options.layersMax),
    tableBytes,
    bytes: end,
    qubits,
    lowBits,
    width,
  };
}

/** Low qubits are those of a block that stays in the second-level cache; the high ones are none, or two or more. */
function chooseLowBits(qubits: number): number {
  if (qubits <= LOW_BITS) return qubits;
  if (qubits === LOW_BITS + 1) return LOW_BITS - 1;
  return Math.max(LOW_BITS, qubits - HIGH_BITS_MAX);
}
