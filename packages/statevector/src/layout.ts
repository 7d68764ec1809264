import type { CostCode } from "./cost.ts";

/** Fields of assembly/index.ts's Job and Pass, in their order; each takes four bytes. */
export const JOB = fields([
  "state",
  "codes",
  "units",
  "scratch",
  "scratchBytes",
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
]);
export const PASS = fields([
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
  "reserved",
]);
/** After those, two f64. */
export const PASS_TANGENTS = 48;
export const PASS_BYTES = 64;

/** Codes of what comes before a mixer: see assembly/radix.ts. */
export const BEFORE = { nothing: -1, plain: 0, phase: 1, init: 2 } as const;

/** The least number of qubits that the kernel takes; fewer are padded with idle ones. */
const QUBITS_MIN = 5;
/** Chunks that a pass is cut into at most. */
export const CHUNKS = 128;
/** Bytes of the sums of a chunk. */
export const SUMS_BYTES = 32;

const JOB_ADDRESS = 1024;
const LOW_BITS = 14;
const HIGH_BITS_MAX = 12;
const TILE_BYTES_MAX = 1 << 19;
const TILE_WIDTH_MAX = 32;
const ALIGNMENT = 128;

/** Where things are in the kernel's memory, in bytes, and how the state is cut. */
export interface Layout {
  readonly job: number;
  readonly units: number;
  readonly passes: number;
  readonly sums: number;
  readonly scratch: number;
  readonly scratchBytes: number;
  readonly codes: number;
  readonly state: number;
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
  readonly threads: number;
}

/** Lays out the memory of a simulator, which may be more than there is. */
export function createLayout(options: LayoutOptions): Layout {
  const qubits = Math.max(options.qubits, QUBITS_MIN);
  const amplitude = 2 * options.storageBytes;
  const lowBits = chooseLowBits(qubits);
  const rows = 2 ** (qubits - lowBits);
  const width = Math.min(TILE_WIDTH_MAX, TILE_BYTES_MAX / rows / amplitude);
  let end = JOB_ADDRESS;
  const take = (bytes: number): number => {
    const start = end;
    end += Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    return start;
  };
  const scratchBytes = rows * width * amplitude;
  const tableBytes = options.tableEntries * amplitude;
  const passCount = options.layersMax + 1;
  return {
    job: take(64),
    units: take(64),
    passes: take(passCount * PASS_BYTES),
    sums: take(passCount * CHUNKS * SUMS_BYTES),
    scratch: take(scratchBytes * options.threads),
    scratchBytes,
    codes: take(2 ** qubits * options.codeBytes),
    state: take(2 ** qubits * amplitude),
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

function fields<const Name extends string>(names: readonly Name[]): Readonly<Record<Name, number>> {
  return Object.fromEntries(names.map((name, index) => [name, index])) as Record<Name, number>;
}
