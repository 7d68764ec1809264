// The butterflies of the mixer. In the frame φ(x) = i^popcount(x) ψ(x) a rotation about X is real:
// a' = a − t·b, b' = b + t·a with t = tan β; the factor cosⁿβ is folded into the next phase table.
//
// A kernel walks `count` times over 8 (or 4) vectors that are a stride apart, from src to dst, which may be the same.
// Codes run along: in steps of `step` bytes an amplitude, negative where the register is complemented.
import { codes, less, more, perVector, phased, total, widened } from "./lanes";

/** What comes before the butterflies: nothing, */
export const PLAIN = 0;
/** the phases, */
export const PHASE = 1;
/** or the uniform superposition in the place of what is there, and its phases. */
export const INIT = 2;

/** A vector of the uniform superposition for an index with that many ones: (i^ones, f32: i^(ones + 1))·2^(−n/2). */
@inline
function uniform(units: usize, ones: i32): v128 {
  return v128.load(units + (<usize>(ones & 3) << 4));
}

/** The sum of Σ|v|²·code so far and of one more vector. */
@inline
function weighed<T, C>(sum: v128, v: v128, code: usize, step: isize): v128 {
  return more<f64>(sum, widened<T>(v128.mul<T>(v, v), false), codes<T, C>(code, step));
}

@inline
function radix8<T, C>(
  before: i32, energy: bool,
  src: usize, srcStride: usize, dst: usize, dstStride: usize, advance: usize, count: i32, t: v128,
  code: usize, codeStride: isize, codeAdvance: isize, step: isize, table: usize,
  units: usize, index: u32,
): f64 {
  let sum = f64x2.splat(0);
  for (let i = 0; i < count; ++i) {
    let v0: v128, v1: v128, v2: v128, v3: v128, v4: v128, v5: v128, v6: v128, v7: v128;
    if (before == INIT) {
      const ones = popcnt<u32>(index + (<u32>i << 3));
      v0 = uniform(units, ones);
      v1 = v2 = v4 = uniform(units, ones + 1);
      v3 = v5 = v6 = uniform(units, ones + 2);
      v7 = uniform(units, ones + 3);
    } else {
      v0 = v128.load(src);
      v1 = v128.load(src + srcStride);
      v2 = v128.load(src + 2 * srcStride);
      v3 = v128.load(src + 3 * srcStride);
      v4 = v128.load(src + 4 * srcStride);
      v5 = v128.load(src + 5 * srcStride);
      v6 = v128.load(src + 6 * srcStride);
      v7 = v128.load(src + 7 * srcStride);
    }
    if (before != PLAIN) {
      v0 = phased<T, C>(v0, code, step, table);
      v1 = phased<T, C>(v1, code + codeStride, step, table);
      v2 = phased<T, C>(v2, code + 2 * codeStride, step, table);
      v3 = phased<T, C>(v3, code + 3 * codeStride, step, table);
      v4 = phased<T, C>(v4, code + 4 * codeStride, step, table);
      v5 = phased<T, C>(v5, code + 5 * codeStride, step, table);
      v6 = phased<T, C>(v6, code + 6 * codeStride, step, table);
      v7 = phased<T, C>(v7, code + 7 * codeStride, step, table);
    }
    const a0 = less<T>(v0, t, v1), a1 = more<T>(v1, t, v0);
    const a2 = less<T>(v2, t, v3), a3 = more<T>(v3, t, v2);
    const a4 = less<T>(v4, t, v5), a5 = more<T>(v5, t, v4);
    const a6 = less<T>(v6, t, v7), a7 = more<T>(v7, t, v6);
    const b0 = less<T>(a0, t, a2), b2 = more<T>(a2, t, a0);
    const b1 = less<T>(a1, t, a3), b3 = more<T>(a3, t, a1);
    const b4 = less<T>(a4, t, a6), b6 = more<T>(a6, t, a4);
    const b5 = less<T>(a5, t, a7), b7 = more<T>(a7, t, a5);
    v0 = less<T>(b0, t, b4);
    v1 = less<T>(b1, t, b5);
    v2 = less<T>(b2, t, b6);
    v3 = less<T>(b3, t, b7);
    v4 = more<T>(b4, t, b0);
    v5 = more<T>(b5, t, b1);
    v6 = more<T>(b6, t, b2);
    v7 = more<T>(b7, t, b3);
    v128.store(dst, v0);
    v128.store(dst + dstStride, v1);
    v128.store(dst + 2 * dstStride, v2);
    v128.store(dst + 3 * dstStride, v3);
    v128.store(dst + 4 * dstStride, v4);
    v128.store(dst + 5 * dstStride, v5);
    v128.store(dst + 6 * dstStride, v6);
    v128.store(dst + 7 * dstStride, v7);
    if (energy) {
      sum = weighed<T, C>(sum, v0, code, step);
      sum = weighed<T, C>(sum, v1, code + codeStride, step);
      sum = weighed<T, C>(sum, v2, code + 2 * codeStride, step);
      sum = weighed<T, C>(sum, v3, code + 3 * codeStride, step);
      sum = weighed<T, C>(sum, v4, code + 4 * codeStride, step);
      sum = weighed<T, C>(sum, v5, code + 5 * codeStride, step);
      sum = weighed<T, C>(sum, v6, code + 6 * codeStride, step);
      sum = weighed<T, C>(sum, v7, code + 7 * codeStride, step);
    }
    src += advance;
    dst += advance;
    code += codeAdvance;
  }
  return total(sum);
}

