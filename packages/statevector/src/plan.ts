import type { PassFields } from "./layout.ts";

/** A layer's angles: phases e^{−iγC}, then mixer e^{−iβΣX}. */
export interface Layer {
  readonly gamma: number;
  readonly beta: number;
}

/** A layer as the kernel takes it. */
export interface Mixer {
  /** β of [−π/4, π/4]; what is left of it complements all bits: e^{−iπX/2} = −iX. */
  readonly angle: number;
  /** What the kernel leaves out of the amplitudes: cosⁿβ. */
  readonly shrink: number;
  /** −1 if all bits are complemented when the layer begins, which its phases must look up; else 1. */
  readonly direction: 1 | -1;
}

/** Mixers of the layers, and the direction after the last. */
export function createMixers(layers: readonly Layer[], qubits: number): { mixers: Mixer[]; direction: 1 | -1 } {
  let direction: 1 | -1 = 1;
  const mixers = layers.map(({ beta }): Mixer => {
    const quarters = Math.round(beta / (Math.PI / 2));
    const angle = beta - quarters * (Math.PI / 2);
    const before = direction;
    if (quarters % 2 !== 0) direction = direction === 1 ? -1 : 1;
    return { angle, shrink: Math.cos(angle) ** qubits, direction: before };
  });
  return { mixers, direction };
}

/** Codes of assembly/index.ts and radix.ts. */
const KIND = { forward: 0, turn: 1, back: 2 };
const BEFORE = { nothing: -1, plain: 0, phase: 1, init: 2 };

/** A pass, its mixers by their layers' numbers from 0. */
export interface Pass {
  readonly kind: keyof typeof KIND;
  readonly high: boolean;
  readonly energy?: boolean;
  readonly a?: { readonly layer: number; readonly before: "plain" | "phase" | "init" };
  /** Of a layer's phases, and (but for the last pass backwards) a mixer. */
  readonly b?: { readonly layer: number; readonly mixer: number | undefined };
}

/**
 * The passes of p ≥ 1 layers, the fewest there are: a mixer's half on the low qubits, the next phases and the next mixer's
 * half are one pass where both halves are on the same qubits, so p layers take p + 1 passes, low and high in turn. A
 * state without high qubits is all in the cache, and a layer is a pass.
 */
export function forwardPasses(layers: number, hasHigh: boolean, end: "energy" | "turn" | "state"): Pass[] {
  const last = layers - 1;
  const ending = { kind: end === "turn" ? "turn" : "forward", energy: end === "energy" } as const;
  const forward = { kind: "forward" } as const;
  if (!hasHigh) {
    return Array.from({ length: layers }, (_, layer) => ({
      ...(layer === last ? ending : forward),
      high: false,
      a: { layer, before: layer === 0 ? "init" : "phase" },
    }));
  }
  const passes = Array.from({ length: layers }, (_, layer): Pass => ({
    ...(layer === last ? ending : forward),
    high: layer % 2 === 0,
    a: { layer, before: "plain" },
    ...(layer < last && { b: { layer: layer + 1, mixer: layer + 1 } }),
  }));
  return [{ ...forward, high: false, a: { layer: 0, before: "init" } }, ...passes];
}

/** The passes back from the turn, for the gradient. */
export function backwardPasses(layers: number, hasHigh: boolean): Pass[] {
  return Array.from({ length: layers }, (_, k): Pass => {
    const layer = layers - 1 - k;
    return {
      kind: "back",
      high: hasHigh && layer % 2 === 1,
      ...(hasHigh && { a: { layer, before: "plain" } }),
      b: { layer, mixer: layer === 0 ? undefined : layer - 1 },
    };
  });
}

/** A pass as the kernel reads it. */
export function passFields(
  pass: Pass,
  { mixers, direction }: ReturnType<typeof createMixers>,
  table: (layer: number) => number,
): { fields: PassFields; tangents: readonly [number, number] } {
  const tangent = (layer: number | undefined): number =>
    layer === undefined ? 0 : Math.tan(mixers[layer]!.angle) * (pass.kind === "back" ? -1 : 1);
  const at = (layer: number | undefined): { direction: number; table: number } =>
    layer === undefined ? { direction: 1, table: 0 } : { direction: mixers[layer]!.direction, table: table(layer) };
  return {
    fields: {
      kind: KIND[pass.kind],
      high: pass.high ? 1 : 0,
      energy: pass.energy ? 1 : 0,
      beforeA: BEFORE[pass.a?.before ?? "nothing"],
      beforeB: pass.b?.mixer === undefined ? BEFORE.nothing : BEFORE.phase,
      directionA: at(pass.a?.layer).direction,
      directionB: at(pass.b?.layer).direction,
      directionEnergy: direction,
      tableA: at(pass.a?.layer).table,
      tableB: at(pass.b?.layer).table,
      taken: 0,
      done: 0,
    },
    tangents: [tangent(pass.a?.layer), tangent(pass.b?.mixer)],
  };
}
