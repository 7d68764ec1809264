import { FlashloanError } from "@flashloan/shared/errors";

/** QAOA's angles, a γ and a β a layer. */
export interface Angles {
  readonly gammas: readonly number[];
  readonly betas: readonly number[];
}

/**
 * Wurtz and Lykov's angles (2021) for phases e^{−iγC} with C the cut count and mixers e^{−iβΣX}; up to seven layers brought
 * to four digits by maximizing treeValue.
 */
const TABLE: readonly Angles[] = [
  { gammas: [0.6155], betas: [0.3927] },
  { gammas: [0.4878, 0.8978], betas: [0.5549, 0.2924] },
  { gammas: [0.4219, 0.7984, 0.937], betas: [0.609, 0.4596, 0.2357] },
  { gammas: [0.4088, 0.7806, 0.988, 1.1569], betas: [0.5996, 0.4343, 0.2968, 0.159] },
  { gammas: [0.3592, 0.7061, 0.8221, 1.0042, 1.1539], betas: [0.6317, 0.5225, 0.3901, 0.276, 0.1493] },
  { gammas: [0.3314, 0.6456, 0.7317, 0.837, 1.0102, 1.1272], betas: [0.6359, 0.5344, 0.4633, 0.36, 0.2586, 0.1388] },
  {
    gammas: [0.3097, 0.6168, 0.6882, 0.75, 0.8574, 1.0212, 1.1258],
    betas: [0.6476, 0.5531, 0.4893, 0.4447, 0.3407, 0.2443, 0.1312],
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
