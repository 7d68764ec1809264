// One vector holds one amplitude of two f64 or two amplitudes of two f32, each as (re, im). T is the storage type, C the
// type of a cost code. What depends on sizeof<T>() or sizeof<C>() is decided at compile time.

/** Amplitudes in a vector. */
@inline
export function perVector<T>(): i32 {
  return sizeof<T>() == 8 ? 1 : 2;
}

/** a − t·b. */
@inline
export function less<T>(a: v128, t: v128, b: v128): v128 {
  return v128.sub<T>(a, v128.mul<T>(t, b));
}

/** a + t·b. */
@inline
export function more<T>(a: v128, t: v128, b: v128): v128 {
  return v128.add<T>(a, v128.mul<T>(t, b));
}

/** (im, re) of each amplitude. */
@inline
export function swap<T>(v: v128): v128 {
  if (sizeof<T>() == 8) return v128.shuffle<i64>(v, v, 1, 0);
  return v128.shuffle<i32>(v, v, 1, 0, 3, 2);
}

/**
 * v times a table's complex numbers: `at` for the vector's first amplitude, `next` for its second (f32). An entry is
 * (re, re, −im, im).
 */
@inline
export function times<T>(v: v128, at: usize, next: usize): v128 {
  if (sizeof<T>() == 8) {
    return more<T>(v128.mul<T>(v, v128.load(at)), swap<T>(v), v128.load(at, 16));
  }
  const one = v128.load(at), two = v128.load(next);
  const re = v128.shuffle<i64>(one, two, 0, 2), im = v128.shuffle<i64>(one, two, 1, 3);
  return more<T>(v128.mul<T>(v, re), swap<T>(v), im);
}

/** Bytes of a table's entry, as a shift. */
@inline
function shift<T>(): usize {
  return sizeof<T>() == 8 ? 5 : 4;
}

/** A vector times its phases e^{−iγC}: by one table, or for 32-bit codes by tables of 11, 11 and 10 of their bits. */
@inline
export function phased<T, C>(v: v128, code: usize, step: isize, table: usize): v128 {
  const first = <usize>load<C>(code);
  const second = sizeof<T>() == 8 ? first : <usize>load<C>(code + step);
  if (sizeof<C>() < 4) return times<T>(v, table + (first << shift<T>()), table + (second << shift<T>()));
  const middle = table + (<usize>2048 << shift<T>()), low = table + (<usize>4096 << shift<T>());
  v = times<T>(v, table + ((first >>> 21) << shift<T>()), table + ((second >>> 21) << shift<T>()));
  v = times<T>(v, middle + ((first >>> 10 & 2047) << shift<T>()), middle + ((second >>> 10 & 2047) << shift<T>()));
  return times<T>(v, low + ((first & 1023) << shift<T>()), low + ((second & 1023) << shift<T>()));
}

/** The codes of a vector's amplitudes as f64: one twice (f64), or both (f32). */
@inline
export function codes<T, C>(code: usize, step: isize): v128 {
  const first = f64x2.splat(<f64>load<C>(code));
  if (sizeof<T>() == 8) return first;
  return f64x2.replace_lane(first, 1, <f64>load<C>(code + step));
}

/** A vector of products (x, y) per amplitude as f64: (x, y) itself, or (x + y, x' + y'), or the differences. */
@inline
export function widened<T>(v: v128, subtract: bool): v128 {
  if (sizeof<T>() == 8) return subtract ? v128.xor(v, i64x2(0, i64.MIN_VALUE)) : v;
  const pairs = subtract ? v128.sub<T>(v, swap<T>(v)) : v128.add<T>(v, swap<T>(v));
  return f64x2.promote_low_f32x4(v128.shuffle<i32>(pairs, pairs, 0, 2, 0, 2));
}

/** v·code, for each amplitude's code. */
@inline
export function scaled<T, C>(v: v128, code: usize, step: isize): v128 {
  const both = codes<T, C>(code, step);
  if (sizeof<T>() == 8) return v128.mul<T>(v, both);
  const narrow = f32x4.demote_f64x2_zero(both);
  return v128.mul<T>(v, v128.shuffle<i32>(narrow, narrow, 0, 0, 1, 1));
}

/** Both lanes' sum. */
@inline
export function total(v: v128): f64 {
  return f64x2.extract_lane(v, 0) + f64x2.extract_lane(v, 1);
}
