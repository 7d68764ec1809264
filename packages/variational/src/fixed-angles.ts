import { FlashloanError } from "@flashloan/shared/errors";

/** QAOA's angles, a γ and a β a layer. */
export interface Angles {
  readonly gammas: readonly number[];
  readonly betas: readonly number[];
}

/**
 * Wurtz and Lykov's angles (2021) for phases e^{−iγC} with C the cut count and mixers e^{−iβΣX}; brought to four digits by
 * maximizing treeValue from there and from chance.
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
    gammas: [0.293, 0.5862, 0.6552, 0.7081, 0.7644, 0.8651, 1.0271, 1.1165],
    betas: [0.6493, 0.5556, 0.5012, 0.469, 0.4202, 0.3195, 0.2309, 0.1228],
  },
  {
    gammas: [0.2794, 0.5661, 0.6312, 0.6793, 0.7262, 0.7681, 0.8745, 1.0375, 1.118],
    betas: [0.6545, 0.5619, 0.509, 0.4868, 0.4514, 0.4032, 0.3047, 0.2198, 0.1172],
  },
  {
    gammas: [0.2677, 0.5458, 0.61, 0.656, 0.6955, 0.7284, 0.7733, 0.8811, 1.0432, 1.1156],
    betas: [0.6558, 0.563, 0.5134, 0.4951, 0.4683, 0.4349, 0.3874, 0.2904, 0.21, 0.1119],
  },
  {
    gammas: [0.2577, 0.5303, 0.5931, 0.6379, 0.6735, 0.6976, 0.7346, 0.7768, 0.8865, 1.0495, 1.116],
    betas: [0.6587, 0.5657, 0.5167, 0.5022, 0.4794, 0.4551, 0.4232, 0.3748, 0.2795, 0.202, 0.1083],
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