/** `inner` (f32) is the butterfly of the bit inside a vector: v + t0·(the other amplitude), t0 = (−t, −t, t, t). */
@inline
function inner(v: v128, t0: v128, on: bool): v128 {
  return on ? more<f32>(v, t0, v128.shuffle<i64>(v, v, 1, 0)) : v;
}

@inline
function radix4<T, C>(
  before: i32, energy: bool, pair: bool,
  src: usize, srcStride: usize, dst: usize, dstStride: usize, advance: usize, count: i32, t: v128,
  code: usize, codeStride: isize, codeAdvance: isize, step: isize, table: usize,
  units: usize, index: u32,
): f64 {
  let sum = f64x2.splat(0);
  const t0 = v128.xor(t, i64x2(0x8000000080000000, 0));
  for (let i = 0; i < count; ++i) {
    let v0: v128, v1: v128, v2: v128, v3: v128;
    if (before == INIT) {
      const ones = popcnt<u32>(index + (<u32>i << 3));
      v0 = uniform(units, ones);
      v1 = v2 = uniform(units, ones + 1);
      v3 = uniform(units, ones + 2);
    } else {
      v0 = v128.load(src);
      v1 = v128.load(src + srcStride);
      v2 = v128.load(src + 2 * srcStride);
      v3 = v128.load(src + 3 * srcStride);
    }
    if (before != PLAIN) {
      v0 = phased<T, C>(v0, code, step, table);
      v1 = phased<T, C>(v1, code + codeStride, step, table);
      v2 = phased<T, C>(v2, code + 2 * codeStride, step, table);
      v3 = phased<T, C>(v3, code + 3 * codeStride, step, table);
    }
    v0 = inner(v0, t0, pair);
    v1 = inner(v1, t0, pair);
    v2 = inner(v2, t0, pair);
    v3 = inner(v3, t0, pair);
    const a0 = less<T>(v0, t, v1), a1 = more<T>(v1, t, v0);
    const a2 = less<T>(v2, t, v3), a3 = more<T>(v3, t, v2);
    v0 = less<T>(a0, t, a2);
    v1 = less<T>(a1, t, a3);
    v2 = more<T>(a2, t, a0);
    v3 = more<T>(a3, t, a1);
    v128.store(dst, v0);
    v128.store(dst + dstStride, v1);
    v128.store(dst + 2 * dstStride, v2);
    v128.store(dst + 3 * dstStride, v3);
    if (energy) {
      sum = weighed<T, C>(sum, v0, code, step);
      sum = weighed<T, C>(sum, v1, code + codeStride, step);
      sum = weighed<T, C>(sum, v2, code + 2 * codeStride, step);
      sum = weighed<T, C>(sum, v3, code + 3 * codeStride, step);
    }
    src += advance;
    dst += advance;
    code += codeAdvance;
  }
  return total(sum);
}

