// The simulator's inner loops. The host (src/) lays out the memory, writes tables and jobs, and calls `lead`.
export { applyGate, overlapOf } from "./gates";
import { flipBlock, flipRows, seed, unphase } from "./adjoint";
import { PHASE, PLAIN, mixBlock, mixRows } from "./radix";

/** Where everything is; written by src/layout.ts, which mirrors these fields. */
@unmanaged
class Job {
  state: usize = 0;
  /** λ of the adjoint gradient, as large as the state. */
  adjoint: usize = 0;
  codes: usize = 0;
  units: usize = 0;
  /** Two tiles of columns for each thread. */
  scratch: usize = 0;
  tileBytes: usize = 0;
  /** A Pass for each pass. */
  passes: usize = 0;
  passCount: i32 = 0;
  /** A Sums for each chunk of each pass. */
  sums: usize = 0;
  qubits: i32 = 0;
  lowBits: i32 = 0;
  /** Chunks that a pass is cut into; what a chunk adds up does not depend on who computes it. */
  chunks: i32 = 0;
  /** Columns in a tile. */
  width: i32 = 0;
  /** Bytes of an amplitude's component (8 or 4) and of a code (1, 2 or 4). */
  storage: i32 = 0;
  code: i32 = 0;
  threads: i32 = 0;
  /** Goes up by one for each job that all threads run; the greatest number ends them. */
  generation: i32 = 0;
}

// Kinds of passes. The third, 2, goes back: on state and λ, mixer A back, phases B back, mixer B back.
/** Mixer A, then phases and mixer B, then the energy. */
const FORWARD: i32 = 0;
/** Mixer A, energy, λ = Cφ, and mixer A back on both. */
const TURN: i32 = 1;

/** One walk over the whole state (and λ): mixers of one or two layers on the low or on the high qubits. */
@unmanaged
class Pass {
  kind: i32 = 0;
  high: i32 = 0;
  energy: i32 = 0;
  /** −1: there is no such mixer. */
  beforeA: i32 = 0;
  beforeB: i32 = 0;
  /** 1, or −1 where the register is complemented. */
  directionA: i32 = 0;
  directionB: i32 = 0;
  directionEnergy: i32 = 0;
  tableA: usize = 0;
  tableB: usize = 0;
  /** Chunks that are taken, and threads that are done. */
  taken: i32 = 0;
  done: i32 = 0;
  tangentA: f64 = 0;
  tangentB: f64 = 0;
}

/** What the units of a chunk add up. */
@unmanaged
class Sums {
  /** ⟨C⟩ in codes. */
  energy: f64 = 0;
  /** Im⟨λ|ΣX|ψ⟩ of A's and of B's layer, over the pass's qubits. */
  flipA: f64 = 0;
  flipB: f64 = 0;
  /** Im⟨λ|C|ψ⟩ of B's layer, in codes. */
  phase: f64 = 0;
}

/** The address of an amplitude's code. */
function codeOf<C>(job: Job, direction: i32, index: usize): usize {
  const last = (<usize>1 << job.qubits) - 1;
  return job.codes + (direction > 0 ? index : last - index) * sizeof<C>();
}

function lowForward<T, C>(job: Job, pass: Pass, block: usize, sums: Sums): void {
  const bits = job.lowBits, index = block << bits, at = job.state + index * (sizeof<T>() << 1);
  const two = pass.beforeB >= 0;
  const energyCode = codeOf<C>(job, pass.directionEnergy, index);
  const energyStep = <isize>pass.directionEnergy * sizeof<C>();
  sums.energy += mixBlock<T, C>(
    at, bits, v128.splat<T>(<T>pass.tangentA), pass.beforeA,
    codeOf<C>(job, pass.directionA, index), <isize>pass.directionA * sizeof<C>(), pass.tableA, job.units, <u32>index,
    !two && pass.energy != 0, energyCode, energyStep,
  );
  if (!two) return;
  mixBlock<T, C>(
    at, bits, v128.splat<T>(<T>pass.tangentB), pass.beforeB,
    codeOf<C>(job, pass.directionB, index), <isize>pass.directionB * sizeof<C>(), pass.tableB, job.units, <u32>index,
    false, energyCode, energyStep,
  );
}

function lowPlain<T, C>(at: usize, bits: i32, tangent: f64): void {
  mixBlock<T, C>(at, bits, v128.splat<T>(<T>tangent), PLAIN, 0, 0, 0, 0, 0, false, 0, 0);
}

