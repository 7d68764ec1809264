import { FlashloanError } from "@flashloan/shared/errors";
import { Circuit } from "@flashloan/statevector/circuit";
import type { Distribution } from "@flashloan/statevector/distribution";
import { Statevector } from "@flashloan/statevector/statevector";
import type { Angles } from "./fixed-angles.ts";

/** What takes the place of ΣX, and the state that it starts from. Any two functions that add gates are a mixer. */
export interface Mixer {
  prepare(circuit: Circuit): void;
  mix(circuit: Circuit, beta: number): void;
}

/**
 * The quantum alternating operator ansatz (Hadfield et al. 2019) for a diagonal and any mixer, gate by gate: for mixers
 * other than ΣX, for which QaoaSimulator is far faster.
 */
export function createAlternatingAnsatz(qubits: number, costs: ArrayLike<number>, mixer: Mixer) {
  if (costs.length !== 2 ** qubits) {
    throw new FlashloanError("argument_invalid", `costs has ${costs.length} values: it needs ${2 ** qubits}`);
  }
  const distribution = ({ gammas, betas }: Angles): Distribution => {
    const state = new Statevector(qubits);
    const start = new Circuit(qubits);
    mixer.prepare(start);
    start.applyTo(state);
    for (const [layer, gamma] of gammas.entries()) {
      state.turn(costs, -gamma);
      const step = new Circuit(qubits);
      mixer.mix(step, betas[layer] ?? Number.NaN);
      step.applyTo(state);
    }
    return state.distribution();
  };
  return { distribution, energy: (angles: Angles): number => distribution(angles).expectation(costs) };
}

/** ΣX on the uniform superposition. */
export function xMixer(qubits: number): Mixer {
  const all = [...Array(qubits).keys()];
  return {
    prepare: (circuit) => all.forEach((qubit) => circuit.add("h", [qubit])),
    mix: (circuit, beta) => all.forEach((qubit) => circuit.add("rx", [qubit], [2 * beta])),
  };
}

/**
 * (XX + YY)/2 between neighbours on a ring, or between all pairs, of each group (Wang et al. 2020), from the even
 * superposition of one-hot states: exactly one qubit of a group is 1, and stays so.
 */
export function xyMixer(groups: readonly (readonly number[])[], shape: "ring" | "complete"): Mixer {
  return {
    prepare: (circuit) => groups.forEach((group) => addOneHot(circuit, group)),
    mix: (circuit, beta) => {
      for (const group of groups) {
        for (const [a, b] of shape === "ring" ? ringPairs(group) : allPairs(group)) addExchange(circuit, a, b, beta);
      }
    },
  };
}

/**
 * Warm start (Egger, Mareček and Woerner 2021): qubit i is 1 with probability shares[i] of a relaxed solution, and the
 * mixer has that state as its ground state. Shares are kept `margin` away from 0 and 1, or nothing would move.
 */
export function warmStartMixer(shares: readonly number[], margin = 0.1): Mixer {
  if (!shares.every((share) => share >= 0 && share <= 1) || !(margin > 0 && margin <= 0.5)) {
    throw new FlashloanError("argument_invalid", "shares must be from 0 to 1, and margin above 0 and at most 0.5");
  }
  const angles = shares.map((share) => 2 * Math.asin(Math.sqrt(Math.min(1 - margin, Math.max(margin, share)))));
  return {
    prepare: (circuit) => angles.forEach((angle, qubit) => circuit.add("ry", [qubit], [angle])),
    mix: (circuit, beta) => {
      for (const [qubit, angle] of angles.entries()) {
        circuit
          .add("ry", [qubit], [-angle])
          .add("rz", [qubit], [-2 * beta])
          .add("ry", [qubit], [angle]);
      }
    },
  };
}

/** The W state of a group: the 1 is moved on with the probability that is left for those behind. */
function addOneHot(circuit: Circuit, group: readonly number[]): void {
  circuit.add("x", [group[0]!]);
  for (const [k, qubit] of group.slice(1).entries()) {
    const before = group[k]!;
    circuit.add("cry", [before, qubit], [2 * Math.acos(Math.sqrt(1 / (group.length - k)))]).add("cx", [qubit, before]);
  }
}

/** e^{−iβ(XX + YY)/2}: a rotation between |01⟩ and |10⟩. */
function addExchange(circuit: Circuit, a: number, b: number, beta: number): void {
  circuit
    .add("cx", [b, a])
    .add("crx", [a, b], [2 * beta])
    .add("cx", [b, a]);
}

/** Pairs that meet at a corner of the ring do not commute: those at even places come first, then those at odd ones. */
function ringPairs(group: readonly number[]): (readonly [number, number])[] {
  if (group.length < 3) return allPairs(group);
  const pairs = group.map((qubit, k) => [qubit, group[(k + 1) % group.length]!] as const);
  return [...pairs.filter((_, k) => k % 2 === 0), ...pairs.filter((_, k) => k % 2 === 1)];
}

function allPairs(group: readonly number[]): (readonly [number, number])[] {
  return group.flatMap((a, k) => group.slice(k + 1).map((b) => [a, b] as const));
}
