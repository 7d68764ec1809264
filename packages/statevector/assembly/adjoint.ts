// What the gradient needs beside the mixer (adjoint differentiation: Jones and Gacon 2020). `a` is the state φ and `b` is
// λ, which starts as Cφ; both go backwards through the layers. dE/dβ = 2 Im⟨λ|ΣX|ψ⟩, dE/dγ = 2 Im⟨λ|C|ψ⟩.
import { codes, more, perVector, phased, scaled, swap, total, widened } from "./lanes";
import { innerBits, stageBits } from "./radix";

/**
 * Σ over three bits of the row index of Im⟨b|X|a⟩. In the frame of the mixer that is real: for a pair that the bit tells
 * apart, b₁·a₀ − b₀·a₁.
 */
function flip8<T>(a: usize, b: usize, stride: usize, advance: usize, count: i32): f64 {
  let sum = f64x2.splat(0);
  for (let i = 0; i < count; ++i) {
    const a0 = v128.load(a), a1 = v128.load(a + stride);
    const a2 = v128.load(a + 2 * stride), a3 = v128.load(a + 3 * stride);
    const a4 = v128.load(a + 4 * stride), a5 = v128.load(a + 5 * stride);
    const a6 = v128.load(a + 6 * stride), a7 = v128.load(a + 7 * stride);
    // b₇ and b₀, b₁ and b₆, … meet the same sums with signs of their own.
    let p = v128.mul<T>(v128.load(b + 7 * stride), v128.add<T>(v128.add<T>(a6, a5), a3));
    p = v128.sub<T>(p, v128.mul<T>(v128.load(b), v128.add<T>(v128.add<T>(a1, a2), a4)));
    p = more<T>(p, v128.load(b + stride), v128.sub<T>(a0, v128.add<T>(a3, a5)));
    p = more<T>(p, v128.load(b + 2 * stride), v128.sub<T>(a0, v128.add<T>(a3, a6)));
    p = more<T>(p, v128.load(b + 4 * stride), v128.sub<T>(a0, v128.add<T>(a5, a6)));
    p = more<T>(p, v128.load(b + 3 * stride), v128.sub<T>(v128.add<T>(a1, a2), a7));
    p = more<T>(p, v128.load(b + 5 * stride), v128.sub<T>(v128.add<T>(a1, a4), a7));
    p = more<T>(p, v128.load(b + 6 * stride), v128.sub<T>(v128.add<T>(a2, a4), a7));
    sum = v128.add<f64>(sum, widened<T>(p, false));
    a += advance;
    b += advance;
  }
  return total(sum);
}

/** The same for the bit inside a vector (f32). */
@inline
function flipInner(p: v128, b: v128, a: v128): v128 {
  const other = v128.shuffle<i64>(a, a, 1, 0);
  return more<f32>(p, b, v128.xor(other, i64x2(0x8000000080000000, 0)));
}

/** Σ over two bits, and with `pair` (f32) over the bit inside a vector too. */
function flip4<T>(a: usize, b: usize, stride: usize, advance: usize, count: i32, pair: bool): f64 {
  let sum = f64x2.splat(0);
  for (let i = 0; i < count; ++i) {
    const a0 = v128.load(a), a1 = v128.load(a + stride);
    const a2 = v128.load(a + 2 * stride), a3 = v128.load(a + 3 * stride);
    const b0 = v128.load(b), b1 = v128.load(b + stride);
    const b2 = v128.load(b + 2 * stride), b3 = v128.load(b + 3 * stride);
    let p = v128.mul<T>(v128.sub<T>(b3, b0), v128.add<T>(a1, a2));
    p = more<T>(p, v128.add<T>(b1, b2), v128.sub<T>(a0, a3));
    if (pair) {
      p = flipInner(p, b0, a0);
      p = flipInner(p, b1, a1);
      p = flipInner(p, b2, a2);
      p = flipInner(p, b3, a3);
    }
    sum = v128.add<f64>(sum, widened<T>(p, false));
    a += advance;
    b += advance;
  }
  return total(sum);
}

/** Im⟨b|ΣX|a⟩ over the bits of the row index of 2^bits rows of `width` amplitudes without gaps. */
export function flipRows<T>(a: usize, b: usize, width: i32, bits: i32): f64 {
  const amplitude = sizeof<T>() << 1;
  let sum: f64 = 0;
  for (let bit = 0; bit < bits; ) {
    const radix = stageBits(bits - bit);
    const run = width << bit;
    const stride = <usize>run * amplitude;
    for (let row = 0; row < 1 << bits; row += 1 << (bit + radix)) {
      const o = <usize>row * width * amplitude;
      sum += radix == 3
        ? flip8<T>(a + o, b + o, stride, 16, run / perVector<T>())
        : flip4<T>(a + o, b + o, stride, 16, run / perVector<T>(), false);
    }
    bit += radix;
  }
  return sum;
}

/** Im⟨b|ΣX|a⟩ over the low `bits` (5 or more) of one block. */
export function flipBlock<T>(a: usize, b: usize, bits: i32): f64 {
  const part = innerBits(bits);
  const count = 1 << (part - 3);
  let sum: f64 = 0;
  for (let o: usize = 0, end = (sizeof<T>() << 1) << bits; o < end; o += (sizeof<T>() << 1) << part) {
    sum += sizeof<T>() == 8
      ? flip8<T>(a + o, b + o, 16, 128, count)
      : flip4<T>(a + o, b + o, 16, 64, count, true);
    sum += flipRows<T>(a + o, b + o, 8, part - 3);
  }
  return sum + flipRows<T>(a, b, 1 << part, bits - part);
}

/** b = Cφ for φ at a, in codes. Returns ⟨φ|C|φ⟩. */
export function seed<T, C>(a: usize, b: usize, amplitudes: i32, code: usize, step: isize): f64 {
  let sum = f64x2.splat(0);
  for (let end = a + <usize>amplitudes * (sizeof<T>() << 1); a < end; a += 16) {
    const v = v128.load(a);
    v128.store(b, scaled<T, C>(v, code, step));
    sum = more<f64>(sum, widened<T>(v128.mul<T>(v, v), false), codes<T, C>(code, step));
    b += 16;
    code += perVector<T>() * step;
  }
  return total(sum);
}

/** Takes a layer's phases back from both, by a table of its own. Returns Im⟨b|C|a⟩ in codes. */
export function unphase<T, C>(a: usize, b: usize, amplitudes: i32, code: usize, step: isize, table: usize): f64 {
  let sum = f64x2.splat(0);
  for (let end = a + <usize>amplitudes * (sizeof<T>() << 1); a < end; a += 16) {
    const v = v128.load(a), w = v128.load(b);
    // Im(w̄·v) = w.re·v.im − w.im·v.re.
    sum = more<f64>(sum, widened<T>(v128.mul<T>(w, swap<T>(v)), true), codes<T, C>(code, step));
    v128.store(a, phased<T, C>(v, code, step, table));
    v128.store(b, phased<T, C>(w, code, step, table));
    b += 16;
    code += perVector<T>() * step;
  }
  return total(sum);
}
