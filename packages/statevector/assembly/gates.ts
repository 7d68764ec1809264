// Gates on any state, in the ordinary frame: one amplitude in each vector, whatever the storage type.
import { more, swap, total, widened } from "./lanes";

@inline
function read<T>(at: usize): v128 {
  return sizeof<T>() == 8 ? v128.load(at) : v128.load64_zero(at);
}

@inline
function write<T>(at: usize, v: v128): void {
  if (sizeof<T>() == 8) v128.store(at, v);
  else v128.store64_lane(at, v, 0);
}

/** A complex factor: (re, re) and (−im, im). */
@inline
function times<T>(v: v128, re: v128, im: v128): v128 {
  return more<T>(v128.mul<T>(v, re), swap<T>(v), im);
}

@inline
function imaginary<T>(value: f64): v128 {
  const both = v128.splat<T>(<T>value);
  return v128.xor(both, sizeof<T>() == 8 ? i64x2(i64.MIN_VALUE, 0) : i32x4(i32.MIN_VALUE, 0, i32.MIN_VALUE, 0));
}

/** The 2×2 matrix at `matrix` (eight f64: re, im by rows) on a target where all bits of `controls` are set. */
function apply<T>(state: usize, qubits: i32, target: i32, controls: u32, matrix: usize): void {
  const r00 = v128.splat<T>(<T>load<f64>(matrix)), i00 = imaginary<T>(load<f64>(matrix, 8));
  const r01 = v128.splat<T>(<T>load<f64>(matrix, 16)), i01 = imaginary<T>(load<f64>(matrix, 24));
  const r10 = v128.splat<T>(<T>load<f64>(matrix, 32)), i10 = imaginary<T>(load<f64>(matrix, 40));
  const r11 = v128.splat<T>(<T>load<f64>(matrix, 48)), i11 = imaginary<T>(load<f64>(matrix, 56));
  const amplitude = sizeof<T>() << 1;
  const bit = <u32>1 << target;
  const fixed = controls | bit;
  const other = amplitude << target;
  // Counts through the indices whose fixed bits are zero.
  for (let x: u32 = 0, end = <u32>1 << qubits; x < end; x = ((x | fixed) + 1) & ~fixed) {
    const p = state + <usize>(x | controls) * amplitude, q = p + other;
    const a = read<T>(p), b = read<T>(q);
    write<T>(p, v128.add<T>(times<T>(a, r00, i00), times<T>(b, r01, i01)));
    write<T>(q, v128.add<T>(times<T>(a, r10, i10), times<T>(b, r11, i11)));
    if ((x | fixed) == end - 1) break;
  }
}

export function applyGate(storage: i32, state: usize, qubits: i32, target: i32, controls: u32, matrix: usize): void {
  if (storage == 8) apply<f64>(state, qubits, target, controls, matrix);
  else apply<f32>(state, qubits, target, controls, matrix);
}

/** Re (or Im) of Σ conj(ψ(x ⊕ flips))·(−1)^popcount(x ∧ signs)·ψ(x). */
function overlap<T>(state: usize, qubits: i32, flips: u32, signs: u32, imaginary: bool): f64 {
  const amplitude = sizeof<T>() << 1;
  let sum: f64 = 0;
  for (let x: u32 = 0, end = <u32>1 << qubits; x < end; ++x) {
    const v = read<T>(state + <usize>x * amplitude), w = read<T>(state + <usize>(x ^ flips) * amplitude);
    const both = widened<T>(v128.mul<T>(w, imaginary ? swap<T>(v) : v), imaginary);
    // In f32 the second lane is of an amplitude that was not read: zero.
    const part = total(both);
    sum += popcnt<u32>(x & signs) & 1 ? -part : part;
  }
  return sum;
}

export function overlapOf(storage: i32, state: usize, qubits: i32, flips: u32, signs: u32, imaginary: bool): f64 {
  return storage == 8
    ? overlap<f64>(state, qubits, flips, signs, imaginary)
    : overlap<f32>(state, qubits, flips, signs, imaginary);
}
