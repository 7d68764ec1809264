// The simulator's inner loops. The host (src/) lays out the memory, writes tables and jobs, and calls `run`.
import { PHASE, PLAIN, mixBlock, mixRows } from "./radix";

/** Where everything is; written by src/layout.ts, which mirrors these fields. */
// @ts-ignore: decorator
@unmanaged
class Job {
  state: usize = 0;
  codes: usize = 0;
  units: usize = 0;
  /** A tile of columns for each thread. */
  scratch: usize = 0;
  scratchBytes: usize = 0;
  /** A Pass for each pass. */
  passes: usize = 0;
  passCount: i32 = 0;
  /** Four f64 for each chunk of each pass. */
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

/** One walk over the whole state: mixers of one or two layers on the low or on the high qubits. */
// @ts-ignore: decorator
@unmanaged
class Pass {
  high: i32 = 0;
  energy: i32 = 0;
  /** −1: there is no second layer. */
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
  reserved: i32 = 0;
  tangentA: f64 = 0;
  tangentB: f64 = 0;
}

/** The address of an amplitude's code. */
function codeOf<C>(job: Job, direction: i32, index: usize): usize {
  const last = (<usize>1 << job.qubits) - 1;
  return job.codes + (direction > 0 ? index : last - index) * sizeof<C>();
}

function lowChunk<T, C>(job: Job, pass: Pass, block: usize): f64 {
  const bits = job.lowBits, index = block << bits, at = job.state + index * (sizeof<T>() << 1);
  const two = pass.beforeB >= 0;
  const energyCode = codeOf<C>(job, pass.directionEnergy, index);
  const energyStep = <isize>pass.directionEnergy * sizeof<C>();
  let sum = mixBlock<T, C>(
    at, bits, v128.splat<T>(<T>pass.tangentA), pass.beforeA,
    codeOf<C>(job, pass.directionA, index), <isize>pass.directionA * sizeof<C>(), pass.tableA, job.units, <u32>index,
    !two && pass.energy != 0, energyCode, energyStep,
  );
  if (two) {
    sum = mixBlock<T, C>(
      at, bits, v128.splat<T>(<T>pass.tangentB), pass.beforeB,
      codeOf<C>(job, pass.directionB, index), <isize>pass.directionB * sizeof<C>(), pass.tableB, job.units, <u32>index,
      pass.energy != 0, energyCode, energyStep,
    );
  }
  return sum;
}

function highChunk<T, C>(job: Job, pass: Pass, tile: usize, scratch: usize): f64 {
  const amplitude = sizeof<T>() << 1;
  const width = job.width, bits = job.qubits - job.lowBits, index = tile * width;
  const at = job.state + index * amplitude;
  const row = amplitude << job.lowBits, tight = <usize>width * amplitude;
  const a = v128.splat<T>(<T>pass.tangentA);
  if (pass.beforeB < 0) {
    const step = <isize>pass.directionEnergy * sizeof<C>();
    return mixRows<T, C>(
      at, row, scratch, tight, at, row, width, bits, a,
      PLAIN, pass.energy != 0, codeOf<C>(job, pass.directionEnergy, index), step << job.lowBits, step, 0,
    );
  }
  mixRows<T, C>(at, row, scratch, tight, scratch, tight, width, bits, a, PLAIN, false, 0, 0, 0, 0);
  const step = <isize>pass.directionB * sizeof<C>();
  return mixRows<T, C>(
    scratch, tight, scratch, tight, at, row, width, bits, v128.splat<T>(<T>pass.tangentB),
    PHASE, false, codeOf<C>(job, pass.directionB, index), step << job.lowBits, step, pass.tableB,
  );
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
  const scratch = job.scratch + <usize>thread * job.scratchBytes;
  const units = pass.high ? (1 << job.lowBits) / job.width : 1 << (job.qubits - job.lowBits);
  const each = (units + job.chunks - 1) / job.chunks;
  for (;;) {
    const chunk = atomic.add<i32>(changetype<usize>(pass) + offsetof<Pass>("taken"), 1);
    if (chunk * each >= units) break;
    let sum: f64 = 0;
    for (let unit = chunk * each; unit < min(units, (chunk + 1) * each); ++unit)
      sum += pass.high ? highChunk<T, C>(job, pass, unit, scratch) : lowChunk<T, C>(job, pass, unit);
    store<f64>(job.sums + (<usize>(p * job.chunks + chunk) << 5), sum);
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