// One function a use: each keeps its vectors in registers.

function plain8<T>(src: usize, ss: usize, dst: usize, ds: usize, advance: usize, count: i32, t: v128): void {
  radix8<T, u8>(PLAIN, false, src, ss, dst, ds, advance, count, t, 0, 0, 0, 0, 0, 0, 0);
}

function phase8<T, C>(
  src: usize, ss: usize, dst: usize, ds: usize, advance: usize, count: i32, t: v128,
  code: usize, codeStride: isize, codeAdvance: isize, step: isize, table: usize,
): void {
  radix8<T, C>(PHASE, false, src, ss, dst, ds, advance, count, t, code, codeStride, codeAdvance, step, table, 0, 0);
}

function energy8<T, C>(
  src: usize, ss: usize, dst: usize, ds: usize, count: i32, t: v128,
  code: usize, codeStride: isize, codeAdvance: isize, step: isize,
): f64 {
  return radix8<T, C>(PLAIN, true, src, ss, dst, ds, 16, count, t, code, codeStride, codeAdvance, step, 0, 0, 0);
}

function plain4<T>(src: usize, ss: usize, dst: usize, ds: usize, count: i32, t: v128): void {
  radix4<T, u8>(PLAIN, false, false, src, ss, dst, ds, 16, count, t, 0, 0, 0, 0, 0, 0, 0);
}

function phase4<T, C>(
  src: usize, ss: usize, dst: usize, ds: usize, count: i32, t: v128,
  code: usize, codeStride: isize, codeAdvance: isize, step: isize, table: usize,
): void {
  radix4<T, C>(PHASE, false, false, src, ss, dst, ds, 16, count, t, code, codeStride, codeAdvance, step, table, 0, 0);
}

function energy4<T, C>(
  src: usize, ss: usize, dst: usize, ds: usize, count: i32, t: v128,
  code: usize, codeStride: isize, codeAdvance: isize, step: isize,
): f64 {
  return radix4<T, C>(PLAIN, true, false, src, ss, dst, ds, 16, count, t, code, codeStride, codeAdvance, step, 0, 0, 0);
}

/** The lowest three bits of `amplitudes` consecutive amplitudes, in place. */
export function lowest<T, C>(
  before: i32, at: usize, amplitudes: i32, t: v128, code: usize, step: isize, table: usize, units: usize, index: u32,
): void {
  const count = amplitudes >> 3;
  if (sizeof<T>() == 8) {
    if (before == PLAIN) plain8<T>(at, 16, at, 16, 128, count, t);
    else if (before == PHASE) phase8<T, C>(at, 16, at, 16, 128, count, t, code, step, 8 * step, step, table);
    else radix8<T, C>(INIT, false, 0, 0, at, 16, 128, count, t, code, step, 8 * step, step, table, units, index);
  } else {
    const stride = 2 * step, advance = 8 * step;
    if (before == PLAIN) radix4<T, C>(PLAIN, false, true, at, 16, at, 16, 64, count, t, 0, 0, 0, 0, 0, 0, 0);
    else if (before == PHASE)
      radix4<T, C>(PHASE, false, true, at, 16, at, 16, 64, count, t, code, stride, advance, step, table, 0, 0);
    else radix4<T, C>(INIT, false, true, 0, 0, at, 16, 64, count, t, code, stride, advance, step, table, units, index);
  }
}

/** Bits that the next stage takes of those that are left: three, or two where three would leave one. */
@inline
export function stageBits(left: i32): i32 {
  return left == 2 || left == 4 ? 2 : 3;
}

