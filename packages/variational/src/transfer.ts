import { FlashloanError } from "@flashloan/shared/errors";
import type { Angles } from "./fixed-angles.ts";

/** What of a weighted graph decides how large good γ are. */
export interface GraphScale {
  /** How many edges a vertex has, on average; above 1. */
  readonly degree: number;
  /** The root of the mean square of the edges' weights; 1 without weights. */
  readonly weight: number;
}

/**
 * The scale of a graph.
 * @param edges pairs of vertices with the weight between them
 * @throws FlashloanError argument_invalid without a weight that is not zero
 */
export function graphScale(vertices: number, edges: readonly (readonly [number, number, number])[]): GraphScale {
  const heavy = edges.filter(([, , weight]) => weight !== 0);
  if (heavy.length === 0) throw new FlashloanError("argument_invalid", "edges: at least one must have a weight but 0");
  const squares = heavy.reduce((sum, [, , weight]) => sum + weight ** 2, 0);
  return { degree: (2 * heavy.length) / vertices, weight: Math.sqrt(squares / heavy.length) };
}

/**
 * Angles that are good for the cuts of one kind of graph, for those of another: γ in proportion to arctan(1/√(degree − 1)),
 * which is the best of one layer where there are no triangles, and to 1/weight; β as they are. By degree: Wurtz and Lykov
 * (2021), Shaydulin et al. (2023); by weight: Sureshbabu et al. (2024), who prove it for great degrees.
 * @param to where a mean degree below 2 counts as 2, since such a graph's edges are mostly chains
 * @throws FlashloanError argument_invalid
 */
export function transferAngles({ gammas, betas }: Angles, from: GraphScale, to: GraphScale): Angles {
  const ratio = typicalGamma(to) / typicalGamma(from);
  return { gammas: gammas.map((gamma) => gamma * ratio), betas };
}

function typicalGamma({ degree, weight }: GraphScale): number {
  if (!(degree > 0 && degree < Infinity && weight > 0 && weight < Infinity))
    throw new FlashloanError("argument_invalid", `degree is ${degree}, weight is ${weight}: both must be above 0`);
  return Math.atan(1 / Math.sqrt(Math.max(2, degree) - 1)) / weight;
}
