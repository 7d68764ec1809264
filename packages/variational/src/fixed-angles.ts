import { FlashloanError } from "@flashloan/shared/errors";

/** QAOA's angles, a γ and a β a layer. */
export interface Angles {
  readonly gammas: readonly number[];
  readonly betas: readonly number[];
}

/** Wurtz and Lykov 2021, table I; γ for phases e^{−iγC} with C the cut count, β for e^{−iβΣX}. */
const TABLE: readonly Angles[] = [
  { gammas: [0.616], betas: [0.393] },
  { gammas: [0.488, 0.898], betas: [0.555, 0.293] },
  { gammas: [0.422, 0.798, 0.937], betas: [0.609, 0.459, 0.235] },
  { gammas: [0.409, 0.781, 0.988, 1.156], betas: [0.6, 0.434, 0.297, 0.159] },
  { gammas: [0.36, 0.707, 0.823, 1.005, 1.154], betas: [0.632, 0.523, 0.39, 0.275, 0.149] },
  { gammas: [0.331, 0.645, 0.731, 0.837, 1.009, 1.126], betas: [0.636, 0.535, 0.463, 0.36, 0.259, 0.139] },
  {
    gammas: [0.31, 0.618, 0.69, 0.751, 0.859, 1.02, 1.122],
    betas: [0.648, 0.554, 0.49, 0.445, 0.341, 0.244, 0.131],
  },
  {
    gammas: [0.295, 0.587, 0.654, 0.708, 0.765, 0.864, 1.026, 1.116],
    betas: [0.649, 0.555, 0.5, 0.469, 0.42, 0.319, 0.231, 0.123],
  },
  {
    gammas: [0.279, 0.566, 0.631, 0.679, 0.726, 0.768, 0.875, 1.037, 1.118],
    betas: [0.654, 0.562, 0.509, 0.487, 0.451, 0.403, 0.305, 0.22, 0.117],
  },
  {
    gammas: [0.267, 0.545, 0.61, 0.656, 0.696, 0.729, 0.774, 0.882, 1.044, 1.115],
    betas: [0.656, 0.563, 0.514, 0.496, 0.469, 0.436, 0.388, 0.291, 0.211, 0.112],
  },
  {
    gammas: [0.257, 0.528, 0.592, 0.64, 0.677, 0.702, 0.737, 0.775, 0.884, 1.047, 1.115],
    betas: [0.656, 0.563, 0.516, 0.504, 0.482, 0.456, 0.421, 0.371, 0.276, 0.201, 0.107],
  },
];

/** The most layers of the table. */
export const FIXED_LAYERS_MAX = TABLE.length;

/** Angles that are good for every 3-regular graph's cut. Errors: argument_invalid for layers that the table lacks. */
export function fixedAngles(layers: number): Angles {
  const angles = TABLE[layers - 1];
  if (angles) return angles;
  throw new FlashloanError("argument_invalid", `layers must be 1 to ${FIXED_LAYERS_MAX}, not ${layers}`);
}