function lowTurn<T, C>(job: Job, pass: Pass, block: usize, sums: Sums): void {
  const bits = job.lowBits, index = block << bits, offset = index * (sizeof<T>() << 1);
  const a = job.state + offset, b = job.adjoint + offset;
  lowForward<T, C>(job, pass, block, sums);
  const code = codeOf<C>(job, pass.directionEnergy, index);
  sums.energy += seed<T, C>(a, b, 1 << bits, code, <isize>pass.directionEnergy * sizeof<C>());
  sums.flipA += flipBlock<T>(a, b, bits);
  lowPlain<T, C>(a, bits, -pass.tangentA);
  lowPlain<T, C>(b, bits, -pass.tangentA);
}

function lowBack<T, C>(job: Job, pass: Pass, block: usize, sums: Sums): void {
  const bits = job.lowBits, index = block << bits, offset = index * (sizeof<T>() << 1);
  const a = job.state + offset, b = job.adjoint + offset;
  if (pass.beforeA >= 0) {
    lowPlain<T, C>(a, bits, pass.tangentA);
    lowPlain<T, C>(b, bits, pass.tangentA);
    sums.flipA += flipBlock<T>(a, b, bits);
  }
  const code = codeOf<C>(job, pass.directionB, index);
  sums.phase += unphase<T, C>(a, b, 1 << bits, code, <isize>pass.directionB * sizeof<C>(), pass.tableB);
  if (pass.beforeB < 0) return;
  sums.flipB += flipBlock<T>(a, b, bits);
  lowPlain<T, C>(a, bits, pass.tangentB);
  lowPlain<T, C>(b, bits, pass.tangentB);
}

function highPlain<T, C>(
  src: usize, srcRow: usize, tile: usize, tileRow: usize, dst: usize, dstRow: usize, width: i32, bits: i32, tangent: f64,
): void {
  const t = v128.splat<T>(<T>tangent);
  mixRows<T, C>(src, srcRow, tile, tileRow, dst, dstRow, width, bits, t, PLAIN, false, 0, 0, 0, 0);
}

/** High qubits: columns of the state whose row is an amplitude's high bits, by a tile of them in the scratch. */
function highChunk<T, C>(job: Job, pass: Pass, column: usize, thread: i32, sums: Sums): void {
  const amplitude = sizeof<T>() << 1;
  const width = job.width, bits = job.qubits - job.lowBits, index = column * width;
  const a = job.state + index * amplitude, b = job.adjoint + index * amplitude;
  const row = amplitude << job.lowBits, tileRow = <usize>width * amplitude;
  const tileA = job.scratch + 2 * <usize>thread * job.tileBytes, tileB = tileA + job.tileBytes;
  const lastCode = codeOf<C>(job, pass.directionEnergy, index);
  const lastStep = <isize>pass.directionEnergy * sizeof<C>();
  const code = codeOf<C>(job, pass.directionB, index);
  const step = <isize>pass.directionB * sizeof<C>();
  if (pass.kind == FORWARD && pass.beforeB < 0) {
    sums.energy += mixRows<T, C>(
      a, row, tileA, tileRow, a, row, width, bits, v128.splat<T>(<T>pass.tangentA),
      PLAIN, pass.energy != 0, lastCode, lastStep << job.lowBits, lastStep, 0,
    );
    return;
  }
  highPlain<T, C>(a, row, tileA, tileRow, tileA, tileRow, width, bits, pass.tangentA);
  if (pass.kind == FORWARD) {
    mixRows<T, C>(
      tileA, tileRow, tileA, tileRow, a, row, width, bits, v128.splat<T>(<T>pass.tangentB),
      PHASE, false, code, step << job.lowBits, step, pass.tableB,
    );
    return;
  }
  let back = -pass.tangentA;
  if (pass.kind == TURN) {
    for (let r = 0; r < 1 << bits; ++r) {
      const o = <usize>r * tileRow;
      sums.energy += seed<T, C>(tileA + o, tileB + o, width, lastCode + (<isize>r * lastStep << job.lowBits), lastStep);
    }
    sums.flipA += flipRows<T>(tileA, tileB, width, bits);
  } else {
    highPlain<T, C>(b, row, tileB, tileRow, tileB, tileRow, width, bits, pass.tangentA);
    sums.flipA += flipRows<T>(tileA, tileB, width, bits);
    for (let r = 0; r < 1 << bits; ++r) {
      const o = <usize>r * tileRow;
      sums.phase += unphase<T, C>(
        tileA + o, tileB + o, width, code + (<isize>r * step << job.lowBits), step, pass.tableB,
      );
    }
    sums.flipB += flipRows<T>(tileA, tileB, width, bits);
    back = pass.tangentB;
  }
  highPlain<T, C>(tileA, tileRow, tileA, tileRow, a, row, width, bits, back);
  highPlain<T, C>(tileB, tileRow, tileB, tileRow, b, row, width, bits, back);
}