/** One stage: `radix` bits from `bit` of the row index of a panel. Returns Σ|φ|²·code if `energy`, else 0. */
function stage<T, C>(
  src: usize, srcRow: usize, dst: usize, dstRow: usize, rows: i32, width: i32, bit: i32, radix: i32, t: v128,
  before: i32, energy: bool, code: usize, codeRow: isize, step: isize, table: usize,
): f64 {
  const amplitude = sizeof<T>() << 1;
  const stride = 1 << bit;
  // Rows that follow one another without a gap are one run.
  const gapless =
    srcRow == <usize>width * amplitude && dstRow == srcRow &&
    ((before == PLAIN && !energy) || codeRow == <isize>width * step);
  const merged = gapless ? stride : 1;
  const count = (width * merged) / perVector<T>();
  const codeAdvance = <isize>perVector<T>() * step;
  const ss = srcRow << bit, ds = dstRow << bit, cs = codeRow << bit;
  let sum: f64 = 0;
  for (let group = 0; group < rows; group += stride << radix) {
    for (let row = group; row < group + stride; row += merged) {
      const s = src + <usize>row * srcRow, d = dst + <usize>row * dstRow, c = code + <isize>row * codeRow;
      if (radix == 3) {
        if (energy) sum += energy8<T, C>(s, ss, d, ds, count, t, c, cs, codeAdvance, step);
        else if (before == PHASE) phase8<T, C>(s, ss, d, ds, 16, count, t, c, cs, codeAdvance, step, table);
        else plain8<T>(s, ss, d, ds, 16, count, t);
      } else {
        if (energy) sum += energy4<T, C>(s, ss, d, ds, count, t, c, cs, codeAdvance, step);
        else if (before == PHASE) phase4<T, C>(s, ss, d, ds, count, t, c, cs, codeAdvance, step, table);
        else plain4<T>(s, ss, d, ds, count, t);
      }
    }
  }
  return sum;
}

/**
 * The mixer on the row index of a panel: 2^bits rows of `width` consecutive amplitudes. The first stage reads src and
 * writes mid, the last writes dst; any of them may be the same.
 */
export function mixRows<T, C>(
  src: usize, srcRow: usize, mid: usize, midRow: usize, dst: usize, dstRow: usize, width: i32, bits: i32, t: v128,
  before: i32, energy: bool, code: usize, codeRow: isize, step: isize, table: usize,
): f64 {
  let sum: f64 = 0;
  for (let bit = 0; bit < bits; ) {
    const radix = stageBits(bits - bit);
    const last = bit + radix == bits;
    sum += stage<T, C>(
      src, srcRow, last ? dst : mid, last ? dstRow : midRow, 1 << bits, width, bit, radix, t,
      bit == 0 ? before : PLAIN, last && energy, code, codeRow, step, table,
    );
    src = mid;
    srcRow = midRow;
    bit += radix;
  }
  return sum;
}

/** Bits of the part of a block that stays in the first-level cache; never one less than the block's. */
@inline
export function innerBits(bits: i32): i32 {
  return bits <= 9 ? bits : bits == 10 ? 8 : 9;
}

/** The mixer on the low `bits` (5 or more) of one block of consecutive amplitudes, in place. */
export function mixBlock<T, C>(
  at: usize, bits: i32, t: v128, before: i32, code: usize, step: isize, table: usize, units: usize, index: u32,
  energy: bool, energyCode: usize, energyStep: isize,
): f64 {
  const amplitude = sizeof<T>() << 1;
  const part = innerBits(bits);
  let sum: f64 = 0;
  for (let o = 0; o < 1 << bits; o += 1 << part) {
    const p = at + <usize>o * amplitude, row = 8 * amplitude;
    lowest<T, C>(before, p, 1 << part, t, code + <isize>o * step, step, table, units, index + o);
    sum += mixRows<T, C>(
      p, row, p, row, p, row, 8, part - 3, t,
      PLAIN, energy && part == bits, energyCode + <isize>o * energyStep, 8 * energyStep, energyStep, 0,
    );
  }
  if (part < bits) {
    const row = amplitude << part;
    sum += mixRows<T, C>(
      at, row, at, row, at, row, 1 << part, bits - part, t,
      PLAIN, energy, energyCode, energyStep << part, energyStep, 0,
    );
  }
  return sum;
}