function lowChunk<T, C>(job: Job, pass: Pass, block: usize, sums: Sums): void {
  if (pass.kind == FORWARD) lowForward<T, C>(job, pass, block, sums);
  else if (pass.kind == TURN) lowTurn<T, C>(job, pass, block, sums);
  else lowBack<T, C>(job, pass, block, sums);
}

/** Looks that a thread takes before it sleeps: about ten microseconds. */
const SPINS: i32 = 20_000;
/** The longest that a thread waits for the others in one pass. */
const PASS_TIMEOUT_NS: i64 = 120_000_000_000;

/** Waits until the number at `at` is `least` or more. False: the time is over. */
function settles(at: usize, least: i32, timeoutNs: i64): bool {
  for (let spin = 0; spin < SPINS; ++spin) if (atomic.load<i32>(at) >= least) return true;
  let seen = atomic.load<i32>(at);
  while (seen < least) {
    if (atomic.wait<i32>(at, seen, timeoutNs) == AtomicWaitResult.TIMED_OUT) return false;
    seen = atomic.load<i32>(at);
  }
  return true;
}

/** Chunks of a pass until none is left, then the others' end; false if that never came. */
function runPass<T, C>(job: Job, p: i32, thread: i32): bool {
  const pass = changetype<Pass>(job.passes + p * offsetof<Pass>());
  const units = pass.high ? (1 << job.lowBits) / job.width : 1 << (job.qubits - job.lowBits);
  const each = (units + job.chunks - 1) / job.chunks;
  for (;;) {
    const chunk = atomic.add<i32>(changetype<usize>(pass) + offsetof<Pass>("taken"), 1);
    if (chunk * each >= units) break;
    const sums = changetype<Sums>(job.sums + (p * job.chunks + chunk) * offsetof<Sums>());
    for (let unit = chunk * each; unit < min(units, (chunk + 1) * each); ++unit) {
      if (pass.high) highChunk<T, C>(job, pass, unit, thread, sums);
      else lowChunk<T, C>(job, pass, unit, sums);
    }
  }
  const done = changetype<usize>(pass) + offsetof<Pass>("done");
  if (atomic.add<i32>(done, 1) + 1 == job.threads) {
    atomic.notify(done, -1);
    return true;
  }
  // After the last pass only the leader waits: it may write the next job as soon as all have arrived.
  return (thread > 0 && p == job.passCount - 1) || settles(done, job.threads, PASS_TIMEOUT_NS);
}

function runAs<T, C>(job: Job, thread: i32): bool {
  for (let p = 0, passes = job.passCount; p < passes; ++p) if (!runPass<T, C>(job, p, thread)) return false;
  return true;
}

function run(job: Job, thread: i32): bool {
  if (job.storage == 8) {
    if (job.code == 1) return runAs<f64, u8>(job, thread);
    if (job.code == 2) return runAs<f64, u16>(job, thread);
    return runAs<f64, u32>(job, thread);
  }
  if (job.code == 1) return runAs<f32, u8>(job, thread);
  if (job.code == 2) return runAs<f32, u16>(job, thread);
  return runAs<f32, u32>(job, thread);
}

/** Runs a job, with the other threads if it has any. False if one of them did not finish in time. */
export function lead(at: usize): bool {
  const job = changetype<Job>(at);
  if (job.threads > 1) {
    const generation = at + offsetof<Job>("generation");
    atomic.add<i32>(generation, 1);
    atomic.notify(generation, -1);
  }
  return run(job, 0);
}

/** A thread's life: one job after the other, until the generation is the greatest number. */
export function serve(at: usize, thread: i32): void {
  const job = changetype<Job>(at);
  for (let next = 1; ; ++next) {
    settles(at + offsetof<Job>("generation"), next, -1);
    if (atomic.load<i32>(at + offsetof<Job>("generation")) == i32.MAX_VALUE) return;
    run(job, thread);
  }
}
